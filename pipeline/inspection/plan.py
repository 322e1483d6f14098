"""``python -m pipeline plan``: what a run would do. Nothing is built, timed or written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pipeline.artifact.onnx_graph import batch_first, fixed_batch_in
from pipeline.data.batches import axes_of
from pipeline.data.dataset import Split, SplitName, preprocess
from pipeline.errors import NoExamples, Skipped, UserError, keeping
from pipeline.folders.disk import free_bytes
from pipeline.inspection.dry_run import (
    Disk,
    DryRun,
    MeasuringTime,
    PlannedRow,
    PlannedSearch,
    PlannedVariant,
)
from pipeline.isolated.run import Starter
from pipeline.measure.whole_call import BLOCKS
from pipeline.plan import BASELINE, Plan, Target, Variant
from pipeline.plan.chains import misfit
from pipeline.run.build import template_of, unfit
from pipeline.run.fitting import acquainted, with_fitted_data
from pipeline.run.keys import Keys
from pipeline.run.planned import PlannedStage, Stored
from pipeline.run.preflight import check_surroundings, preflight
from pipeline.run.rows import check_batch, combinations, unavailable_in
from pipeline.run.sifting import learnt, sifted, with_reference
from pipeline.search.facts import Facts, facts_of
from pipeline.search.fits import BUILDS
from pipeline.search.rules import left_out
from pipeline.search.space import plain_candidate, space
from pipeline.store import open_store


def dry_run(plan: Plan) -> DryRun:
    """What a run of a plan would do; raises UserError with every problem of the plan, its data and its model."""
    plan, splits = _checked(plan)
    with template_of(replace(plan, variants={})) as start:
        return _planned(plan, splits, start)


def _planned(plan: Plan, splits: Mapping[SplitName, Split], start: Starter) -> DryRun:
    """What a run of a checked plan would do; ``start`` makes the processes that the model is run in."""
    source = Stored(plan=plan, keys=Keys(plan=plan)).source()
    notes = [*dict.fromkeys(note for split in splits.values() for note in split.notes)]
    if source is None:
        notes.append("the model is not in the store, so what its graph and its outputs would tell is not known yet")
    else:
        known = acquainted(plan, source.artifact, splits, start)
        plan = known.plan
        notes += known.notes
    stored = Stored(plan=plan, keys=Keys(plan=plan))
    plan = plan if plan.search is None else with_reference(plan)
    facts = _facts(plan, stored, splits["test"], start)
    planning = _Planning(plan=plan, facts=facts, test=splits["test"])
    variants = [planning.variant(variant, stored) for variant in plan.variants.values()]
    rows = planning.rows({one.name: one.reason for one in variants}) if plan.search is None else []
    return DryRun(
        command=plan.command,
        model=plan.model.name,
        data=plan.data.name,
        metric=plan.metric.name,
        examples={name: len(split) for name, split in splits.items()},
        variants=variants,
        rows=rows,
        search=None if plan.search is None else planning.search(),
        stored=stored.stored,
        to_build=stored.to_build,
        measuring=_measuring(plan, sum(row.reason is None for row in rows)),
        store=Disk(path=str(plan.store), free_bytes=free_bytes(plan.store.folder)),
        output=Disk(path=str(plan.output), free_bytes=free_bytes(plan.output)),
        notes=notes,
    )


def _checked(plan: Plan) -> tuple[Plan, dict[SplitName, Split]]:
    """The plan with its data fitted, and the splits that it reads; raises UserError with all problems together."""
    problems: list[str] = []
    fitted: Plan | None = None
    splits: dict[SplitName, Split] = {}
    with keeping(problems):
        open_store(plan.store).check()
    with keeping(problems):
        fitted = with_fitted_data(plan)
    with keeping(problems):
        if fitted is None:
            check_surroundings(plan)
        else:
            splits = preflight(fitted)
    if problems or fitted is None:
        raise UserError(*problems)
    return fitted, splits


def _facts(plan: Plan, stored: Stored, test: Split, start: Starter) -> Facts:
    """What the rules go by; what the graph tells only where the baseline is stored."""
    baseline = stored.end(plan.variants[BASELINE])
    if baseline is None:
        facts = facts_of(plan, None)
    else:
        facts = learnt(plan, baseline, preprocess(test.take(0, 1).inputs, plan.model.preprocessing), start)
    reasons = {name: unavailable_in(plan, target) for name, target in plan.targets.items()}
    return replace(facts, unavailable={name: reason for name, reason in reasons.items() if reason is not None})


def _measuring(plan: Plan, rows: int) -> MeasuringTime:
    """How long the run may measure, with this number of rows, or those that its search proves."""
    measure = plan.measure
    timed = rows if plan.search is None else plan.search.finalists + 1
    return MeasuringTime(
        latency_s=measure.budget_s,
        scenarios_s=len(measure.scenarios) * measure.scenario_s * timed,
        stages_s=measure.looks[0] * BLOCKS * measure.cell_ms / 1000 * timed if measure.stages else 0.0,
        energy_s=(measure.energy_s or 0.0) * timed,
        tries_s=0.0 if measure.explain == "none" else measure.try_s or 0.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planning:
    """A checked plan and what is known of it."""

    plan: Plan
    facts: Facts
    test: Split

    def variant(self, variant: Variant, stored: Stored) -> PlannedVariant:
        """A variant, with its stages as far as they are stored."""
        reason, stages = self._unbuildable(variant), list[PlannedStage]()
        if reason is None:
            try:
                stages = stored.stages(variant)
            except NoExamples as error:
                reason = str(error)
        return PlannedVariant(name=variant.name, reason=reason, stages=stages)

    def rows(self, unbuilt: Mapping[str, str | None]) -> list[PlannedRow]:
        """Every row; ``unbuilt`` has the reasons why variants can't be built."""
        return [
            PlannedRow(
                variant=variant.name,
                target=target.name,
                batch_size=size,
                asked=self.plan.asked(variant.name, target.name),
                reason=unbuilt[variant.name] or self._reason(variant, target, size),
            )
            for variant, target, size in combinations(self.plan)
        ]

    def search(self) -> PlannedSearch:
        """The candidates of the plan's search."""
        try:
            candidates = space(self.plan)
        except ValueError as error:
            raise UserError(str(error)) from error
        kept, left = sifted(self.plan, candidates, self.facts)
        settings = self.plan.searched
        return PlannedSearch(
            budget_s=settings.budget_s,
            finalists=settings.finalists,
            candidates=[candidate.key for candidate in kept],
            left_out=left,
        )

    def _unbuildable(self, variant: Variant) -> str | None:
        """Why a variant can't be built, whatever the target; None where that is not known."""
        stage = misfit(variant, self.plan.model.format)
        if stage is not None:
            return unfit(stage, self.plan.model.name)
        candidate = plain_candidate(variant, next(iter(self.plan.targets.values())))
        reasons = (rule(candidate, self.facts) for rule in BUILDS)
        return next((reason for reason in reasons if reason is not None), None)

    def _reason(self, variant: Variant, target: Target, batch_size: int) -> str | None:
        reason = left_out(plain_candidate(variant, target), self.facts, rules=False)
        if reason is not None:
            return reason
        try:
            check_batch(variant, self._fixed_batch(variant), batch_size)
        except Skipped as error:
            return str(error)
        return None

    def _fixed_batch(self, variant: Variant) -> int | None:
        """The only batch that a variant's model takes, as far as its stages and the model's file tell."""
        if all(stage.produces != "torch" for stage in variant.stages.values()):
            shapes = {name: entry.shape for name, entry in self.plan.model.signature().items()}
            own = fixed_batch_in(batch_first(shapes, axes_of(self.test.inputs)))
            if own is not None:
                return own
        fixing = [stage for stage in variant.stages.values() if getattr(stage, "fixes_batch", False)]
        size: int | None = getattr(fixing[-1], "batch_size", None) if fixing else None
        return size
