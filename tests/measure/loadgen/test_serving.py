from collections.abc import Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest

from pipeline.data.dataset import Feed
from pipeline.measure.loadgen.serving import Query, Serving, Waiting, batch_shapes

SAMPLES = {"x": np.arange(10, dtype=np.float32)[:, None]}


@dataclass(frozen=True)
class Asked:
    index: int


@dataclass
class Model:
    fail_at: int | None = None
    batches: list[list[int]] = field(default_factory=list)

    def __call__(self, feed: Feed) -> list[Any]:
        self.batches.append([int(value) for value in feed["x"][:, 0]])
        if len(self.batches) == self.fail_at:
            raise ValueError("not this one")
        return []


def serving(model: Model, answered: list[int], shapes: Sequence[int] = (1, 2, 4)) -> Serving:
    def done(queries: Sequence[Query]) -> None:
        answered.extend(query.index for query in queries)

    return Serving(model, SAMPLES, shapes, done)


@pytest.mark.parametrize(("size", "shapes"), [(1, (1,)), (4, (1, 2, 4)), (6, (1, 2, 4, 6)), (32, (1, 2, 4, 8, 16, 32))])
def test_batches_are_of_powers_of_two_and_of_the_rows_own_size(size: int, shapes: tuple[int, ...]) -> None:
    assert batch_shapes(size, fixed=False) == shapes
    assert batch_shapes(size, fixed=True) == (size,)


def test_queries_are_answered_in_their_order_in_batches(answered: list[int]) -> None:
    model = Model()
    serving(model, answered).answer([Asked(index) for index in (3, 1, 4, 1, 5, 9)])
    assert model.batches == [[3, 1, 4, 1], [5, 9]]
    assert answered == [3, 1, 4, 1, 5, 9]


def test_a_rest_is_filled_up_to_the_next_size(answered: list[int]) -> None:
    model = Model()
    serving(model, answered).answer([Asked(index) for index in (1, 2, 3)])
    serving(model, answered, shapes=(4,)).answer([Asked(7)])
    assert model.batches == [[1, 2, 3, 3], [7, 7, 7, 7]]
    assert answered == [1, 2, 3, 7]


def test_what_waits_makes_a_batch_and_the_end_is_the_end(answered: list[int]) -> None:
    waiting: Waiting = SimpleQueue()
    for query in (*map(Asked, range(6)), None, Asked(9)):
        waiting.put(query)
    model = Model()
    serving(model, answered).answer_all(waiting)
    assert model.batches == [[0, 1, 2, 3], [4, 5]]
    assert answered == list(range(6))
    assert waiting.get() == Asked(9)


def test_after_an_error_queries_are_answered_without_the_model(answered: list[int]) -> None:
    model = Model(fail_at=2)
    found = serving(model, answered, shapes=(1,))
    found.answer([Asked(index) for index in range(5)])
    assert len(model.batches) == 2
    assert answered == list(range(5)), "LoadGen would wait for ever"
    assert str(found.error) == "not this one"


def test_every_size_is_warmed_up(answered: list[int]) -> None:
    model = Model()
    warm_ns = serving(model, answered).warm_up()
    assert list(warm_ns) == [1, 2, 4]
    assert {len(batch) for batch in model.batches} == {1, 2, 4}
    assert answered == []


@pytest.fixture(name="answered")
def _answered() -> list[int]:
    return []
