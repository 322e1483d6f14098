"""Scores of classes as a loss wants them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.artifact.torch_module import ModelInput
from pipeline.data.dataset import Split
from pipeline.errors import StageFailed
from pipeline.metrics import TopOne
from pipeline.training.class_scores import LOGITS, Scores, cross_entropy, scores_of
from pipeline.training.examples import Examples
from pipeline.training.loop import fit
from pipeline.training.recipe import Recipe

LABELS = torch.tensor([0, 1, 1, 0])
LOGIT = torch.tensor([-1.0, 0.5, 2.0, 0.1])


def examples(classes: int, count: int = 64) -> Examples:
    values = np.random.default_rng(0).normal(size=(count, 4)).astype(np.float32)
    labels = values.argmax(1) if classes > 2 else (values[:, 0] > 0).astype(np.int64)
    return Examples(Split({"x": values}, labels), (ModelInput(name="x", shape=(4,)),), {})


@pytest.mark.parametrize("output", [LOGIT, LOGIT[:, None]])
def test_the_loss_of_one_logit_is_binary_cross_entropy(output: Tensor) -> None:
    expected = functional.binary_cross_entropy_with_logits(LOGIT, LABELS.float())
    torch.testing.assert_close(cross_entropy(LOGITS.of([output]), LABELS), expected)
    torch.testing.assert_close(cross_entropy(Scores(ending="sigmoid").of([output.sigmoid()]), LABELS), expected)


def test_probabilities_have_the_loss_of_their_logits() -> None:
    logits = torch.stack([LOGIT, -LOGIT, LOGIT.flip(0)], 1)
    found = cross_entropy(Scores(ending="softmax").of([logits.softmax(1)]), LABELS)
    torch.testing.assert_close(found, functional.cross_entropy(logits, LABELS))


def test_scores_of_tokens_and_pixels_are_judged_one_by_one() -> None:
    tokens, pixels = torch.randn(2, 5, 3), torch.randn(2, 3, 4, 4)
    labels = torch.randint(0, 3, (2, 5))
    expected = functional.cross_entropy(tokens.movedim(2, 1), labels)
    torch.testing.assert_close(cross_entropy(LOGITS.of([tokens]), labels), expected)
    assert LOGITS.of([pixels]).shape == (32, 3)


@pytest.mark.parametrize(
    ("last", "ending"),
    [
        (nn.Identity(), "logits"), (nn.Sigmoid(), "sigmoid"), (nn.Softmax(1), "softmax"),
        (nn.Sequential(nn.Sigmoid(), nn.Flatten(0)), "sigmoid"),
    ],
)  # fmt: skip
def test_what_a_model_ends_in_is_told_from_its_graph(last: nn.Module, ending: str) -> None:
    model = nn.Sequential(nn.Linear(4, 1), last)
    assert scores_of(model, examples(2), TopOne(), labelled=True).ending == ending


def test_labels_that_are_no_classes_are_refused() -> None:
    with pytest.raises(StageFailed, match="labels run from 0 to 3, and the model has classes 0 to 1"):
        scores_of(nn.Linear(4, 1), examples(4), TopOne(), labelled=True)


def test_labels_with_fractions_are_refused() -> None:
    given = examples(2)
    numbers = Examples(replace(given.split, labels=np.linspace(0, 1, len(given))), given.inputs, given.preprocessing)
    with pytest.raises(StageFailed, match="training on labels takes class numbers"):
        scores_of(nn.Linear(4, 1), numbers, TopOne(), labelled=True)


@pytest.mark.parametrize("last", [nn.Identity(), nn.Sigmoid()])
def test_a_binary_network_learns(tmp_path: Path, last: nn.Module) -> None:
    torch.manual_seed(0)
    model, train = nn.Sequential(nn.Linear(4, 1), last), examples(2)
    scores = scores_of(model, train, TopOne(), labelled=True)

    def judge(judged: nn.Module) -> float:
        with torch.no_grad():
            found = scores.of([judged(torch.from_numpy(train.split.inputs["x"]))]).argmax(1)
        return float((found.numpy() == train.labels).mean())

    recipe = Recipe(epochs=5, learning_rate=0.5, batch_size=16)
    history = fit(model, train, judge, recipe, tmp_path / "checkpoint", lambda done, line: None, scores=scores)
    assert history[-1] > 0.9


def test_nothing_is_learnt_from_labels_that_are_texts() -> None:
    split = Split({"x": np.zeros((2, 4), np.float32)}, np.array(["good", "bad"]))
    assert (
        Examples(split, (ModelInput(name="x", shape=(4,)),), {}).label_tensor(slice(0, 2), torch.device("cpu")) is None
    )
