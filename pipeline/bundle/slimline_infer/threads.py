"""How many threads a session gets here: as many as the figures were taken with, but no more than may run at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_MEMBERSHIP = Path("/proc/self/cgroup")
_MOUNT = Path("/sys/fs/cgroup")


def allowed_threads(wanted: int, membership: Path = _MEMBERSHIP, mount: Path = _MOUNT) -> tuple[int, str | None]:
    """The number of threads, and why it differs from the wanted number; None where it does not."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = min(_quotas(membership, mount), default=None)
    most, reason = cores, f"this process may run on {cores} {'core' if cores == 1 else 'cores'}"
    # Rounded down: one thread more uses the quota up early in each period, and then all of them stand still.
    if quota is not None and max(1, int(quota)) < cores:
        most, reason = max(1, int(quota)), f"its container may use {quota:g} cores' time"
    if wanted <= most:
        return wanted, None
    return most, f"{most} {'thread' if most == 1 else 'threads'} instead of {wanted}: {reason}"


def _quotas(membership: Path, mount: Path) -> Iterator[float]:
    """The limits of the control group that this process is in and of those above it, in cores' worth of time."""
    for line in _read(membership).splitlines():
        number, controllers, path = line.split(":", 2)
        if number != "0" and "cpu" not in controllers.split(","):
            continue
        names = ("unified", ".") if number == "0" else ("cpu", "cpu,cpuacct")
        root = next((mount / name for name in names if (mount / name).is_dir()), None)
        if root is None:
            continue
        own = root / path.lstrip("/")  # in a container it may not be visible; the root then is the group's own
        for folder in (own, *own.parents):
            if folder.is_relative_to(root):
                yield from _quota(folder)


def _quota(folder: Path) -> Iterator[float]:
    """Version 2 has one file for both numbers, version 1 a file each; no limit is ``max`` or a number below 0."""
    numbers = _read(folder / "cpu.max").split()
    numbers = numbers or [_read(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
    if len(numbers) == 2 and all(number.isdigit() for number in numbers) and int(numbers[1]) > 0:
        yield int(numbers[0]) / int(numbers[1])


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
