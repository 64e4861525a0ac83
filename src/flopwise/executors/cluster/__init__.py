"""Attempts on the nodes of a Ray cluster.

    coordinator ──socket── bridge (a Ray driver) ──actor calls── host (an actor) ──socket── keeper ──fork── worker

The coordinator never loads Ray: a program of its own, the bridge, does, so nothing that Ray does to a process (threads,
signal handlers, ending it when the head is gone) is done to the coordinator. The keeper is the one that runs
attempts everywhere: a host starts it as a clean program and relays its messages; no actor ever forks.
"""
