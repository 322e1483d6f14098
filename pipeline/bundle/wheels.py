"""The digests of packages, which only their wheels have: what is installed of one does not tell them."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from pipeline.artifact import file_digest
from pipeline.errors import UserError


@dataclass(frozen=True, slots=True)
class Wheels:
    """The wheels in a folder, by normalised name and version without its local part."""

    folder: Path
    files: Mapping[tuple[str, str], tuple[Path, ...]]

    @classmethod
    def of(cls, folder: Path) -> Wheels:
        """The wheels that lie in the folder itself; raises UserError where there is none."""
        files: dict[tuple[str, str], list[Path]] = defaultdict(list)
        for path in sorted(folder.glob("*.whl")):
            try:
                name, version, _, _ = parse_wheel_filename(path.name)
            except InvalidWheelFilename:
                continue
            files[name, version.public].append(path)
        if not files:
            raise UserError(f"--hashes {folder} holds no wheels (.whl): {_advice(folder)}")
        return cls(folder, {key: tuple(paths) for key, paths in files.items()})

    def require(self, versions: Mapping[str, str]) -> None:
        """Raise UserError unless there is a wheel of each package: pip takes digests of all packages or of none."""
        lacking = [f"{name} {version}" for name, version in versions.items() if not self._of(name, version)]
        if lacking:
            raise UserError(f"--hashes {self.folder} has no wheel of {', '.join(lacking)}: {_advice(self.folder)}")

    def digests(self, name: str, version: str) -> tuple[str, ...]:
        """The sha256 of each of a package's wheels, sorted."""
        return tuple(sorted(file_digest(path) for path in self._of(name, version)))

    def _of(self, name: str, version: str) -> tuple[Path, ...]:
        return self.files.get((canonicalize_name(name), version.partition("+")[0]), ())


def _advice(folder: Path) -> str:
    return (
        "write the bundle without --hashes first, and then type: "
        f"python -m pip download -r BUNDLE/requirements.txt -d {shlex.quote(str(folder))}"
    )
