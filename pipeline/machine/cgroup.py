"""The control group that this process runs in: how much processor time it may use, and when it was held back.

Version 2 has one tree; version 1 has one for the ``cpu`` controller. In a container the process's own path is often
not visible, and the mount's root is its group. None where there is no such group (or no Linux).
"""

from __future__ import annotations

from pathlib import Path
from typing import overload

_MEMBERSHIP = Path("/proc/self/cgroup")
_MOUNT = Path("/sys/fs/cgroup")
_NO_LIMIT = 2**60
"""Version 1 writes a number for no limit, the largest that its pages can count."""


def cpu_quota(membership: Path = _MEMBERSHIP, mount: Path = _MOUNT) -> float | None:
    """The most cores' worth of time that the group may use, None where it is not limited."""
    quotas = [quota for folder in _folders(membership, mount) if (quota := _quota(folder)) is not None]
    return min(quotas, default=None)


def throttled_periods(membership: Path = _MEMBERSHIP, mount: Path = _MOUNT) -> int | None:
    """The number of periods so far in which the group was held back because it had used up its time."""
    counts = [count for folder in _folders(membership, mount) if (count := _throttled(folder)) is not None]
    return sum(counts) if counts else None


def memory_left_bytes(membership: Path = _MEMBERSHIP, mount: Path = _MOUNT) -> int | None:
    """The memory that the group may still get, cached files that it can give back counted in; None: it has no limit."""
    left = [size for folder in _folders(membership, mount, "memory") if (size := _memory_left(folder)) is not None]
    return min(left, default=None)


def _folders(membership: Path, mount: Path, controller: str = "cpu") -> list[Path]:
    """The group's folder for a controller and those above it, whose limits hold for it too."""
    found: list[Path] = []
    for line in (_read(membership) or "").splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            roots = [mount / "unified", mount]
        elif controller in controllers.split(","):
            roots = [mount / controller, mount / controllers]
        else:
            continue
        root = next((root for root in roots if root.is_dir()), None)
        if root is None:
            continue
        own = root / path.lstrip("/")
        ancestors = [own, *(parent for parent in own.parents if parent.is_relative_to(root))]
        found.extend(folder for folder in ancestors if folder.is_dir() and folder not in found)
    return found


def _quota(folder: Path) -> float | None:
    limit = _read(folder / "cpu.max")
    if limit is not None:
        quota, period = limit.split()
        return None if quota == "max" else int(quota) / int(period)
    quota_us, period_us = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
    if quota_us is None or period_us is None or int(quota_us) <= 0:
        return None
    return int(quota_us) / int(period_us)


def _memory_left(folder: Path) -> int | None:
    limit = _read(folder / "memory.max") or _read(folder / "memory.limit_in_bytes")
    used = _read(folder / "memory.current") or _read(folder / "memory.usage_in_bytes")
    if limit is None or used is None or limit == "max" or int(limit) >= _NO_LIMIT:
        return None
    return max(0, int(limit) - int(used) + _entry(folder / "memory.stat", "inactive_file"))


def _throttled(folder: Path) -> int | None:
    return _entry(folder / "cpu.stat", "nr_throttled", missing=None)


@overload
def _entry(path: Path, name: str) -> int: ...
@overload
def _entry(path: Path, name: str, missing: None) -> int | None: ...
def _entry(path: Path, name: str, missing: int | None = 0) -> int | None:
    """A number by its name, in a file with one a line."""
    for line in (_read(path) or "").splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return missing


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
