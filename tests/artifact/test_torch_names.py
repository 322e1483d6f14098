"""Names of inputs and outputs, matched with those that are configured."""

from __future__ import annotations

import copy
from collections import OrderedDict
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from pipeline.artifact.torch_names import by_names, choose_outputs, input_remarks
from pipeline.errors import UserError

ONE, TWO = torch.tensor([1.0]), torch.tensor([2.0])


class Minus(nn.Module):
    def forward(self, left: Tensor, right: Tensor, scale: float = 1.0) -> Tensor:
        return (left - right) * scale


class KeywordMinus(Minus):
    def forward(self, *, left: Tensor, right: Tensor) -> Tensor:  # type: ignore[override]
        return left - right


class AnyMinus(Minus):
    def forward(self, *sides: Tensor) -> Tensor:  # type: ignore[override]
        return sides[0] - sides[1]


class AnyhowMinus(Minus):
    def forward(self, *sides: Tensor, **options: Any) -> Tensor:  # type: ignore[override]
        return sides[0] - sides[1]


class NamedMinus(Minus):
    def forward(self, **sides: Tensor) -> Tensor:  # type: ignore[override]
        return sides["left"] - sides["right"]


@pytest.mark.parametrize("kind", [Minus, KeywordMinus, NamedMinus])
def test_inputs_with_the_names_of_forwards_arguments_are_passed_by_name(kind: type[Minus]) -> None:
    module = by_names(kind(), ["right", "left"], ["y"])
    assert module(ONE, TWO).item() == 1  # left is the second
    assert copy.deepcopy(module)(ONE, TWO).item() == 1
    assert input_remarks(module) == []


@pytest.mark.parametrize("kind", [Minus, AnyMinus, AnyhowMinus])
def test_inputs_with_other_names_are_passed_in_order_and_it_is_said(kind: type[Minus]) -> None:
    module = by_names(kind(), ["a", "b"], ["y"])
    assert module(ONE, TWO).item() == -1
    assert "model.inputs names a, b" in input_remarks(module)[0]


class TupleMinus(Minus):
    def forward(self, sides: tuple[Tensor, ...]) -> Tensor:  # type: ignore[override]
        return sides[0] - sides[1]


@pytest.mark.parametrize("kind", [Minus, KeywordMinus])
@pytest.mark.parametrize("names", [["left"], ["right", "other"], ["left", "right", "third", "fourth"]])
def test_inputs_that_do_not_fit_are_refused_with_both_lists(kind: type[Minus], names: list[str]) -> None:
    with pytest.raises(UserError, match=rf"names {', '.join(names)}, and .*forward takes .*left, right"):
        by_names(kind(), names, ["y"])


def test_an_argument_that_is_annotated_as_a_tuple_gets_all_inputs() -> None:
    assert by_names(TupleMinus(), ["a", "b"], ["y"])(ONE, TWO).item() == -1


class Pair(NamedTuple):
    first: Tensor
    second: Tensor | None


@dataclass
class Data:
    first: Tensor
    second: Tensor


NAMED: list[Any] = [
    {"first": ONE, "second": TWO}, OrderedDict(first=ONE, second=TWO), Pair(ONE, TWO), Data(ONE, TWO),
    SimpleNamespace(first=ONE, second=TWO, loss=None),
]  # fmt: skip


@pytest.mark.parametrize("value", NAMED)
def test_outputs_with_names_are_chosen_by_name(value: Any) -> None:
    assert choose_outputs(value, ["second", "first"]) == (TWO, ONE)
    assert choose_outputs(value, ["second"]) == (TWO,)


def test_outputs_without_names_are_taken_in_order_and_none_is_left_out() -> None:
    assert choose_outputs((ONE, None, [TWO, 3]), ["logits", "features"]) == (ONE, TWO)
    assert choose_outputs({"scores": ONE, "hidden": (TWO, ONE)}, ["hidden.0", "scores"]) == (TWO, ONE)


@pytest.mark.parametrize(
    ("value", "typed"),
    [
        ({"scores": ONE, "hidden": TWO}, r"model\.outputs=\[scores,hidden\]"),
        ((ONE, TWO), r"model\.outputs=\[output_0,output_1\]"),
        (None, "the model returns no tensor"),
    ],
)
def test_outputs_that_do_not_fit_are_refused_with_what_to_type(value: Any, typed: str) -> None:
    with pytest.raises(UserError, match=typed):
        choose_outputs(value, ["output"])
