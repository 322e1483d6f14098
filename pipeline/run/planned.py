"""Follows the chains of a plan through the store, without building: what is there, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pipeline.artifact import Artifact, Format
from pipeline.artifact.store import Entry
from pipeline.bounds import Nonempty, NotNegative
from pipeline.errors import CorruptEntry, NoExamples
from pipeline.plan import Plan, Variant, role_of
from pipeline.run.keys import Keys
from pipeline.store import open_store

MODEL = "model"
"""The name of the first stage of every chain: the model itself."""
StageStatus = Literal["stored", "to build"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStage:
    """A stage of a variant's chain; the first one of each chain is the model itself."""

    name: Nonempty
    kind: Nonempty
    """The stage's class."""
    status: StageStatus
    shared: bool
    """Whether an earlier variant has the same stage on the same source, so that it is built once."""
    seconds: NotNegative | None
    """How long building it took, where it is stored; None where that is not known."""
    like_it_s: NotNegative | None
    """How long the newest stored stage of the same variant and name took, which had another source or other fields;
    None where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Link:
    """A stage of a chain, or the model at its beginning."""

    name: str
    kind: str
    label: str
    """The label that it has in the store."""
    key: str


@dataclass(slots=True, kw_only=True)
class Stored:
    """What a plan's store holds of its chains.

    The key of a stage needs the digest of its source. Where the source is missing, its key stands for its digest: two
    chains then still have the same key where they are the same.
    """

    plan: Plan
    keys: Keys
    verified: bool = True
    """Whether a damaged entry counts as missing; all files of all entries are read for that."""
    _status: dict[str, Entry | None] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)
    _known: Mapping[str, float] | None = None

    @property
    def stored(self) -> int:
        """How many different models were found so far."""
        return sum(entry is not None for entry in self._status.values())

    @property
    def to_build(self) -> int:
        """How many different models were not found so far."""
        return len(self._status) - self.stored

    def source(self) -> Entry | None:
        """The model that every chain starts from; None where it is not in the store."""
        return self._entry(self.keys.source())

    def stages(self, variant: Variant) -> list[PlannedStage]:
        """The model and each stage of a variant's chain; raises NoExamples where a stage reads a split that the data
        lacks."""
        return [self._planned(link) for link in self._chain(variant)]

    def missing(self) -> dict[str, float | None]:
        """What is to be built, by the label under which a run tells of it, with how long the newest stored stage of the
        same variant and name took, in seconds; None where there is none. A chain is left out from where the data lacks
        a split that it reads."""
        found: dict[str, float | None] = {}
        for variant in self.plan.variants.values():
            with suppress(NoExamples):
                for link in self._chain(variant):
                    if link.key not in self._told and self._entry(link.key) is None:
                        found[link.label] = self._took(link.label)
                    self._told.add(link.key)
        return found

    def end(self, variant: Variant) -> Artifact | None:
        """The model at the end of a chain; None where it is not in the store."""
        *_, last = self._chain(variant)
        entry = self._entry(last.key)
        return None if entry is None else entry.artifact

    def _chain(self, variant: Variant) -> Iterator[_Link]:
        model = self.plan.model
        key = self.keys.source()
        yield _Link(name=MODEL, kind=type(model).__name__, label=f"model {model.name}", key=key)
        source = original = self._artifact(key, model.format)
        for name, stage in variant.stages.items():
            key = self.keys.stage(stage, source, original)
            yield _Link(name=name, kind=type(stage).__name__, label=f"{variant.name}: {name}", key=key)
            source = self._artifact(key, stage.produces)
            original = source if role_of(stage) == "import" else original

    def _planned(self, link: _Link) -> PlannedStage:
        entry, shared = self._entry(link.key), link.key in self._told
        self._told.add(link.key)
        return PlannedStage(
            name=link.name,
            kind=link.kind,
            status="to build" if entry is None else "stored",
            shared=shared,
            seconds=None if entry is None else entry.facts.get("seconds"),
            like_it_s=self._took(link.label) if entry is None else None,
        )

    def _entry(self, key: str) -> Entry | None:
        """The entry of a key; None where there is none, or a damaged one, which a run builds again."""
        if key not in self._status:
            self._status[key] = None
            with suppress(CorruptEntry):
                self._status[key] = open_store(self.plan.store).peek(key, verified=self.verified)
        return self._status[key]

    def _artifact(self, key: str, format: Format) -> Artifact:
        entry = self._entry(key)
        return Artifact(Path(), format, key) if entry is None else entry.artifact

    def _took(self, label: str) -> float | None:
        if self._known is None:
            found = {}
            for name, facts in open_store(self.plan.store).facts():
                if isinstance(facts.get("seconds"), int | float):
                    found[name] = float(facts["seconds"])
            self._known = found
        return self._known.get(label)
