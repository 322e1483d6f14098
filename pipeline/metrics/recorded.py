"""Records a metric's class and fields, so that a run's report can be derived anew."""

from __future__ import annotations

import inspect
import sys
from typing import Any

from pipeline.construct import is_plain
from pipeline.errors import SlimlineError, first_line
from pipeline.libraries.installed import locate
from pipeline.metrics.postprocessed import judge_of
from pipeline.plan import Metric
from pipeline.results.record import AccuracySamples


def class_path(metric: Metric) -> str | None:
    """The dotted path of a metric's class; None for one whose predictions' type says how it is judged."""
    if getattr(metric, "judging", None) is None:
        return None
    kind = type(judge_of(metric))
    package = kind.__module__.rpartition(".")[0]
    public = getattr(sys.modules.get(package), kind.__qualname__, None) is kind
    return f"{package if public else kind.__module__}.{kind.__qualname__}"


def fields_of(metric: Metric) -> dict[str, Any]:
    """The arguments of the metric's class, as far as these are plain values."""
    judge = judge_of(metric)
    names = inspect.signature(type(judge)).parameters
    values = {name: getattr(judge, name) for name in names if hasattr(judge, name)}
    return {name: value for name, value in values.items() if is_plain(value)}


def recorded_metric(samples: AccuracySamples) -> Metric | None:
    """The metric that judged these samples, which imports the module of its class.

    None: the type of the predictions says how they are judged. Raises SlimlineError where the metric can't be made.
    """
    path = samples.metric_class
    if path is None:
        return None
    try:
        kind: Any = locate(path)
        if not (inspect.isclass(kind) and hasattr(kind, "predictions") and hasattr(kind, "judging")):
            raise ValueError("it is no metric with a judging")
        made: Any = kind(**samples.metric_fields)
    except Exception as error:  # the user's own class raises what it likes
        raise SlimlineError(
            f"predictions were judged by {path}, which can't be made here: {first_line(error)}: put it on the Python "
            "path as it was"
        ) from error
    metric: Metric = made
    return metric
