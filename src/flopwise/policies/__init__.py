"""Policies steer a study: they pause it when something is wrong and end a search that has stopped paying."""
