"""How strongly weights are pulled towards those before."""

from __future__ import annotations

import pytest
import torch

from pipeline.stages.linear.moments import RIDGES, Moments, best_ridge, held_out

INPUTS, OUTPUTS = 20, 3


def _parts(count: int, noise: float, folds: int = 4) -> tuple[list[Moments], torch.Tensor]:
    """Moments of examples that a map makes, with noise, and the map [1, F, O]."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(1, INPUTS, OUTPUTS, generator=generator).double()
    parts = []
    for _ in range(folds):
        rows = torch.randn(1, count, INPUTS, generator=generator)
        wanted = rows @ weights.float() + noise * torch.randn(1, count, OUTPUTS, generator=generator)
        parts.append(Moments.none(1, INPUTS, OUTPUTS))
        parts[-1].add(rows, wanted)
    return parts, weights


def test_what_examples_tell_exactly_is_not_held_back() -> None:
    parts, weights = _parts(50, noise=0.0)
    ridge, error = best_ridge(parts, torch.zeros_like(weights))
    assert ridge == RIDGES[0]
    assert error == held_out(parts, torch.zeros_like(weights), ridge)


@pytest.mark.parametrize("near", [0.05, 0.5])
def test_weights_from_few_noisy_examples_are_nearest_to_the_map_with_the_ridge_that_is_chosen(near: float) -> None:
    parts, weights = _parts(8, noise=1.0)
    before = weights + near * torch.randn(weights.shape, generator=torch.Generator().manual_seed(1)).double()
    ridge, _ = best_ridge(parts, before)
    errors = {each: float((Moments.of(parts).solved(before, each) - weights).square().sum()) for each in RIDGES}
    assert ridge > RIDGES[0]
    assert errors[ridge] < errors[RIDGES[0]]
    assert errors[ridge] < 1.25 * min(errors.values())


def test_the_ridge_is_the_one_of_least_error_of_all() -> None:
    for noise in (0.01, 0.1, 1.0, 3.0):
        parts, weights = _parts(10, noise)
        errors = {each: held_out(parts, torch.zeros_like(weights), each) for each in RIDGES}
        assert best_ridge(parts, torch.zeros_like(weights))[0] == min(errors, key=errors.__getitem__)


def test_of_a_single_part_the_middle_is_taken() -> None:
    parts, weights = _parts(8, noise=1.0, folds=1)
    ridge, error = best_ridge(parts, weights)
    assert ridge == 1e-2
    assert error == float(parts[0].error(parts[0].solved(weights, ridge)).sum())


def test_moments_of_parts_are_those_of_all_examples() -> None:
    parts, _ = _parts(8, noise=1.0)
    before = parts[0].inputs.clone()
    together = Moments.of(parts)
    torch.testing.assert_close(together.inputs, sum(part.inputs for part in parts))
    assert torch.equal(parts[0].inputs, before)
