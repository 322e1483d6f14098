"""Rounds weights so that what rounding one of them adds is taken back by those that are still to be rounded."""

from __future__ import annotations

import torch
from torch import Tensor

_DAMPING = 0.01
"""What is added to the inputs' moments, as a share of their mean square, so that they can be inverted."""
_BLOCK = 128


def rounded(weights: Tensor, moments: Tensor, step: Tensor, limits: tuple[Tensor, Tensor]) -> Tensor:
    """The weights [G, F, O] as multiples of ``step``, which are integers within ``limits`` (each broadcasts to them),
    with little error in what they make of inputs whose products with each other sum to ``moments`` [G, F, F].

    Frantar et al. 2022 (GPTQ), arXiv:2210.17323: the inputs with the largest squares come first, and each one's error
    goes to the inputs behind it by least squares.
    """
    groups, inputs, outputs = weights.shape
    spread = moments.diagonal(dim1=-2, dim2=-1)
    order = spread.argsort(dim=-1, descending=True)
    places = order[..., None].expand(groups, inputs, outputs)
    left = weights.gather(1, places).clone()
    step, low, high = (value.expand(groups, inputs, outputs).gather(1, places) for value in (step, *limits))
    sorted_moments = moments.gather(1, order[..., None].expand_as(moments)).gather(2, order[:, None].expand_as(moments))
    least = (_DAMPING**4 * spread.mean()).clamp_min(torch.finfo(moments.dtype).eps)  # a group may read nothing but 0
    damping = (_DAMPING * spread.mean(-1, keepdim=True)).clamp_min(least)
    damped = sorted_moments + torch.diag_embed(damping.expand_as(spread))
    factor = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(damped)), upper=True)  # [G, F, F]
    made = torch.empty_like(left)
    for start in range(0, inputs, _BLOCK):
        end = min(start + _BLOCK, inputs)
        errors = torch.empty_like(left[:, start:end])
        for place in range(start, end):
            integers = (left[:, place] / step[:, place]).round().clamp(low[:, place], high[:, place])
            made[:, place] = integers
            error = (left[:, place] - integers * step[:, place]) / factor[:, place, place, None]
            left[:, place + 1 : end] -= factor[:, place, place + 1 : end, None] * error[:, None]
            errors[:, place - start] = error
        left[:, end:] -= factor[:, start:end, end:].mT @ errors
    return torch.empty_like(made).scatter(1, places, made)
