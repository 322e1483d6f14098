"""Searches a plan's candidates: builds them one after another, looks at each for a few short rounds, judges its drift,
and chooses the finalists.

What is seen here only chooses. The best of many looks is partly luck (the winner's curse), so the finalists are timed
anew in the run's own rounds and judged on the test split, and the recommendation comes from these rounds.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.data.batches import axes_of, batch_of
from pipeline.data.dataset import Split, SplitName, preprocess
from pipeline.data.steps import carry_in
from pipeline.errors import UserError
from pipeline.folders.waiting import locked
from pipeline.measure.outputs import OutputAxes
from pipeline.plan import Plan
from pipeline.results.intervals import Unit
from pipeline.results.search import Ending, LeftOut, SearchFindings
from pipeline.run.build import Builder
from pipeline.run.drift import DriftJudge, Judged, deciding_examples
from pipeline.run.models import Models
from pipeline.run.pace import Pace
from pipeline.run.progress import ProgressDisplay
from pipeline.run.proof import Clock, examples_of_proof, plan_of_proof
from pipeline.run.readying import Readying
from pipeline.run.side_by_side import at_once
from pipeline.run.sifting import identity_of_candidate, identity_of_search, learnt, sifted, with_reference
from pipeline.search import sampling
from pipeline.search.board import Board, Standing, drift_of
from pipeline.search.journal import Journal
from pipeline.search.look import Look
from pipeline.search.space import space
from pipeline.search.telling import best as best_so_far
from pipeline.search.telling import line, planned

LABEL = "search"
FOLDER = ".search"
"""The folder of the store where the journals of searches lie until they are over."""
JOURNAL = "search.journal"
"""The journal's name in the folder of the run's samples, once the search is over."""
_BRIEF = 0.01
"""The share of the budget up to which judging a candidate is done however late it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """The outcome of a search: the plan of its proof, and what it tried."""

    plan: Plan
    test: Split
    """The examples that the proof judges."""
    notes: Sequence[str]
    """What is to be said of them, where they are not all of the test split."""
    findings: SearchFindings


def search(
    plan: Plan,
    builder: Builder,
    display: ProgressDisplay,
    splits: Mapping[SplitName, Split],
    output_axes: OutputAxes | None,
    began: float,
) -> Searched:
    """Search the plan's candidates. ``began`` is the time of ``time.monotonic`` at which the run began.

    Raises UserError for a choice that does not exist, and SlimlineError where the baseline can't be built.
    """
    plan = builder.plan = with_reference(plan)
    try:
        candidates = space(plan)
    except ValueError as error:
        raise UserError(str(error)) from error
    test = splits["test"]
    examples = deciding_examples(plan, splits)
    models = Models(builder=builder, display=display, axes=axes_of(test.inputs))
    reference = models.reference()
    inputs = preprocess((examples or test).take(0, reference.batch_size).inputs, plan.model.preprocessing)
    facts = learnt(plan, reference.artifact, inputs, builder.start)
    kept, left_out = sifted(plan, candidates, facts)
    board = Board(standings=[Standing(candidate=one) for one in kept], built=models.built, times=models.times)
    clock = Clock(plan=plan, began=began, tested=len(test), divisible=carry_in(plan.data) is None)
    display.say(planned(kept, len(left_out), clock.budget_s, clock.proof_s()))
    path = plan.store.folder / FOLDER / f"{identity_of_search(plan, builder, splits)}.journal"
    with locked(path.with_suffix(".lock"), "the same search, which another run is at"):
        under_way = _Search(
            plan=plan,
            models=models,
            display=display,
            board=board,
            journal=Journal(path=path, seed=plan.seed),
            judge=None if examples is None else DriftJudge(plan=plan, examples=examples, output_axes=output_axes),
            clock=clock,
            look=Look(
                board=board,
                reference=reference,
                feed=batch_of(inputs, reference.batch_size),
                settings=plan.measure,
                seed=plan.seed,
                limit_s=plan.limits.seconds,
            ),
            claimed=not facts.drawn,
        )
        under_way.run()
        finalists = under_way.finalists()
        under_way.journal.finish(plan.output / "samples" / JOURNAL)
    judged, note = examples_of_proof(plan, test, clock)
    return Searched(
        plan=plan_of_proof(plan, [one.candidate for one in finalists], clock),
        test=judged,
        notes=[] if note is None else [note],
        findings=under_way.findings(left_out),
    )


