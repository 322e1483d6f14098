"""Fold every variant's stages over the store. A stage whose output is stored, or shared with another variant, is not
built again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from pipeline.artifact import Artifact, Format, file_digest
from pipeline.artifact.onnx_graph import fixed_batch_of
from pipeline.artifact.store import Entry
from pipeline.data.batches import Axes, axes_of
from pipeline.data.dataset import SplitName
from pipeline.errors import (
    CorruptEntry,
    Skipped,
    SlimlineError,
    StageFailed,
    Unchanged,
    UserError,
    WorkerFailed,
    reasoned,
)
from pipeline.folders.locks import InUse
from pipeline.importing import step as importing
from pipeline.isolated import run
from pipeline.isolated.run import Starter, fresh
from pipeline.isolated.template import Template
from pipeline.machine.environment import isa
from pipeline.plan import Plan, Stage, Variant, changed_fields, role_of
from pipeline.plan.chains import misfit
from pipeline.results.change import stage_key
from pipeline.results.record import StageRecord, VariantRecord
from pipeline.run.building import (
    Said,
    Size,
    Task,
    examples_for,
    first_examples,
    limits_for,
    plain,
    run_stage,
    size_of,
    write_model,
)
from pipeline.run.built import UNCHANGED, Built, require_change
from pipeline.run.keys import Keys
from pipeline.stages.from_onnx import PACKAGE as READER
from pipeline.store import ModelStore, open_store

logger = logging.getLogger(__name__)
T = TypeVar("T")
Progress = Callable[[str, float, str], None]
"""A function that is told the step's label, the share done (0 to 1) and a few words."""


@dataclass(slots=True)
class Builder:
    """Builds a plan's variants; remembers what failed, so that a shared stage fails once."""

    plan: Plan
    progress: Progress
    start: Starter = fresh
    """Starts the processes that the user's model is run in."""
    in_use: InUse = field(default_factory=InUse)
    """Marks the models that were built or found: no other run removes one until this is closed."""
    _sizes: dict[str, Size] = field(default_factory=dict)
    _failed: dict[str, StageFailed | Skipped] = field(default_factory=dict)
    _made: set[str] = field(default_factory=set)
    _found_axes: Axes | None = None
    _digests: dict[tuple[SplitName, int | None], str] = field(default_factory=dict)

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
        return len(self._made)

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
            logger.warning("variant %s %s: %s", variant.name, status, error)
            return Built(self._record(variant.name, status, str(error), records, None), [])
        return Built(self._record(variant.name, "ok", None, records, artifacts[-1]), artifacts, source.facts["notes"])

    def source(self) -> Entry:
        """The model that every variant starts from, in the store."""
        model = self.plan.model
        key = self.keys.source()

        def write(out: Path) -> Mapping[str, Any]:
            examples = first_examples(self.plan, importing.EXAMPLES) if model.format == "onnx" else {}
            try:
                return self._isolated(write_model, model, out, examples)
            except WorkerFailed as error:
                raise UserError(f"the model {model.name} can't be read or made: {error}") from error

        entry, _ = self._get_or_make(key, f"model {model.name}", model.format, write)
        return entry

    def _stage(
        self, variant: Variant, name: str, stage: Stage, source: Artifact, original: Artifact
    ) -> tuple[Artifact, StageRecord]:
        """The stage's output; its source, with the reason in the notes, where the stage has nothing to do. ``original``
        is the model that the chain starts from, in the format of its first stages."""
        fields = asdict(stage)  # type: ignore[call-overload]  # every stage is a dataclass
        key = self.keys.stage(stage, source, original)
        label = f"{variant.name}: {name}"
        if key in self._failed:
            raise self._failed[key]

        def write(out: Path) -> Mapping[str, Any]:
            return self._run(stage, source, original, out, key, label, stage_key(variant.name, name))

        try:
            entry, seconds = self._get_or_make(key, label, stage.produces, write)
            artifact, facts = entry.artifact, entry.facts
        except Unchanged as error:
            logger.info("%s changed nothing: %s", label, error)
            artifact, seconds, facts = source, 0.0, {"notes": {UNCHANGED: str(error)}}
        except (StageFailed, Skipped) as error:
            failure = type(error)(f"{name}: {error}")
            self._failed[key] = failure
            raise failure from error
        record = StageRecord(
            name=name,
            kind=type(stage).__name__,
            fields=plain(fields),
            key=key,
            digest=artifact.digest,
            seconds=facts.get("seconds", seconds),
            reused=key not in self._made,
            notes=dict(facts.get("notes", {})),
            lossless=stage.tolerance is not None,
            role=role_of(stage),
            changed=changed_fields(stage),
        )
        return artifact, record

    def _get_or_make(
        self, key: str, label: str, format: Format, write: Callable[[Path], Mapping[str, Any]]
    ) -> tuple[Entry, float]:
        store = self.store
        with suppress(CorruptEntry):  # said below, by the one that builds it again
            if (entry := store.get(key)) is not None:
                return entry, 0.0
        with store.lock(key):
            if (entry := self._built_meanwhile(key)) is not None:
                return entry, 0.0
            started = time.monotonic()
            self.progress(label, 0.0, "")
            with store.writing(key) as out:
                notes = write(out)
                seconds = time.monotonic() - started
                entry = store.put(key, out, format, label, {"notes": notes, "seconds": seconds})
            store.finish_work(key)
            self._made.add(key)
            self.progress(label, 1.0, f"{seconds:.1f} s")
            return entry, seconds

    def _built_meanwhile(self, key: str) -> Entry | None:
        try:
            return self.store.get(key)
        except CorruptEntry as error:
            logger.warning("%s: it is built again", error)
            self.store.remove(key)
            return None

    def _run(
        self, stage: Stage, source: Artifact, original: Artifact, out: Path, key: str, label: str, override: str
    ) -> Mapping[str, Any]:
        task = Task(
            stage=stage,
            plan=replace(self.plan, variants={}, data=examples_for(self.plan, stage)),
            source=source,
            original=original,
            out=out,
            work=self.store.work(key),
            label=label,
            override=override,
            isa=isa(),
        )

        def hear(said: Said) -> None:
            self.progress(label, min(said[0], 0.999), said[1])

        try:
            return self._isolated(run_stage, task, hear=hear)
        except (WorkerFailed, UserError) as error:
            raise StageFailed(str(error)) from error

    def _isolated(self, function: Callable[..., T], *arguments: Any, hear: Callable[[Said], None] | None = None) -> T:
        """Call what runs the user's model; raises WorkerFailed with the reason where that goes wrong."""
        return run(function, *arguments, limits=limits_for(self.plan), hear=hear, start=self.start)

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
    with template_of(plan) as template:
        yield Builder(plan, progress, template, in_use or InUse())


def template_of(plan: Plan) -> Template:
    """Starts the processes in which a plan's model is read, run and changed."""
    stages = (stage for variant in plan.variants.values() for stage in variant.stages.values())
    trains = plan.model.format == "torch" or any(stage.produces == "torch" for stage in stages)
    libraries = ("torch",) if trains else ()
    return Template((*libraries, "onnx", "onnxruntime", run_stage.__module__))
