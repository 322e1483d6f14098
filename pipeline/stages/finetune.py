"""Fine-tuning: train on, after a stage that cost accuracy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pipeline.artifact import Artifact, Format
from pipeline.data.augmentation import AUGMENTATIONS
from pipeline.data.dataset import SplitName
from pipeline.data.preprocessing import Preprocessing
from pipeline.errors import StageFailed
from pipeline.plan import Context

if TYPE_CHECKING:
    from pipeline.training import Examples


@dataclass(frozen=True, slots=True, kw_only=True)
class Finetune:
    """Train a classifier on the train split, and follow its accuracy on the validation split.

    ``learning_rate`` is the highest of a one-cycle schedule. ``max_examples`` null: the whole train split. A stopped
    training goes on after its last whole epoch.
    """

    epochs: int = 2
    learning_rate: float = 0.02
    batch_size: int = 128
    augmentation: tuple[str, ...] = ()
    weight_decay: float = 5e-4
    max_examples: int | None = None

    accepts: ClassVar[frozenset[Format]] = frozenset({"torch"})
    produces: ClassVar[Format] = "torch"
    version: ClassVar[int] = 1
    reads: ClassVar[frozenset[SplitName]] = frozenset({"train", "validation"})
    libraries: ClassVar[tuple[str, ...]] = ("torch",)
    tolerance: ClassVar[float | None] = None

    def __post_init__(self) -> None:
        for field in ("epochs", "batch_size", "max_examples"):
            value = getattr(self, field)
            if value is not None and value < 1:
                raise ValueError(f"{field} must be at least 1 (got {value})")
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate must be above 0 (got {self.learning_rate})")
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay must be at least 0 (got {self.weight_decay})")
        unknown = [name for name in self.augmentation if name not in AUGMENTATIONS]
        if unknown:
            raise ValueError(f"augmentation '{unknown[0]}' does not exist; available: {', '.join(AUGMENTATIONS)}")

    def __call__(self, source: Artifact, out: Path, context: Context) -> None:
        """Write the trained model; raises StageFailed without labels, or for a model with several inputs."""
        import torch

        from pipeline.torch_artifact import load_module, load_spec, save_module
        from pipeline.training import Recipe, accuracy, fit

        spec = load_spec(source.path)
        if len(spec.inputs) != 1:
            names = ", ".join(entry.name for entry in spec.inputs)
            raise StageFailed(f"fine-tuning trains models with one input; this one has {len(spec.inputs)}: {names}")
        name = spec.inputs[0].name
        train, validation = (_examples(context, split, name) for split in ("train", "validation"))
        if self.max_examples is not None:
            train = type(train)(train.inputs[: self.max_examples], train.labels[: self.max_examples])
        if len(train.labels) < self.batch_size:
            raise StageFailed(
                f"fine-tuning needs at least one batch of {self.batch_size} training examples, and there are "
                f"{len(train.labels)}: set batch_size to {len(train.labels)} or less"
            )
        device = "cuda" if torch.cuda.is_available() else "cpu"
        module = load_module(source.path).to(device)
        preprocessing = context.preprocessing.get(name, Preprocessing())
        recipe = Recipe(
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            weight_decay=self.weight_decay,
            augmentation=tuple(self.augmentation),
            seed=context.seed,
        )
        before = accuracy(module, validation, preprocessing)
        checkpoint = context.work / "finetune.ckpt"
        history = fit(module, train, validation, preprocessing, recipe, checkpoint, context.progress)
        save_module(module.cpu(), spec, out)
        context.note("validation_accuracy_before", before)
        context.note("validation_accuracy_by_epoch", history)
        context.note("training_examples", len(train.labels))


def _examples(context: Context, split: SplitName, name: str) -> Examples:
    from pipeline.training import Examples

    examples = context.data.split(split)
    if examples.labels is None:
        raise StageFailed(f"fine-tuning needs labels, and the {split} split of {context.data.name} has none")
    if name not in examples.inputs:
        raise StageFailed(f"the {split} split has no input '{name}'; it has {', '.join(examples.inputs)}")
    return Examples(examples.inputs[name], examples.labels)
