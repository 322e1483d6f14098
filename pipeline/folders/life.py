"""Tells a process from all others, so that whoever runs beside it sees at once that it has ended."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Life:
    """A process from its start to its end. A process id alone is given out again, and other machines have it, too."""

    machine: str
    """The boot of the kernel, and the namespace that process ids are of."""
    pid: int
    started: str
    """The time of the start, in the kernel's own count."""

    @staticmethod
    def mine() -> Life:
        """This process."""
        return Life(_machine(), os.getpid(), _started(os.getpid()) or "")

    @property
    def is_over(self) -> bool:
        """Whether the process has ended; False where that can't be seen from here, as of another machine's."""
        return bool(self.started) and self.machine == _machine() and _started(self.pid) != self.started


@cache
def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""  # a system without /proc, where no start is known either


def _started(pid: int) -> str | None:
    """The start of a process that runs; None where none of this id runs, or that can't be read."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return None if state == "Z" else rest[18]
