"""One call after another, each in a process of this machine with all its cores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from pipeline.isolated import run
from pipeline.isolated.run import Starter
from pipeline.isolated.template import Template
from pipeline.plan import PlacedCall, Places

T = TypeVar("T")
NO_NODES = "there is this machine only: type execution=ray or execution=slurm"


@dataclass(frozen=True, slots=True)
class OnePlace:
    """This machine, for one call at a time."""

    start: Starter
    count: int = 1
    elsewhere: bool = False

    def run(self, call: PlacedCall[T]) -> T:
        """Carry out the call in a process of its own."""
        return run(call.function, *call.arguments, limits=call.limits, hear=call.hear, start=self.start)

    def end(self) -> None:
        """Nothing runs but in the calling thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """The default: one process tree on this machine, and nothing to start."""

    def check(self) -> None:
        """Nothing is needed."""

    def node_problem(self, where: Mapping[str, Any]) -> str | None:
        """There is this machine only."""
        return NO_NODES

    @contextmanager
    def open(self, template: Template) -> Iterator[Places]:
        """This machine."""
        yield OnePlace(template)
