"""The line of requests before a model, without a server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest

from pipeline.bundle.slimline_infer.line import Line, Run
from pipeline.bundle.slimline_infer.refused import Refused
from pipeline.bundle.slimline_infer.values import Arrays, InputError

LONG_S = 60.0


class Doubling:
    """A model that waits before its first call until it may go on, and tells what it was called with."""

    def __init__(self) -> None:
        self.calls: list[list[float]] = []
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self, arrays: Arrays) -> dict[str, np.ndarray]:
        self.calls.append(arrays["x"].ravel().tolist())
        self.begun.set()
        assert self.go_on.wait(LONG_S)
        if (arrays["x"] < 0).any():
            raise InputError("x is below 0")
        return {"y": arrays["x"] * 2}


@contextmanager
def worked(line: Line) -> Iterator[ThreadPoolExecutor]:
    """The line with a thread that answers, and threads that ask."""
    with ThreadPoolExecutor(8) as pool:
        worker = pool.submit(line.work)
        try:
            yield pool
        finally:
            line.close()
        worker.result(LONG_S)


def x(*values: float) -> dict[str, np.ndarray]:
    return {"x": np.array(values).reshape(-1, 1)}


def later() -> float:
    return time.monotonic() + LONG_S


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.001)


def answers_of(run: Run, line: Line, asked: list[dict[str, np.ndarray]]) -> list[object]:
    """What each request gets, where the model is busy with another until all of them wait."""
    assert isinstance(run, Doubling)
    with worked(line) as pool:
        first = pool.submit(line.answer, x(0), later())
        assert run.begun.wait(LONG_S)
        others = []
        for number, arrays in enumerate(asked, start=1):
            others.append(pool.submit(line.answer, arrays, later()))
            wait_until(lambda number=number: len(line._waiting) == number)  # type: ignore[misc]
        run.go_on.set()
        first.result(LONG_S)
        return [other.exception(LONG_S) or other.result()["y"].ravel().tolist() for other in others]


def test_without_waiting_each_request_has_a_call_of_its_own() -> None:
    run = Doubling()
    assert answers_of(run, Line(run, places=8, most=8), [x(1), x(2, 3)]) == [[2], [4, 6]]
    assert run.calls == [[0], [1], [2, 3]]


def test_requests_that_wait_together_share_a_call_and_get_their_own_outputs() -> None:
    run = Doubling()
    line = Line(run, places=8, most=4, wait_s=1e-3)
    assert answers_of(run, line, [x(1), x(2, 3), x(4), x(5)]) == [[2], [4, 6], [8], [10]]
    assert run.calls == [[0], [1, 2, 3, 4], [5]]


def test_requests_of_other_shapes_do_not_share_a_call() -> None:
    run = Doubling()
    line = Line(run, places=8, most=4, wait_s=1e-3)
    assert answers_of(run, line, [x(1), {"x": np.array([[2.0, 3.0]])}]) == [[2], [4, 6]]
    assert run.calls == [[0], [1], [2, 3]]


def test_a_request_that_fails_does_not_fail_those_that_shared_its_call() -> None:
    run = Doubling()
    line = Line(run, places=8, most=4, wait_s=1e-3)
    good, bad, other = answers_of(run, line, [x(1), x(-1), x(2)])
    assert (good, other) == ([2], [4])
    assert isinstance(bad, InputError)
    assert run.calls == [[0], [1, -1, 2], [1], [-1], [2]]


def test_a_request_that_is_alone_waits_no_longer_than_it_may() -> None:
    run = Doubling()
    run.go_on.set()
    line = Line(run, places=8, most=100, wait_s=1e-3)
    with worked(line) as pool:
        assert pool.submit(line.answer, x(1), later()).result(LONG_S)["y"].tolist() == [[2]]


def test_a_full_line_says_when_to_ask_again() -> None:
    line = Line(Doubling(), places=1)
    with line.place(), pytest.raises(Refused, match="1 requests are waiting already") as refused, line.place():
        pass
    assert refused.value.status == 503
    assert int(refused.value.headers["Retry-After"]) >= 1
    with line.place():
        pass


def test_a_request_is_told_when_its_time_is_over_and_is_not_run_then() -> None:
    run = Doubling()
    line = Line(run, places=8)
    with worked(line) as pool:
        first = pool.submit(line.answer, x(0), later())
        assert run.begun.wait(LONG_S)
        with pytest.raises(Refused, match="did not answer in time") as refused:
            line.answer(x(1), time.monotonic())
        run.go_on.set()
        first.result(LONG_S)
    assert refused.value.status == 504
    assert run.calls == [[0]]


def test_a_model_that_breaks_answers_the_next_request() -> None:
    def run(arrays: Arrays) -> dict[str, np.ndarray]:
        if not arrays["x"].all():
            raise MemoryError("no memory")
        return {"y": arrays["x"]}

    line = Line(run, places=8)
    with worked(line) as pool:
        assert isinstance(pool.submit(line.answer, x(0), later()).exception(LONG_S), MemoryError)
        assert pool.submit(line.answer, x(1), later()).result(LONG_S)["y"].tolist() == [[1]]


def test_a_closed_line_answers_those_that_wait() -> None:
    run = Doubling()
    run.go_on.set()
    line = Line(run, places=8)
    with ThreadPoolExecutor(2) as pool:
        asked = pool.submit(line.answer, x(1), later())
        wait_until(lambda: bool(line._waiting))
        line.close()
        line.work()
        assert asked.result(LONG_S)["y"].tolist() == [[2]]
