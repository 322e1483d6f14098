"""How often is the gate of `compare` wrong, and how often does it find what it should?

    python benchmarks/gate.py measure --pairs 200      # pairs of unchanged runs, every other one beside a busy core
    python benchmarks/gate.py judge                    # false alarms of these pairs, and changes planted in them
    python benchmarks/gate.py simulate RUN --pairs 200 # pairs cut out of the rounds of one real run
    python benchmarks/gate.py formula --pairs 500      # pairs of drawn ratios, for sessions that move more or less
    python benchmarks/gate.py accuracy RUN --pairs 500 # pairs drawn from one real run's predictions

`measure` keeps each run in --folder, and goes on where it was stopped. Both ways of judging plant the changes in the
samples: every call of a variant takes 5 % longer, and 2 of 100 examples that were right become wrong.

`accuracy` draws the examples of each run from a run's test examples, with replacement: the same for both runs of a
pair, or others for each. In the later run answers that were right become wrong, and others become right, at random.

`simulate` divides the rounds of a run into two halves at random, which differ by chance alone. What a session
does to a ratio is planted: `pipeline.statistics.sessions.SESSION_SD` on each side. So it shows that the gate does what
its statistics say on real blocks and rounds. Only `measure` and `judge` show that sessions are as believed.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.compare.accuracy import accuracy_change
from pipeline.compare.comparison import compare
from pipeline.compare.gate import judged
from pipeline.compare.runs import Run
from pipeline.machine.busy import busy_cores
from pipeline.plan import BASELINE, GateRules
from pipeline.results.comparison import Outcome, RowChange, SpeedChange
from pipeline.results.record import PROBE, RECORD_FILE, SAMPLES, LatencySamples, Record
from pipeline.statistics.latency import speed_verdict
from pipeline.statistics.sessions import SESSION_SD, Ratio, changed, shifts_of

SLOWER, DROP, VARIANT = 0.05, 0.02, "static_int8"
RUN = [
    *("variant=[baseline,static_int8]", "target=[ort_cpu]", "measure.energy_s=null", "measure.explain=none"),
    *("measure.peaks=false", "measure.try_s=null", "data.test_size=10000"),
]
Pair = tuple[Run, Run]
Classes = NDArray[np.integer]
OUTCOMES: tuple[Outcome, ...] = ("REGRESSION", "INCONCLUSIVE", "KEPT")


def measure(folder: Path, pairs: int, settings: list[str]) -> None:
    """Make the runs that are missing: two a pair, in fresh sessions."""
    for number in range(2 * pairs):
        run = folder / f"{number:04}"
        if (run / SAMPLES / RECORD_FILE).exists():
            continue
        command = [sys.executable, "-m", "pipeline", *RUN, *settings, f"seed={number}", f"hydra.run.dir={run}"]
        print(f"run {number + 1} of {2 * pairs}", file=sys.stderr, flush=True)
        with busy_cores(number // 2 % 2):
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def measured_pairs(folder: Path) -> Iterator[Pair]:
    """The pairs that are whole."""
    runs = sorted(path.parent.parent for path in folder.glob(f"*/{SAMPLES}/{RECORD_FILE}"))
    for first, second in zip(runs[::2], runs[1::2], strict=False):
        yield Run.read(first), Run.read(second)


def cut_pairs(run: Run, pairs: int) -> Iterator[Pair]:
    """Pairs out of one run's rounds, each with a shift of its own."""
    rng = np.random.default_rng(0)
    for _ in range(pairs):
        order = rng.permutation(run.record.latency.rounds)
        half = len(order) // 2
        parts = (order[:half], order[half : 2 * half])
        first, second = (shifted(with_rounds(run.record, rounds), rng) for rounds in parts)
        yield Run(folder=run.folder, record=first), Run(folder=run.folder, record=second)


def with_rounds(record: Record, rounds: NDArray[np.int64]) -> Record:
    """The run as if it had had only these rounds."""
    latency = record.latency
    kept = np.isin(latency.round, rounds)
    columns = {name: getattr(latency, name)[kept] for name in ("subject", "round", "block", "position", "duration_ns")}
    telemetry = [entry for entry in latency.telemetry if entry["round"] in rounds]
    return replace(record, latency=replace(latency, **columns, telemetry=telemetry, rounds=len(rounds)))


