"""The keys of stored models: all that a model depends on, so that nothing is built twice and nothing stale is taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pipeline.artifact import Artifact
from pipeline.data.batches import axes_of, batch_of
from pipeline.data.dataset import SplitName
from pipeline.importing import step as importing
from pipeline.libraries.installed import version
from pipeline.machine.environment import isa
from pipeline.plan import Plan, Stage
from pipeline.run.building import SAMPLE_SIZE, calibrates, first_examples
from pipeline.run.compare import fingerprint
from pipeline.run.identity import digest_of, identity_of, own_code


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The keys of a plan's models."""

    plan: Plan
    digests: dict[tuple[SplitName, int | None], str] = field(default_factory=dict)
    """The digests of splits that were read already."""

    def source(self) -> str:
        """The key of the model that every variant starts from; raises UserError where its files are missing."""
        model = self.plan.model
        libraries = {name: version(name) for name in importing.LIBRARIES}
        imported = {"import": importing.VERSION, "libraries": libraries} if model.format == "onnx" else {}
        return digest_of(
            {"source": type(model).__qualname__, "class": own_code(type(model)), **imported, **model.key()}
        )

    def stage(self, stage: Stage, source: Artifact, original: Artifact) -> str:
        """The key of a stage's output; only the digests of ``source`` and ``original`` go into it."""
        kind = type(stage)
        machine_key = getattr(stage, "machine_key", None)
        parts = {
            "stage": f"{kind.__module__}.{kind.__qualname__}",
            "version": stage.version,
            "fields": asdict(stage),  # type: ignore[call-overload]  # every stage is a dataclass
            "source": source.digest,
            "data": {split: self._split(split) for split in sorted(stage.reads)},
            "preprocessing": {name: spec.to_dict() for name, spec in self.plan.model.preprocessing.items()},
            "seed": self.plan.seed,
            "libraries": {name: version(name) for name in stage.libraries},
            "machine": machine_key(isa()) if machine_key else None,
            "measured_on": fingerprint(self.plan) if getattr(stage, "measures", False) else None,
            "code": own_code(kind),
        }
        if parts["code"] is not None or "validation" in stage.reads:
            parts["metric"] = identity_of(self.plan.metric)
        if getattr(stage, "uses_original", False):
            parts["original"] = original.digest
        if calibrates(stage):
            parts["unseen"] = self._split("test", SAMPLE_SIZE)
        if getattr(stage, "sized_by_data", False):
            parts["sizes"] = self._sizes_of_data()
        return digest_of(parts)

    def _sizes_of_data(self) -> Mapping[str, Any]:
        """The shape of one call of a single example, by input, and the axis of the examples in it."""
        example = first_examples(self.plan, 1)
        axes = axes_of(example)
        return {name: [array.shape, axes.get(name, 0)] for name, array in batch_of(example, 1).items()}

    def _split(self, split: SplitName, limit: int | None = None) -> str:
        """The digest of the split's first ``limit`` examples, all by default."""
        if (split, limit) not in self.digests:
            examples = self.plan.data.split(split)
            self.digests[split, limit] = (examples if limit is None else examples.take(0, limit)).digest()
        return self.digests[split, limit]
