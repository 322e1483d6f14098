"""Greedy decoding of a model that was trained by CTC, such as a speech recognizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.bounds import CountFromZero
from pipeline.errors import UserError
from pipeline.plan.postprocessing import Outputs
from pipeline.postprocessing.reading import scores_in

_END = -1
"""What fills a row of tokens behind its last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ctc:
    """The most likely token of each frame, without repetitions and blanks.

    Source: Graves et al. 2006, "Connectionist temporal classification", section 3.2 (best path decoding).
    """

    output: int | str = 0
    """The output that holds the scores [N, frames, tokens], by its place or name."""
    blank: CountFromZero = 0
    """The number of the token that stands for nothing."""
    collapse: bool = True
    """Whether a token that follows itself counts once."""
    vocabulary: tuple[str, ...] = ()
    """The text of each token, in the order of their numbers, the blank's included; none: the numbers are given."""

    def __call__(self, outputs: Outputs) -> Outputs:
        """``texts`` [N]; without a vocabulary ``tokens`` [N, frames], filled with -1 behind the last. Raises UserError
        where the output holds no such scores."""
        name, scores = scores_in(outputs, self.output)
        count = scores.shape[-1]
        if scores.ndim != 3 or self.blank >= count or (self.vocabulary and len(self.vocabulary) != count):
            raise UserError(
                f"model.postprocessing (ctc) needs output '{name}' to be scores [examples, frames, tokens] of "
                f"{len(self.vocabulary) or f'more than {self.blank}'} tokens (model.postprocessing.vocabulary and "
                f"blank), but it is {list(scores.shape)}: name another with model.postprocessing.output"
            )
        best = scores.argmax(axis=-1)
        kept = best != self.blank
        if self.collapse:
            kept[:, 1:] &= best[:, 1:] != best[:, :-1]
        if self.vocabulary:
            return {"texts": self._texts(best, kept)}
        return {"tokens": _to_the_left(best, kept)}

    def _texts(self, best: NDArray[np.intp], kept: NDArray[np.bool_]) -> NDArray[np.str_]:
        rows = zip(best, kept, strict=True)
        return np.array(["".join(self.vocabulary[token] for token in row[here]) for row, here in rows], np.str_)


def _to_the_left(tokens: NDArray[Any], kept: NDArray[np.bool_]) -> NDArray[np.int64]:
    order = np.argsort(~kept, axis=1, kind="stable")
    return np.take_along_axis(np.where(kept, tokens, _END).astype(np.int64), order, axis=1)
