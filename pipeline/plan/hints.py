"""What stages tell about themselves so that a search tries only what can pay: class variables that a stage may leave
out."""

from __future__ import annotations

from typing import Literal

from pipeline.plan.stage import Stage

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
