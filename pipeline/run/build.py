"""Fold every variant's stages over the store. A stage whose output is stored, or shared with another variant, is not
built again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar

from pipeline.artifact import Artifact, file_digest
from pipeline.artifact.onnx_graph import fixed_batch_of
from pipeline.artifact.store import Entry
from pipeline.data.batches import Axes, axes_of
from pipeline.data.dataset import SplitName
from pipeline.errors import Skipped, SlimlineError, Unchanged, UserError, WorkerFailed, reasoned
from pipeline.execution import Local
from pipeline.execution.local import OnePlace
from pipeline.folders.locks import InUse
from pipeline.importing import step as importing
from pipeline.isolated import run
from pipeline.isolated.run import Starter, fresh
from pipeline.isolated.template import Template
from pipeline.plan import Places, Plan, Stage, Variant, changed_fields, role_of
from pipeline.plan.chains import misfit
from pipeline.results.change import stage_key
from pipeline.results.record import StageRecord, VariantRecord
from pipeline.run.building import Size, first_examples, limits_for, plain, run_stage, size_of, write_model
from pipeline.run.built import UNCHANGED, Built, require_change
from pipeline.run.keys import Keys
from pipeline.run.making import Written, get_or_make
from pipeline.run.steps import Progress, Step, Steps
from pipeline.stages.from_onnx import PACKAGE as READER
from pipeline.store import ModelStore, open_store

logger = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(slots=True)
class Builder:
    """Builds a plan's variants; remembers what failed, so that a shared stage fails once."""

    plan: Plan
    progress: Progress
    start: Starter = fresh
    """Starts the processes that the user's model is run in."""
    in_use: InUse = field(default_factory=InUse)
    """Marks the models that were built or found: no other run removes one until this is closed."""
    places: Places | None = None
    """Where stages run; None: in processes that ``start`` starts, one after another."""
    steps: Steps = field(init=False)
    _sizes: dict[str, Size] = field(default_factory=dict)
    _found_axes: Axes | None = None
    _digests: dict[tuple[SplitName, int | None], str] = field(default_factory=dict)
    _local: RLock = field(default_factory=RLock)
    """Held for what runs on this machine beside the stages: ``start`` serves one thread at a time."""

    def __post_init__(self) -> None:
        self.steps = Steps(progress=lambda *said: self.progress(*said), places=self.places or OnePlace(self.start))

    @property
    def store(self) -> ModelStore:
        """The store that the plan builds in."""
        return open_store(self.plan.store, self.in_use)

    @property
    def keys(self) -> Keys:
        """The keys of the plan's models in the store."""
        return Keys(plan=self.plan, digests=self._digests)

    @property
    def built_count(self) -> int:
        """How many stages were run; stages that were found in the store do not count."""
        return len(self.steps.made)

    def build(self, variant: Variant) -> Built:
        """Build one variant. A stage that fails or does not apply ends its chain, with the reason in the record."""
        model = self.plan.model
        stage_name = misfit(variant, model.format)
        if stage_name is not None:
            return Built(self._record(variant.name, "skipped", unfit(stage_name, model.name), [], None), [])
        source = self.source()
        artifacts = [source.artifact]
        original = source.artifact
        records: list[StageRecord] = []
        failures: list[SlimlineError] = []
        with reasoned(failures.append):
            for name, stage in variant.stages.items():
                artifact, record = self._stage(variant, name, stage, artifacts[-1], original)
                artifacts.append(artifact)
                original = artifact if role_of(stage) == "import" else original
                records.append(record)
            require_change(variant, records)
        for error in failures:
            status = "skipped" if isinstance(error, Skipped) else "failed"
            if not self.steps.is_over:
                logger.warning("variant %s %s: %s", variant.name, status, error)
            return Built(self._record(variant.name, status, str(error), records, None), [])
        return Built(self._record(variant.name, "ok", None, records, artifacts[-1]), artifacts, source.facts["notes"])

    def source(self) -> Entry:
        """The model that every variant starts from, in the store."""
        model = self.plan.model
        key = self.keys.source()

        def write(out: Path) -> Written:
            started = time.monotonic()
            examples = first_examples(self.plan, importing.EXAMPLES) if model.format == "onnx" else {}
            try:
                notes = self._isolated(write_model, model, out, examples)
            except WorkerFailed as error:
                raise UserError(f"the model {model.name} can't be read or made: {error}") from error
            return Written(notes=notes, seconds=time.monotonic() - started)

        label = f"model {model.name}"
        with self._local:
            begin = partial(self.progress, label, 0.0, "")
            return self.steps.told(key, label, get_or_make(self.store, key, label, model.format, write, begin))[0]

    def _stage(
        self, variant: Variant, name: str, stage: Stage, source: Artifact, original: Artifact
    ) -> tuple[Artifact, StageRecord]:
        """The stage's output; its source, with the reason in the notes, where the stage has nothing to do. ``original``
        is the model that the chain starts from, in the format of its first stages."""
        fields = asdict(stage)  # type: ignore[call-overload]  # every stage is a dataclass
        with self.steps.reading:
            key = self.keys.stage(stage, source, original)
        label = f"{variant.name}: {name}"
        step = Step(
            key=key,
            label=label,
            name=name,
            stage=stage,
            source=source,
            original=original,
            override=stage_key(variant.name, name),
        )
        try:
            entry, seconds = self.steps.entry(self.plan, self.store, step)
            artifact, facts = entry.artifact, entry.facts
        except Unchanged as error:
            logger.info("%s changed nothing: %s", label, error)
            artifact, seconds, facts = source, 0.0, {"notes": {UNCHANGED: str(error)}}
        record = StageRecord(
            name=name,
            kind=type(stage).__name__,
            fields=plain(fields),
            key=key,
            digest=artifact.digest,
            seconds=facts.get("seconds", seconds),
            reused=key not in self.steps.made,
            notes=dict(facts.get("notes", {})),
            lossless=stage.tolerance is not None,
            role=role_of(stage),
            changed=changed_fields(stage),
        )
        return artifact, record

    def _isolated(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call what runs the user's model; raises WorkerFailed with the reason where that goes wrong."""
        with self._local:
            return run(function, *arguments, limits=limits_for(self.plan), start=self.start)

    def _record(
        self, name: str, status: Any, reason: str | None, stages: list[StageRecord], artifact: Artifact | None
    ) -> VariantRecord:
        size = self._size(artifact) if artifact else Size()
        return VariantRecord(
            name=name,
            status=status,
            reason=reason,
            stages=stages,
            format=artifact.format if artifact else None,
            digest=artifact.digest if artifact else None,
            path=str(artifact.path) if artifact else None,
            size_bytes=artifact.size_bytes if artifact else None,
            parameters=size.parameters,
            macs=size.macs,
            macs_by_type=size.work.macs_by_type,
            weight_bytes=size.work.weight_bytes,
            activation_bytes=size.work.activation_bytes,
            fixed_batch=fixed_batch_of(artifact, self._axes()) if artifact else None,
            model_sha256=file_digest(artifact.onnx_path) if artifact and artifact.format == "onnx" else None,
        )

    def _axes(self) -> Axes:
        """The axes where the model has the examples, as the data tells them."""
        with self.steps.reading:
            if self._found_axes is None:
                self._found_axes = axes_of(first_examples(self.plan, 1))
            return self._found_axes

    def _size(self, artifact: Artifact) -> Size:
        """Counted once; not known where counting goes wrong, which is no reason to lose the variant."""
        if artifact.digest not in self._sizes:
            try:
                size = self._isolated(size_of, artifact)
            except SlimlineError as error:
                logger.warning("%s could not be counted: %s", artifact.path, error)
                size = Size()
            self._sizes[artifact.digest] = size
        return self._sizes[artifact.digest]


def unfit(stage: str, model: str) -> str:
    """Why a chain with a stage that takes only PyTorch models can't be built from an ONNX model."""
    return f"{stage} needs a PyTorch model, and {model} is an ONNX model: pip install {READER} makes one of it"


@contextmanager
def builder(plan: Plan, progress: Progress, in_use: InUse | None = None) -> Iterator[Builder]:
    """A Builder whose processes are forked from one that has imported what they need."""
    with template_of(plan) as template, (plan.execution or Local()).open(template) as places:
        yield Builder(plan, progress, template, in_use or InUse(), places)


def template_of(plan: Plan) -> Template:
    """Starts the processes in which a plan's model is read, run and changed."""
    stages = (stage for variant in plan.variants.values() for stage in variant.stages.values())
    trains = plan.model.format == "torch" or any(stage.produces == "torch" for stage in stages)
    libraries = ("torch",) if trains else ()
    return Template((*libraries, "onnx", "onnxruntime", run_stage.__module__))
