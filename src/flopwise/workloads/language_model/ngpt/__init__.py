"""The normalised transformer, ``model.kind: ngpt``: everything lives on the unit sphere.

``config`` holds its knobs, ``counts`` its numbers (both without torch), ``block`` the layers.
"""