@dataclass(slots=True, kw_only=True)
class _Search:
    """A search under way."""

    plan: Plan
    models: Models
    display: ProgressDisplay
    board: Board
    journal: Journal
    judge: DriftJudge | None
    """None: the data has no examples to judge on beside the test split's."""
    clock: Clock
    look: Look
    claimed: bool
    """Whether anything may be said of accuracy: the examples are none that were drawn at random."""
    unit: Unit = "percent"
    """The metric's unit, once something was judged."""
    continued: int = 0
    first_answer_s: float | None = None
    pace: Pace = field(default_factory=Pace)
    readying: Readying = field(init=False)

    def __post_init__(self) -> None:
        self.readying = Readying(
            board=self.board,
            models=self.models,
            clock=self.clock,
            pace=self.pace,
            reference=self.look.reference,
            step=self._step,
            end=self._end,
        )

    def run(self) -> None:
        """Take up one candidate after another, until none waits or the time is up."""
        self.journal.open()
        self._take_up_ended()
        self._expect_proof()
        while self.board.waiting() and self.clock.left_s() > 0:
            ready = self.readying(first=self.first_answer_s is None)
            if ready:
                self._take_a_look(ready)
                self._judge_all()
                self._expect_proof()
                self._say_best()
            sampling.draw(self.plan, self.board, self.journal)
        self.board.close(self.clock.over)
        self.display.step(LABEL, 1.0, f"{len(self.board.standings)} candidates, {self.clock.spent_s():.0f} s")

    def finalists(self) -> list[Standing]:
        """The candidates that are proven."""
        chosen = self._expect_proof()
        for standing in chosen:
            standing.ending = "finalist"
        return chosen

    def findings(self, left_out: Sequence[LeftOut]) -> SearchFindings:
        """What the search tried, in the recorded form."""
        return SearchFindings(
            budget_s=self.clock.budget_s,
            rules=self.plan.searched.rules,
            trials=[standing.trial() for standing in self.board.standings],
            left_out=list(left_out),
            continued=self.continued,
            first_answer_s=self.first_answer_s,
            building_s=self.pace.building_s,
            timing_s=self.pace.timing_s,
            judging_s=self.pace.judging_s,
            seconds=self.clock.spent_s(),
        )

    def _expect_proof(self) -> list[Standing]:
        """The finalists as it stands; the clock keeps time for these, and for those that are not known yet."""
        chosen = self.board.finalists(self.clock.finalists)
        self.clock.speeds = [one.speed.value for one in chosen if one.speed is not None]
        return chosen

    def _take_up_ended(self) -> None:
        """Give the candidates what an earlier, stopped run of this search has seen of them."""
        sampling.take_up(self.plan, self.board, self.journal)
        for standing in self.board.standings:
            trial = self.journal.ended.get(identity_of_candidate(standing.candidate))
            if trial is not None:
                self.continued += 1
                standing.take_up(trial)
        if self.continued:
            self.display.say(f"a search that was stopped goes on: {self.continued} of its trials have ended already")

    def _take_a_look(self, ready: Sequence[Standing]) -> None:
        """Time candidates beside the reference in a few short rounds, and drop what can't reach the best."""
        began = time.monotonic()
        looked = self.look(
            {standing.key: self.models.subject(standing) for standing in ready},
            self.clock.look_s(len(ready), len(self.board.waiting())),
            lambda done, text: self._step(f"timing {len(ready)} candidates"),
        )
        self.clock.call_ms = looked.call_ms
        seconds = time.monotonic() - began
        self.pace.timing_s += seconds
        self.pace.looked += len(ready)
        for standing in ready:
            standing.look_s += seconds / len(ready)
            if standing.key in looked.ended:
                self._end(standing, *looked.ended[standing.key])

    def _judge_all(self) -> None:
        """Judge the drift of the candidates that are fast enough, the fastest first. Where judging takes long and the
        time is up, as many are judged as are proven."""
        while group := self._next_judged():
            began = time.monotonic()
            self._step(f"judging {' and '.join(one.key for one in group)}")
            judged = self._judged(group)
            seconds = time.monotonic() - began
            self.pace.judging_s += seconds
            for standing in group:
                standing.judged = True
                standing.look_s += seconds / len(group)
                self._settle(standing, judged[standing.key])

    def _next_judged(self) -> list[Standing]:
        """The fastest of those that were not judged yet, as many as are judged side by side. What can't reach the best
        any more ends."""
        if self.clock.left_s() <= 0 and self._has_judged_enough():
            return []
        for standing in self.board.unjudged():
            reason = None if standing.speed is None else self.board.overtaken(standing.speed.high)
            if reason is not None:
                self._end(standing, "slower", reason)
        unjudged = self.board.unjudged()
        return unjudged[: at_once(one.candidate.target for one in unjudged)]

    def _has_judged_enough(self) -> bool:
        judged = len(self.board.judged())
        slow = bool(judged) and self.pace.judging_s / judged > _BRIEF * self.clock.budget_s
        return slow and judged >= self.clock.finalists

    def _judged(self, group: Sequence[Standing]) -> Mapping[str, Judged]:
        """How candidates compare with the reference on the deciding examples, by their keys."""
        if self.judge is None:
            return {standing.key: Judged() for standing in group}
        subjects = {standing.key: self.models.subject(standing) for standing in group}
        return self.judge(subjects, self.look.reference, self.clock.call_ms or 1.0)

    def _settle(self, standing: Standing, judged: Judged) -> None:
        """Keep a candidate in the race, or end it, as it was judged."""
        if judged.accuracy is not None:
            self.unit = judged.accuracy.unit
            standing.drift = drift_of(judged.accuracy, self.clock.judged)
        if standing.drift is None:
            standing.reason = judged.why or None
        if judged.failure is not None:
            self._end(standing, "failed", str(judged.failure))
        elif standing.drift is not None and standing.drift.high < -standing.drift.margin:
            self._end(standing, "drifts", judged.why)
        else:
            self._keep(standing)

    def _end(self, standing: Standing, ending: Ending, reason: str) -> None:
        standing.end(ending, reason)
        self._keep(standing)

    def _keep(self, standing: Standing) -> None:
        """Keep a trial that has ended, or that was looked at to the end, and say how it went."""
        self.journal.end(identity_of_candidate(standing.candidate), standing.trial(), standing.sample)
        standing.sample = None  # a trial is told once
        self.display.say(f"  {line(standing.trial(), self.unit, claimed=self.claimed)}")

    def _say_best(self) -> None:
        if self.first_answer_s is None:
            self.first_answer_s = self.clock.spent_s()
        best = self.board.bar()
        if best is None:
            self.display.say(f"so far nothing is faster for sure within the limits ({self.clock.spent_s():.0f} s)")
            return
        self.display.say(best_so_far(best.trial(), self.clock.spent_s(), self.unit, claimed=self.claimed))

    def _step(self, text: str) -> None:
        self.display.step(LABEL, min(self.clock.spent_s() / self.clock.budget_s, 0.99), text)
