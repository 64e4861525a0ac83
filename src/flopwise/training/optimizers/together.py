"""Several optimizers, each over its own params, as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch


class Optimizer(Protocol):
    """What the loop needs of an optimizer; every ``torch.optim.Optimizer`` has it."""

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Groups with ``params`` and ``lr``; ``lr_ratio``, where there is one, multiplies the loop's learning rate."""
        ...

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        ...

    def step(self) -> Any:
        """Make one update."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next updates depend on, params aside."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        ...


class Together:
    """Makes a step of each.

    Args:
        members: Over different params.
    """

    def __init__(self, members: Sequence[torch.optim.Optimizer]) -> None:
        self.members = list(members)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Of all members."""
        return [group for member in self.members for group in member.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        for member in self.members:
            member.zero_grad(set_to_none=set_to_none)

    def step(self) -> None:
        """Make one update of each."""
        for member in self.members:
            member.step()

    def state_dict(self) -> dict[str, Any]:
        """Of all members, in order."""
        return {"members": [member.state_dict() for member in self.members]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        for member, state in zip(self.members, state_dict["members"], strict=True):
            member.load_state_dict(state)
