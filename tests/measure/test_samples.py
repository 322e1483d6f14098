import math
from collections.abc import Mapping

import numpy as np
import pytest

from pipeline.measure.rounds import Block
from pipeline.measure.samples import Collected
from pipeline.measure.workers.worker import Timed


def block(durations_ns: Mapping[str, list[int]], dropped: str | None = None) -> Block:
    cells = {
        key: Timed(durations_ns=np.array(values, np.int64), run_delay_ns=0, major_faults=0)
        for key, values in durations_ns.items()
    }
    return Block(cells=cells, telemetry={"dropped": dropped})


def collected(*rounds: list[Block]) -> Collected:
    found = Collected("cpu")
    for blocks in rounds:
        found.add(blocks, (1,))
    return found


def test_a_ratio_is_of_the_median_calls_of_the_same_block() -> None:
    slow = block({"base": [200, 9000, 200], "variant": [100, 100, 5000]})
    fast = block({"variant": [50, 50, 50], "base": [100, 100, 100]})
    found = collected([slow, fast] * 4, [fast, slow] * 4).estimates({"variant": "base"}, 0.05)
    assert found["variant"].value == pytest.approx(2.0)
    assert found["variant"].half_width == pytest.approx(0.0, abs=1e-12)


def test_a_dropped_block_counts_for_nothing_and_is_kept() -> None:
    good, bad = block({"base": [100], "variant": [100]}), block({"base": [900], "variant": [100]}, "suspended")
    found = collected([good] * 8 + [bad], [good] * 8)
    assert found.estimates({"variant": "base"}, 0.05)["variant"].high == pytest.approx(1.0)
    samples = found.samples((), "cap", 1.0)
    assert 900 in samples.duration_ns
    assert samples.telemetry[8]["dropped"] == "suspended"


def test_no_shared_block_gives_no_ratio() -> None:
    found = collected([block({"base": [100]})], [block({"variant": [100]})])
    assert found.estimates({"variant": "base"}, 0.05) == {}


def test_every_call_is_recorded_with_its_place() -> None:
    samples = collected([block({"b": [1, 2], "a": [3]}), block({"a": [4], "b": [5]})], [block({"a": [6]})]).samples(
        (), "width", 2.0
    )
    rows = zip(
        (samples.subjects[index] for index in samples.subject),
        *(column.tolist() for column in (samples.round, samples.block, samples.position, samples.duration_ns)),
        strict=True,
    )
    assert list(rows) == [
        ("b", 0, 0, 0, 1),
        ("b", 0, 0, 0, 2),
        ("a", 0, 0, 1, 3),
        ("a", 0, 1, 0, 4),
        ("b", 0, 1, 1, 5),
        ("a", 1, 0, 0, 6),
    ]
    assert (samples.rounds, samples.stopped, samples.seconds) == (2, "width", 2.0)
    assert samples.telemetry[2] == {"dropped": None, "round": 1, "block": 0, "device": "cpu", "cores": [1]}


def test_a_subject_that_failed_later_is_left_out() -> None:
    samples = collected([block({"good": [1], "bad": [2]})]).samples({"bad"}, "cap", 1.0)
    assert samples.subjects == ["good"]
    assert samples.duration_ns.tolist() == [1]
    assert math.isclose(samples.seconds, 1.0)
