"""``python -m pipeline selftest aa|power|both|peers|search``: many trials, kept as they come, and the verdict over
them."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from rich.console import Console

from pipeline import __version__, isolated, machine, measure, search, statistics
from pipeline.artifact import Artifact, file_digest
from pipeline.errors import UserError
from pipeline.folders.writing import write_whole
from pipeline.machine.busy import busy_cores
from pipeline.machine.environment import describe_machine
from pipeline.measure.exclusive import measuring
from pipeline.measure.probe import write_probe
from pipeline.plan import MeasureSettings
from pipeline.run.progress import ProgressDisplay
from pipeline.selftest.copies import SearchTrial, search_copies
from pipeline.selftest.judge import Judgement, Kind, judge, judge_search
from pipeline.selftest.peers import PEERS, PeerTrial
from pipeline.selftest.replay import replay
from pipeline.selftest.trials import COPY, SLOWED, TRUE_RATIOS, Trial, run_trial

Action = Literal["aa", "power", "both", "peers", "search"]
MODELS: Mapping[Action, Mapping[str, Kind]] = {
    "aa": {COPY: "aa"},
    "power": {SLOWED: "power"},
    "both": {COPY: "aa", SLOWED: "power"},
    "peers": {COPY: "aa"},
    "search": {},
}
"""The models that are measured for each action, in the same rounds, and how they are judged; a search has
copies of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The settings of a self-test."""

    action: Action
    runs: int
    busy: int
    """How many cores other processes keep busy meanwhile."""
    settings: MeasureSettings
    seed: int
    folder: Path
    """The folder that keeps the trials; the same command goes on where it was stopped."""
    replay: bool = False
    """Whether to tell, too, what other levels and intervals would have made of the same blocks."""


def selftest(options: Options, console: Console) -> int:
    """Run the trials that are missing and print the judgement; returns 0 where the self-test passed, else 1.

    Raises UserError for a search with settings that recommend nothing.
    """
    if options.action == "search" and options.settings.screening:
        raise UserError(
            f"measure={options.settings.profile} is a quick look and recommends nothing: leave measure.screening false"
        )
    kept = _kept_in(options)
    trials = _read(kept)
    console.print(f"selftest {options.action}: {options.runs} runs, kept in {kept}", markup=False, highlight=False)
    if trials:
        console.print(f"  {min(len(trials), options.runs)} of them are there already")
    with (
        measuring(options.settings.exclusive),
        tempfile.TemporaryDirectory() as folder,
        busy_cores(options.busy),
        ProgressDisplay(console) as display,
    ):
        probe = write_probe(Path(folder) / "probe")
        for number in range(len(trials), options.runs):
            trial = _trial(options, probe, options.seed + number, _progress(options, number, display.step))
            trials.append(trial)
            _append(kept, trial)
        display.step(_label(options), 1.0, "")
    passed, lines = _judged(options, trials[: options.runs])
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return 0 if passed else 1


def _judged(options: Options, trials: Sequence[dict[str, Any]]) -> tuple[bool, list[str]]:
    """Whether the self-test passed, and what there is to say."""
    if options.action == "search":
        judgement = judge_search([SearchTrial(**trial) for trial in trials])
        return judgement.passed, _under("search", judgement)
    passed, lines = True, []
    for model, kind in MODELS[options.action].items():
        own = [Trial(**trial[model]) for trial in trials]
        judgement = judge(kind, own)
        passed = passed and judgement.passed
        lines += _under(kind, judgement)
        if options.replay:
            lines.extend(f"  {outcome}" for outcome in replay(own, TRUE_RATIOS[model], options.settings))
        if options.action == "peers":
            lines.extend(_beside(own, trials))
    return passed, lines


def _under(name: str, judgement: Judgement) -> list[str]:
    return [f"{name}: {judgement.lines[0]}", *(f"  {line}" for line in judgement.lines[1:])]


def _trial(options: Options, probe: Artifact, seed: int, progress: Callable[[float, str], None]) -> dict[str, Any]:
    """One trial: for ``search`` among copies; for ``peers`` slimline's own on identical models, then every other method
    for as many seconds."""
    if options.action == "search":
        return asdict(search_copies(probe, options.settings, seed, progress))
    own = run_trial(list(MODELS[options.action]), probe, options.settings, seed, progress)
    found: dict[str, Any] = {model: asdict(trial) for model, trial in own.items()}
    if options.action == "peers":
        for name, peer in PEERS.items():
            found[name] = asdict(peer(probe, own[COPY].seconds))
    return found


def _beside(own: Sequence[Trial], trials: Sequence[dict[str, Any]]) -> list[str]:
    lines = ["  each method for the same time on two identical models:", _peer_line("slimline", own)]
    return lines + [_peer_line(name, [PeerTrial(**trial[name]) for trial in trials]) for name in PEERS]


def _peer_line(name: str, trials: Sequence[Trial] | Sequence[PeerTrial]) -> str:
    import numpy as np

    wrong = sum(trial.excludes_one for trial in trials)
    ratios = np.array([trial.value for trial in trials])
    widths = 100 * np.array([trial.half_width for trial in trials])
    return (
        f"    {name}: called different {wrong} of {len(trials)}; half-width median ±{np.median(widths):.2f} %; "
        f"ratios {ratios.min():.3f} to {ratios.max():.3f}; median {np.median([t.seconds for t in trials]):.0f} s"
    )


def _kept_in(options: Options) -> Path:
    """The file of the trials: one for each set of settings, on each kind of machine, with each state of the code."""
    machine = describe_machine()
    identity = {
        "version": __version__,
        "code": _code_digest([search] if options.action == "search" else []),
        "settings": asdict(options.settings),
        "busy": options.busy,
        "seed": options.seed,
        "machine": {name: getattr(machine, name) for name in ("cpu", "cores", "kernel", "libraries")},
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
    name = f"{options.action}-{options.settings.profile}-{'busy' if options.busy else 'idle'}-{digest}.jsonl"
    return options.folder / name


def _code_digest(more: Sequence[ModuleType]) -> str:
    """The digest of the code that measures and estimates: trials of another method are not added to."""
    folders = [Path(package.__path__[0]) for package in (isolated, machine, measure, statistics, *more)]
    files = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    return hashlib.sha256("".join(map(file_digest, files)).encode()).hexdigest()


def _read(path: Path) -> list[dict[str, Any]]:
    """The trials so far; a last line that was cut off is no trial."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1]]


def _append(path: Path, trial: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    write_whole(path, text[: text.rfind("\n") + 1] + json.dumps(trial) + "\n")


def _label(options: Options) -> str:
    return f"selftest {options.action}"


def _progress(options: Options, number: int, step: Callable[[str, float, str], None]) -> Callable[[float, str], None]:
    def progress(done: float, text: str) -> None:
        share = min((number + min(done, 1.0)) / options.runs, 0.999)
        step(_label(options), share, f"run {number + 1} of {options.runs}: {text}")

    return progress
