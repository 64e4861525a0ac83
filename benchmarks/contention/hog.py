"""A process outside the study that never rests: ``hog.py CORE …``."""

import os
import sys

if __name__ == "__main__":
    os.sched_setaffinity(0, [int(core) for core in sys.argv[1:]])
    while True:
        pass
