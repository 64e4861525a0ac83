"""A coordinator to be killed: two attempts, each with a daemon; prints the pids of all six processes."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from flopwise.executors.local import LocalExecutor
from flopwise.executors.topology import usable_cores
from flopwise.wire import Hello, Job, Measurement, Slot, Started


def main(root: Path, run_id: str) -> None:
    core = usable_cores()[:1]
    executor = LocalExecutor((Slot(0, core, 1), Slot(1, core, 1)))
    ready = executor.open(
        Hello(
            run_id=run_id,
            stamps=str(root / "keeper.jsonl"),
            sys_path=(str(Path(__file__).parent), *sys.path),
            preload=("flopwise.workloads.function.run",),
            objective="import:rude:run",
        )
    )
    guard = Path(f"/proc/{ready.pid}/stat").read_text().rsplit(")", 1)[1].split()[1]
    pids = [str(ready.pid), guard]
    for number, do in ((1, "leave_daemon"), (2, "leave_anonymous_daemon")):
        folder = root / f"a{number}"
        folder.mkdir()
        config = {"do": do, "then": "stay"}
        slot = executor.slots[number - 1]
        attempt = f"t{number:04d}.s0.a1"
        executor.start(Job(attempt, "evaluate", "function", config, {}, 0, slot, str(folder), str(root), metric="loss"))
    busy = 0
    while busy < 2:
        for message in executor.poll(1.0):
            if isinstance(message, Started):
                pids.append(str(message.pid))
            busy += isinstance(message, Measurement)
    pids += [(root / f"a{number}" / "pids").read_text().strip() for number in (1, 2)]
    print(*pids, flush=True)
    time.sleep(300)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
