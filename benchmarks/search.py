"""A search's answers beside the exhaustive grid of the same space.

    python benchmarks/search.py [--models efficientnet_lite0,minilm,…] [--runs 10] [--folder DIR] [OVERRIDES]

For each model: N runs of ``experiment=best``, each with a store of its own and another seed; then the grid, which is
every candidate that the search's rules leave, and of each range as many even values as a search may draw samples, all
timed in the same interleaved rounds and judged on the test split; then the grid's three fastest and each other answer
once more, in fresh rounds of their own. The fastest of the three there is the grid's best, and the table has each
answer's speed beside it in these rounds, with its interval. Each of these steps is kept in the folder as it ends, and
the same command goes on from there; one that was stopped begins anew. It takes hours. Overrides hold for all runs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import reduce
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from built import composed, run_pipeline
from grid import Pair, answer_of, by_pair, leaders_of, measure, reference, speedups
from optimization_table import markdown

from pipeline.analyse import analyse
from pipeline.errors import SlimlineError, UserError
from pipeline.folders.surroundings import own_surroundings
from pipeline.machine.environment import describe_machine
from pipeline.plan import Plan
from pipeline.results.figures import Speedup
from pipeline.results.reading import load_record
from pipeline.results.record import SAMPLES
from pipeline.results.report import Report
from pipeline.search.board import SAME_MODEL
from pipeline.search.space import Candidate, ranges_of, with_field

MODELS: Mapping[str, Sequence[str]] = {
    "efficientnet_lite0": ("data=photographs",),
    "minilm": ("data=reviews", "metric=cosine"),
    "fashion_resnet": (),
    "resnet50": ("data=random", "metric=cosine"),
    "vit_base": ("data=random", "metric=cosine"),
}
"""The models, each with what goes with it. The last two have random weights."""
CLOSE = 0.98
"""An answer that is this many times as fast as the grid's best is within 2 %."""
LEADERS = 3
"""So many of the grid's fastest rows run again: the fastest of many noisy ones is not the best."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The folder of one model."""

    folder: Path
    model: str
    overrides: Sequence[str]

    def plan(self, *more: str) -> Plan:
        """The plan of the search."""
        words = ("experiment=best", f"model={self.model}", *MODELS[self.model], *self.overrides, *more)
        return composed([*words, f"store.path={self.folder / 'store'}"], self.folder)

    def seconds_of(self, name: str) -> float | None:
        """What a step took; None where it has not ended."""
        file = self.folder / f"{name}.json"
        return float(json.loads(file.read_text())["seconds"]) if file.exists() else None

    def step(self, name: str, do: Callable[[Path], None]) -> float:
        """Do a step in a folder of its own, unless it has ended; returns what it took, in seconds."""
        done = self.seconds_of(name)
        if done is not None:
            return done
        out = self.folder / name
        shutil.rmtree(out, ignore_errors=True)
        print(f"{self.model}: {name}", file=sys.stderr, flush=True)
        began = time.monotonic()
        do(out)
        seconds = time.monotonic() - began
        (self.folder / f"{name}.json").write_text(json.dumps({"seconds": seconds}))
        return seconds

    def report(self, name: str) -> Report:
        """The report of a step."""
        return analyse(load_record(self.folder / name / SAMPLES))


def search(place: Place, number: int) -> float:
    """Run the search once, as a user does, with an empty store; returns its seconds."""

    def do(out: Path) -> None:
        store = place.folder / f"store_{number}"
        shutil.rmtree(store, ignore_errors=True)
        words = ("experiment=best", f"model={place.model}", *MODELS[place.model], f"seed={number}", *place.overrides)
        log = place.folder / f"search_{number}.log"
        code = run_pipeline([*words, f"store.path={store}"], out, log)
        shutil.rmtree(store, ignore_errors=True)
        if code not in (0, 1):
            raise SlimlineError(f"the search ended with code {code}: {log} tells why")

    return place.step(f"search_{number}", do)


def whole_grid(place: Place, report: Report, grid_s: float | None) -> float:
    """Measure every candidate that the search had, with even values in place of its samples; returns the seconds."""

    def do(out: Path) -> None:
        shutil.rmtree(place.folder / "store", ignore_errors=True)
        plan = place.plan()
        known = by_pair(plan)
        trials = [] if report.search is None else report.search.trials
        pairs = [(one.variant, one.target) for one in trials if not (one.reason or "").startswith(SAME_MODEL)]
        rows = [known[pair] for pair in pairs if pair in known]
        measure(plan, [*rows, *even_values(plan, rows)], reference(plan), out, grid_s)

    return place.step("grid", do)


def even_values(plan: Plan, rows: Sequence[Candidate]) -> Iterator[Candidate]:
    """The rows that have ranges, with as many even values of each field as a search may draw samples."""
    for row in rows:
        ranges = {} if row.changes else ranges_of(plan.searched.ranges, row.chain)
        values = [np.linspace(*ends, plan.searched.samples) for ends in ranges.values()]
        for chosen in product(*values) if ranges else ():
            pairs = zip(ranges, (float(f"{value:.3g}") for value in chosen), strict=True)
            yield reduce(lambda one, pair: with_field(plan, one, *pair), pairs, row)


