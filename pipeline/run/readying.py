"""Builds the candidates of a search that are looked at next."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.errors import SlimlineError, reasoned
from pipeline.measure.group import Subject
from pipeline.plan import BASELINE
from pipeline.results.search import Ending
from pipeline.run.models import Models
from pipeline.run.pace import Pace
from pipeline.run.proof import Clock
from pipeline.search.board import SAME_MODEL, Board, Standing
from pipeline.search.space import candidate_key

_LATE = 2.0
"""What is being built when the time is over may take this many times what was expected of it, and is ended then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readying:
    """Takes the board's candidates in their order, as many as are looked at together."""

    board: Board
    models: Models
    clock: Clock
    pace: Pace
    reference: Subject
    """The row that everything is compared with."""
    step: Callable[[str], None]
    """Is told what is being done."""
    end: Callable[[Standing, Ending, str], None]
    """Ends a candidate, with the reason, and keeps that."""

    def __call__(self, *, first: bool) -> list[Standing]:
        """The next candidates that could be built; the others end. The ``first`` answer waits for nothing that is still
        to be built."""
        ready: list[Standing] = []
        began = time.monotonic()
        longest_s = self.clock.building_s(answered=self.board.bar() is not None)
        for standing in self.board.waiting():
            expected_s = self.models.times.expected_s(standing.candidate.variant)
            spent_s, left_s = time.monotonic() - began, self.clock.left_s()
            enough = len(ready) >= self.pace.together(left_s) or (ready and spent_s + expected_s > longest_s)
            answerable = first and ready and standing.candidate.variant.name not in self.board.built
            if enough or answerable or left_s <= 0:
                break
            needed_s = expected_s + self.pace.look_s(standing.candidate.target)
            if needed_s > left_s:
                what = "building it and a look at it take" if expected_s else "a look at it takes"
                standing.end("no time", f"{what} about {needed_s:.0f} s, going by others, and less is left")
            elif self._is_ready(standing, time.monotonic() + max(left_s, _LATE * expected_s)):
                ready.append(standing)
        self.pace.building_s += time.monotonic() - began
        return ready

    def _is_ready(self, standing: Standing, deadline: float) -> bool:
        """Build a candidate, until the deadline at most, and end it where it can't be looked at or needs no look."""
        failures = self._build(standing, deadline)
        if failures and time.monotonic() > deadline:
            standing.end("no time", f"{self.clock.over}, and it was still being built")
        elif failures:
            self.end(standing, "failed", str(failures[0]))
        elif (twin := self._twin(standing)) is not None:
            self.end(standing, "not needed", f"{SAME_MODEL} {twin}")
        return standing.ending is None

    def _build(self, standing: Standing, deadline: float) -> list[SlimlineError]:
        """Build a candidate, until the deadline at most; returns why it could not be built."""
        failures: list[SlimlineError] = []
        with self.models.until(deadline):
            self.models.build_ahead(standing, self.board.waiting())
            started = time.monotonic()
            self.step(f"building {standing.key}")
            with reasoned(failures.append):
                self.models.build(standing)
        standing.build_s = time.monotonic() - started
        return failures

    def _twin(self, standing: Standing) -> str | None:
        """What runs the same model in the same place already."""
        target = standing.candidate.target
        if target == self.reference.target and standing.digest == self.reference.artifact.digest:
            return candidate_key(BASELINE, target.name)
        return self.board.twin(standing)
