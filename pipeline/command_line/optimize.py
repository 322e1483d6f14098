"""The command ``optimize MODEL [DATA] [overrides]``: the settings of a search for the best, and nothing else."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from pipeline.command_line.typed import add_files, typed

_EXTRA: Mapping[str, str] = {"openvino": "models on OpenVINO", "nncf": "NNCF's int8"}
"""The packages of the extra ``openvino``, and what each brings."""
BEST = "experiment=best"


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """The experiment that ``optimize`` stands for."""

    words: Sequence[str]
    """The words to type behind ``python -m pipeline``: flags and settings."""
    notes: Sequence[str] = ()
    """What the user may want to know before it begins, a sentence each."""

    def lines(self) -> str:
        """The command, to be typed, and the notes."""
        return "\n".join(
            [shlex.join(["python", "-m", "pipeline", *self.words]), *(f"note: {one}" for one in self.notes)]
        )


def search(argv: Sequence[str]) -> Search:
    """The experiment that these words stand for; what was typed as KEY=VALUE wins over what MODEL and DATA stand for.

    Raises UserError where something is missing, with what to type.
    """
    words = typed(argv, _parser())
    best = [] if "experiment" in words.given else [BEST]
    notes = [*words.notes, *_metric_notes(words.data, words.chosen), *_extra_notes(words.given)]
    return Search(words=(*words.flags, *best, *words.chosen, *words.settings), notes=notes)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="slimline optimize",
        usage="slimline optimize [-h] MODEL [DATA] [KEY=VALUE ...]",
        description="Find the best for a model on this machine, and prove it: a search among chains of stages, their "
        "fields and the runtimes that are here, and then a run of the best three beside the baseline. First the "
        "command is printed that this one stands for.",
        epilog="KEY=VALUE sets anything else, and wins over what MODEL and DATA stand for: search.budget_s=300 "
        "(seconds for the whole run), metric=f1, constraints.max_accuracy_drop=0.005, data.size=192.",
    )
    add_files(parser)
    return parser


def _metric_notes(data: str | None, words: Sequence[str]) -> list[str]:
    if data is None or "metric=cosine" not in words:
        return []
    return [
        f"{data} has no labels, so outputs are compared with the baseline's (metric=cosine); metric=top_one compares "
        "the answers of a classifier"
    ]


def _extra_notes(given: Mapping[str, str]) -> list[str]:
    lacking = [name for name in _EXTRA if find_spec(name) is None]
    if not lacking or {"experiment", "target"} & set(given):
        return []
    return [
        f"not installed: {' and '.join(lacking)}, so {' and '.join(_EXTRA[name] for name in lacking)} can't take part: "
        "pip install 'slimline[openvino]'"
    ]
