"""Catalogues of machines: a YAML file of the user's, or one that ships."""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, StrictStr

from flopwise.budget.machines import Catalogue, Machine
from flopwise.errors import InputError, StudyError
from flopwise.study import Section, fields, read_as, read_file

MOST = 1000
"""Machines of a catalogue."""


class MachineSection(Section):
    """One machine that can be had."""

    name: Annotated[StrictStr, Field(min_length=1, max_length=64)]
    cores: fields.Count
    memory: fields.Memory
    price_per_hour: fields.Money
    gpus: Annotated[fields.Whole, Field(ge=0)] = 0
    gpu: Annotated[StrictStr, Field(min_length=1, max_length=128)] | None = None


class CatalogueSection(Section):
    """A whole file."""

    currency: Annotated[StrictStr, Field(min_length=1, max_length=16)] = "USD"
    priced: Annotated[StrictStr, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    source: Annotated[StrictStr, Field(min_length=1)]
    machines: Annotated[list[MachineSection], Field(min_length=1, max_length=MOST), AfterValidator(fields.distinct)]


def load_catalogue(name: str) -> Catalogue:
    """A catalogue by path, or by the name of one that ships.

    Args:
        name: Of a YAML file, or such as ``azure-d-v7``.

    Raises:
        InputError: If there is neither.
        StudyError: If it is not YAML or not a catalogue; names every mistake with file and line.
    """
    path, shipped = Path(name), _shipped()
    if not path.is_file() and name not in shipped:
        raise InputError(
            f"no catalogue of machines {name}",
            expected="a YAML file, or one that ships: " + ", ".join(shipped),
            fix="docs/budget.md shows how one is written",
        )
    text = read_file(path) if path.is_file() else shipped[name].read_text()
    section, problems = read_as(CatalogueSection, text, name)
    if section is None or problems:
        raise StudyError(problems, name)
    machines = tuple(
        Machine(each.name, each.cores, each.memory, each.price_per_hour, each.gpus, each.gpu)
        for each in section.machines
    )
    return Catalogue(section.currency, section.priced, section.source, machines)


def _shipped() -> dict[str, Traversable]:
    """Catalogues in the package, by name."""
    files = (resources.files("flopwise.budget") / "catalogues").iterdir()
    return {each.name.removesuffix(".yaml"): each for each in files if each.name.endswith(".yaml")}
