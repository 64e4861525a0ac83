"""One file per optimizer; each has a function that builds it for a model."""
