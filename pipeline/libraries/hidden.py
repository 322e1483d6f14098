"""Keeps a library from importing another one that it can do without."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType


@dataclass(frozen=True, slots=True)
class _Missing(Loader):
    """Finds a module, and fails to load it."""

    name: str

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name == self.name else None

    def create_module(self, spec: ModuleSpec) -> None:
        """Let Python make the module."""

    def exec_module(self, module: ModuleType) -> None:
        raise ModuleNotFoundError(f"No module named '{self.name}'", name=self.name)


@contextmanager
def hidden(library: str) -> Iterator[None]:
    """Let imports of a library within this block fail, as if it were not installed; what has it already, keeps it."""
    finder = _Missing(library)
    known = sys.modules.pop(library, None)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        if known is not None:
            sys.modules[library] = known
