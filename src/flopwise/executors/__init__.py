"""Where attempts run: slots of this machine, and the processes on them.

``executor`` is the interface, ``local`` and ``inline`` are its members. ``keeper`` is a program of its
own: the small server that ``local`` starts and that forks every attempt.
"""
