"""Attention whose edges behave like chemical synapses: ``model.kind: synaptic``.

``config`` holds every knob, ``counts`` the FLOPs (both without torch); ``attention`` puts the two sides together:
``presynapse`` (calcium, vesicles, release) and ``postsynapse`` (Hebbian fast weights). ``recurrence`` runs their
dynamics over time as matrix products.
"""
