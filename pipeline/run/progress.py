"""Shows a user how far a run is: one live line on a terminal, and a line for each finished step everywhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from pipeline.report.formats.printing import tell
from pipeline.results import numbers as show
from pipeline.terminal.interrupts import raise_again
from pipeline.terminal.screen import printable

REFRESH_S = 0.2
_TOLD_FROM_S = 5.0
"""Less time than this that is left is not worth a word."""
_SEEN_S, _SEEN_SHARE = 2.0, 0.05
"""A step tells how long it takes by itself, once it has run so long and has done so much."""


class ProgressDisplay:
    """A bar for the step that is under way. It is a context, and leaves the terminal as it was after Ctrl-C."""

    def __init__(self, console: Console, hear: Callable[[str, float, str], None] | None = None) -> None:
        """``hear`` is told of each step too."""
        self._hear = hear
        self._console = console
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            TextColumn("{task.fields[text]}", markup=False),
            console=console,
            disable=not console.is_terminal,
            auto_refresh=False,  # its thread would wake up while a model is timed
        )
        self._under_way: tuple[str, TaskID] | None = None
        self._expected: dict[str, float | None] = {}
        self._began = 0.0
        self._drawn = 0.0

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        self._bars.stop()

    def expect(self, seconds: Mapping[str, float | None]) -> None:
        """Say how long steps are likely to take, by label; None: that is not known. The live line tells the time that
        is left of all of them."""
        self._expected |= seconds

    def step(self, label: str, done: float, text: str) -> None:
        """Say how far a step is: ``done`` from 0 to 1; at 1 the step is over and leaves a line. A step that is never
        over, as it fails or has nothing to do, goes when the next one begins.

        Raises KeyboardInterrupt after a Ctrl-C that was swallowed on its way up.
        """
        raise_again()
        if self._hear is not None:
            self._hear(label, done, text)
        if self._under_way is None or self._under_way[0] != label:
            self._end()
            self._under_way = label, self._bars.add_task(printable(label), total=1.0, text="", left="")
            self._began = time.monotonic()
        if done >= 1:
            self._end()
            self.say(f"  {label}: {text}" if text else f"  {label}")
            return
        task = self._under_way[1]
        self._bars.update(task, completed=done, text=printable(text), left=self._left(label, done))
        self._refresh()

    def say(self, line: str) -> None:
        """Print a line above the live one."""
        tell(self._console, line)

    def notes(self, notes: Sequence[str]) -> None:
        """Print what is to be known of the model and the data."""
        for note in notes:
            self.say(f"note: {note}")

    def _end(self) -> None:
        """Take the step that is under way off the line."""
        if self._under_way is not None:
            label, task = self._under_way
            self._expected.pop(label, None)
            self._bars.remove_task(task)
            self._under_way = None

    def _left(self, label: str, done: float) -> str:
        """How long the rest is likely to take; empty where nothing is known."""
        expected = dict(self._expected)
        if label in expected and expected[label] is None:
            expected[label] = self._whole_s(done)
        known = {name: seconds for name, seconds in expected.items() if seconds is not None}
        seconds = sum(known.values()) - done * known.get(label, 0.0)
        if seconds < _TOLD_FROM_S:
            return ""
        return f"{'about' if len(known) == len(expected) else 'at least'} {show.duration(round(seconds))} left"

    def _whole_s(self, done: float) -> float | None:
        """What the step under way takes from its begin to its end, going by what it has done; None: too little."""
        passed = time.monotonic() - self._began
        return passed / done if passed >= _SEEN_S and done >= _SEEN_SHARE else None

    def _refresh(self) -> None:
        """Draw the live line, at most so often as is worth looking at."""
        now = time.monotonic()
        if now - self._drawn >= REFRESH_S:
            self._bars.refresh()
            self._drawn = now
