"""Fold every variant's stages over the store: what is stored, or shared with another variant, is not built again."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any

from pipeline.artifact import Artifact, Format, file_digest
from pipeline.check import misfit
from pipeline.code import code_digest
from pipeline.compare import Compare, fingerprint
from pipeline.data.dataset import SplitName, preprocess
from pipeline.errors import CorruptEntry, Skipped, SlimlineError, StageFailed, Unchanged, first_line, is_full
from pipeline.importing import step as importing
from pipeline.installed import version
from pipeline.locks import InUse
from pipeline.measure.environment import isa
from pipeline.onnx_graph import fixed_batch_of
from pipeline.plan import Context, Plan, Stage, Variant, is_export
from pipeline.record import StageRecord, VariantRecord
from pipeline.stages.check import check_output, floor_of
from pipeline.stages.count import count
from pipeline.stages.muted import remarks_logged
from pipeline.stages.sameness import require_difference
from pipeline.stages.work import Work, work
from pipeline.store import Entry, Store

logger = logging.getLogger(__name__)

SAMPLE_SIZE = 64
UNCHANGED = "changed_nothing"
"""The note of a stage that had nothing to do: why."""
UNLIKE_DB, LOST_DB = 6.0, 15.0
"""Calibration data is called unlike the test data where the error on the latter is twice as large or more, and no
longer small (a sixth of the signal). The first alone comes about by chance where there are few examples."""
Progress = Callable[[str, float, str], None]
"""Label of the step, share done (0 to 1), a few words."""


@dataclass(frozen=True, slots=True)
class Built:
    """A variant's chain as it came out: the record, and the artifact after the model and after each stage."""

    record: VariantRecord
    artifacts: list[Artifact]
    model_notes: Mapping[str, Any] = field(default_factory=dict)
    """What was changed or seen when the model came in."""

    @property
    def artifact(self) -> Artifact:
        """The end of the chain."""
        return self.artifacts[-1]

    @property
    def changed_module(self) -> Artifact | None:
        """The last PyTorch model that a stage has made; None where none did."""
        return next((artifact for artifact in reversed(self.artifacts[1:]) if artifact.format == "torch"), None)


