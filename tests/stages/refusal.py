"""What a user is told who types a field of a stage that can't be."""

from __future__ import annotations

from typing import Any

from pipeline.construct import construct


def refusal(kind: type[Any], **fields: Any) -> str:
    """The lines, each with the key as it is typed for a stage named ``stage``."""
    problems: list[str] = []
    made = construct({"_target_": f"{kind.__module__}.{kind.__name__}", **fields}, "stage", problems)
    assert made is None, f"{made} was not refused"
    return "\n".join(problems)
