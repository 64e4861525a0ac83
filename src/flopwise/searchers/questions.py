"""The questions of a staged search as a study file has them; what runs when is in :mod:`flopwise.questions`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from flopwise.questions import BEST_OF, references

MOST_CONFIGS = 1000


class Question(BaseModel):
    """One group of configs: every combination of ``grid`` with every one of ``configs``, upon ``base``.

    Args:
        ask: The question in words, for the report.
        base: Key to the value it has here in place of the baseline's, or to ``{best_of: QUESTION}``: the value of
            that question's winner.
        grid: Key to the values to try, every combination.
        configs: Key to value, one mapping a config.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    ask: str = ""
    base: dict[str, Any] = {}
    grid: dict[str, list[Any]] = {}
    configs: list[dict[str, Any]] = Field([], max_length=MOST_CONFIGS)

    @field_validator("base")
    @classmethod
    def _references_are_whole(cls, base: dict[str, Any]) -> dict[str, Any]:
        for key, value in base.items():
            if isinstance(value, Mapping) and (list(value) != [BEST_OF] or not isinstance(value[BEST_OF], str)):
                raise ValueError(f"{key}: expected a value or {{best_of: QUESTION}}, got {value!r:.60}")
        return base

    @property
    def plain(self) -> dict[str, Any]:
        """As a canonical study has it."""
        return {"ask": self.ask, "base": self.base, "grid": self.grid, "configs": self.configs}

    @property
    def size(self) -> int:
        """How many configs it has."""
        if not self.grid and not self.configs:
            return 0
        return prod(len(values) for values in self.grid.values()) * max(1, len(self.configs))

    def references(self) -> dict[str, str]:
        """Key to the question whose winner it is taken from."""
        return references(self.plain)

    def settings(self) -> Iterator[tuple[str, str, Any]]:
        """Every value it sets: where it stands, its key, and itself."""
        yield from (("base", key, value) for key, value in self.base.items())
        yield from (("grid", key, value) for key, values in self.grid.items() for value in values)
        yield from ((f"configs.{n}", key, value) for n, each in enumerate(self.configs) for key, value in each.items())
