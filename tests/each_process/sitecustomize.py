"""What each process of the tests does first: Python imports this file by itself (PYTHONPATH).

- torchvision can be imported beside a PyTorch that its operators were not built for. Its wheel on PyPI is built for
  CUDA's PyTorch, and describes its operators when it is imported. Beside the CPU's PyTorch they are missing, and the
  import fails. Here they are declared first; nobody calls them.
- rfc3987_syntax, which jsonschema imports where it is installed, parses its grammar when it is first asked. Its import
  does so at once, which takes 2 to 3 s, and altair imports jsonschema. Only the check of CycloneDX's schema asks it.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


class Declares:
    """Finds nothing, and declares the operators when torchvision is looked for and is built for another PyTorch.

    Each process pays for what this file imports: ``importlib.abc`` alone would import twenty modules more.
    """

    libraries: tuple[Any, ...] = ()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "torchvision" and not self.libraries and apart():
            from torch.library import Library

            library: Any = Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
            Declares.libraries = (library,)
            for operator in _OPERATORS:
                library.define(operator)
        return None


def apart() -> bool:
    """Whether torchvision is installed, and built for another PyTorch."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("torch").endswith("+cpu") and not version("torchvision").endswith("+cpu")
    except PackageNotFoundError:
        return False


if not any(type(finder).__name__ == Declares.__name__ for finder in sys.meta_path):
    sys.meta_path.insert(0, Declares())


def later(name: str, function: str) -> ModuleType:
    """A module in place of another, which is imported when its function is first called."""

    def call(*arguments: Any, **words: Any) -> Any:
        if sys.modules.get(name) is module:
            del sys.modules[name]
        return getattr(import_module(name), function)(*arguments, **words)

    module = ModuleType(name)
    setattr(module, function, call)
    return module


if "rfc3987_syntax" not in sys.modules and find_spec("rfc3987_syntax") is not None:
    sys.modules["rfc3987_syntax"] = later("rfc3987_syntax", "is_valid_syntax")

gc.set_threshold(100_000, 20, 20)
