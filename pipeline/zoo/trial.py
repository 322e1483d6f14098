"""Tries a network once before anything is built from it: does it run, return what is named, and repeat itself?"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifact.torch_module import ModelSpec, as_tensors, example_inputs, save_module
from pipeline.artifact.torch_names import input_remarks
from pipeline.errors import UserError
from pipeline.errors.user_code import user_code_error

if TYPE_CHECKING:
    import torch
    from torch import nn

logger = logging.getLogger(__name__)

REPEATS = 1e-4
"""The largest difference between two calls, relative to the largest output; sums in another order stay far below it."""


def write_checked(module: nn.Module, spec: ModelSpec, out: Path, remarks: Sequence[str]) -> Mapping[str, Any]:
    """Write a network once it was tried (``check_module``); returns the ``warnings``, where there are any."""
    warnings = [*input_remarks(module), *remarks, *check_module(module.eval(), spec)]
    for warning in warnings:
        logger.warning("the model: %s", warning)
    save_module(module, spec, out)
    return {"warnings": warnings} if warnings else {}


def check_module(module: nn.Module, spec: ModelSpec) -> list[str]:
    """Run the module twice on the same noise; returns remarks for the user, a sentence each.

    Raises UserError where its outputs don't fit the names, where it has no weights, and where it is random, because
    nothing could then be compared with it. A module that does not run on noise gets only a remark, because it may run
    on real examples.
    """
    import torch

    empty = [name for name, value in module.named_parameters() if value.numel() and bool(value.isnan().all())]
    if empty:
        raise UserError(f"the model has no weights ('{empty[0]}' holds no numbers): set model.weights")
    inputs = example_inputs(spec)
    try:
        with torch.no_grad():
            first, second = as_tensors(module(*inputs)), as_tensors(module(*inputs))
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001  # it is the user's code, whatever it raises
        return [f"it could not be run on noise in the shape of model.inputs: {user_code_error(error)}"]
    differing = [name for name, *pair in zip(spec.outputs, first, second, strict=True) if not repeats(*pair)]
    if differing:
        raise UserError(
            f"the model is random: output '{differing[0]}' is another one each time it gets the same input, in "
            "evaluation mode too. Dropout is written functional.dropout(x, p, training=self.training), or as nn.Dropout"
        )
    return []


def repeats(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Whether two outputs for the same input are the same, but for rounding."""
    if first.shape != second.shape:
        return False
    if not first.is_floating_point():
        return bool((first == second).all())
    one, other = first.double().nan_to_num(), second.double().nan_to_num()
    difference, largest = (one - other).abs(), one.abs()
    return not one.numel() or bool(difference.max() <= REPEATS * largest.max())
