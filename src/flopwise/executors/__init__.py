"""Where attempts run: slots of this machine, and the processes on them.

``executor`` is the interface, ``local``, ``inline`` and ``ask_tell`` (a loop of the user's own) are its
members. ``keeper`` is a program of its own: the small server that ``local`` starts and that forks every attempt.
"""
