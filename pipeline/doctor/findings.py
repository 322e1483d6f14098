"""The meaning of a machine's readings for measuring on it: a line each, and what to do. Pure functions of the
readings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.machine.instruction_sets import BF16
from pipeline.machine.quiet import Quiet

Level = Literal["ok", "note", "warning"]
_INT8_X86 = {
    "avx512_vnni": "AVX-512 VNNI",
    "avx_vnni": "AVX-VNNI",
    "amx_int8": "AMX int8",
}
_INT8_ARM = {"asimddp": "dot products", "i8mm": "int8 matrix products"}
_STOLEN = 0.01
_BUSY_CORES = 0.5
_LOW_MEMORY_BYTES = 2 * 2**30
_LOW_DISK_BYTES = 5 * 10**9
_GB = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line. ``ok``; ``note``: good to know; ``warning``: figures suffer, or something can't be used."""

    topic: str
    level: Level
    text: str
    advice: str | None = None


def processor(name: str | None, architecture: str) -> Finding:
    """The name of the processor."""
    if name is None:
        return Finding(topic="processor", level="note", text=f"its name can't be read ({architecture})")
    return Finding(topic="processor", level="ok", text=f"{name} ({architecture})")


def int8(isa: frozenset[str]) -> Finding:
    """The instructions that the processor has for int8 products."""
    arm = "asimd" in isa
    known = _INT8_ARM if arm else _INT8_X86
    has = [words for flag, words in known.items() if flag in isa]
    lacks = [words for flag, words in known.items() if flag not in isa]
    if has:
        rest = f"; it lacks {', '.join(lacks)}" if lacks else ""
        return Finding(topic="int8", level="ok", text=f"the processor has {', '.join(has)}{rest}")
    if not isa:
        return Finding(topic="int8", level="note", text="the processor's instruction sets can't be read")
    saturates = "" if arm else ", and products of u8 and s8 may saturate (8-bit weights want reduce_range there)"
    return Finding(
        topic="int8",
        level="note",
        text=f"the processor lacks {', '.join(lacks)}: int8 gains less speed than on newer ones{saturates}",
        advice="measure on the kind of machine that the model will run on",
    )


def bf16(isa: frozenset[str]) -> Finding:
    """Whether the processor has instructions for bf16 products."""
    has = [flag for flag in BF16 if flag in isa]
    if has:
        return Finding(topic="bf16", level="ok", text=f"the processor has {', '.join(has)}")
    return Finding(topic="bf16", level="note", text="the processor has no bf16 products: bf16 gains no speed on it")


def cores(allowed: int, present: int, quota: float | None) -> Finding:
    """How many cores this process may use: by its affinity, and by its control group's quota of time."""
    text = f"{allowed} of {present} cores may be used" if allowed < present else f"{present} cores"
    if quota is None:
        return Finding(topic="cores", level="ok", text=f"{text}, no quota of processor time")
    if quota >= allowed:
        return Finding(topic="cores", level="ok", text=f"{text}, within a quota of {quota:g} cores' time")
    return Finding(
        topic="cores",
        level="warning",
        text=f"{text}, but the control group's quota is {quota:g} cores' time: it stops all threads once used up",
        advice="raise the container's CPU limit, or use fewer threads than the quota (target.NAME.threads)",
    )


def clock(governor: str | None, turbo: bool | None) -> list[Finding]:
    """Whether the cores keep one speed."""
    if governor is None:
        first = Finding(topic="governor", level="note", text="can't be read, as is usual in a virtual machine")
    elif governor == "performance":
        first = Finding(topic="governor", level="ok", text="performance")
    else:
        first = Finding(
            topic="governor",
            level="warning",
            text=f"{governor}: the clock follows the load",
            advice="sudo cpupower frequency-set -g performance",
        )
    if turbo is None:
        return [first, Finding(topic="turbo", level="note", text="can't be read, as is usual in a virtual machine")]
    if not turbo:
        return [first, Finding(topic="turbo", level="ok", text="off: the cores keep their base clock")]
    on = "on: the clock depends on temperature and on what the other cores do"
    advice = "nothing, as ratios are taken within moments; turn it off for absolute latencies that repeat"
    return [first, Finding(topic="turbo", level="note", text=on, advice=advice)]


def virtualization(virtualized: bool | None) -> Finding:
    """Whether other machines share the hardware."""
    if virtualized is None:
        return Finding(topic="virtual machine", level="note", text="not known")
    if virtualized:
        return Finding(topic="virtual machine", level="note", text="yes: neighbours can slow it down at any time")
    return Finding(topic="virtual machine", level="ok", text="no")


def quietness(quiet: Quiet | None, load: float | None, present: int) -> list[Finding]:
    """Stolen time, and how much else runs; ``load`` is the mean of the last minute."""
    last_minute = "" if load is None else f"; mean load of the last minute {load:.2f}"
    if quiet is None:
        return [
            Finding(topic="steal", level="note", text="the system doesn't count it"),
            Finding(topic="load", level="note", text=f"the system doesn't count how busy its cores are{last_minute}"),
        ]
    stolen = f"{100 * quiet.stolen:.1f} % of the cores' time was taken by the hypervisor"
    steal = Finding(topic="steal", level="ok", text=stolen)
    if quiet.stolen > _STOLEN:
        advice = "expect wide intervals; a machine with cores of its own has none"
        steal = Finding(topic="steal", level="warning", text=stolen, advice=advice)
    working = quiet.busy * present
    text = f"{working:.1f} of {present} cores busy without us{last_minute}"
    if working > _BUSY_CORES:
        advice = "end what else runs (top shows it) before measuring"
        return [steal, Finding(topic="load", level="warning", text=text, advice=advice)]
    return [steal, Finding(topic="load", level="ok", text=text)]


def memory(available: int | None, total: int | None, swapped: int | None) -> list[Finding]:
    """How much memory is free, and whether some of it lies on the disk."""
    if available is None or total is None:
        found = [Finding(topic="memory", level="note", text="can't be read")]
    else:
        text = f"{available / _GB:.1f} GB of {total / _GB:.1f} GB available"
        low = available < _LOW_MEMORY_BYTES
        advice = "end what holds it: all models of a round are in memory together" if low else None
        found = [Finding(topic="memory", level="warning" if low else "ok", text=text, advice=advice)]
    if swapped is None:
        return [*found, Finding(topic="swap", level="note", text="can't be read")]
    if swapped == 0:
        return [*found, Finding(topic="swap", level="ok", text="none in use")]
    text = f"{swapped / _GB:.2f} GB in use: a page that comes back from the disk stops a call for milliseconds"
    return [*found, Finding(topic="swap", level="warning", text=text, advice="sudo swapoff -a && sudo swapon -a")]


def gpu(names: Sequence[str], driver: str | None) -> Finding:
    """NVIDIA's devices and their driver."""
    if not names:
        return Finding(topic="GPU", level="note", text="no NVIDIA GPU is visible: rows on cuda targets are skipped")
    return Finding(topic="GPU", level="ok", text=f"{', '.join(names)}; driver {driver}")


def disk(free_bytes: int, place: str) -> Finding:
    """The room that is left for what the stages build."""
    text = f"{free_bytes / _GB:.1f} GB free for {place}"
    if free_bytes >= _LOW_DISK_BYTES:
        return Finding(topic="disk", level="ok", text=text)
    advice = "python -m pipeline store gc --max-gb 1, or store.path=ELSEWHERE"
    return Finding(topic="disk", level="warning", text=text, advice=advice)