def scaled(record: Record, factors: Mapping[str, float]) -> Record:
    """The run with the calls of some subjects longer by a factor."""
    latency: LatencySamples = record.latency
    by_subject = np.array([factors.get(name, 1.0) for name in latency.subjects])
    durations = np.rint(latency.duration_ns * by_subject[latency.subject]).astype(np.int64)
    return replace(record, latency=replace(latency, duration_ns=durations))


def shifted(record: Record, rng: np.random.Generator) -> Record:
    """The run with a shift of each model that is neither the baseline nor its clone."""
    moving = [name for name in record.latency.subjects if name.startswith((VARIANT, PROBE))]
    return scaled(record, {name: float(np.exp(rng.normal(0, SESSION_SD))) for name in moving})


def slower(record: Record) -> Record:
    """The run in which the variant takes longer."""
    return scaled(record, {name: 1 + SLOWER for name in record.latency.subjects if name.startswith(VARIANT)})


def worse(record: Record) -> Record:
    """The run in which some examples that the variant had right are wrong."""
    samples = record.accuracy
    assert samples.labels is not None
    rng = np.random.default_rng(record.seed)
    found = dict(samples.predictions)
    for name in (name for name in found if not name.startswith(BASELINE)):
        predictions = found[name].copy()
        right = np.flatnonzero(predictions == samples.labels)
        spoilt = rng.choice(right, round(DROP * len(predictions)), replace=False)
        predictions[spoilt] = np.where(predictions[spoilt] == 0, 1, 0)
        found[name] = predictions
    return replace(record, accuracy=replace(samples, predictions=found))


CHANGES: Mapping[str, Callable[[Record], Record]] = {
    "nothing": lambda record: record,
    f"{100 * SLOWER:.0f} % slower": slower,
    f"{100 * DROP:.0f} points lost": worse,
}


def outcomes(pair: Pair) -> dict[str, str]:
    """What the gate says of a pair, by what was planted in its second run."""
    before, after = pair
    found: dict[str, str] = {}
    for name, change in CHANGES.items():
        later = Run(folder=after.folder, record=change(after.record))
        gate = compare([before], later, GateRules(), gate=True).gate
        assert gate is not None
        found[name] = gate.outcome
    return found


def tell(pairs: Iterator[Pair]) -> None:
    """Print how often the gate said what."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in CHANGES}
    for pair in pairs:
        for name, outcome in outcomes(pair).items():
            counts[name][outcome] += 1
    print("| planted | pairs | REGRESSION | INCONCLUSIVE | KEPT |\n| --- | ---: | ---: | ---: | ---: |")
    for name, found in counts.items():
        print(f"| {name} | {found.total()} | {found['REGRESSION']} | {found['INCONCLUSIVE']} | {found['KEPT']} |")


def tell_formula(pairs: int) -> None:
    """Print how often the gate said what of ratios that were drawn: no model was timed."""
    rng = np.random.default_rng(0)
    print("| error of a ratio | moves from run to run | planted | REGRESSION | INCONCLUSIVE | KEPT |")
    print("| ---: | ---: | --- | ---: | ---: | ---: |")
    for error in (0.003, 0.005, 0.007):
        for sd in (SESSION_SD, 2 * SESSION_SD):
            for slowdown in (0.0, SLOWER):
                found = Counter(drawn_outcome(rng, error, sd, slowdown) for _ in range(pairs))
                planted = f"{100 * slowdown:.0f} % slower"
                print(f"| {100 * error:.1f} % | {100 * sd:.1f} % | {planted} | {shares_of(found)} |")


def shares_of(found: Counter[Outcome]) -> str:
    """The share of each outcome, as cells of a table."""
    return " | ".join(f"{100 * found[name] / found.total():.1f} %" for name in OUTCOMES)


def drawn_outcome(rng: np.random.Generator, error: float, sd: float, slowdown: float) -> Outcome:
    """What the gate says of one row in two runs, whose baseline and fixed model did not change."""

    def ratio(log: float = 0.0) -> Ratio:
        return Ratio(log=log + float(rng.normal(0, np.hypot(error, sd))), error=error)

    shifts = shifts_of([[ratio(), ratio()]])
    estimate = changed([ratio()], ratio(-np.log1p(slowdown)), shifts, 0.05, blocks=1, rounds=1).estimate
    speed = SpeedChange(
        anchor="baseline",
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        p=estimate.p,
        verdict=speed_verdict(estimate, estimate.p),
        before_ms=1.0,
        after_ms=1.0,
        runs=1,
        session_share=0.0,
        blocks=1,
    )
    row = RowChange(variant=VARIANT, target="ort_cpu", batch_size=1, before="ok", after="ok", speed=speed)
    return judged([row], GateRules(), same_machine=True).outcome


@dataclass(frozen=True, slots=True)
class Spoilt:
    """What is planted in predictions, as shares of all examples, on average."""

    lost: float
    gained: float

    def __str__(self) -> str:
        changed = 100 * (self.lost + self.gained)
        what = f"{100 * (self.lost - self.gained):.0f} points lost" if self.lost != self.gained else "as accurate"
        return f"{what}, {changed:.0f} % of the answers change" if changed else "nothing"

    def of(self, labels: Classes, predictions: Classes, rng: np.random.Generator) -> Classes:
        """Other predictions for the examples; the one that is lost goes to any other class."""
        right = predictions == labels
        share = np.where(right, self.lost / right.mean(), self.gained / max(1e-9, 1 - right.mean()))
        classes = 1 + max(labels.max(), predictions.max())
        elsewhere = (labels + rng.integers(1, classes, len(labels))) % classes
        return np.where(rng.random(len(labels)) < share, np.where(right, elsewhere, labels), predictions)


SPOILT = (Spoilt(0.0, 0.0), Spoilt(0.005, 0.005), Spoilt(0.01, 0.01), Spoilt(DROP, 0.0), Spoilt(DROP + 0.01, 0.01))


def tell_accuracy(run: Run, pairs: int) -> None:
    """Print how often the gate said what of the accuracy of pairs that were drawn from a run's predictions."""
    rng = np.random.default_rng(0)
    print("| examples | planted | REGRESSION | INCONCLUSIVE | KEPT |\n| --- | --- | ---: | ---: | ---: |")
    for examples in ("the same", "others"):
        for planted in SPOILT:
            drawn = (drawn_accuracy(run, planted, rng, same=examples == "the same") for _ in range(pairs))
            found = Counter(drawn)
            print(f"| {examples} | {planted} | {shares_of(found)} |")


