"""Facts about this machine, as the system tells them: home puts them into the words of a record."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from pipeline.machine.cgroup import cpu_quota, memory_left_bytes
from pipeline.machine.cpu_ticks import of_each_core

LIBRARIES = ("numpy", "onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "openvino")
_CPUINFO = Path("/proc/cpuinfo")
_TOLD = ("model name", "flags", "Features", "Hardware", "Model")
"""The lines of /proc/cpuinfo that are carried home; serial numbers are not among them."""
_CPU = Path("/sys/devices/system/cpu")
_SAMPLE_S = 0.1


def describe() -> dict[str, Any]:
    """Processor, cores, memory, system and the versions of the libraries."""
    return {
        "cpuinfo": _cpuinfo(),
        "board": _read(Path("/proc/device-tree/model")).rstrip("\0") or None,
        "processor": platform.processor() or None,
        "cores": available_cores(),
        "memory_bytes": _memory_bytes(),
        "os_release": _read(Path("/etc/os-release")),
        "system": platform.system(),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "governor": _read(_CPU / "cpu0/cpufreq/scaling_governor") or None,
        "no_turbo": _read(_CPU / "intel_pstate/no_turbo") or None,
        "boost": _read(_CPU / "cpufreq/boost") or None,
        "python": platform.python_version(),
        "libraries": {name: found for name in LIBRARIES if (found := _version(name)) is not None},
    }


def available_cores() -> int:
    """How many cores this process may use, bounded by its control group's quota (rounded up)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return cores if quota is None else max(1, min(cores, -int(-quota // 1)))


def available_memory_bytes() -> int | None:
    """The memory that processes can have without swapping; None where the system does not say."""
    lines = (line.split() for line in _read(Path("/proc/meminfo")).splitlines())
    found = next((int(words[1]) * 1024 for words in lines if words[:1] == ["MemAvailable:"]), None)
    return min((size for size in (found, memory_left_bytes()) if size is not None), default=None)


def idle_cores(wanted: int) -> list[int] | None:
    """The idlest cores at this moment; None where a process can't be kept to some."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    allowed = sorted(os.sched_getaffinity(0))
    if wanted >= len(allowed):
        return allowed
    before = _busy(allowed)
    time.sleep(_SAMPLE_S)
    after = _busy(allowed)
    return sorted(sorted(allowed, key=lambda core: (after[core] - before[core], core))[:wanted])


def _busy(cores: Iterable[int]) -> dict[int, int]:
    ticks = of_each_core()
    return {core: ticks[core].total - ticks[core].idle if core in ticks else 0 for core in cores}


def _cpuinfo() -> str:
    """The first line of each name that is told, as /proc/cpuinfo has it."""
    found: dict[str, str] = {}
    for line in _read(_CPUINFO).splitlines():
        name = line.partition(":")[0].strip()
        if name in _TOLD:
            found.setdefault(name, line)
    return "\n".join(found.values())


def _memory_bytes() -> int | None:
    names = getattr(os, "sysconf_names", {})
    if not {"SC_PHYS_PAGES", "SC_PAGE_SIZE"} <= set(names):
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
