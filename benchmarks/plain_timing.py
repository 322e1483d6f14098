"""The rows of an experiment, timed by the tools that come with the runtimes: a check of slimline's own figures.

    python benchmarks/plain_timing.py [--build] [--run RUN] [--seconds 1] [OVERRIDE ...]

OVERRIDE is what stands behind ``python -m pipeline``; the models come from the store. PyTorch rows are timed by
torch.utils.benchmark (its median), ONNX Runtime's by ``onnxruntime.transformers.benchmark_helper`` (its mean), which
needs the package transformers. Each row has a fresh process and is timed to its end before the next one begins, as
these tools do; "on the device" are runs whose inputs and outputs stay there. With RUN, a folder of slimline's own run
of the same overrides, its figures stand beside them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from built import built

from pipeline.artifact import Artifact
from pipeline.backends.onnxruntime.backend import OnnxRuntimeSession
from pipeline.backends.onnxruntime.binding import BoundSession
from pipeline.data.batches import Feed, Inputs, batch_of
from pipeline.errors import first_line
from pipeline.plan import Enqueuing, Session, Target
from pipeline.run.rows import Row

_WARM_S = 0.5


@dataclass(frozen=True)
class Plain:
    """What a tool says, in milliseconds a call; None where it can't time this."""

    tool: str
    call_ms: float | None
    device_ms: float | None


def time_row(artifact: Artifact, target: Target, feed: Feed, seconds: float) -> Plain:
    """In a process of its own."""
    target.backend.preload(target)
    session = target.backend.load(artifact, target)
    until = time.perf_counter() + _WARM_S
    calls = 0
    while time.perf_counter() < until:
        session(feed)
        calls += 1
    repeats = max(10, round(calls * seconds / _WARM_S))
    if isinstance(session, OnnxRuntimeSession | BoundSession):
        return _by_onnxruntime(session, target, feed, repeats)
    return _by_torch(session, target, feed, seconds)


def _by_torch(session: Session, target: Target, feed: Feed, seconds: float) -> Plain:
    from torch.utils.benchmark import Timer

    def median_ms(statement: str, **names: Any) -> float:
        timer = Timer(statement, globals=names, num_threads=target.threads)
        return 1e3 * float(timer.blocked_autorange(min_run_time=seconds).median)

    on_device = None
    if target.device != "cpu" and isinstance(session, Enqueuing):
        on_device = median_ms("batch.enqueue()", batch=session.resident(feed))
    return Plain("torch.utils.benchmark", median_ms("session(feed)", session=session, feed=feed), on_device)


def _by_onnxruntime(session: OnnxRuntimeSession | BoundSession, target: Target, feed: Feed, repeats: int) -> Plain:
    from onnxruntime.transformers.benchmark_helper import inference_ort, inference_ort_with_io_binding

    plain, batch = session.session, len(next(iter(feed.values())))

    def mean_ms(measured: Callable[[], dict[str, str]]) -> float:
        return 1e3 * batch / float(measured()["QPS"])  # its latencies are rounded to a hundredth of a millisecond

    bound = isinstance(session, BoundSession)
    call_ms = None if bound else mean_ms(lambda: inference_ort(plain, feed, {}, repeats, batch, 10))
    if target.device == "cpu":
        return Plain("onnxruntime.transformers", call_ms, None)
    outputs = session(feed)
    sizes = [output.size for output in outputs]
    names = [output.name for output in plain.get_outputs()]
    on_device = mean_ms(
        lambda: inference_ort_with_io_binding(
            plain, feed, {}, repeats, names, outputs, [], sizes, batch, target.device, warm_up_repeat=10
        )
    )
    return Plain("onnxruntime.transformers", call_ms, on_device)


def figures_of(run: Path | None) -> dict[tuple[str, str, int], dict[str, Any]]:
    """The rows of a report.json by variant, target and batch size; nothing without a run."""
    if run is None:
        return {}
    report = json.loads((run / "report.json").read_text())
    return {
        (variant["name"], row["target"], row["batch_size"]): row
        for variant in report["variants"]
        for row in variant["results"]
        if row["status"] == "ok"
    }


def line(*cells: str) -> str:
    """Of a table in Markdown."""
    return f"| {' | '.join(cells)} |"


def shown(value: float | None) -> str:
    """Milliseconds."""
    return "" if value is None else f"{value:.4g}"


def main() -> None:
    """Time every row that can be run here, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--run", type=Path, help="a run's folder, such as outputs/latest")
    parser.add_argument("--build", action="store_true", help="build the models, and time nothing")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each figure")
    parser.add_argument("overrides", nargs="*", metavar="OVERRIDE")
    options = parser.parse_args()
    if options.build:
        with built(options.overrides) as experiment:
            print(*(f"{row.record.key}: {row.record.reason or 'built'}" for row in experiment.rows), sep="\n")
        return
    # One process imports the runtimes and is forked for each row; it makes no session and touches no card.
    multiprocessing.set_forkserver_preload(["torch", "onnxruntime", "pipeline.backends.torch"])
    ours = figures_of(options.run)
    heads = ("row", "tool", "a call (ms)", "on the device (ms)", "slimline's p50 (ms)", "slimline's device time (ms)")
    print(line(*heads), line(*("---" for _ in heads)), sep="\n")
    with built(options.overrides) as experiment:
        for row in experiment.rows:
            if row.artifact is not None:
                print(_timed(row, experiment.inputs, options.seconds, ours), flush=True)


def _timed(row: Row, inputs: Inputs, seconds: float, ours: Mapping[tuple[str, str, int], dict[str, Any]]) -> str:
    """A row's line."""
    assert row.artifact is not None
    feed = {name: np.array(array) for name, array in batch_of(inputs, row.record.batch_size).items()}
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("forkserver")) as pool:
            plain = pool.submit(time_row, row.artifact, row.target, feed, seconds).result()
    except Exception as error:  # noqa: BLE001  a tool raises what it likes; the other rows go on
        return line(row.record.key, first_line(error), "", "", "", "")
    own = ours.get((row.record.variant, row.record.target, row.record.batch_size), {})
    latency, device = own.get("latency_ms") or {"p50": {"value": None}}, own.get("device_ms") or {"value": None}
    figures = (plain.call_ms, plain.device_ms, latency["p50"]["value"], device["value"])
    return line(row.record.key, plain.tool, *map(shown, figures))


if __name__ == "__main__":
    main()
