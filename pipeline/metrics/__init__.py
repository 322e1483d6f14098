"""Metrics, a file for each: what a metric takes from a model's outputs for each example, and how that is judged."""

from pipeline.metrics.cosine import Cosine
from pipeline.metrics.judging import (
    CLASSES,
    VECTORS,
    Average,
    ByExample,
    Judging,
    Similarity,
    Wording,
    in_classes,
    judging_of,
    merit,
    scale_of,
)
from pipeline.metrics.outputs import output_of, place_read, told_classes
from pipeline.metrics.overall import Overall
from pipeline.metrics.recorded import class_path, fields_of, recorded_metric
from pipeline.metrics.top_one import TopOne

__all__ = [
    "CLASSES",
    "VECTORS",
    "Average",
    "ByExample",
    "Cosine",
    "Judging",
    "Overall",
    "Similarity",
    "TopOne",
    "Wording",
    "class_path",
    "fields_of",
    "in_classes",
    "judging_of",
    "merit",
    "output_of",
    "place_read",
    "recorded_metric",
    "scale_of",
    "told_classes",
]
