"""Slimline's variants beside what its peers make of the same model, timed in the same rounds.

python benchmarks/peers/compare.py --run RUN --test TEST.npz --peer MADE.json --peer MADE.json [--out TABLE.md] \
    [measure=quick measure.budget_s=300 …]

Everything is timed by slimline's own measuring, one thread and one example a call. First a short look at all
candidates; then, the fastest first, their accuracy on the test examples, until each tool has its finalists: those that
lose less than one point of the baseline's accuracy, at the lower end of the difference's interval, or, without labels,
whose mean cosine to its outputs is at least 0.99. The finalists, the fp32 baseline and a second copy of it are then
timed in the same rounds, with the settings given (by default ``measure=default``), and those rounds alone make the
table. README.md beside this file has the whole procedure.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from candidates import BATCH, ORT, SLIMLINE, Candidate, Failed, read_made, read_run
from judge import Judge, Judgement, outputs
from table import Comparison, Found, to_markdown

from pipeline.analyse.cells import Cells, cells_by_subject, differences_by_round
from pipeline.analyse.noise import check_noise
from pipeline.config import measure_settings, register
from pipeline.data.batches import Feed, batch_of
from pipeline.data.dataset import Split
from pipeline.data.files import read_npz
from pipeline.errors import SlimlineError, WorkerFailed
from pipeline.machine.environment import describe_machine
from pipeline.measure.group import Subject
from pipeline.measure.latency import measure_latency
from pipeline.metrics import TopOne
from pipeline.plan import MeasureSettings
from pipeline.results.reading import load_record
from pipeline.statistics.latency import Estimate, paired_ratio

FINALISTS = 3
SCREENING_ROUNDS = 3
_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What timing some candidates gave."""

    cells: Mapping[str, Cells]
    over_baseline: Mapping[str, Estimate]
    """By candidate; the baseline itself has none."""
    failures: Mapping[str, str]
    doubts: Sequence[str]
    rounds: int
    seconds: float

    def ratio(self, fast: str, slow: str, alpha: float) -> Estimate:
        """How many times as fast one candidate is as another, from the blocks that have both."""
        return paired_ratio(differences_by_round(self.cells[fast], self.cells[slow]), alpha)


