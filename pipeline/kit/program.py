"""The program of a kit: its own modules, and those that it shares with bundles and with slimline's measuring."""

from __future__ import annotations

import re
from collections.abc import Collection
from importlib.resources import files

PARTS = "slimline_kit"
PROGRAM = "kit.py"
SHARED = {
    "pipeline.bundle.slimline_infer": ("values", "threads"),
    "pipeline.machine": ("busy", "cgroup", "counters", "cpu_ticks", "heat"),
    "pipeline.measure": ("difference",),
}
"""The modules that lie beside the kit's own there: each needs the standard library and numpy alone."""
_OWN = "pipeline.kit.device"
_SIBLING = re.compile(r"^ *from \.(\w+) import", re.MULTILINE)
_IMPORT = re.compile(rf"^from (?:{'|'.join(map(re.escape, (_OWN, *SHARED)))})(?:\.(\w+))? import", re.MULTILINE)


def program(runtimes: Collection[str]) -> dict[str, bytes]:
    """The files of the program that measures on these runtimes, by name.

    All modules lie in one folder, so imports that name their places here become ``from .module import``.
    """
    own = [entry for entry in files(_OWN).iterdir() if entry.name.endswith(".py")]
    parts = {entry.name: entry.read_text(encoding="utf-8") for entry in own}
    for package, names in SHARED.items():
        backends = [f"on_{runtime}" for runtime in sorted(runtimes) if "bundle" in package]
        parts |= _with_what_they_import(package, [*names, *backends])
    program = {f"{PARTS}/{name}": _beside(text) for name, text in sorted(parts.items())}
    return {PROGRAM: files("pipeline.kit").joinpath(PROGRAM).read_bytes(), **program}


def _with_what_they_import(package: str, names: Collection[str]) -> dict[str, str]:
    """The texts of modules of a package, and of those beside them that they import, by file."""
    found: dict[str, str] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if f"{name}.py" not in found:
            found[f"{name}.py"] = files(package).joinpath(f"{name}.py").read_text(encoding="utf-8")
            waiting += _SIBLING.findall(found[f"{name}.py"])
    return found


def _beside(text: str) -> bytes:
    return _IMPORT.sub(lambda found: f"from .{found[1] or ''} import", text).encode()
