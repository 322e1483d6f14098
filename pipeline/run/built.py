"""A variant's chain as it came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.artifact import Artifact
from pipeline.errors import (
    Skipped,
)
from pipeline.plan import Variant, is_export
from pipeline.results.record import StageRecord, VariantRecord

UNCHANGED = "changed_nothing"
"""The name of the note that says why a stage had nothing to do."""


@dataclass(frozen=True, slots=True)
class Built:
    """A variant's chain as it came out: the record, and the artifact after the model and after each stage."""

    record: VariantRecord
    artifacts: list[Artifact]
    model_notes: Mapping[str, Any] = field(default_factory=dict)
    """The notes on what was changed or seen when the model came in."""

    @property
    def artifact(self) -> Artifact:
        """The artifact at the end of the chain."""
        return self.artifacts[-1]

    @property
    def changed_module(self) -> Artifact | None:
        """The last PyTorch model that a stage has written; None where none did."""
        return next((artifact for artifact in reversed(self.artifacts[1:]) if artifact.format == "torch"), None)


def require_change(variant: Variant, records: Sequence[StageRecord]) -> None:
    """Raise Skipped for a chain in which no stage but exports did anything, and one at least should have."""
    idle = [record for record in records if UNCHANGED in record.notes]
    exports = [name for name, stage in variant.stages.items() if is_export(stage)]
    if idle and len(idle) + len(exports) == len(records):
        raise Skipped("; ".join(f"{record.name} changed nothing: {record.notes[UNCHANGED]}" for record in idle))
