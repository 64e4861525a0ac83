"""Searchers propose configs. Each is one file, loaded by the registry when a study names it."""
