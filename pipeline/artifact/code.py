"""The digest of the code that made a model: of a module's file, and of all the user's own modules that it imports.

The files are read and never run. The user's own modules are those that lie neither in the standard library nor among
the installed packages; of installed packages the version counts. A module that imports by names which only running it
would tell stands for every Python file of its folder.
"""

from __future__ import annotations

import ast
import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from pkgutil import get_importer
from typing import Any

from pipeline.artifact.files import file_digest
from pipeline.libraries.installed import version

_OWN_PACKAGE = __name__.partition(".")[0]
_MODELS = f"{_OWN_PACKAGE}.zoo."
"""The beginning of the modules of this package whose code counts: the models. A stage has a ``version`` instead."""
_INSTALLED = {"site-packages", "dist-packages"}
_DYNAMIC = ("import_module", "__import__", "iter_modules", "walk_packages", "spec_from_file_location", "run_path")
_MOST = 3000
"""Folders and Python files looked at where a folder is taken as a whole."""
_LARGEST_FILE = 100_000_000
"""Bytes of a file that an argument names; a larger one holds weights, not settings."""


def code_digest(*paths: str, settings: Any = None) -> str | None:
    """The sha256 over the code behind dotted paths such as ``my_package.my_module.MyNet``; None where none is found.

    Files that ``settings`` name count, too, directly or within lists and mappings; for a folder the files right inside
    it count. The digest is the same in every process that has the same search path.
    """
    found = _Modules()
    for path in paths:
        found.add_path(path)
    for value in _strings(settings):
        found.digests |= {f"{value}: {file.name}": file_digest(file) for file in _files(value)}
    if not found.digests and not found.versions:
        return None
    lines = [f"{name} {digest}\n" for name, digest in sorted([*found.digests.items(), *found.versions.items()])]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def own_paths(arguments: Any) -> list[str]:
    """The dotted paths among the arguments that lead to a module of the user's own."""
    return [value for value in _strings(arguments) if "." in value and _is_own_path(value)]


@dataclass(slots=True)
class _Modules:
    """The modules found so far, with their digests; of an installed package its version."""

    digests: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def add_path(self, path: str) -> None:
        """The module that holds what a dotted path leads to; of an installed package, all of it."""
        parts = path.split(".")
        folder = _installed_package(parts[0])
        if folder is not None:
            self.versions[parts[0]] = f"{version(parts[0])} {_folder_digest(folder)}"
            return
        for length in range(len(parts) - 1, 0, -1):
            if _find(".".join(parts[:length]), None) is not None:
                self._add(".".join(parts[:length]))
                return

    def _add(self, first: str) -> None:
        """A module with the packages around it, and all that they import."""
        waiting: list[tuple[str, Path | None]] = [(first, None)]
        seen = set()
        while waiting:
            name, beside = waiting.pop()
            top = name.partition(".")[0]
            if name in seen or top in self.versions or not _counts(name):
                continue
            seen.add(name)
            if _installed_package(top) is not None:
                self.versions[top] = str(version(top))
                continue
            spec = _find(name, beside)
            waiting.append((name.rpartition(".")[0] or name, beside))
            if spec is not None and spec.has_location and spec.origin:
                file = Path(spec.origin)
                modules = self._add_file(name, file, is_package=spec.submodule_search_locations is not None)
                waiting.extend((module, file.parent) for module in modules)

    def _add_file(self, name: str, file: Path, *, is_package: bool) -> Sequence[str]:
        """Keep a file's digest; returns what it may import."""
        self.digests[name] = file_digest(file)
        if file.suffix != ".py":
            return ()
        stat = file.stat()
        imports = _imports(file, name, is_package, stat.st_mtime_ns, stat.st_size)
        if imports.dynamic:
            for other in _python_files(file.parent):
                self.digests[f"{name}: {other.relative_to(file.parent).as_posix()}"] = file_digest(other)
        return imports.modules


def _counts(name: str) -> bool:
    """Whether a module may be the user's own, or a model of this package's."""
    top = name.partition(".")[0]
    return name.startswith(_MODELS) if top == _OWN_PACKAGE else top not in sys.stdlib_module_names


@dataclass(frozen=True, slots=True)
class _Imports:
    """What a file imports, anywhere in it."""

    modules: tuple[str, ...]
    """Names taken from a module are among them, as they may be modules too."""
    dynamic: bool
    """Whether it also imports by names that are not written in it, or changes the search path."""


