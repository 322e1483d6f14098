"""Describes the machine: what a record must say for its figures to mean anything, and what a stage may ask.

A value that can't be read is None (or an empty list), never a guess.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.libraries.installed import version
from pipeline.machine.cgroup import cpu_quota, memory_left_bytes
from pipeline.results.header import Machine

LIBRARIES = (
    "nncf",
    "numpy",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-openvino",
    "onnxscript",
    "openvino",
    "scipy",
    "torch",
    "torch-pruning",
)
"""The distributions whose versions change what is built, or how fast it runs."""
_CPUINFO = Path("/proc/cpuinfo")
_CPU = Path("/sys/devices/system/cpu")
_MEMINFO = Path("/proc/meminfo")
_KIB = 1024
_SYNONYMS = {"pni": "sse3", "avx512vnni": "avx512_vnni", "avxvnni": "avx_vnni"}
"""Other spellings of an instruction set, and the one used here."""
_RELEVANT = (
    *("sse3", "ssse3", "sse4_1", "sse4_2", "avx", "avx2", "fma", "f16c"),
    *("avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("avx_vnni", "avx_vnni_int8", "amx_tile", "amx_int8", "amx_bf16", "amx_fp16"),
    *("asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "svei8mm", "svebf16", "sme"),
)
"""The instruction sets that inference libraries choose their kernels by; what else a processor has is left out."""


def describe_machine() -> Machine:
    """The machine: processor, cores, memory, system, graphics processors and library versions."""
    cpuinfo = _read_cpuinfo()
    return Machine(
        cpu=_cpu_name(cpuinfo),
        isa=sorted(isa()),
        cores=available_cores(),
        memory_bytes=_memory_bytes(),
        os=_os_name(),
        kernel=platform.release(),
        architecture=platform.machine(),
        virtualized=virtualized_by(cpuinfo),
        governor=governor(),
        turbo=turbo(),
        **_gpus(),
        python=platform.python_version(),
        libraries={name: found for name in LIBRARIES if (found := version(name)) is not None},
    )


def isa() -> frozenset[str]:
    """The processor's instruction sets that matter to inference, such as ``avx2``, ``avx512_vnni``, ``asimddp``."""
    cpuinfo = _read_cpuinfo()
    return isa_in(cpuinfo) if _flags(cpuinfo) else _relevant(_py_cpuinfo().get("flags", []))


def isa_in(cpuinfo: str) -> frozenset[str]:
    """The instruction sets that matter to inference, from the text of /proc/cpuinfo, be it another machine's."""
    return _relevant(_flags(cpuinfo))


def _relevant(flags: Iterable[str]) -> frozenset[str]:
    return frozenset(_SYNONYMS.get(flag, flag) for flag in flags) & frozenset(_RELEVANT)


def available_cores() -> int:
    """How many cores this process may use: those it may run on, bounded by its cgroup's quota (rounded up)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    if quota is None:
        return cores
    return max(1, min(cores, -int(-quota // 1)))


def governor() -> str | None:
    """How the first core's clock is chosen, such as ``performance``; None where the system doesn't say."""
    return _read(_CPU / "cpu0/cpufreq/scaling_governor")


def turbo() -> bool | None:
    """Whether cores may run above their base clock; None where the system doesn't say."""
    no_turbo = _read(_CPU / "intel_pstate/no_turbo")
    if no_turbo is not None:
        return no_turbo == "0"
    boost = _read(_CPU / "cpufreq/boost")
    return None if boost is None else boost == "1"


def available_memory_bytes() -> int | None:
    """The memory that a new process can have without swapping, and without its control group's being ended for it."""
    known = [size for size in (_meminfo().get("MemAvailable"), memory_left_bytes()) if size is not None]
    return min(known, default=None)


def swap_used_bytes() -> int | None:
    """The swap space that is in use."""
    found = _meminfo()
    if not {"SwapTotal", "SwapFree"} <= found.keys():
        return None
    return found["SwapTotal"] - found["SwapFree"]


def last_level_cache_bytes() -> int | None:
    """The largest cache of the first core; None where the system doesn't say."""
    units = {"K": _KIB, "M": _KIB**2, "G": _KIB**3}
    sizes = []
    for path in (_CPU / "cpu0/cache").glob("index*/size"):
        text = _read(path) or ""
        if text[:-1].isdigit() and text[-1] in units:
            sizes.append(int(text[:-1]) * units[text[-1]])
    return max(sizes, default=None)


def _meminfo() -> dict[str, int]:
    """/proc/meminfo in bytes; empty where there is none."""
    found = {}
    for line in (_read(_MEMINFO) or "").splitlines():
        name, _, value = line.partition(":")
        amount, _, unit = value.strip().partition(" ")
        if unit == "kB":
            found[name] = int(amount) * _KIB
    return found


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _read_cpuinfo() -> str:
    return _read(_CPUINFO) or ""


def field_of(cpuinfo: str, name: str) -> str | None:
    """The first ``name : value`` line's value."""
    for line in cpuinfo.splitlines():
        key, separator, value = line.partition(":")
        if separator and key.strip() == name:
            return value.strip()
    return None


def _flags(cpuinfo: str) -> set[str]:
    return set((field_of(cpuinfo, "flags") or field_of(cpuinfo, "Features") or "").split())


def _py_cpuinfo() -> dict[str, Any]:
    """What py-cpuinfo finds; it takes about a second, so only where /proc/cpuinfo does not say."""
    import cpuinfo

    found: dict[str, Any] = cpuinfo.get_cpu_info()
    return found


def _cpu_name(cpuinfo: str) -> str | None:
    name = field_of(cpuinfo, "model name")
    if name is None:
        name = _py_cpuinfo().get("brand_raw")
    return name or platform.processor() or None


def _memory_bytes() -> int | None:
    names = getattr(os, "sysconf_names", {})
    if not {"SC_PHYS_PAGES", "SC_PAGE_SIZE"} <= names.keys():
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _os_name() -> str:
    if platform.system() != "Linux":
        return platform.platform(terse=True)
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def name_of_os(os_release: str) -> str | None:
    """The system's name, from the text of an /etc/os-release; None where it has none."""
    found = re.search(r'^PRETTY_NAME="?([^"\n]+)', os_release, re.MULTILINE)
    return None if found is None else found[1]


def virtualized_by(cpuinfo: str) -> bool | None:
    """x86 says so in its flags; elsewhere it is not known."""
    if not field_of(cpuinfo, "flags"):
        return None
    return "hypervisor" in _flags(cpuinfo)


def _gpus() -> dict[str, Any]:
    """NVIDIA's devices through NVML: their names (with memory), and the driver's version."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return {"gpu": [], "gpu_driver": None}
    try:
        names = [_gpu_name(pynvml.nvmlDeviceGetHandleByIndex(index)) for index in range(pynvml.nvmlDeviceGetCount())]
        return {"gpu": names, "gpu_driver": str(pynvml.nvmlSystemGetDriverVersion())}
    finally:
        pynvml.nvmlShutdown()


def _gpu_name(handle: Any) -> str:
    import pynvml

    memory_gib = pynvml.nvmlDeviceGetMemoryInfo(handle).total / 2**30
    return f"{pynvml.nvmlDeviceGetName(handle)} ({memory_gib:.0f} GiB)"
