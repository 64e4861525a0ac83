"""The environment of keeper and attempts: an allow-list, so that secrets do not leak by default."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from flopwise.errors import ExecutorError
from flopwise.executors.accelerators import NVIDIA, VISIBLE, is_cuda
from flopwise.wire import Slot

RUN = "FLOPWISE_RUN"
"""Variable that marks every process of a run with its run id."""

MACHINE = "FLOPWISE_MACHINE"
"""Processes with different values of this variable see different leases; not set, it is the whole machine."""

THREAD_POOLS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "RAYON_NUM_THREADS",
)
"""Read by libraries that load later; those already loaded are told by the worker."""

ALLOWED = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_[A-Z]+|TZ|TERM|TMPDIR|TEMP|TMP|LD_(LIBRARY_PATH|PRELOAD)"
    r"|PYTHON[A-Z]+|VIRTUAL_ENV|CONDA_[A-Z_]+|XDG_[A-Z_]+|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE"
    r"|(CUDA|NVIDIA|NCCL|HIP|ROCR|ROCM|CUBLAS)_[A-Z0-9_]+|(PYTORCH|TORCH|TORCHINDUCTOR|TRITON)_[A-Z0-9_]+"
    r"|HF_(HOME|HUB_CACHE|DATASETS_CACHE|HUB_OFFLINE)|NUMBA_[A-Z_]+|KMP_[A-Z_]+|MALLOC_[A-Z_]+|GLIBC_TUNABLES"
    r"|SLURM_[A-Z_]+|GCONV_PATH|LOCPATH"
)
"""Names that attempts see without being asked for."""

SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL")
"""No name with one of these in it passes by the allow-list alone."""

FIXED = {"PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
"""Asking whether there is a GPU must not initialise CUDA in the keeper: it would be unusable after the fork."""


def clean(environ: Mapping[str, str], run_id: str, pass_env: Sequence[str] = ()) -> dict[str, str]:
    """The environment for a keeper, and so for its attempts.

    The hash seed is fixed (unless the user fixed another), so that the order of sets is the same in
    every attempt.

    Args:
        environ: The coordinator's environment.
        run_id: Value of the marker ``FLOPWISE_RUN``.
        pass_env: The study's ``execution.pass_env``.

    Raises:
        ExecutorError: If ``pass_env`` names a variable that flopwise sets itself.

    Example:
        >>> kept = clean({"HOME": "/somewhere", "HF_TOKEN": "x", "SHELL_TOKEN": "y"}, "run", ["HF_TOKEN"])
        >>> kept["HF_TOKEN"], "SHELL_TOKEN" in kept
        ('x', False)
    """
    own = [name for name in pass_env if name in (RUN, *THREAD_POOLS, *FIXED)]
    if own:
        raise ExecutorError(
            f"execution.pass_env names {', '.join(own)}, which flopwise sets itself",
            fix="set execution.threads instead" if own[0] in THREAD_POOLS else "leave it out",
        )
    kept = {name: value for name, value in environ.items() if _allowed(name) or name in pass_env}
    return {"PYTHONHASHSEED": "0", **kept, **FIXED, **thread_pools(1), RUN: run_id}


def missing(environ: Mapping[str, str], pass_env: Sequence[str]) -> list[str]:
    """Names in ``pass_env`` that are not set."""
    return [name for name in pass_env if name not in environ]


def thread_pools(threads: int) -> dict[str, str]:
    """Variables that size the thread pools of libraries loaded from now on."""
    return dict.fromkeys(THREAD_POOLS, str(threads))


def attempt_variables(slot: Slot, environ: Mapping[str, str], driver: Path = NVIDIA) -> dict[str, str]:
    """What an attempt's environment has for its slot; set before any library in it looks for a device.

    An attempt without an accelerator sees none of NVIDIA's: otherwise all would crowd on the first. What
    it starts of flopwise's own leases from the slot, which is leased already.

    Args:
        slot: Where it runs.
        environ: The keeper's environment.
        driver: Exists where NVIDIA's driver is loaded; without it nothing needs to be hidden.

    Example:
        >>> attempt_variables(Slot(1, (2,), 1, accelerators=("GPU-aa",)), {RUN: "f00d"})["CUDA_VISIBLE_DEVICES"]
        'GPU-aa'
    """
    found = {**thread_pools(slot.threads), MACHINE: f"{environ.get(MACHINE, '')}/{environ.get(RUN, '')}/{slot.index}"}
    if all(map(is_cuda, slot.accelerators)) and (slot.accelerators or driver.exists()):
        found[VISIBLE] = ",".join(slot.accelerators)
    return found


def _allowed(name: str) -> bool:
    return ALLOWED.fullmatch(name) is not None and SECRET.search(name) is None