@cache
def _imports(file: Path, name: str, is_package: bool, modified_ns: int, size: int) -> _Imports:
    """The last two tell the cache of a changed file."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # importing it will say so
        return _Imports((), False)
    modules: list[str] = []
    dynamic = False
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(node, name, is_package)
            modules.extend([module, *(f"{module}.{alias.name}" for alias in node.names if alias.name != "*")])
        elif isinstance(node, ast.Call) and _called(node) in _DYNAMIC:
            written = node.args[0] if len(node.args) == 1 else None
            if isinstance(written, ast.Constant) and isinstance(written.value, str):
                modules.append(written.value)
            else:
                dynamic = True
        elif isinstance(node, ast.Attribute) and node.attr == "path":
            dynamic = dynamic or (isinstance(node.value, ast.Name) and node.value.id == "sys")
    return _Imports(tuple(modules), dynamic)


def _absolute(node: ast.ImportFrom, name: str, is_package: bool) -> str:
    """The module that ``from ... import`` names; one dot is the package of the file."""
    parts = name.split(".")
    around = parts[: len(parts) - node.level + is_package] if node.level else []
    return ".".join([*around, *([node.module] if node.module else [])])


def _called(node: ast.Call) -> str | None:
    function = node.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else None


def _find(name: str, beside: Path | None) -> ModuleSpec | None:
    """The place of a module, on the search path or in the folder ``beside``. Nothing is imported for it."""
    top, *rest = name.split(".")
    spec = _find_top(top) or (None if beside is None else _find_in(top, [str(beside)]))
    for part in rest:
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = _find_in(part, spec.submodule_search_locations)
    return spec


def _find_top(top: str) -> ModuleSpec | None:
    """The place of a top-level module as Python finds it, editable installs included."""
    try:
        return _find_in(top, [entry or str(Path.cwd()) for entry in sys.path]) or find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return None


def _find_in(name: str, folders: Iterable[str]) -> ModuleSpec | None:
    """A module right inside one of the folders; several folders of its name without ``__init__.py`` are one."""
    portions: list[str] = []
    for folder in folders:
        importer = get_importer(folder)
        spec = None if importer is None else importer.find_spec(name, None)
        if spec is not None and spec.loader is not None:
            return spec
        if spec is not None:
            portions.extend(spec.submodule_search_locations or ())
    if not portions:
        return None
    namespace = ModuleSpec(name, None, is_package=True)
    namespace.submodule_search_locations = portions
    return namespace


@cache
def _installed_package(top: str) -> Path | None:
    """The file or folder of an installed package; None where there is none, or it is the user's own code."""
    spec = _find_top(top)
    if spec is None or top == _OWN_PACKAGE:
        return None
    places = [spec.origin] if spec.has_location and spec.origin else list(spec.submodule_search_locations or ())
    path = Path(places[0]) if places else None
    if path is None or not (_INSTALLED & {*path.parts} or path.is_relative_to(sysconfig.get_path("stdlib"))):
        return None
    return path.parent if path.name.startswith("__init__.") else path


@cache
def _folder_digest(package: Path) -> str:
    files = _python_files(package) if package.is_dir() else [package]
    digests = [f"{path.relative_to(package.parent).as_posix()} {file_digest(path)}\n" for path in files]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _python_files(folder: Path) -> list[Path]:
    """Sorted, without those of hidden folders and of installed packages; of a very large folder the first ``_MOST``."""
    found: list[Path] = []
    for looked_at, (place, folders, files) in enumerate(os.walk(folder)):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _INSTALLED)
        found.extend(Path(place, name) for name in sorted(files) if name.endswith(".py"))
        if looked_at + len(found) > _MOST:
            break
    return [path for path in found if path.is_file()]


def _is_own_path(path: str) -> bool:
    top = path.partition(".")[0]
    return (
        top.isidentifier()
        and top != _OWN_PACKAGE
        and top not in sys.stdlib_module_names
        and (_find_top(top) is not None and _installed_package(top) is None)
    )


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _strings(part)
    elif isinstance(value, Iterable) and not isinstance(value, bytes):
        for part in value:
            yield from _strings(part)


def _files(name: str) -> list[Path]:
    try:
        path = Path(name)
        found = sorted(path.iterdir()) if path.is_dir() else [path]
        return [file for file in found if file.is_file() and file.stat().st_size <= _LARGEST_FILE]
    except (OSError, ValueError):  # no path at all, or none that can be read
        return []
