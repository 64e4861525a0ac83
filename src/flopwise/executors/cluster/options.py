"""``execution.options`` of the executor ``ray``."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

ADDRESS = re.compile(r"auto|(ray://)?[^\s:/]+:\d{1,5}")


class Options(BaseModel):
    """Where the cluster is, and what a slot asks of it beyond cores, memory and accelerators."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    address: str = Field(
        "auto",
        description="`host:port` of the head, `ray://host:port`, or `auto`: RAY_ADDRESS, or this machine's cluster.",
    )
    resources: dict[str, Annotated[float, Field(gt=0)]] = Field(
        {}, description="Custom resources of one slot, by the name that the nodes give them."
    )
    slots_per_node: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Most slots on one node; none for as many as fit."
    )
    ship: list[str] | None = Field(
        None, description="Files and folders that attempts need, below the working directory; none for all code there."
    )
    lost_after: Annotated[float, Field(ge=1.0)] = Field(
        30.0, description="Seconds without a word from a node after which its attempts are lost."
    )

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if not ADDRESS.fullmatch(self.address):
            raise ValueError(f"address: expected auto, host:port or ray://host:port, got {self.address!r}")
        return self
