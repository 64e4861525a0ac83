"""What Syne Tune starts for a trial: the work, and its report."""

from __future__ import annotations

import argparse

from syne_tune import Reporter
from work import WORK

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--work")
    parser.add_argument("--x", type=float)
    Reporter()(loss=WORK[parser.parse_known_args()[0].work]())
