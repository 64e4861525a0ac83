"""A run's trials for other programs: one file a format, each a function from the run to a file."""
