"""What stages and backends tell about themselves so that a search tries what can pay, and the cheapest first: class
variables and methods that they may leave out."""

from __future__ import annotations

from typing import Literal

from pipeline.plan.stage import Stage
from pipeline.plan.target import Target

Gain = Literal["integer products", "smaller weights", "smoothed layers", "attention", "loading", "float16"]
"""What a stage gains by. ``integer products``: matrix products of integers, made while the model runs. ``smaller
weights``: weights of matrix products that take fewer bytes. ``smoothed layers``: outliers behind layer normalizations.
``attention``: fused attention. ``loading``: what a runtime does when it loads a model. ``float16``: units that compute
in 16 bits."""


def gain_of(stage: Stage) -> Gain | None:
    """What a stage gains by: its class variable ``gains_by``; None where it does not say."""
    gain: Gain | None = getattr(stage, "gains_by", None)
    return gain


def needs_labels(stage: Stage) -> bool:
    """Whether a stage learns from labels: its ``needs_labels``, a class variable or a property."""
    return bool(getattr(stage, "needs_labels", False))


def requires(stage: Stage) -> tuple[str, ...]:
    """The packages that a stage needs beyond slimline's own: its class variable ``requires``."""
    names: tuple[str, ...] = getattr(stage, "requires", ())
    return names


def least_training(stage: Stage) -> int:
    """How many training examples a stage needs: a batch of them, its ``batch_size``. 0 where it reads none."""
    return int(getattr(stage, "batch_size", 0)) if "train" in stage.reads else 0


def repeats(stage: Stage) -> tuple[str, int] | None:
    """What a stage does many times over: the name of another stage's class, and about how often. Its class variable
    ``repeats``; None where it does not say."""
    what: tuple[str, int] | None = getattr(stage, "repeats", None)
    return what


def loads_slowly(target: Target) -> bool:
    """Whether a target compiles a model for long each time that it loads it: its backend's ``loads_slowly``."""
    tells = getattr(target.backend, "loads_slowly", None)
    return tells is not None and bool(tells(target))
