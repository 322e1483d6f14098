"""Measures how much a model loses by each of its layers being quantized."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import Artifact
from pipeline.artifact.proof import drift
from pipeline.artifact.run import Outputs, run
from pipeline.data.dataset import Feed
from pipeline.errors import StageFailed, UserError
from pipeline.metrics import judging_of
from pipeline.plan import Context, Metric
from pipeline.stages.quantization.nodes import products

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """The loss of a quantized model against its source."""

    sqnr_db: float | None
    """The signal over the noise of the outputs; None: the outputs are the same."""
    drop: float
    """The drop of the metric's figure: by labels where the metric uses them, else beside the source's own
    predictions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """The source's outputs on validation examples, and the truth that candidates are judged by."""

    feed: Feed
    outputs: Outputs
    truth: NDArray[Any]
    """The labels; the source's own predictions where the metric uses no labels."""
    metric: Metric

    @staticmethod
    def of(source: Artifact, context: Context, examples: int) -> Judge:
        """A judge on the first ``examples`` of the validation split; raises StageFailed where the split is empty."""
        split = context.data.split("validation")
        if not len(split):
            raise StageFailed("layers are judged on the validation split, which is empty")
        feed = context.feed("validation", examples)
        outputs = run(source, feed)
        try:
            own = context.metric.predictions(outputs)
            labels = judging_of(context.metric, own).labels(own, split.labels)
        except UserError as error:
            raise StageFailed(str(error)) from error
        return Judge(
            feed=feed,
            outputs=outputs,
            truth=own if labels is None else labels,
            metric=context.metric,
        )

    def __call__(self, candidate: Artifact) -> Loss:
        """The loss of a candidate on the same examples."""
        outputs = run(candidate, self.feed)
        now, before = (self.metric.predictions(found) for found in (outputs, self.outputs))
        judging = judging_of(self.metric, now)
        drop = judging.value(before, self.truth) - judging.value(now, self.truth)
        return Loss(sqnr_db=drift(self.outputs, outputs)["sqnr_db"], drop=drop)


def sensitivities(
    model: onnx.ModelProto,
    quantized_alone: Callable[[str], Artifact],
    judge: Judge,
    progress: Callable[[float, str], None],
) -> list[dict[str, Any]]:
    """The loss with each product with weights quantized by itself: ``node``, ``op``, ``sqnr_db``, ``drop``; the most
    sensitive first.

    ``quantized_alone`` makes the model in which only the node of that name is quantized.
    """
    nodes = products(model)
    found = []
    for number, node in enumerate(nodes):
        progress(number / len(nodes), f"layer {number + 1} of {len(nodes)} alone")
        loss = judge(quantized_alone(node.name))
        found.append({"node": node.name, "op": node.op_type, "sqnr_db": loss.sqnr_db, "drop": loss.drop})
    return sorted(found, key=lambda layer: np.inf if layer["sqnr_db"] is None else layer["sqnr_db"])
