"""Is a candidate accurate enough? Its own bytes, on the runtime that it is timed on, one example a call."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

import numpy as np
from candidates import BATCH, Candidate
from numpy.typing import NDArray

from pipeline.data.dataset import Feed, Split
from pipeline.errors import WorkerFailed, first_line
from pipeline.metrics.scores import cosines
from pipeline.statistics.accuracy import paired_difference

MARGIN = 0.01
"""One point of accuracy."""
LEAST_COSINE = 0.99
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """How a candidate's outputs differ from the fp32 baseline's."""

    passes: bool
    text: str
    """The difference of accuracy in points with its interval, or the mean cosine; and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Judge:
    """Compares with the baseline's outputs: by labels if there are any and the outputs are scores, else by cosine."""

    test: Split
    scores: bool
    baseline: Floats
    """[N, …]"""

    def __call__(self, candidate: Candidate) -> Judgement:
        """Raises WorkerFailed where the candidate can't be run."""
        found = outputs(candidate, self.test.arrays)
        if self.test.labels is None or not self.scores:
            return by_cosine(found, self.baseline)
        return by_labels(found, self.baseline, self.test.labels)


def by_labels(found: Floats, baseline: Floats, labels: NDArray[np.int64]) -> Judgement:
    """The accuracy may be lower than the baseline's by ``MARGIN`` at most, at the lower end of its interval.

    The difference itself would let models pass by luck: three of 300 examples are no more than a point either.
    """
    right, reference = found.argmax(axis=1) == labels, baseline.argmax(axis=1) == labels
    gained, lost = int((right & ~reference).sum()), int((reference & ~right).sum())
    change = paired_difference(gained, lost, len(labels))
    interval = f"{100 * change.low:+.2f}, {100 * change.high:+.2f}"
    text = f"{100 * right.mean():.2f} % ({100 * change.value:+.2f} pt [{interval}])"
    if change.low > -MARGIN:
        return Judgement(passes=True, text=text)
    lost_too_much = change.value <= -MARGIN
    return Judgement(passes=False, text=f"{text}, {'not enough' if lost_too_much else 'too few examples to tell'}")


def by_cosine(found: Floats, baseline: Floats) -> Judgement:
    """The mean over examples of the cosine between the outputs must reach ``LEAST_COSINE``."""
    cosine = cosines(*(array.reshape(len(array), -1) for array in (found, baseline)))
    mean = float(cosine.mean())
    text = f"cosine {mean:.4f} (worst example {float(cosine.min()):.4f})"
    passes = mean >= LEAST_COSINE
    return Judgement(passes=passes, text=text if passes else f"{text}, not enough")


def outputs(candidate: Candidate, inputs: Feed) -> Floats:
    """The first output for every example, in a process of its own; raises WorkerFailed with the reason."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(_run, candidate, inputs).result()
        except BrokenProcessPool as error:
            raise WorkerFailed(f"{candidate.key} ended its process") from error


def _run(candidate: Candidate, inputs: Feed) -> Floats:
    try:
        session = candidate.target.backend.load(candidate.artifact, candidate.target)
        count = len(next(iter(inputs.values())))
        rows = []
        for start in range(0, count, BATCH):
            feed = {name: np.ascontiguousarray(array[start : start + BATCH]) for name, array in inputs.items()}
            rows.append(np.array(session(feed)[0], np.float32))
    except Exception as error:  # noqa: BLE001  a runtime raises what it likes; here it becomes the candidate's reason
        raise WorkerFailed(first_line(error)) from None
    return np.concatenate(rows)
