"""The places where a run's models are built: this machine, or nodes of a cluster. Nothing is timed there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from pipeline.isolated import Limits
from pipeline.isolated.template import Template

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedCall(Generic[T]):
    """A call for a place."""

    function: Callable[..., T]
    arguments: tuple[Any, ...]
    limits: Limits
    """The limits of a process of this machine; a node finds its own, but for the time at which the call is ended."""
    hear: Callable[[Any], None] | None = None
    """Where it is given, the function also gets the keyword ``say``, and this is told what it says."""
    trains: bool = False
    """Whether it is a training, which gets a GPU where places have one."""
    where: Mapping[str, Any] | None = None
    """The node that it must run on, alone; None: any place."""


class Places(Protocol):
    """Places for calls, each for one call at a time."""

    @property
    def count(self) -> int:
        """How many calls run side by side at most."""
        ...

    @property
    def elsewhere(self) -> bool:
        """Whether a call may run on another machine: it finds no file of this one there but those of a shared store."""
        ...

    def run(self, call: PlacedCall[T]) -> T:
        """The result of a call, in another process as soon as a place is free; the calling thread waits.

        Raises errors of ours as they were raised there, and WorkerFailed, with the reason, for whatever else goes
        wrong.
        """
        ...

    def end(self) -> None:
        """End what runs: each call raises WorkerFailed soon."""
        ...


class Execution(Protocol):
    """A way to carry out a run's building."""

    def check(self) -> None:
        """Raise UserError where it can't be used here: a package is missing, say. Called before any work."""
        ...

    def node_problem(self, where: Mapping[str, Any]) -> str | None:
        """Why no node can be named like this; None where one can."""
        ...

    def open(self, template: Template) -> AbstractContextManager[Places]:
        """The places, until the block ends; what still runs there is ended then.

        ``template`` starts processes of this machine. Raises UserError where no place can be had.
        """
        ...
