"""The types of a stage, of what it may use, and of a variant's chain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from pipeline.artifact import Artifact, Format
from pipeline.data.batches import Inputs
from pipeline.data.dataset import Dataset, SplitName, preprocess, sample_of
from pipeline.data.preprocessing import Preprocessing
from pipeline.plan.metric import Metric
from pipeline.plan.roles import Role
from pipeline.plan.target import Device


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How many times as fast as a reference, with its 95 % interval."""

    value: float
    low: float
    high: float


class Comparison(Protocol):
    """A way for a stage to measure."""

    def __call__(self, candidates: Mapping[str, Artifact], reference: Artifact) -> dict[str, Speed]:
        """Time ONNX models beside a reference, in the same rounds, on the plan's first target that runs them; raises
        Skipped where there is none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a stage may use beside its source."""

    data: Dataset
    preprocessing: Mapping[str, Preprocessing]
    metric: Metric
    compare: Comparison
    """Times models. A stage that uses it has a class variable ``measures = True``: its output belongs to this
    machine."""
    original: Callable[[], Artifact]
    """Gives the model that the chain starts from, to learn from. A stage that uses it has ``uses_original`` (True, or a
    property): two chains may come to the same source from different models."""
    seed: int
    work: Path
    """A folder of this stage's own that outlives a stopped run (for checkpoints); it is emptied when the stage is
    done."""
    progress: Callable[[float, str], None]
    """Tells the share done (0 to 1) and a few words."""
    note: Callable[[str, Any], None]
    """Keeps a fact (plain JSON values) in the store beside the output; the report shows it."""
    isa: frozenset[str]
    """The instruction sets of this processor, such as ``avx2`` and ``avx512_vnni``."""
    override: str = "variants.NAME.stages.NAME"
    """The beginning of an override of this stage's fields on the command line."""

    def feed(self, split: SplitName, limit: int | None = None) -> Inputs:
        """The split's first ``limit`` examples (all by default), preprocessed: an array [N, ...] per input."""
        examples = self.data.split(split)
        return preprocess(examples.take(0, limit if limit is not None else len(examples)).inputs, self.preprocessing)

    def sample(self, limit: int) -> Inputs:
        """Examples to compare models on: from the calibration split, or from the test split where there is none.

        A stage whose output takes their shapes has a class variable ``sized_by_data = True``.
        """
        return preprocess(sample_of(self.data, limit).inputs, self.preprocessing)

    def part(self, start: float, end: float) -> Context:
        """The context of a part of the work: its progress is a part of the whole's."""
        return replace(self, progress=lambda done, text: self.progress(start + (end - start) * done, text))


@runtime_checkable
class Stage(Protocol):
    """One step of a variant's chain: a frozen, keyword-only dataclass. Its fields are its YAML and its cache key."""

    role: ClassVar[Role]
    """What the stage changes. A stage may leave it out: ``role_of`` then tells what the rest tells."""
    accepts: ClassVar[frozenset[Format]]
    version: ClassVar[int]
    """The stage's version: raise it when the same fields give other bytes than before."""
    reads: ClassVar[frozenset[SplitName]]
    """The splits that the stage reads: their digests go into the cache key."""
    libraries: ClassVar[tuple[str, ...]]
    """The distributions whose versions go into the cache key."""
    tolerance: ClassVar[float | None]
    """The largest difference to its source, relative to the source's largest output, for an exact stage; None for a
    lossy stage, whose drift is recorded."""

    @property
    def produces(self) -> Format:
        """The format of the output: a class variable, or a property where a field decides it."""
        ...

    def __call__(self, source: Artifact, out: Path, context: Context) -> None:
        """Write the output into the empty folder ``out``; raises StageFailed, or Skipped with the reason."""
        ...


def role_of(stage: Stage) -> Role | None:
    """What a stage changes; None where it does not say. A lossless stage from PyTorch to ONNX is an export."""
    exports = stage.produces == "onnx" and "torch" in stage.accepts and stage.tolerance is not None
    return getattr(stage, "role", "export" if exports else None)


def changed_fields(stage: Stage) -> list[str]:
    """The names of a stage's fields that are not at their defaults; a field without a default is one of them."""
    changed = []
    for item in fields(stage):  # type: ignore[arg-type]  # every stage is a dataclass
        default = item.default if item.default_factory is MISSING else item.default_factory()
        if getattr(stage, item.name) != default:
            changed.append(item.name)
    return changed


def is_export(stage: Stage) -> bool:
    """Whether a stage turns a PyTorch model into ONNX and changes nothing else."""
    return role_of(stage) == "export"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A named chain of stages, applied in order to the model."""

    name: str
    stages: Mapping[str, Stage]
    devices: tuple[Device, ...] = ("cpu", "cuda")
    """The devices that it is measured on; on others its row is skipped, and says so."""
