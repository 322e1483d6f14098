"""The predictions of a model on a split, made in a process of its own.

The bytes and the backend are those that are timed. A fresh process per model, because the parent must stay free of
sessions (their idle threads would disturb what is timed later), and because a model that crashes the runtime then
costs one row and not the run.
"""

from __future__ import annotations

import multiprocessing
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import combinations
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import Artifact
from pipeline.data.dataset import Feed, Split, SplitName
from pipeline.errors import SlimlineError, UserError, WorkerFailed, reason_of, reporting_temporary
from pipeline.isolated.channel import follow_parent
from pipeline.onnx_graph import fixed_batch_of
from pipeline.plan import Metric, Session, Target

_REPORTS = 100
"""At most so many messages about progress."""


def predict(
    artifact: Artifact,
    target: Target,
    metric: Metric,
    inputs: Feed,
    batch_size: int,
    progress: Callable[[float], None] = lambda share: None,
) -> NDArray[Any]:
    """One prediction per example: [N] classes or [N, D] vectors, as the metric has it.

    ``inputs`` are preprocessed arrays [N, ...], an entry per input of the model.
    ``progress`` is told the share done, 0 to 1. A model whose batch is fixed runs at that batch, whatever
    ``batch_size`` says, with its last batch filled up and the filling thrown away. Raises WorkerFailed with the reason
    where the model can't be loaded or run, or its process dies; OutOfSpace where the examples can't be handed over;
    BackendUnavailable and UserError as the backend and the metric raise them.
    """
    count = len(next(iter(inputs.values())))
    if count == 0:
        raise UserError("there is nothing to measure accuracy on: the test split is empty")
    with tempfile.TemporaryDirectory(prefix="slimline-accuracy-") as folder:
        # Files, not pickles: the process maps them and reads a batch at a time.
        with reporting_temporary():
            for index, name in enumerate(inputs):
                np.save(Path(folder) / f"{index}.npy", np.ascontiguousarray(inputs[name]))
        arguments = (artifact, target, metric, Path(folder), list(inputs), batch_size)
        return _run(arguments, progress)


def _run(arguments: tuple[Any, ...], progress: Callable[[float], None]) -> NDArray[Any]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(theirs, *arguments), daemon=True, name="slimline-accuracy")
    try:
        with _interrupts_held_back():
            process.start()
        # Without its own copy of the far end, the parent's recv ends when the process does.
        theirs.close()
        return _receive(ours, progress)
    except EOFError as error:
        process.join()
        raise WorkerFailed(f"while evaluating accuracy, {_how_it_ended(process.exitcode)}") from error
    finally:
        # Also on Ctrl-C: nothing stays behind.
        if process.pid is not None:
            process.kill()
            process.join()
        ours.close()


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Ctrl-C reaches every process of the terminal: one started in here never sees it, and leaves it to its parent."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _receive(connection: Connection, progress: Callable[[float], None]) -> NDArray[Any]:
    while True:
        message = connection.recv()
        if isinstance(message, SlimlineError):
            raise message
        if isinstance(message, float):
            progress(message)
            continue
        predictions: NDArray[Any] = message
        return predictions


def _how_it_ended(exitcode: int | None) -> str:
    if exitcode is None or exitcode >= 0:
        return f"the process ended early with code {exitcode}"
    name = signal.Signals(-exitcode).name
    hint = " (out of memory?)" if -exitcode == signal.SIGKILL else ""
    return f"the process was ended by {name}{hint}"


def _work(
    connection: Connection,
    artifact: Artifact,
    target: Target,
    metric: Metric,
    folder: Path,
    names: list[str],
    batch_size: int,
) -> None:
    follow_parent()
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        return
    inputs = {name: np.load(folder / f"{index}.npy", mmap_mode="r") for index, name in enumerate(names)}
    try:
        session = target.backend.load(artifact, target)
        fixed = fixed_batch_of(artifact)
        predictions = _predictions(session, metric, inputs, fixed or batch_size, bool(fixed), connection.send)
    except SlimlineError as error:
        connection.send(error)
        return
    except Exception as error:  # noqa: BLE001 - a runtime raises what it likes; here it becomes the row's reason
        connection.send(WorkerFailed(reason_of(error)))
        return
    connection.send(predictions)


def _predictions(
    session: Session, metric: Metric, inputs: Feed, batch: int, fixed: bool, report: Callable[[float], None]
) -> NDArray[Any]:
    count = len(next(iter(inputs.values())))
    found: list[NDArray[Any]] = []
    every = max(count // _REPORTS, 1)
    reported = 0
    for start in range(0, count, batch):
        size = min(batch, count - start)
        feed = {name: _batch(array, start, size, batch if fixed else size) for name, array in inputs.items()}
        predicted = metric.predictions(session(feed))
        if len(predicted) != (batch if fixed else size):
            raise UserError(
                f"metric '{metric.name}' gave {len(predicted)} predictions for a batch of {size} examples: the model's "
                "first output must have one row per example"
            )
        found.append(predicted[:size])
        if start + size - reported >= every:
            reported = start + size
            report(reported / count)
    return np.concatenate(found)


def _batch(array: NDArray[Any], start: int, size: int, filled: int) -> NDArray[Any]:
    batch = np.array(array[start : start + size])
    if filled == size:
        return batch
    return np.concatenate([batch, np.repeat(batch[-1:], filled - size, axis=0)])


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
