"""``python -m pipeline doctor``: is this a machine to measure on, what can it run, and how small a difference shows?"""

from __future__ import annotations

import json
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from pipeline.analyse.cells import cells_by_subject, differences_by_round
from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.backends.onnxruntime.libraries import CUDA
from pipeline.doctor import findings, runtimes
from pipeline.doctor.findings import Finding, Level
from pipeline.errors import WorkerFailed
from pipeline.folders.disk import free_bytes
from pipeline.machine.cgroup import cpu_quota
from pipeline.machine.environment import (
    available_memory_bytes,
    describe_machine,
    governor,
    isa,
    swap_used_bytes,
    turbo,
)
from pipeline.machine.quiet import Quiet, sample_quiet
from pipeline.measure.group import Subject
from pipeline.measure.latency import measure_latency
from pipeline.measure.probe import probe_feed, write_probe
from pipeline.plan import MeasureSettings, Target
from pipeline.report.formats.json import plain
from pipeline.results import numbers as show
from pipeline.results.header import Machine
from pipeline.results.record import CLONE, subject_key
from pipeline.run.progress import ProgressDisplay
from pipeline.statistics.latency import DELTA, minimum_detectable_effect, paired_ratio

QUIET_S = 2.0
NOISE_S = 30.0
_MOST_ROUNDS = 1000
_TARGET = "ort_cpu"
_STYLES: dict[Level, str] = {"ok": "green", "note": "", "warning": "yellow"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseFloor:
    """The outcome of measuring a small model against itself: its ratio is 1 but for noise."""

    ratio: float
    low: float
    high: float
    half_width: float
    """The half-width of the log-ratio's interval."""
    detectable: float
    """The smallest difference (0.01 is 1 %) that an equally long measurement finds in four of five cases."""
    rounds: int
    blocks: int
    seconds: float


def doctor(store: Path, console: Console, *, quick: bool = False, as_json: bool = False) -> int:
    """Examine this machine and print the findings; ``quick`` leaves out the noise floor. Always returns 0."""
    watched = Console(stderr=True) if as_json else console
    with ProgressDisplay(watched) as display:
        machine = describe_machine()
        display.step("looking", 0.0, f"at how quiet the machine is, for {QUIET_S:g} s")
        quiet = sample_quiet(QUIET_S)
        display.step("looking", 0.5, "at what is installed")
        found = [*_machine(machine, quiet), *_software(machine.gpu), _disk(store)]
        display.step("looking", 1.0, "at the machine and what is installed")
        floor = None
        if not quick:
            floor, said = _noise(display)
            found.append(said)
    if as_json:
        _print_json(console, found, machine, floor)
        return 0
    _print(console, found)
    return 0


def noise_floor(seconds: float, display: ProgressDisplay) -> NoiseFloor:
    """Time the probe model and a hidden clone of it for this many seconds; raises WorkerFailed where they can't be
    run."""
    settings = MeasureSettings(looks=(7, _MOST_ROUNDS), half_width=0.0, budget_s=seconds)
    key = subject_key("probe", _TARGET, 1)
    began = time.monotonic()

    def progress(done: float, text: str) -> None:
        share = min((time.monotonic() - began) / seconds, 0.999)
        words = text.replace(f" of at most {_MOST_ROUNDS}", "")
        display.step("noise floor", 1.0 if done >= 1 else share, words)

    with tempfile.TemporaryDirectory(prefix="slimline-doctor-") as folder:
        target = Target(name=_TARGET, backend=OnnxRuntime())
        probe = Subject(key=key, artifact=write_probe(Path(folder)), target=target, batch_size=1)
        measured = measure_latency([probe], {}, [key], {1: probe_feed()}, settings, seed=0, progress=progress)
    failed = next(iter(measured.failures.values()), None)
    if failed is not None:
        raise WorkerFailed(failed)
    cells = cells_by_subject(measured.samples, {key: target.device})
    if not {key, CLONE + key} <= cells.keys():
        raise WorkerFailed("every block was spoilt: the quota of processor time was used up, or the machine slept")
    estimate = paired_ratio(differences_by_round(cells[CLONE + key], cells[key]), settings.look_alpha)
    return NoiseFloor(
        ratio=estimate.value,
        low=estimate.low,
        high=estimate.high,
        half_width=estimate.half_width,
        detectable=minimum_detectable_effect(estimate.half_width, settings.look_alpha),
        rounds=measured.samples.rounds,
        blocks=estimate.blocks,
        seconds=measured.samples.seconds,
    )


def judge_noise(floor: NoiseFloor) -> Finding:
    """The finding that the noise floor gives, by the limits that make a run NOISY."""
    text = (
        f"a model timed against itself for {floor.seconds:.0f} s came out at {show.number(floor.ratio, 3)}x "
        f"{show.interval(floor.low, floor.high, 3)}; differences from {show.number(100 * floor.detectable, 1)} % on "
        "would show"
    )
    differs = floor.low > 1 + DELTA or floor.high < 1 - DELTA
    if differs or floor.half_width > MeasureSettings().noisy_half_width:
        advice = "measure when the machine is quieter, or on another one: a run here would be NOISY"
        return Finding(topic="noise floor", level="warning", text=text, advice=advice)
    if floor.half_width > MeasureSettings().half_width:
        advice = "the default profile measures longer, and stops at ±1 %"
        return Finding(topic="noise floor", level="note", text=text, advice=advice)
    return Finding(topic="noise floor", level="ok", text=text)


def _noise(display: ProgressDisplay) -> tuple[NoiseFloor | None, Finding]:
    try:
        floor = noise_floor(NOISE_S, display)
    except WorkerFailed as failure:
        advice = "a run would fail in the same way: the lines above may say why"
        return None, Finding(topic="noise floor", level="warning", text=str(failure), advice=advice)
    return floor, judge_noise(floor)


def _machine(machine: Machine, quiet: Quiet | None) -> Iterator[Finding]:
    present = os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else present
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    found = isa()
    yield findings.processor(machine.cpu, platform.machine())
    yield findings.int8(found)
    yield findings.bf16(found)
    yield findings.cores(allowed, present, cpu_quota())
    yield from findings.clock(governor(), turbo())
    yield findings.virtualization(machine.virtualized)
    yield from findings.quietness(quiet, load, present)
    yield from findings.memory(available_memory_bytes(), machine.memory_bytes, swap_used_bytes())
    yield findings.gpu(machine.gpu, machine.gpu_driver)


def _software(gpus: list[str]) -> Iterator[Finding]:
    yield runtimes.torch_finding(gpus)
    found = runtimes.onnxruntime_findings(gpus)
    yield from found
    if gpus and any(finding.topic == CUDA and finding.level == "ok" for finding in found):
        with tempfile.TemporaryDirectory(prefix="slimline-doctor-") as folder:
            target = Target(name="ort_cuda", backend=OnnxRuntime(), device="cuda")
            yield runtimes.session_finding(write_probe(Path(folder)), target, probe_feed())
    yield runtimes.openvino_finding()
    yield runtimes.other_runtimes()


def _disk(store: Path) -> Finding:
    return findings.disk(free_bytes(store), f"the store in {store}")


def _print(console: Console, found: list[Finding]) -> None:
    console.print()
    width = max(len(finding.topic) for finding in found)
    for finding in found:
        line = Text(f"{finding.level:<7}", style=_STYLES[finding.level])
        line.append(f"  {finding.topic:<{width}}  {finding.text}", style="default")
        console.print(line, soft_wrap=True)
        if finding.advice is not None:
            console.print(Text(f"{'':<7}  {'':<{width}}  -> {finding.advice}", style="dim"), soft_wrap=True)
    warnings = sum(finding.level == "warning" for finding in found)
    console.print()
    summary = (
        f"{warnings} warning{'s' if warnings != 1 else ''}" if warnings else "nothing stands against measuring here"
    )
    console.print(summary, markup=False, highlight=False)


def _print_json(console: Console, found: list[Finding], machine: Machine, floor: NoiseFloor | None) -> None:
    document = plain(
        {
            "findings": [asdict(finding) for finding in found],
            "machine": machine,
            "noise_floor": None if floor is None else asdict(floor),
        }
    )
    console.print(json.dumps(document, indent=1), markup=False, highlight=False, soft_wrap=True)