def drawn_accuracy(run: Run, planted: Spoilt, rng: np.random.Generator, *, same: bool) -> Outcome:
    """What the gate says of the accuracy of one row in two runs."""
    samples, rules = run.record.accuracy, GateRules(max_slowdown=None, max_size_growth=None)
    assert samples.labels is not None
    assert rules.max_accuracy_drop is not None
    row = next(name for name in samples.predictions if name.startswith(VARIANT))
    labels, predictions = np.asarray(samples.labels), samples.predictions[row]
    first = rng.integers(len(labels), size=len(labels))
    second = first if same else rng.integers(len(labels), size=len(labels))

    def with_predictions(chosen: NDArray[np.int64], found: Classes) -> Run:
        digest = hashlib.sha256(chosen.tobytes()).hexdigest()
        accuracy = replace(samples, labels=labels[chosen], predictions={row: found}, examples=digest)
        return Run(folder=run.folder, record=replace(run.record, accuracy=accuracy))

    before = with_predictions(first, predictions[first])
    after = with_predictions(second, planted.of(labels[second], predictions[second], rng))
    change = accuracy_change(row, before, after, rules.max_accuracy_drop)
    assert change.change is not None, change.reason
    variant, _, target = row.partition("@")
    told = RowChange(variant=variant, target=target, batch_size=1, before="ok", after="ok", accuracy=change.change)
    return judged([told], rules, same_machine=True).outcome


def main() -> None:
    """Measure, judge, simulate or draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("action", choices=["measure", "judge", "simulate", "formula", "accuracy"])
    parser.add_argument("words", nargs="*", help="measure: settings of the runs; simulate, accuracy: the run")
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--folder", type=Path, default=Path("outputs/gate"))
    asked = parser.parse_intermixed_args()
    if asked.action == "measure":
        measure(asked.folder, asked.pairs, asked.words)
    elif asked.action == "judge":
        tell(measured_pairs(asked.folder))
    elif asked.action == "formula":
        tell_formula(asked.pairs)
    elif len(asked.words) != 1:
        parser.error(f"{asked.action} takes one run")
    elif asked.action == "simulate":
        tell(cut_pairs(Run.read(Path(asked.words[0])), asked.pairs))
    else:
        tell_accuracy(Run.read(Path(asked.words[0])), asked.pairs)


if __name__ == "__main__":
    main()
