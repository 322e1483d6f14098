"""The predictions of a model on a split, made in a process of its own.

The bytes and the backend are those that are timed. Each model has a fresh process, because the parent must stay free of
sessions (their idle threads would disturb later timing), and because a model that crashes the runtime then costs one
row and not the run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import Artifact
from pipeline.artifact.onnx_graph import fixed_batch_of
from pipeline.data.batches import Arrays, WithAxes, axes_of, batch, count_of, together
from pipeline.data.dataset import Split, SplitName
from pipeline.data.rows import Array, Region, Rows
from pipeline.data.steps import Carry
from pipeline.errors import UserError, reporting_temporary
from pipeline.isolated import Limits, run
from pipeline.isolated.run import Starter, fresh
from pipeline.measure.difference import relative_difference
from pipeline.measure.outputs import Kept, OutputAxes, by_example, not_numbers
from pipeline.measure.sequences import by_sequence, sequence_calls
from pipeline.metrics import TopOne, in_classes, output_of, place_read
from pipeline.plan import Metric, Session, Target, as_read

_REPORTS = 100
"""The most messages about progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """The predictions for all examples, made from a model's outputs."""

    predictions: NDArray[Any] | None
    """One prediction an example, [N] or [N, ...], as the metric has it."""
    sureness: NDArray[np.float32] | None = None
    """The probability that the model gives each example's predicted class [N]; None where it tells no one class an
    example, or no probabilities."""
    reason: str | None = None
    """The reason why there are none."""
    not_numbers: int = 0
    """The number of examples whose judged output is not a number."""
    repeat: float = 0.0
    """The difference between the outputs of the first batch in two runs (``relative_difference``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The model that a process runs, on which inputs, and what it keeps."""

    artifact: Artifact
    target: Target
    metric: Metric
    inputs: WithAxes[Rows]
    """The inputs, in files: its process reads a batch at a time."""
    batch_size: int
    output_axes: OutputAxes | None
    carry: Carry | None
    keep: Path | None


def predict(
    artifact: Artifact,
    target: Target,
    metric: Metric,
    inputs: Arrays,
    batch_size: int,
    progress: Callable[[float], None] = lambda share: None,
    *,
    output_axes: OutputAxes | None = None,
    carry: Carry | None = None,
    keep: Path | None = None,
    limits: Limits = Limits(),  # noqa: B008  frozen
    start: Starter = fresh,
    stop: Event | None = None,
) -> Predicted:
    """Run a model on all examples.

    ``inputs`` are preprocessed arrays [N, ...], an entry per input of the model. ``progress`` is told the share done, 0
    to 1. A model whose batch is fixed runs at that batch, whatever ``batch_size`` says, with its last batch filled up
    and the filling thrown away. ``output_axes`` says where the outputs have the examples (None: first). With ``carry``
    each call of a sequence gets the state that the call before it gave, and ``batch_size`` sequences run side by side.
    The outputs of the first examples are left in the folder ``keep`` (``outputs.likeness``). ``start`` makes the
    process that runs it, ``limits`` are the limits of that process, and it ends when ``stop`` is set.

    Raises WorkerFailed with the reason where the model can't be loaded or run, or its process dies; OutOfSpace where
    the examples can't be handed over; BackendUnavailable and UserError as the backend and the metric raise them.
    """
    if count_of(inputs) == 0:
        raise UserError("there is nothing to measure accuracy on: the test split is empty")
    with in_files(inputs) as rows:
        return run(
            _work,
            Asked(
                artifact=artifact,
                target=target,
                metric=metric,
                inputs=rows,
                batch_size=together(inputs, batch_size),
                output_axes=output_axes,
                carry=carry,
                keep=keep,
            ),
            limits=limits,
            hear=progress,
            start=start,
            stop=stop,
        )


