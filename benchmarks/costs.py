"""What an experiment costs past one machine: what a timing node does is measured, what many models need is computed.

    python benchmarks/costs.py RUN [--hours 8] [--folder DIR]

Chains of fashion_resnet that are quickly built are kept in a store. Then 2, 4 and 8 of them are measured on one
runtime and on two, each as a run that has nothing to build: this is the work of a timing node. The first table has what
these runs took, and what lines through them say. The second table is computed from them: what a night of HOURS needs
where each model is an experiment like RUN, the folder of a finished run of any model. RUN says how long its rounds took
for its rows, and the line how this changes with the rows. It takes about a quarter of an hour, and nothing else should
run on the machine.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from built import run_pipeline
from optimization_table import markdown

from pipeline.errors import SlimlineError
from pipeline.machine.environment import describe_machine
from pipeline.results.reading import load_record
from pipeline.results.record import SAMPLES, Record

CHAINS = (
    "baseline",
    "static_int8",
    "optimized",
    "simplified",
    "weights_int8",
    "fixed_shapes",
    "static_int8_fixed_batch",
    "nncf_int8_onnx",
)
"""Chains without a training, which run on both runtimes."""
COUNTS = (2, 4, 8)
RUNTIMES = ("ort_cpu", "openvino_cpu")
FLEETS = ((1, 5, 1), (20, 30, 4), (1000, 5, 1), (1000, 30, 1), (1000, 30, 4))
"""Models, chains of each, and kinds of machine that each is timed on."""
_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What measuring some rows took, in seconds."""

    chains: int
    runtimes: int
    whole_s: float
    """From the command to its end."""
    rounds_s: float

    @property
    def rows(self) -> int:
        """How many rows were measured."""
        return self.chains * self.runtimes

    @property
    def rest_s(self) -> float:
        """All but the rounds: starting, each row alone, the accuracy, the report."""
        return self.whole_s - self.rounds_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """``fixed_s`` and ``row_s`` for each row: a line through what was measured, by least squares."""

    fixed_s: float
    row_s: float

    @staticmethod
    def through(costs: Sequence[Cost], seconds: Callable[[Cost], float]) -> Line:
        """The line through these seconds of each."""
        row_s, fixed_s = np.polyfit([cost.rows for cost in costs], list(map(seconds, costs)), 1)
        return Line(fixed_s=float(fixed_s), row_s=float(row_s))

    def seconds(self, rows: int) -> float:
        """What so many rows take."""
        return self.fixed_s + self.row_s * rows

    def __str__(self) -> str:
        return f"{self.fixed_s:.1f} s, and {self.row_s:.1f} s for each row"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How the time of a timing node grows with its rows."""

    rounds: Line
    rest: Line

    @staticmethod
    def of(costs: Sequence[Cost]) -> Timing:
        """What was measured, as two lines."""
        return Timing(
            rounds=Line.through(costs, lambda cost: cost.rounds_s), rest=Line.through(costs, lambda cost: cost.rest_s)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """What a finished run says of its costs."""

    chains: int
    stages: int
    building_s: float
    """Of all its stages, each once."""
    rows: int
    rounds_s: float
    budget_s: float | None
    """The most that the rounds may take."""

    @staticmethod
    def of(record: Record) -> Experiment:
        """The costs of a run."""
        stages = {stage.key: stage.seconds for variant in record.variants for stage in variant.stages}
        return Experiment(
            chains=sum(variant.status == "ok" for variant in record.variants),
            stages=len(stages),
            building_s=sum(stages.values()),
            rows=sum(subject.status == "ok" for subject in record.subjects),
            rounds_s=record.latency.seconds,
            budget_s=record.measure.budget_s,
        )

    def building(self, chains: int) -> float:
        """What so many chains take to build on one machine, in seconds; each is like the mean one of the run."""
        return self.building_s / self.chains * chains

    def timing(self, chains: int, timing: Timing) -> float:
        """What a timing node needs for so many chains on one runtime, in seconds."""
        rounds_s = self.rounds_s * timing.rounds.seconds(chains) / timing.rounds.seconds(self.rows)
        return timing.rest.seconds(chains) + (rounds_s if self.budget_s is None else min(rounds_s, self.budget_s))


def timed(words: Sequence[str], out: Path) -> float:
    """Run an experiment; returns its seconds. Raises SlimlineError where a part of it fails."""
    log = out.with_suffix(".log")
    began = time.monotonic()
    code = run_pipeline(words, out, log)
    if code:
        raise SlimlineError(f"the run ended with code {code}: {log} tells why")
    return time.monotonic() - began


def measured(folder: Path) -> list[Cost]:
    """What each number of chains takes on each number of runtimes, with a store that has all of them."""
    store = f"store.path={folder / 'store'}"
    timed([f"variant=[{','.join(CHAINS)}]", f"target=[{','.join(RUNTIMES)}]", "measure=quick", store], folder / "build")
    costs = []
    for runtimes in (1, len(RUNTIMES)):
        for chains in COUNTS:
            out = folder / f"{chains}_on_{runtimes}"
            words = [f"variant=[{','.join(CHAINS[:chains])}]", f"target=[{','.join(RUNTIMES[:runtimes])}]", store]
            whole_s = timed(words, out)
            rounds_s = load_record(out / SAMPLES).latency.seconds
            costs.append(Cost(chains=chains, runtimes=runtimes, whole_s=whole_s, rounds_s=rounds_s))
            print(f"{chains} chains on {runtimes}: {whole_s:.0f} s", file=sys.stderr, flush=True)
    return costs


def measured_table(costs: Sequence[Cost], timing: Timing) -> list[str]:
    """What was measured, beside the lines."""
    heads = ("chains", "runtimes", "rows", "whole run", "its rounds", "by the line", "the rest", "by the line")

    def row(cost: Cost) -> tuple[str, ...]:
        by_lines = timing.rounds.seconds(cost.rows), timing.rest.seconds(cost.rows)
        seconds = (cost.whole_s, cost.rounds_s, by_lines[0], cost.rest_s, by_lines[1])
        return (f"{cost.chains}", f"{cost.runtimes}", f"{cost.rows}", *(f"{one:.0f} s" for one in seconds))

    return markdown([heads, *map(row, costs)])


def computed_table(experiment: Experiment, timing: Timing, hours: float) -> list[str]:
    """What fleets of models need; builders and timing nodes are machines like this one."""
    heads = (
        "models", "chains", "kinds of machine", "building", f"builders for {hours:g} h",
        "timing on each kind", f"timing nodes for {hours:g} h",
    )  # fmt: skip
    rows = []
    for models, chains, kinds in FLEETS:
        building_h = models * experiment.building(chains) / _HOUR_S
        timing_h = models * experiment.timing(chains, timing) / _HOUR_S
        nodes = kinds * math.ceil(timing_h / hours)
        cells = (f"{building_h:,.1f} h", f"{math.ceil(building_h / hours)}", f"{timing_h:,.1f} h", f"{nodes}")
        rows.append((f"{models:,}", f"{chains}", f"{kinds}", *cells))
    return markdown([heads, *rows])


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of a finished run")
    parser.add_argument("--hours", type=float, default=8.0, help="how long a night is (default: 8)")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    arguments = parser.parse_args()
    try:
        experiment = Experiment.of(load_record(arguments.run / SAMPLES))
        with tempfile.TemporaryDirectory() as own:
            folder = arguments.folder or Path(own)
            folder.mkdir(parents=True, exist_ok=True)
            costs = measured(folder)
    except SlimlineError as error:
        sys.exit(f"costs: {error}")
    timing, machine = Timing.of(costs), describe_machine()
    print(f"{machine.cpu}, {machine.cores} cores\n\nMeasured:\n")
    print("\n".join(measured_table(costs, timing)))
    print(
        f"\nThe rounds, by their line: {timing.rounds}. The rest: {timing.rest}.\n"
        f"The run: {experiment.stages} stages of {experiment.chains} chains in {experiment.building_s:.0f} s, "
        f"{experiment.rows} rows, rounds of {experiment.rounds_s:.0f} s.\n\nComputed:\n"
    )
    print("\n".join(computed_table(experiment, timing, arguments.hours)))


if __name__ == "__main__":
    main()
