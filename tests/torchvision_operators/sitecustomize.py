"""Lets torchvision be imported beside a PyTorch that its operators were not built for.

torchvision's wheel on PyPI is built for CUDA's PyTorch, and describes its operators when it is imported. Beside the
CPU's PyTorch they are missing, and the import fails. Here they are declared first; nobody calls them. Python imports
this file by itself in each process that the tests start (PYTHONPATH).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


class Declares(MetaPathFinder):
    """Finds nothing, and declares the operators when torchvision is looked for."""

    libraries: tuple[Any, ...] = ()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "torchvision" and not self.libraries:
            from torch.library import Library

            library: Any = Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
            Declares.libraries = (library,)
            for operator in _OPERATORS:
                library.define(operator)
        return None


def apart() -> bool:
    """Whether torchvision is installed, and built for another PyTorch."""
    try:
        return version("torch").endswith("+cpu") and not version("torchvision").endswith("+cpu")
    except PackageNotFoundError:
        return False


if apart() and not any(type(finder).__name__ == Declares.__name__ for finder in sys.meta_path):
    sys.meta_path.insert(0, Declares())
