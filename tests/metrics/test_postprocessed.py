"""A metric behind a post-processing: it reads what that makes, and is recorded as the metric itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.metrics import Cosine, TopOne, class_path, fields_of, in_classes, place_read, told_classes
from pipeline.metrics.f1 import F1
from pipeline.metrics.postprocessed import behind
from pipeline.postprocessing.argmax import Argmax
from pipeline.postprocessing.function import Function
from pipeline.run.identity import digest_of, identity_of

OUTPUTS = {"boxes": np.zeros((3, 4), np.float32), "scores": np.array([[1, 2], [4, 3], [0, 9]], np.float32)}


def lowest(outputs: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    found: NDArray[Any] = outputs["scores"].argmin(axis=1)
    return found


def failing(outputs: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    return outputs["sorces"]


@dataclass(frozen=True)
class Lowest:
    """A post-processing of the user's own that names the output which it reads."""

    output: str = "scores"

    def __call__(self, outputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        return {"worst": outputs[self.output].argmin(axis=1)}


@pytest.mark.parametrize(
    ("postprocessing", "metric", "told"),
    [
        (Argmax(output="scores"), TopOne(output="scores"), [1, 0, 1]),
        (Lowest(), TopOne(output="worst"), [0, 1, 0]),
        (Function(function=f"{__name__}.lowest"), TopOne(), [0, 1, 0]),
    ],
)
def test_the_metric_reads_what_the_post_processing_makes(postprocessing: Any, metric: TopOne, told: list[int]) -> None:
    fitted, _ = behind(postprocessing, metric).fitted(OUTPUTS)  # type: ignore[attr-defined]
    outputs = list(OUTPUTS.values())
    assert fitted.predictions(outputs).tolist() == told
    assert in_classes(told_classes(fitted, outputs))
    assert place_read(fitted, 2) == (0 if isinstance(postprocessing, Function) else 1)


def test_it_is_recorded_and_told_apart_as_the_metric_and_its_post_processing() -> None:
    metric = F1(positive=2)
    after = behind(Argmax(), metric)
    assert (class_path(after), fields_of(after)) == (class_path(metric), fields_of(metric))
    keys = {
        digest_of(identity_of(each))
        for each in (metric, after, behind(Argmax(axis=1), metric), behind(Lowest(), metric))
    }
    assert len(keys) == 4


def test_a_model_without_one_has_the_metric_itself() -> None:
    metric = Cosine()
    assert behind(None, metric) is metric


@pytest.mark.parametrize(
    ("postprocessing", "says"),
    [
        (
            Argmax(output="scroes"),
            r"model\.postprocessing\.output=scroes does not exist: the model's outputs are boxes, s",
        ),
        (
            Function(function=f"{__name__}.failing"),
            r"model\.postprocessing \(Function\) failed: KeyError: 'sorces'.*line",
        ),
        (Function(function="gone_package.f"), r"model\.postprocessing\.function=gone_package\.f can't be imported"),
    ],
)
def test_a_post_processing_that_fails_is_told_in_a_line(postprocessing: Any, says: str) -> None:
    with pytest.raises(UserError, match=says):
        behind(postprocessing, TopOne()).fitted(OUTPUTS)  # type: ignore[attr-defined]