@dataclass(slots=True)
class Builder:
    """Builds a plan's variants; remembers what failed, so that a shared stage fails once."""

    plan: Plan
    progress: Progress
    in_use: InUse = field(default_factory=InUse)
    """The models that were built or found: no other run removes one until this is closed."""
    _failed: dict[str, StageFailed | Skipped] = field(default_factory=dict)
    _made: set[str] = field(default_factory=set)
    _digests: dict[tuple[SplitName, int | None], str] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        """Where the plan keeps what it builds."""
        return Store(self.plan.store, self.in_use)

    @property
    def built_count(self) -> int:
        """How many stages were run, rather than found in the store."""
        return len(self._made)

    def build(self, variant: Variant) -> Built:
        """Build one variant. A stage that fails or does not apply ends its chain, with the reason in the record."""
        model = self.plan.model
        stage_name = misfit(variant, model.format)
        if stage_name is not None:
            reason = f"{stage_name} needs a PyTorch model, and {model.name} is an ONNX file"
            return Built(_record(variant.name, "skipped", reason, [], None), [])
        source = self._source()
        artifacts = [source.artifact]
        records: list[StageRecord] = []
        try:
            for name, stage in variant.stages.items():
                artifact, record = self._stage(variant, name, stage, artifacts[-1])
                artifacts.append(artifact)
                records.append(record)
            _require_change(variant, records)
        except (StageFailed, Skipped) as error:
            status = "skipped" if isinstance(error, Skipped) else "failed"
            logger.warning("variant %s %s: %s", variant.name, status, error)
            return Built(_record(variant.name, status, str(error), records, None), [])
        return Built(_record(variant.name, "ok", None, records, artifacts[-1]), artifacts, source.facts["notes"])

    def _source(self) -> Entry:
        model = self.plan.model
        imported = {"import": importing.VERSION} if model.format == "onnx" else {}
        key = _digest({"source": type(model).__qualname__, "class": _own_code(type(model)), **imported, **model.key()})

        def write(out: Path) -> Mapping[str, Any]:
            notes = model.write(out)
            return {**notes, **self._imported(out)} if model.format == "onnx" else notes

        entry, _ = self._get_or_make(key, f"model {model.name}", model.format, write)
        return entry

    def _imported(self, folder: Path) -> Mapping[str, Any]:
        data, preprocessing = self.plan.data, self.plan.model.preprocessing
        examples = data.split("calibration" if data.calibration_size else "test").take(0, importing.EXAMPLES)
        return importing.import_onnx(folder, preprocess(examples.inputs, preprocessing))

    def _stage(self, variant: Variant, name: str, stage: Stage, source: Artifact) -> tuple[Artifact, StageRecord]:
        """What the stage makes; its source, with the reason in the notes, where it has nothing to do."""
        fields = asdict(stage)  # type: ignore[call-overload]  # every stage is a dataclass
        key = self._key(stage, fields, source)
        label = f"{variant.name}: {name}"
        if key in self._failed:
            raise self._failed[key]

        def write(out: Path) -> Mapping[str, Any]:
            return self._run(stage, source, out, key, label, f"variants.{variant.name}.stages.{name}")

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
            fields=_plain(fields),
            key=key,
            digest=artifact.digest,
            seconds=facts.get("seconds", seconds),
            reused=key not in self._made,
            notes=dict(facts.get("notes", {})),
            lossless=stage.tolerance is not None,
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

    def _run(self, stage: Stage, source: Artifact, out: Path, key: str, label: str, override: str) -> Mapping[str, Any]:
        notes: dict[str, Any] = {}
        context = Context(
            data=self.plan.data,
            preprocessing=self.plan.model.preprocessing,
            metric=self.plan.metric,
            compare=Compare(self.plan),
            original=lambda: self._source().artifact,
            seed=self.plan.seed,
            work=self.store.work(key),
            progress=lambda done, text: self.progress(label, min(done, 0.999), text),
            note=notes.__setitem__,
            isa=isa(),
            override=override,
        )
        _call(stage, source, out, context)
        written = Artifact(out, stage.produces, "")
        if not is_export(stage):
            require_difference(source, written)
        notes["drift"] = check_output(
            source, written, stage.tolerance, context.sample(SAMPLE_SIZE), floor_of(stage, override)
        )
        if _calibrates(stage):
            unseen = context.feed("test", SAMPLE_SIZE)
            notes["drift_on_test"] = check_output(source, written, stage.tolerance, unseen)
            notes |= _unlike(notes["drift"], notes["drift_on_test"], label)
        plain: dict[str, Any] = _plain(notes)
        return plain

    def _key(self, stage: Stage, fields: Mapping[str, Any], source: Artifact) -> str:
        kind = type(stage)
        machine_key = getattr(stage, "machine_key", None)
        parts = {
            "stage": f"{kind.__module__}.{kind.__qualname__}",
            "version": stage.version,
            "fields": fields,
            "source": source.digest,
            "data": {split: self._split_digest(split) for split in sorted(stage.reads)},
            "preprocessing": {name: spec.to_dict() for name, spec in self.plan.model.preprocessing.items()},
            "seed": self.plan.seed,
            "libraries": {name: version(name) for name in stage.libraries},
            "machine": machine_key(isa()) if machine_key else None,
            "measured_on": fingerprint(self.plan) if getattr(stage, "measures", False) else None,
            "code": _own_code(kind),
        }
        if parts["code"] is not None or "validation" in stage.reads:
            parts["metric"] = _identity(self.plan.metric)
        if getattr(stage, "uses_original", False):
            parts["original"] = self._source().artifact.digest
        if _calibrates(stage):
            parts["unseen"] = self._split_digest("test", SAMPLE_SIZE)
        return _digest(parts)

    def _split_digest(self, split: SplitName, limit: int | None = None) -> str:
        """Of the split's first ``limit`` examples, all by default."""
        if (split, limit) not in self._digests:
            examples = self.plan.data.split(split)
            self._digests[split, limit] = (examples if limit is None else examples.take(0, limit)).digest()
        return self._digests[split, limit]


