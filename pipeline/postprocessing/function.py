"""A post-processing that a function of the user's own does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from pipeline.libraries.installed import function_at
from pipeline.plan.postprocessing import Outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function of your own that takes a model's outputs by name, NumPy arrays [N, ...], and gives such arrays by
    name, or one of them."""

    function: str
    """The function's dotted path, such as ``my_package.my_module.my_function``."""

    def __call__(self, outputs: Outputs) -> Outputs | NDArray[Any]:
        """What the function gives; raises UserError where it can't be imported, and what it raises."""
        found: Outputs | NDArray[Any] = function_at(self.function, "model.postprocessing.function")(outputs)
        return found
