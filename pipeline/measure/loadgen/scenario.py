"""MLPerf's scenarios, issued and timed by MLCommons' LoadGen (the extra ``mlperf``).

Each scenario of each row has a process of its own, in which LoadGen asks, the model answers, and LoadGen writes its
logs. Its figures are read from these logs, never timed here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import numpy as np

from pipeline.data.batches import Arrays, Axes, Inputs, axes_of
from pipeline.errors import reasoned, reporting_temporary
from pipeline.measure.loadgen.log import read_scenario
from pipeline.measure.loadgen.serving import Query, Serving, Waiting, batch_shapes
from pipeline.measure.workers.start import alone
from pipeline.measure.workers.worker import Job, Load, State
from pipeline.plan import as_read

MOST_SAMPLES = 1024
"""The number of examples that LoadGen chooses from; they are held in memory."""
_NS_PER_S = 1e9
_NS_PER_MS = 1e6
_OFFLINE_RESERVE = 1.2
"""LoadGen asks for 10 % more examples than the expected rate gives; the model may run faster than when it was warmed
up by this much more."""
_STREAM_RESERVE = 0.5
"""LoadGen prepares queries for twice the duration; it is told that a query takes this share of what it took."""
_HOPELESS = 10
"""Server ends early when the queries that wait take this many times the bound (and a second) to answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """Examples in files that a worker reads: ``<number>.npy`` [N, ...] per input name, in order."""

    folder: Path
    names: Sequence[str]
    axes: Axes = field(default_factory=dict)

    def read(self) -> Inputs:
        """All examples."""
        arrays = {name: np.load(self.folder / f"{number}.npy") for number, name in enumerate(self.names)}
        return Inputs(arrays, self.axes)


@contextmanager
def written(inputs: Arrays) -> Iterator[Examples]:
    """The first examples of ``inputs`` in a temporary folder, for as long as the context lasts.

    Raises OutOfSpace.
    """
    with TemporaryDirectory(prefix="slimline-loadgen-") as folder:
        with reporting_temporary():
            for number, array in enumerate(inputs.values()):
                np.save(Path(folder) / f"{number}.npy", np.ascontiguousarray(array[:MOST_SAMPLES]))
        yield Examples(folder=Path(folder), names=list(inputs), axes=axes_of(inputs))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One scenario to run: its shortest duration, the seed of its order, and for Server the rate and the bound."""

    scenario: str
    duration_s: float
    seed: int
    server_qps: float | None = None
    server_latency_ms: float | None = None


def run_scenario(
    job: Job, batch_size: int, fixed_batch: bool, ask: Ask, examples: Examples, logs: Path
) -> dict[str, Any]:
    """Run one scenario in a fresh process and return LoadGen's findings, as plain values.

    LoadGen's logs are left in ``logs``. Where the scenario could not be run, ``reason`` says why.
    """
    logs.mkdir(parents=True, exist_ok=True)
    command = RunScenario(
        ask=ask, shapes=batch_shapes(batch_size, fixed_batch), examples=examples, logs=str(logs.absolute())
    )
    found: dict[str, Any] = {"scenario": ask.scenario}
    with reasoned(lambda error: found.update(reason=str(error))):
        with alone(job) as worker:
            worker.ask(Load(calls=0, warmup_ns=0))
            worker.ask(command, expected_s=ask.duration_s)
        found = read_scenario(logs, ask.scenario)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class RunScenario:
    """The worker's part: warm the model up, then let LoadGen ask."""

    ask: Ask
    shapes: Sequence[int]
    examples: Examples
    logs: str

    def __call__(self, state: State) -> None:
        """Return when LoadGen has written its logs; raises the model's own errors."""
        import mlperf_loadgen as lg

        def done(queries: Sequence[Any]) -> None:
            lg.QuerySamplesComplete([lg.QuerySampleResponse(query.id, 0, 0) for query in queries])

        session, _ = state.loaded
        samples = self.examples.read()
        serving = Serving(session, as_read(session, samples), self.shapes, done)
        settings = _settings(self.ask, serving.warm_up())
        count = len(next(iter(samples.values())))
        if self.ask.scenario == "Server":
            self._serve_from_queue(serving, settings, count)
        else:
            self._test(serving.answer, settings, count)
        if serving.error is not None:
            raise serving.error

    def _serve_from_queue(self, serving: Serving, settings: Any, count: int) -> None:
        """LoadGen's thread puts each query into a queue, and one thread answers them in the order of arrival."""
        waiting: Waiting = SimpleQueue()

        def issue(queries: Sequence[Query]) -> None:
            for query in queries:
                waiting.put(query)

        thread = Thread(target=serving.answer_all, args=(waiting,), daemon=True)
        thread.start()
        self._test(issue, settings, count)
        waiting.put(None)
        thread.join()

    def _test(self, issue: Any, settings: Any, count: int) -> None:
        import mlperf_loadgen as lg

        logging = lg.LogSettings()
        logging.enable_trace = False
        logging.log_output.outdir = self.logs
        system = lg.ConstructSUT(issue, _nothing)
        library = lg.ConstructQSL(count, count, _nothing, _nothing)
        try:
            # Named, since LoadGen would take settings from an audit.config in the working directory.
            lg.StartTestWithLogSettings(system, library, settings, logging, f"{self.logs}/audit.config")
        finally:
            lg.DestroyQSL(library)
            lg.DestroySUT(system)


def _nothing(*_: Any) -> None:
    """All examples are in memory already, and no query is held back."""


def _settings(ask: Ask, warm_ns: Mapping[int, float]) -> Any:
    """LoadGen's settings, with what it must expect of the model from the warm-up (call times by batch size)."""
    import mlperf_loadgen as lg

    settings = lg.TestSettings()
    settings.mode = lg.TestMode.PerformanceOnly
    settings.scenario = getattr(lg.TestScenario, ask.scenario)
    settings.min_duration_ms = math.ceil(ask.duration_s * 1e3)
    settings.min_query_count = 1  # the duration says how many; LoadGen's early stopping says whether they are enough
    seeds = np.random.SeedSequence(ask.seed).generate_state(3)
    settings.qsl_rng_seed, settings.sample_index_rng_seed, settings.schedule_rng_seed = map(int, seeds)
    largest = max(warm_ns)
    sample_ns = warm_ns[largest] / largest
    settings.offline_expected_qps = _OFFLINE_RESERVE * _NS_PER_S / sample_ns
    settings.single_stream_expected_latency_ns = math.ceil(_STREAM_RESERVE * warm_ns[min(warm_ns)])
    stream_ns = _query_ns(settings.multi_stream_samples_per_query, warm_ns)
    settings.multi_stream_expected_latency_ns = math.ceil(_STREAM_RESERVE * stream_ns)
    if ask.server_qps is not None and ask.server_latency_ms is not None:
        settings.server_target_qps = ask.server_qps
        settings.server_target_latency_ns = math.ceil(ask.server_latency_ms * _NS_PER_MS)
        patience_ns = max(_HOPELESS * ask.server_latency_ms * _NS_PER_MS, _NS_PER_S)
        settings.server_max_async_queries = max(math.ceil(patience_ns / sample_ns), largest)
    return settings


def _query_ns(samples: int, warm_ns: Mapping[int, float]) -> float:
    """About how long a query of so many examples takes."""
    largest = max(warm_ns)
    rest = samples % largest
    last_ns = warm_ns[min(size for size in warm_ns if size >= rest)] if rest else 0.0
    return samples // largest * warm_ns[largest] + last_ns
