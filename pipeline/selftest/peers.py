"""Times the same identical models in the usual way: one to its end, then the other, in the same minutes and for as
long."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import Artifact
from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.errors import WorkerFailed
from pipeline.measure.probe import probe_feed
from pipeline.measure.workers.process import Worker
from pipeline.measure.workers.start import started
from pipeline.measure.workers.worker import Cell, Job, Load, State
from pipeline.plan import Target

WARM_UP_NS = 20_000_000
_NS_PER_S = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerTrial:
    """Another method's result for the ratio of two identical models."""

    value: float
    low: float
    high: float
    seconds: float

    @property
    def excludes_one(self) -> bool:
        """Whether the result calls the models different."""
        return not self.low <= 1 <= self.high

    @property
    def half_width(self) -> float:
        """Half the interval's length, relative to 1."""
        return (self.high - self.low) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchTimer:
    """Have torch.utils.benchmark time the loaded model; returns the times of its measurement, in seconds a call."""

    seconds: float

    def __call__(self, state: State) -> list[float]:
        """Run ``Timer.blocked_autorange`` on one thread."""
        from torch.utils.benchmark import Timer

        session, job = state.loaded
        timer = Timer("session(feed)", globals={"session": session, "feed": job.feed}, num_threads=1)
        return list(timer.blocked_autorange(min_run_time=self.seconds).times)


def sequential_means(artifact: Artifact, seconds: float) -> PeerTrial:
    """The means and Welch's 95 % interval from every call of the first model, then every call of the second."""
    first, second = _both(artifact, to_the_end(seconds / 2))
    return PeerTrial(**welch_ratio(first, second), seconds=seconds)


def torch_benchmark(artifact: Artifact, seconds: float) -> PeerTrial:
    """The medians of torch.utils.benchmark on the first model, then on the second, with the certainty that it gives."""
    first, second = _both(artifact, lambda worker: np.array(worker.ask(TorchTimer(seconds=seconds / 2))))
    return PeerTrial(**torch_ratio(first, second), seconds=seconds)


def welch_ratio(first: NDArray[np.float64], second: NDArray[np.float64]) -> dict[str, float]:
    """The ratio of the means, first over second, with the 95 % interval of Welch's t on the logs of the means.

    The logs' errors are the means' relative errors (delta method). Every call counts as independent, as the method
    assumes.
    """
    from scipy.stats import t

    log = math.log(first.mean() / second.mean())
    parts = [float(times.var(ddof=1) / len(times) / times.mean() ** 2) for times in (first, second)]
    freedom = sum(parts) ** 2 / sum(
        part**2 / (len(times) - 1) for part, times in zip(parts, (first, second), strict=True)
    )
    reach = float(t.ppf(0.975, freedom)) * math.sqrt(sum(parts))
    return {"value": math.exp(log), "low": math.exp(log - reach), "high": math.exp(log + reach)}


def torch_ratio(
    first: Sequence[float] | NDArray[np.float64], second: Sequence[float] | NDArray[np.float64]
) -> dict[str, float]:
    """The ratio of the medians, with an interval at 95 % from the error that ``significant_figures`` is made of.

    That error is the standard deviation of the times between the quartiles over the root of their number (its own
    factor, 1.645, stands for 90 %).
    """
    medians, errors = [], []
    for times in (np.sort(first), np.sort(second)):
        inner = times[len(times) // 4 : math.ceil(3 * len(times) / 4)]
        medians.append(float(np.median(times)))
        errors.append(float(inner.std()) / math.sqrt(len(inner)) / medians[-1])
    log = math.log(medians[0] / medians[1])
    reach = NormalDist().inv_cdf(0.975) * math.hypot(*errors)
    return {"value": math.exp(log), "low": math.exp(log - reach), "high": math.exp(log + reach)}


PEERS: Mapping[str, Callable[[Artifact, float], PeerTrial]] = {
    "sequential means": sequential_means,
    "torch.utils.benchmark": torch_benchmark,
}


def one_after_another(
    artifact: Artifact,
    names: Sequence[str],
    time_it: Callable[[Worker], NDArray[np.float64]],
    start: Literal["fork", "spawn"] = "spawn",
) -> dict[str, NDArray[np.float64]]:
    """Time the same model under several names, each in a fresh process: loaded, warmed up and timed to the end, and
    then the next."""
    target = Target(name="ort_cpu", backend=OnnxRuntime())
    job = Job(artifact=artifact, target=target, feed=probe_feed())
    timed = {}
    with started(dict.fromkeys(names, job), start) as workers:
        for name, worker in workers.items():
            if isinstance(worker, WorkerFailed):
                raise worker
            worker.ask(Load(calls=10, warmup_ns=WARM_UP_NS))
            timed[name] = time_it(worker)
    return timed


def to_the_end(seconds: float, fewest: int = 1) -> Callable[[Worker], NDArray[np.float64]]:
    """Time a loaded model's calls, one right after the other, for so long, in seconds each."""
    cell = Cell(untimed_ns=0, calls=fewest, cell_ns=math.ceil(seconds * _NS_PER_S))

    def time_it(worker: Worker) -> NDArray[np.float64]:
        durations: NDArray[np.float64] = worker.ask(cell).durations_ns / _NS_PER_S
        return durations

    return time_it


def _both(artifact: Artifact, time_it: Callable[[Worker], NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    return list(one_after_another(artifact, ("first", "second"), time_it).values())
