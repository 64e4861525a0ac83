"""The study's own Python function as a workload."""
