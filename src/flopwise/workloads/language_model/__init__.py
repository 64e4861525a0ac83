"""Train a small language model on text that every Python installation has.

``spec`` is what the coordinator reads (no torch); ``run`` is what a worker process runs.
"""