def duel(
    place: Place, leaders: Sequence[Pair], reports: Sequence[Report], grid_s: float | None
) -> tuple[Pair, dict[Pair, Speedup]]:
    """The fastest of the grid's fastest rows in fresh rounds, and how many times as fast as that each other row is."""
    answers = sorted({answer for answer in map(answer_of, reports) if answer is not None} - {*leaders})
    rows = [*leaders, *answers]
    if len(rows) == 1:
        return rows[0], {}
    name = "duel_" + "_".join(str(number) for number, report in enumerate(reports) if answer_of(report) in answers)

    def do(out: Path) -> None:
        plan = place.plan()
        measure(plan, [candidate_of(place, plan, pair, reports) for pair in rows], rows[0], out, grid_s)

    place.step(name, do)
    record = load_record(place.folder / name / SAMPLES)
    first = speedups(analyse(record))
    best = max(leaders, key=lambda pair: 1.0 if pair == rows[0] else first[pair].value if pair in first else 0.0)
    against_best = replace(record, measure=replace(record.measure, reference="@".join(best)))
    return best, speedups(analyse(against_best))


def candidate_of(place: Place, plan: Plan, pair: Pair, reports: Sequence[Report]) -> Candidate:
    """An answer as a candidate: one of the space, one with even values, or one with sampled values."""
    known = by_pair(plan)
    known |= {(one.variant.name, one.target.name): one for one in even_values(plan, list(known.values()))}
    if pair in known:
        return known[pair]
    trials = (trial for report in reports if report.search for trial in report.search.trials)
    trial = next(trial for trial in trials if (trial.variant, trial.target) == pair)
    variant = replace(place.plan(*trial.changes).variants[trial.chain], name=trial.variant)
    return Candidate(variant=variant, target=plan.targets[trial.target], chain=trial.chain)


def compare(place: Place, runs: int, grid_s: float | None) -> tuple[tuple[str, ...], list[str]]:
    """A model's line of the table, and a line for each run."""
    searches = [search(place, number) for number in range(runs)]
    reports = [place.report(f"search_{number}") for number in range(runs)]
    grid_took = whole_grid(place, reports[0], grid_s)
    measured = place.report("grid")
    own = reference(place.plan())
    best, ratios = duel(place, leaders_of(measured, own, LEADERS), reports, grid_s)
    close, lines = 0, []
    for number, (report, seconds) in enumerate(zip(reports, searches, strict=True)):
        answer = answer_of(report)
        told = report.why_none if answer is None else "@".join(answer)
        ratio = ratios.get(answer) if answer is not None else None
        is_close = answer is not None and (answer == best or (ratio is not None and ratio.value >= CLOSE))
        close += is_close
        beside = "the grid's best" if answer == best else "not compared" if ratio is None else times(ratio)
        lines.append(f"- {place.model}, run {number}: {told}: {beside}; {seconds:.0f} s")
    gain = speedups(measured).get(best)
    answers = statistics.multimode(["@".join(answer_of(report) or ("nothing",)) for report in reports])
    line = (
        place.model,
        str(len(speedups(measured))),
        "@".join(best),
        "1" if gain is None else times(gain),
        ", ".join(answers),
        f"{close} of {runs}",
        f"{grid_took:.0f} s",
        f"{statistics.median(searches):.0f} s",
        f"{statistics.median(searches) / grid_took:.2f}",
    )
    return line, lines


HEADS = (
    "model", "rows of the grid", "best of the grid", "speed-up", "the search's answer, most often", "within 2 %",
    "grid took", "a search took", "share",
)  # fmt: skip


def times(found: Speedup) -> str:
    """A ratio with its interval."""
    return f"{found.value:.3f}x [{found.low:.3f}, {found.high:.3f}]"


def place_of(folder: Path, model: str, overrides: Sequence[str]) -> Place:
    """The model's folder; raises UserError where it holds steps that were made with other overrides."""
    place = Place(folder=folder / model, model=model, overrides=overrides)
    place.folder.mkdir(parents=True, exist_ok=True)
    file, identity = place.folder / "settings.json", {"overrides": list(overrides)}
    if file.exists() and json.loads(file.read_text()) != identity:
        raise UserError(f"{place.folder} was made with other overrides ({file}): type another --folder")
    file.write_text(json.dumps(identity))
    return place


def main() -> None:
    """Print the table, and what each run answered."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", default=",".join(MODELS), help="with commas between (default: all)")
    parser.add_argument("--runs", type=int, default=10, help="searches of each model (default: 10)")
    parser.add_argument("--folder", type=Path, default=Path("outputs/search_benchmark"))
    parser.add_argument("--grid-s", type=float, help="seconds for the grid's rounds (default: as many as they need)")
    parser.add_argument("overrides", nargs="*", help="such as search.budget_s=300")
    arguments = parser.parse_intermixed_args()
    models = arguments.models.split(",")
    if not set(models) <= set(MODELS):
        parser.error(f"--models: choose from {', '.join(MODELS)}")
    lines: list[tuple[str, ...]] = [HEADS]
    runs: list[str] = []
    try:
        with own_surroundings():
            for model in models:
                line, told = compare(
                    place_of(arguments.folder, model, arguments.overrides), arguments.runs, arguments.grid_s
                )
                lines.append(line)
                runs += told
    except SlimlineError as error:
        sys.exit(f"search: {error}")
    machine: dict[str, Any] = asdict(describe_machine())
    print(f"{machine['cpu']}, {machine['cores']} cores\n")
    print("\n".join([*markdown(lines), "", *runs]))


if __name__ == "__main__":
    main()
