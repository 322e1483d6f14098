"""Shows a user how far a run is: bars on a terminal, and a line for each finished step elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from pipeline.report.formats.printing import tell
from pipeline.terminal.interrupts import raise_again
from pipeline.terminal.screen import printable

REFRESH_S = 0.2


class ProgressDisplay:
    """A bar for each step under way. It is a context, and leaves the terminal as it was after Ctrl-C."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[text]}", markup=False),
            console=console,
            disable=not console.is_terminal,
            auto_refresh=False,  # its thread would wake up while a model is timed
        )
        self._tasks: dict[str, TaskID] = {}
        self._drawn = 0.0

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks.values():
            self._bars.remove_task(task)
        self._bars.stop()

    def step(self, label: str, done: float, text: str) -> None:
        """Say how far a step is: ``done`` from 0 to 1; at 1 the step is over and leaves a line.

        Raises KeyboardInterrupt after a Ctrl-C that was swallowed on its way up.
        """
        raise_again()
        if done >= 1:
            if label in self._tasks:
                self._bars.remove_task(self._tasks.pop(label))
            self.say(f"  {label}: {text}" if text else f"  {label}")
            return
        if label not in self._tasks:
            self._tasks[label] = self._bars.add_task(printable(label), total=1.0, text="")
        self._bars.update(self._tasks[label], completed=done, text=printable(text))
        self._refresh()

    def _refresh(self) -> None:
        """Draw the bars, at most so often as is worth looking at."""
        now = time.monotonic()
        if now - self._drawn >= REFRESH_S:
            self._bars.refresh()
            self._drawn = now

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        tell(self._console, line)
