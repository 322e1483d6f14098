"""The control group that this process runs in: how much processor time it may use, and when it was held back.

Version 2 has one tree; version 1 has one for the ``cpu`` controller. In a container the process's own path is often
not visible, and the mount's root is its group. None where there is no such group (or no Linux).
"""

from __future__ import annotations

from pathlib import Path

_MEMBERSHIP = Path("/proc/self/cgroup")
_MOUNT = Path("/sys/fs/cgroup")


def cpu_quota(membership: Path = _MEMBERSHIP, mount: Path = _MOUNT) -> float | None:
    """The most cores' worth of time that the group may use, None where it is not limited."""
    quotas = [quota for folder in _folders(membership, mount) if (quota := _quota(folder)) is not None]
    return min(quotas, default=None)


def throttled_periods(membership: Path = _MEMBERSHIP, mount: Path = _MOUNT) -> int | None:
    """In how many periods so far the group was held back for having used up its time."""
    counts = [count for folder in _folders(membership, mount) if (count := _throttled(folder)) is not None]
    return sum(counts) if counts else None


def _folders(membership: Path, mount: Path) -> list[Path]:
    """The group's folder for the cpu controller and those above it, whose limits hold for it too."""
    found: list[Path] = []
    for line in (_read(membership) or "").splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            roots = [mount / "unified", mount]
        elif "cpu" in controllers.split(","):
            roots = [mount / "cpu", mount / "cpu,cpuacct"]
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


def _throttled(folder: Path) -> int | None:
    for line in (_read(folder / "cpu.stat") or "").splitlines():
        name, _, value = line.partition(" ")
        if name == "nr_throttled":
            return int(value)
    return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