def _call(stage: Stage, source: Artifact, out: Path, context: Context) -> None:
    """Run a stage; whatever goes wrong in the libraries that it calls becomes a StageFailed."""
    try:
        with remarks_logged():
            stage(source, out, context)
    except SlimlineError:
        raise
    except Exception as error:
        if is_full(error):
            raise
        logger.debug("%s failed", type(stage).__name__, exc_info=True)
        raise StageFailed(first_line(error)) from error


def _require_change(variant: Variant, records: Sequence[StageRecord]) -> None:
    """Raise Skipped for a chain in which no stage but exports did anything, and one at least should have."""
    idle = [record for record in records if UNCHANGED in record.notes]
    exports = [name for name, stage in variant.stages.items() if is_export(stage)]
    if idle and len(idle) + len(exports) == len(records):
        raise Skipped("; ".join(f"{record.name} changed nothing: {record.notes[UNCHANGED]}" for record in idle))


def _own_code(kind: type) -> str | None:
    """The digest of the code behind a class of the user's; None for one of ours, which has a version."""
    own = kind.__module__.partition(".")[0] == __name__.partition(".")[0]
    return None if own else code_digest(f"{kind.__module__}.{kind.__qualname__}")


def _identity(part: Any) -> Mapping[str, Any]:
    """What tells a metric from others: its class, its fields and, of the user's own, its code."""
    kind = type(part)
    values = asdict(part) if is_dataclass(part) and not isinstance(part, type) else vars(part)
    return {"kind": f"{kind.__module__}.{kind.__qualname__}", "fields": values, "code": _own_code(kind)}


def _calibrates(stage: Stage) -> bool:
    """Whether its output follows from examples, so that other examples may fare worse."""
    return "calibration" in stage.reads and stage.tolerance is None


def _unlike(seen: Mapping[str, Any], unseen: Mapping[str, Any], label: str) -> Mapping[str, str]:
    """A note, and a warning, where the output drifts far more on test examples than on those it was calibrated on."""
    here, there = seen["sqnr_db"], unseen["sqnr_db"]
    if here is None or there is None or there >= LOST_DB or here - there < UNLIKE_DB:
        return {}
    text = (
        f"the calibration data is unlike the test data: the signal is {here:.0f} dB above the error on the one and "
        f"{there:.0f} dB on the other. Calibrate with examples of what the model will be fed"
    )
    logger.warning("%s: %s", label, text)
    return {"calibration_data": text}


def _record(
    name: str, status: Any, reason: str | None, stages: list[StageRecord], artifact: Artifact | None
) -> VariantRecord:
    parameters, macs = count(artifact) if artifact else (None, None)
    done = work(artifact) if artifact else Work()
    return VariantRecord(
        name=name,
        status=status,
        reason=reason,
        stages=stages,
        format=artifact.format if artifact else None,
        digest=artifact.digest if artifact else None,
        path=str(artifact.path) if artifact else None,
        size_bytes=artifact.size_bytes if artifact else None,
        parameters=parameters,
        macs=macs,
        macs_by_type=done.macs_by_type,
        weight_bytes=done.weight_bytes,
        activation_bytes=done.activation_bytes,
        fixed_batch=fixed_batch_of(artifact) if artifact else None,
        model_sha256=file_digest(artifact.onnx_path) if artifact and artifact.format == "onnx" else None,
    )


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def _digest(parts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
