"""A name that does not exist is told with the one that may be meant."""

from __future__ import annotations

import pytest

from pipeline.errors.names import unknown

KEYS = ("graph_level", "execution_mode", "spinning")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("graph_levle", "did you mean 'graph_level'? available: graph_level, execution_mode, spinning"),
        ("Graph_Level", "did you mean 'graph_level'? available: "),
        ("execution", "did you mean 'execution_mode'? available: "),
        ("threads", "available: graph_level, execution_mode, spinning"),
    ],
)
def test_the_nearest_name_is_asked_for_and_all_are_listed(name: str, said: str) -> None:
    assert unknown(f"session.{name}", name, KEYS).startswith(f"session.{name} does not exist; {said}")


def test_where_nothing_exists_that_is_said() -> None:
    assert unknown("a.b", "b", ()) == "a.b does not exist; available: nothing"
