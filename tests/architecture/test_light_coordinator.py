"""The coordinator's side stays light: no torch, ray or matplotlib; heavy parts only through the registry."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = ["torch", "ray", "matplotlib"]
THROUGH_REGISTRY = ["scipy.stats", "cmaes", "optuna"]


def loaded_after(code: str, names: list[str]) -> list[str]:
    script = f"{code}\nimport sys, json\nprint(json.dumps([n for n in {names!r} if n in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout.splitlines()[-1]))


def test_cli_alone_loads_nothing_heavy() -> None:
    code = (
        "import flopwise.api\n"
        "from flopwise.cli.verbs import VERBS, LazyVerbs\n"
        "[LazyVerbs(VERBS)[verb] for verb in VERBS]"
    )
    assert loaded_after(code, HEAVY + THROUGH_REGISTRY) == []


def test_a_verb_is_loaded_when_it_is_used() -> None:
    assert loaded_after("import flopwise.cli", ["numpy", "pydantic", "flopwise.study", "flopwise.cli.run"]) == []
    assert loaded_after("import flopwise.cli", ["importlib.metadata"]) == []
    looking = ["numpy", "scipy", "pydantic", "ruamel.yaml", "flopwise.study", "flopwise.engine"]
    for verb in ("status", "results"):
        assert loaded_after(f"import flopwise.cli.{verb}", looking) == []
    assert loaded_after("import flopwise.cli.run", ["numpy", "scipy"]) == []


def test_every_spec_searcher_and_policy_leaves_torch_out() -> None:
    code = (
        "import flopwise.cli\n"
        "from flopwise import registry\n"
        "for family in ('workloads', 'searchers', 'policies', 'executors'):\n"
        "    [registry.load(family, name) for name in registry.names(family)]"
    )
    assert loaded_after(code, HEAVY) == []


def test_workload_packages_are_torch_free() -> None:
    code = "import flopwise.workloads, flopwise.workloads.language_model, flopwise.workloads.function"
    assert loaded_after(code, HEAVY) == []


def test_the_check_can_fail() -> None:
    assert loaded_after("import scipy.stats", THROUGH_REGISTRY) == ["scipy.stats"]
