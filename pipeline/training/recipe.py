"""The recipe of a training, as plain values: nothing here needs PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.bounds import Count, NotNegative, Positive, Share, ShareBelowOne
from pipeline.data.augmentation import AUGMENTATIONS
from pipeline.errors.names import unknown

Optimizer = Literal["sgd", "adamw"]
Schedule = Literal["one_cycle", "cosine"]
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The recipe of a training. A checkpoint of another recipe is not continued."""

    epochs: Count
    learning_rate: Positive
    """The highest rate of the schedule."""
    batch_size: Count = 128
    weight_decay: NotNegative = 5e-4
    momentum: float = 0.9
    """The momentum of ``sgd``, which is Nesterov's."""
    optimizer: Optimizer = "sgd"
    """``sgd`` has Nesterov momentum; ``adamw`` is Loshchilov & Hutter 2019, arXiv:1711.05101."""
    schedule: Schedule = "one_cycle"
    """``one_cycle`` (Smith & Topin 2018, arXiv:1708.07120) begins at a 25th of the highest rate, rises by half a
    cosine, and moves the momentum against it. ``cosine`` (Loshchilov & Hutter 2017, arXiv:1608.03983) rises in a line
    and keeps the momentum. Both fall to zero by half a cosine."""
    warmup_fraction: ShareBelowOne = 0.2
    """The share of all steps that lead up to the highest rate."""
    augmentation: tuple[str, ...] = ()
    distill_weight: Share = 0.0
    """The teacher's share of the loss; the labels have the rest."""
    temperature: Positive = 1.0
    """The scores of the teacher and of the model are divided by it before they are compared as probabilities."""
    average: ShareBelowOne | None = None
    """Keep a moving average of the weights, and judge and keep that; this share of it stays at each step. It follows
    faster in the beginning, where it has seen few steps."""
    patience: Count | None = None
    """Stop after this many epochs without a better one, and keep the best epoch's weights; None: keep the last
    epoch's."""
    group_lasso: NotNegative = 0.0
    """The weight in the loss of a penalty on whole channels (``pipeline.stages.pruning.lasso``)."""
    precision: Precision = "float32"
    """With ``bfloat16``, products are computed in 16 bits, weights and sums in 32 (torch.autocast)."""
    channels_last: bool = False
    """Train in the memory format channels last: about a quarter faster on CPUs. torch 2.13 corrupts memory in the
    backward pass of some convolutions with few channels, so set it only for a model that it was tried on."""
    seed: int = 0

    def __post_init__(self) -> None:
        others = [name for name in self.augmentation if name not in AUGMENTATIONS]
        if others:
            raise ValueError(unknown(f"augmentation '{others[0]}'", others[0], AUGMENTATIONS))