def main(run: Path, test: Split, peers: Sequence[Path], finalists: int, settings: MeasureSettings) -> str:
    """The table; raises UserError where a file is missing or does not fit."""
    artifact, candidates = read_run(run)
    failed: list[Failed] = []
    for file in peers:
        made, not_made = read_made(file)
        candidates += made
        failed += not_made
    baseline = Candidate(tool="baseline", name="fp32", artifact=artifact, target=ORT)
    feed = batch_of(test.inputs, BATCH)
    record = load_record(run / "samples")
    judge = Judge(test, record.accuracy.metric == TopOne.name, outputs(baseline, test.arrays))
    _say(f"a short look at {len(candidates)} candidates")
    look = replace(settings, looks=(SCREENING_ROUNDS,), half_width=0.0, budget_s=None, blocks=settings.blocks // 2)
    screening = time_all([baseline, *candidates], baseline, feed, look)
    failed += _failures(candidates, screening)
    chosen, judged, unfit = choose(candidates, screening, judge, finalists)
    failed += unfit
    _say(f"{len(chosen)} finalists: {', '.join(candidate.key for candidate in chosen)}")
    final = time_all([baseline, *chosen], baseline, feed, settings)
    failed += _failures(chosen, final)
    return to_markdown(
        Comparison(
            model=record.model,
            machine=asdict(describe_machine()),
            examples=len(test),
            size_bytes=baseline.artifact.size_bytes,
            found=[
                _found(candidate, screening, final, judged)
                for candidate in candidates
                if candidate.key in screening.over_baseline
            ],
            slimline_over=_duels(chosen, final, settings.look_alpha),
            failed=failed,
            doubts=final.doubts,
            screening=settings.screening,
            rounds=final.rounds,
            seconds=final.seconds,
        )
    )


def choose(
    candidates: Sequence[Candidate], screening: Timing, judge: Judge, finalists: int
) -> tuple[list[Candidate], dict[str, Judgement], list[Failed]]:
    """Of each tool the fastest that are accurate enough, what was judged for that, and what could not be run."""
    chosen: list[Candidate] = []
    judged: dict[str, Judgement] = {}
    unfit: list[Failed] = []
    for tool in dict.fromkeys(candidate.tool for candidate in candidates):
        mine = [item for item in candidates if item.tool == tool and item.key in screening.over_baseline]
        passed: list[Candidate] = []
        for candidate in sorted(mine, key=lambda item: -screening.over_baseline[item.key].value):
            if len(passed) == finalists:
                break
            try:
                judgement = judged[candidate.key] = judge(candidate)
            except WorkerFailed as error:
                unfit.append(_failed(candidate, str(error)))
                continue
            _say(f"  {candidate.key}: {judgement.text}")
            if judgement.passes:
                passed.append(candidate)
        chosen += passed
    return chosen, judged, unfit


def time_all(candidates: Sequence[Candidate], baseline: Candidate, feed: Feed, settings: MeasureSettings) -> Timing:
    """Time candidates in the same rounds, with the hidden clone and the noise checks of a run."""
    devices = {item.key: item.target.device for item in candidates}
    measured = measure_latency(
        [Subject(key=item.key, artifact=item.artifact, target=item.target, batch_size=BATCH) for item in candidates],
        {item.key: baseline.key for item in candidates if item is not baseline},
        [baseline.key],
        {BATCH: feed},
        settings,
        _SEED,
        announce=lambda expected: _say(f"measuring: {expected}"),
    )
    if baseline.key in measured.failures:
        raise WorkerFailed(f"the baseline could not be timed: {measured.failures[baseline.key]}")
    timed = {key: device for key, device in devices.items() if key not in measured.failures}
    cells = cells_by_subject(measured.samples, timed)
    over = {
        item.key: paired_ratio(differences_by_round(cells[item.key], cells[baseline.key]), settings.look_alpha)
        for item in candidates
        if item is not baseline and item.key in cells
    }
    checks = check_noise(cells, over, devices, measured.samples, settings)
    return Timing(
        cells=cells,
        over_baseline=over,
        failures=measured.failures,
        doubts=checks.noise.reasons,
        rounds=checks.noise.rounds,
        seconds=measured.samples.seconds,
    )


def _duels(chosen: Sequence[Candidate], final: Timing, alpha: float) -> dict[str, Estimate]:
    """Of each peer: how many times as fast slimline's best is as the peer's best."""
    best: dict[str, str] = {}
    for candidate in chosen:
        held = best.get(candidate.tool)
        if candidate.key not in final.over_baseline:
            continue
        if held is None or final.over_baseline[candidate.key].value > final.over_baseline[held].value:
            best[candidate.tool] = candidate.key
    if SLIMLINE not in best:
        return {}
    return {tool: final.ratio(best[SLIMLINE], key, alpha) for tool, key in best.items() if tool != SLIMLINE}


def _found(candidate: Candidate, screening: Timing, final: Timing, judged: Mapping[str, Judgement]) -> Found:
    cells = final.cells.get(candidate.key)
    return Found(
        candidate=candidate,
        screened=screening.over_baseline[candidate.key].value,
        judgement=judged.get(candidate.key),
        speedup=final.over_baseline.get(candidate.key),
        p50_ms=None if cells is None else float(sorted(cells.all_ms)[len(cells.all_ms) // 2]),
    )


def _failures(candidates: Sequence[Candidate], timing: Timing) -> list[Failed]:
    return [_failed(item, timing.failures[item.key]) for item in candidates if item.key in timing.failures]


def _failed(candidate: Candidate, reason: str) -> Failed:
    return Failed(tool=candidate.tool, name=f"{candidate.name} on {candidate.target.name}", reason=reason)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="slimline's run, such as outputs/latest")
    parser.add_argument("--test", type=Path, required=True, help="test.npz of prepare.py")
    parser.add_argument("--peer", type=Path, action="append", default=[], help="made.json of a peer's script")
    parser.add_argument("--out", type=Path, help="a file for the table, which is printed in any case")
    parser.add_argument("--finalists", type=int, default=FINALISTS, help="so many of each tool reach the final rounds")
    parser.add_argument("--examples", type=int, help="use the first so many test examples; all by default")
    parser.add_argument("measure", nargs="*", help="measure=PROFILE and measure.KEY=VALUE for the final rounds")
    arguments = parser.parse_args()
    try:
        register()
        test = read_npz(arguments.test)
        text = main(
            arguments.run,
            test.take(0, arguments.examples or len(test)),
            arguments.peer,
            arguments.finalists,
            measure_settings(arguments.measure),
        )
    except SlimlineError as error:
        sys.exit(f"compare: {error}")
    if arguments.out is not None:
        arguments.out.write_text(text)
    print(text)
