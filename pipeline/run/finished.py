"""A finished run as it lies on disk: what it asked for, what it recorded, and the models that it keeps in the store."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from pipeline.analyse import analyse
from pipeline.artifact import Artifact
from pipeline.errors import CorruptEntry, UserError
from pipeline.errors.names import unknown
from pipeline.plan import Plan, Target
from pipeline.results.record import Record, StageRecord, SubjectRecord
from pipeline.results.report import Recommendation, Report
from pipeline.run.built import UNCHANGED, Built
from pipeline.store import ModelStore


@dataclass(frozen=True)
class Finished:
    """A run whose rows can be looked up again."""

    plan: Plan
    """What was asked for. A search makes variants of its own: only the record knows those."""
    record: Record
    folder: Path

    @cached_property
    def report(self) -> Report:
        """The findings, derived from the record."""
        return analyse(self.record)

    def row(self, name: str) -> SubjectRecord:
        """The row that a VARIANT or VARIANT@TARGET names: the recommended one of that name, or else its fastest.

        Raises UserError where there is none, or none that was measured.
        """
        variant, _, target = name.partition("@")
        rows = [row for row in self.record.subjects if row.variant == variant]
        if not rows:
            raise UserError(unknown(f"{name}: variant {variant}", variant, [one.name for one in self.record.variants]))
        rows = [row for row in rows if not target or row.target == target]
        if not rows:
            raise UserError(unknown(f"{name}: target {target}", target, self.record.targets))
        measured = [row for row in rows if row.status == "ok"]
        if not measured:
            raise UserError(f"{rows[0].key} was not measured, so nothing can be said of it: {rows[0].reason}")
        return min(measured, key=self._precedence)

    def _precedence(self, row: SubjectRecord) -> tuple[bool, float]:
        chosen = self.report.recommendation
        recommended = chosen is not None and (row.variant, row.target, row.batch_size) == (
            chosen.variant,
            chosen.target,
            chosen.batch_size,
        )
        return not recommended, self._median_ms(row) / row.batch_size

    def _median_ms(self, row: SubjectRecord) -> float:
        variant = next(one for one in self.report.variants if one.name == row.variant)
        results = (one for one in variant.results if (one.target, one.batch_size) == (row.target, row.batch_size))
        latency = next(results).latency_ms
        return float("inf") if latency is None else latency.p50.value

    def recommendation(self, row: SubjectRecord) -> Recommendation:
        """The run's recommendation, where this is its row; else that the row was asked for by name."""
        chosen = self.report.recommendation
        asked = Recommendation(
            variant=row.variant,
            target=row.target,
            batch_size=row.batch_size,
            why=f"asked for by name; the run {_advice(chosen)}",
            next_best=None,
        )
        named = chosen is not None and replace(chosen, why=asked.why, next_best=None) == asked
        return chosen if chosen is not None and named else asked

    def target(self, row: SubjectRecord) -> Target:
        """The target that the row was timed on; raises UserError where the configuration has none of its runtime."""
        named = self.plan.targets.get(row.target)
        if named is not None:
            return named
        told = self.record.targets[row.target]
        for target in self.plan.targets.values():
            if (target.backend.name, target.device) == (told.backend, told.device):
                return replace(target, name=row.target, threads=told.threads, session=dict(told.session))
        raise UserError(f"the run's configuration has no target of {told.backend} on {told.device} any more")

    def built(self, row: SubjectRecord, source: Artifact, store: ModelStore) -> Built:
        """The row's chain as the store keeps it, from ``source`` on, the model that every variant starts from.

        Raises UserError where the store has not all of it any more.
        """
        variant = next(one for one in self.record.variants if one.name == row.variant)
        artifacts = [source]
        for stage in variant.stages:
            idle = UNCHANGED in stage.notes
            artifacts.append(artifacts[-1] if idle else self._kept(variant.name, stage, store))
        if artifacts[-1].digest != variant.digest:
            raise self._gone(f"{variant.name} starts from another model by now")
        return Built(variant, artifacts)

    def runnable(self, row: SubjectRecord, built: Built) -> Artifact:
        """The model of the chain that the row's runtime ran."""
        runs = self.target(row).backend.runs
        return next(artifact for artifact in reversed(built.artifacts) if artifact.format in runs)

    def _kept(self, variant: str, stage: StageRecord, store: ModelStore) -> Artifact:
        try:
            entry = store.get(stage.key)
        except CorruptEntry as error:
            raise self._gone(str(error)) from error
        if entry is None or entry.artifact.digest != stage.digest:
            raise self._gone(f"{store} no longer has what {stage.name} made of {variant}")
        return entry.artifact

    def _gone(self, what: str) -> UserError:
        return UserError(f"{what}: run it again ({self.record.command}), and name the new run")


def _advice(chosen: Recommendation | None) -> str:
    return "recommends nothing" if chosen is None else f"recommends {chosen.variant} on {chosen.target}"
