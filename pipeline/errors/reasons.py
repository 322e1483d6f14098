"""Puts a library's error into one line: what it is about, without its surroundings.

Libraries say the cause in many places: ONNX Runtime after the name of a C++ function, onnx over several lines,
PyTorch's exporter below its advice, and any of them behind a traceback of their own.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator, Sequence
from itertools import pairwise, takewhile
from pathlib import Path

LONGEST = 300
"""The most characters of a reason; the rest is in the log."""
INSTALLED = frozenset(("site-packages", "dist-packages"))
"""The folders that packages are installed in."""
_UNFORESEEN = (AssertionError, AttributeError, LookupError, NameError, RecursionError, ZeroDivisionError)
_LONGEST_LINE = 4000
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_NESTED = re.compile(
    r"^(?:<class '(?:\w+\.)*(?P<name>\w+)'>|(?:\w+\.)*(?P<raised>\w*(?:Error|Exception|Interrupt|Exit))): "
)
_ADVICE = re.compile(
    r"\(Refer to|Please fix|For more |For extended|For C\+\+|If you suspect|Set TORCH|You can suppress|Caused by: \("
    r"|consider using|CUDA kernel errors might|For debugging|Compile with|Device-side assert|Traceback \(most"
)
_OPENVINO = re.compile(r"(?:Exception from|Check '.*' failed at) src/\S+:\d+:$")
"""The places in OpenVINO's code that stand above what it has to say."""
_STATUS = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : ")
_PLACE = re.compile(
    r"(?:/[\w.+-]+)*/(?:onnxruntime|onnx|pytorch|aten|c10)/[\w./+-]+:\d+ "
    r"(?:[^()]*\((?:[^()]|\([^()]*\))*\)(?: const)? )?"  # the function, with its parameters' types
)
_OURS = re.compile(r"/(?:slimline-[^/\s]*|ort\.quant\.[^/\s]*|tmp[a-z0-9_]{8}|\.new/[^/\s]+|\.work/[^/\s]+)/")
_PATH = re.compile(r"(?:/[^\s/'\":,;()\[\]]+)+/")


def cause(error: BaseException) -> str:
    """The error's type and message, in a line of bounded length; only its type where it has no message."""
    kind = type(error).__name__
    said = cause_in(text_of(error))
    return f"{kind}: {said}" if said else kind


def cause_in(text: str) -> str:
    """The lines of a library's message that tell the cause, as one line; empty where it says nothing."""
    lines = [line for line in map(_clean, text.splitlines()) if line.strip() and not _ADVICE.match(line.strip())]
    lines = [line for line in lines if not _OPENVINO.match(line.strip())] or lines
    if not lines:
        return ""
    nested = [index for index, line in enumerate(lines) if _NESTED.match(line.strip())]
    told = " ".join(line.strip() for line in _together(lines[nested[-1] if nested else 0 :]))
    told = _NESTED.sub(lambda found: f"{found['name'] or found['raised']}: ", " ".join(told.split()))
    return shortened(told)


def plain_line(line: str) -> str:
    """A line that a program printed, without colours, control characters and the places in C++ code."""
    return shortened(" ".join(_clean(line).split()))


def shortened(text: str) -> str:
    """At most ``LONGEST`` characters, with a sign where some were left out."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1].rstrip()}…"


def text_of(error: BaseException) -> str:
    """The whole message of an error; empty where it can't give one."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001  a class of the user's may fail at telling what is wrong
        return ""


def unforeseen_in(error: BaseException) -> str | None:
    """The installed package that raised an error which it did not foresee, such as a KeyError; None for an error that
    was raised elsewhere, or with words for a reader."""
    if not isinstance(error, _UNFORESEEN) or error.__traceback__ is None:
        return None
    parts = Path(traceback.extract_tb(error.__traceback__)[-1].filename).parts
    packages = [package for folder, package in pairwise(parts) if folder in INSTALLED]
    return packages[-1].removesuffix(".py") if packages else None


def traced(error: BaseException) -> str:
    """The whole error, for a log: where it was raised, and its message, as far as it has one."""
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001  an error that can't even be printed
        return type(error).__name__


def _clean(line: str) -> str:
    line = _UNPRINTABLE.sub("", _COLOURS.sub("", line[:_LONGEST_LINE]))
    line = _PLACE.sub("", _STATUS.sub("", line))
    return _PATH.sub(_without_our_folders, line)


def _without_our_folders(found: re.Match[str]) -> str:
    """A temporary folder says nothing to the user, and is gone when they read its name."""
    path = found.group()
    return "" if _OURS.search(path) else path


def _together(lines: Sequence[str]) -> Iterator[str]:
    """The first line, and those that go on with it: after a colon, indented, naming the context, or a summary."""
    yield lines[0]
    yield from (after for before, after in takewhile(_goes_on, pairwise(lines)))


def _goes_on(pair: tuple[str, str]) -> bool:
    before, after = pair
    return before.rstrip().endswith(":") or after[0].isspace() or after.startswith(("==>", "Summary:"))
