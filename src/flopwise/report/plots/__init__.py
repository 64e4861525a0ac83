"""Pictures of a run: one file each, a function from the evidence to a figure, or None when there is nothing to draw.

They need the extra ``report`` (matplotlib) and are loaded through ``registry``.
"""