@contextmanager
def in_files(inputs: Arrays) -> Iterator[WithAxes[Rows]]:
    """The inputs in files, not pickles; those that are in memory are written into a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="slimline-accuracy-") as folder:
        with reporting_temporary():
            files = [Path(folder) / str(place) for place in range(len(inputs))]
            rows = {name: _in_file(inputs[name], file) for name, file in zip(inputs, files, strict=True)}
        yield WithAxes(rows, axes_of(inputs))


def _in_file(array: Array, path: Path) -> Rows:
    if isinstance(array, Rows):
        return array
    np.ascontiguousarray(array).tofile(path)
    return Rows.of(Region(path, 0, array.dtype, array.shape))


def _work(asked: Asked, *, say: Callable[[float], None]) -> Predicted:
    """Make the predictions, in a process of its own."""
    asked.target.backend.preload(asked.target)
    return _predicted(asked.target.backend.load(asked.artifact, asked.target), asked, say)


def _predicted(session: Session, asked: Asked, report: Callable[[float], None]) -> Predicted:
    inputs = asked.inputs
    fixed = fixed_batch_of(asked.artifact, axes_of(inputs))
    count, size = count_of(inputs), fixed or asked.batch_size
    every = max(count // _REPORTS, 1)
    reported, bad, repeat = 0, 0, 0.0
    found: list[NDArray[Any]] = []
    sure: list[NDArray[np.float32] | None] = []
    kept = Kept()
    outputs_of = _run_batch if asked.carry is None else _run_sequences
    size *= 1 if asked.carry is None else asked.carry.steps
    for start in range(0, count, size):
        length = min(size, count - start)
        outputs = outputs_of(session, inputs, asked, start, length, fixed)
        if not start:
            repeat = _repeated(outputs, outputs_of(session, inputs, asked, start, length, fixed))
            place = _judged(asked.metric, outputs)
        if place is None:
            return Predicted(predictions=None, reason=_unjudged(asked.metric, outputs), repeat=repeat)
        examples = [None if output is None else output[:length] for output in outputs.by_example]
        predictions = asked.metric.predictions(outputs.for_metric())[:length]
        if len(predictions) != length:
            raise UserError(
                f"metric '{asked.metric.name}' gave {len(predictions)} predictions for a batch of {length} examples: "
                "the model's first output must have one row per example"
            )
        found.append(predictions)
        sure.append(None if asked.carry is not None else sureness_of(asked.metric, outputs.for_metric(), predictions))
        judged = examples[place]
        bad += 0 if judged is None else not_numbers(judged)
        kept.add(examples)
        if start + length - reported >= every:
            reported = start + length
            report(reported / count)
    if asked.keep is not None:
        kept.save(asked.keep)
    known = [part for part in sure if part is not None]
    return Predicted(
        predictions=np.concatenate(found),
        sureness=np.concatenate(known) if len(known) == len(sure) else None,
        not_numbers=bad,
        repeat=repeat,
    )


def sureness_of(metric: Metric, outputs: Sequence[Any], predictions: NDArray[Any]) -> NDArray[np.float32] | None:
    """The probabilities of the predicted classes [N]; None where the metric tells none."""
    found = metric.probabilities(outputs) if isinstance(metric, TopOne) and in_classes(predictions) else None
    if found is None or found.ndim != predictions.ndim + 1 or predictions.ndim != 1:
        return None
    inside = predictions.clip(0, found.shape[1] - 1)  # a prediction that is no class has no probability
    chosen = found[: len(predictions)][np.arange(len(predictions)), inside]
    return np.where(predictions == inside, chosen, np.nan).astype(np.float32)


@dataclass(frozen=True, slots=True)
class _Outputs:
    """A batch's outputs as the model gave them, and with the examples first where they have an axis of them."""

    raw: Sequence[Any]
    by_example: Sequence[NDArray[Any] | None]

    def for_metric(self) -> list[Any]:
        """What a metric reads."""
        return [raw if moved is None else moved for raw, moved in zip(self.raw, self.by_example, strict=True)]


def _run_batch(session: Session, inputs: Arrays, asked: Asked, start: int, length: int, fixed: int | None) -> _Outputs:
    raw = session(as_read(session, batch(inputs, start, length, fixed)))
    return _Outputs(raw, by_example(raw, asked.output_axes, fixed or length))


def _run_sequences(
    session: Session, inputs: Arrays, asked: Asked, start: int, length: int, fixed: int | None
) -> _Outputs:
    """The outputs of all calls of some sequences, with the calls of a sequence in a row."""
    assert asked.carry is not None
    count = length // asked.carry.steps
    calls = sequence_calls(session, asked.artifact, inputs, asked.carry, start, count, fixed)
    raws = [raw for _, raw in calls]
    steps = [by_example(raw, asked.output_axes, fixed or count) for raw in raws]
    found = [_joined(parts, count) for parts in zip(*steps, strict=True)]
    return _Outputs(raws[-1], found)


def _joined(parts: Sequence[NDArray[Any] | None], count: int) -> NDArray[Any] | None:
    arrays = [part[:count] for part in parts if part is not None]
    return by_sequence(arrays) if len(arrays) == len(parts) else None


def _repeated(first: _Outputs, second: _Outputs) -> float:
    pairs = zip(first.by_example, second.by_example, strict=True)
    return max((relative_difference(a, b) for a, b in pairs if a is not None and b is not None), default=0.0)


def _judged(metric: Metric, outputs: _Outputs) -> int | None:
    """The output that the metric reads, the first where it doesn't say; None where that has no axis of examples."""
    place = place_read(metric, len(outputs.raw))
    return place if not outputs.raw or outputs.by_example[place] is not None else None


def _unjudged(metric: Metric, outputs: _Outputs) -> str:
    shapes = ", ".join(f"{index}: {_shape(output)}" for index, output in enumerate(outputs.raw))
    return (
        f"accuracy is not measured: output {output_of(metric)} has no row for each example (outputs "
        f"{shapes}); metric.output names another"
    )


def _shape(output: Any) -> str:
    return type(output).__name__ if isinstance(output, (list, dict)) else str(list(np.shape(output)))


def assert_disjoint(splits: Mapping[SplitName, Split]) -> None:
    """Raise UserError where two splits share an example, with a line for each such pair.

    Calibration or fine-tuning on an example of the test split would make the accuracy look better than it is.
    """
    where = {name: _first_positions(split) for name, split in splits.items()}
    problems = []
    for first, second in combinations(splits, 2):
        shared = where[first].keys() & where[second].keys()
        if not shared:
            continue
        example = min(shared, key=lambda digest: where[second][digest])
        problems.append(
            f"splits '{first}' and '{second}' must not overlap, but share {len(shared)} "
            f"example{'s' if len(shared) > 1 else ''}: the first is example {where[second][example]} of '{second}', "
            f"which is example {where[first][example]} of '{first}': remove it from one of them"
        )
    if problems:
        raise UserError(*problems)


def _first_positions(split: Split) -> dict[str, int]:
    positions: dict[str, int] = {}
    for index, digest in enumerate(split.example_hashes()):
        positions.setdefault(digest, index)
    return positions
