"""Puts an error of the user's own code into a line that says where it was raised."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

from pipeline import PACKAGE
from pipeline.errors.raised import first_line
from pipeline.errors.reasons import INSTALLED


def user_code_error(error: BaseException) -> str:
    """The error's kind and first line, and the file and line of the user's code that it came from, where there is
    one."""
    said = f"it called sys.exit({error.code!r})" if isinstance(error, SystemExit) else first_line(error)
    place = _place(error)
    return said if place is None else f"{said} ({place[0]}, line {place[1]})"


def _place(error: BaseException) -> tuple[str, int] | None:
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return error.filename, error.lineno
    frames = [
        (frame.filename, frame.lineno)
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.lineno is not None and _is_users(Path(frame.filename))
    ]
    return frames[-1] if frames else None


def _is_users(file: Path) -> bool:
    elsewhere = file.is_relative_to(PACKAGE) or file.is_relative_to(sysconfig.get_path("stdlib"))
    return file.suffix == ".py" and not elsewhere and not INSTALLED & {*file.parts}
