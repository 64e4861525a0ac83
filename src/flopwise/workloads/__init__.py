"""What a study can run: one folder per workload, each with a torch-free ``spec.py``."""
