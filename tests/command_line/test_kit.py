"""The words behind ``kit``."""

from __future__ import annotations

import pytest

from pipeline.command_line.kit import kit_options
from pipeline.errors import UserError


def test_rows_and_a_host_are_taken_as_typed() -> None:
    options = kit_options(
        ["outputs/latest", "static_int8", "--host", "pi@box", "--python", "python3.9", "--budget-s", "60"]
    )
    assert (options.rows, options.host, options.python, options.budget_s) == (
        ["static_int8"],
        "pi@box",
        "python3.9",
        60.0,
    )


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--examples", "0"], "--examples must be a whole number from 1 on"),
        (["--python", "python3.9"], "--python is for --host"),
        (["--budget-s", "60"], "--budget-s is for --host"),
        (["--busy", "1"], "--busy is for --host"),
        (["--host", "box", "--busy", "-1"], "--busy must be at least 0"),
        (["--host", "box", "--budget-s", "-1"], "--budget-s must be a number of seconds above 0"),
        (["--host", "box", "--out", "kit"], "--out is for a kit that you carry"),
    ],
)
def test_words_that_can_not_be_meant_are_one_line(words: list[str], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        kit_options(["outputs/latest", *words])
