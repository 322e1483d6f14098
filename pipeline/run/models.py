"""The models of a search, of its reference and of its candidates, which are built as they are needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from pipeline.artifact import Artifact
from pipeline.data.batches import Axes
from pipeline.errors import Skipped, SlimlineError, UserError
from pipeline.measure.group import Subject
from pipeline.plan import Target, Variant
from pipeline.results.record import subject_key
from pipeline.run.build import Builder
from pipeline.run.progress import ProgressDisplay
from pipeline.run.rows import runnable_at
from pipeline.run.spread import build_ahead
from pipeline.search.board import Standing
from pipeline.search.building import BuildTimes


@dataclass(slots=True, kw_only=True)
class Models:
    """What was built, and what can't be."""

    builder: Builder
    display: ProgressDisplay
    axes: Axes
    """The axes where the inputs have the examples."""
    times: BuildTimes = field(default_factory=BuildTimes)
    built: set[str] = field(default_factory=set)
    """The names of the chains that are there."""
    _artifacts: dict[str, Artifact] = field(default_factory=dict)
    """By the candidate's key."""
    _ahead: set[str] = field(default_factory=set)
    """The names of the chains that were built before their turn."""
    _unbuilt: dict[str, str] = field(default_factory=dict)
    """Why chains can't be built, by the chain's name: on another target they can't either."""

    @property
    def batch_size(self) -> int:
        """The batch size that a search is at."""
        return self.builder.plan.batch_sizes[0]

    def reference(self) -> Subject:
        """The row that everything is compared with; raises SlimlineError where it can't be built."""
        plan = self.builder.plan
        name, on = plan.measure.reference_for("")
        try:
            artifact = self._runnable(plan.variants[name], plan.targets[on])
        except Skipped as error:
            if name in self._unbuilt:
                raise SlimlineError(
                    f"{name} could not be built, so there is nothing to compare with: {error}"
                ) from None
            raise UserError(f"{name} can't be run on {on}, so there is nothing to compare with: {error}") from error
        return self._subject(name, plan.targets[on], artifact)

    @contextmanager
    def until(self, deadline: float) -> Iterator[None]:
        """What is built inside the block is ended at a time of ``time.monotonic``, and has failed then."""
        self.builder.steps.until = deadline
        try:
            yield
        finally:
            self.builder.steps.until = None

    def build(self, standing: Standing) -> None:
        """Build a candidate; raises Skipped or StageFailed with the reason."""
        artifact = self._runnable(standing.candidate.variant, standing.candidate.target)
        standing.digest, standing.size_bytes = artifact.digest, artifact.size_bytes
        self._artifacts[standing.key] = artifact

    def build_ahead(self, standing: Standing, waiting: Sequence[Standing]) -> None:
        """Where there is more than one place, build a candidate together with the next ones of those that wait."""
        known = self.built | self._unbuilt.keys() | self._ahead
        if standing.candidate.variant.name not in known:
            new = (one.candidate.variant for one in waiting if one.candidate.variant.name not in known)
            self._ahead.update(build_ahead(self.builder, new, self.display))

    def subject(self, standing: Standing) -> Subject:
        """A candidate that was built, to be timed."""
        candidate = standing.candidate
        return self._subject(candidate.variant.name, candidate.target, self._artifacts[standing.key])

    def _runnable(self, variant: Variant, target: Target) -> Artifact:
        if variant.name in self._unbuilt:
            raise Skipped(self._unbuilt[variant.name])
        built = self.builder.build(variant)
        self.times.learn(variant, built.record)
        if built.record.status != "ok":
            self._unbuilt[variant.name] = str(built.record.reason)
            raise Skipped(self._unbuilt[variant.name])
        self.built.add(variant.name)
        return runnable_at(variant, built, target, self.batch_size, self.axes)

    def _subject(self, name: str, target: Target, artifact: Artifact) -> Subject:
        key = subject_key(name, target.name, self.batch_size)
        return Subject(key=key, artifact=artifact, target=target, batch_size=self.batch_size)
