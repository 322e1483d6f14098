"""The command line of a kit: measure, have the models predict, and write what is carried home."""
# ruff: noqa: T201  a program for the command line: it prints

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.bundle.slimline_infer.values import InputError, first_line
from pipeline.kit.device import samples
from pipeline.kit.device.progress import Progress
from pipeline.kit.device.session import FAILED, INTERRUPTED, Session
from pipeline.kit.device.table import table

READS_VERSION = 1
MISTAKE = 2
_MIB = 2**20
_MOST_BUSY = 1024


def main(folder: Path, description: str | None = None, arguments: Sequence[str] | None = None) -> int:
    """Measure a kit's models on this machine; returns the exit code."""
    options = _options(description, arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _interrupt)
    if options.follow:
        threading.Thread(target=_follow, daemon=True).start()
    try:
        kit = read_kit(folder)
        return _run(folder, kit, options)
    except (InputError, OSError) as error:
        print(f"kit.py: {first_line(error)}", file=sys.stderr)
        return MISTAKE
    except KeyboardInterrupt:
        print("kit.py: stopped before anything was measured", file=sys.stderr)
        return INTERRUPTED


def read_kit(folder: Path) -> dict[str, Any]:
    """The kit, whose files are as they were packed; raises InputError where one was damaged on the way."""
    try:
        kit: dict[str, Any] = json.loads((folder / samples.KIT).read_text(encoding="utf-8"))
        version, files = kit["kit_version"], kit["files"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(f"{folder / samples.KIT} can't be read: {first_line(error)}") from error
    if version != READS_VERSION:
        raise InputError(f"{folder / samples.KIT} has version {version}, and this kit.py reads {READS_VERSION}")
    for name, told in files.items():
        path = folder / name
        if not path.is_file():
            raise InputError(f"{name} is missing: copy the whole kit again")
        if path.stat().st_size != told["bytes"] or samples.sha256_of(path) != told["sha256"]:
            raise InputError(f"{name} is not as it was packed: copy the whole kit again")
    return kit


def _run(folder: Path, kit: Mapping[str, Any], options: argparse.Namespace) -> int:
    out = _free(options.out or Path(f"samples-{kit['id']}-{options.name}"))
    work = samples.begin(out, folder)
    try:
        session = Session(folder, kit, options, work, Progress())
        code = session.carry_out()
        if not session.measuring.collected.rounds:
            return _nothing(session.measuring.failures, code)
        session.keep()
        digest = samples.finish(work, out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    size = sum(path.stat().st_size for path in samples.files_in(out))
    print("\n".join(table(session.lines(), session.measuring.ratios())))
    print(f"\nSamples: {out} ({size / _MIB:.1f} MiB, kit {kit['id']}, digest {digest[:16]})")
    if not options.follow:
        print(f"Carry that folder home: python -m pipeline report {out.name}")
    return code


def _nothing(failures: Mapping[str, str], code: int) -> int:
    print("kit.py: nothing was measured", file=sys.stderr)
    for key, reason in failures.items():
        print(f"  {key}: {reason}", file=sys.stderr)
    return code if code == INTERRUPTED else FAILED


def _options(description: str | None, arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="kit.py", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the samples are written")
    parser.add_argument("--name", type=_name, default=_name(platform.node() or "device"), help="this machine's name")
    parser.add_argument("--budget-s", type=_seconds, metavar="S", help="about the most seconds of timing")
    parser.add_argument(
        "--busy", type=_cores, metavar="N", help="keep so many cores busy while it times (as in the run: measure.busy)"
    )
    parser.add_argument(
        "--while-stdin-is-open", dest="follow", action="store_true", help="stop as by Ctrl-C once stdin is closed"
    )
    parser.add_argument(
        "--accuracy-s", type=_seconds, default=600.0, metavar="S", help="about the most seconds for outputs (600)"
    )
    parser.add_argument("--no-accuracy", dest="accuracy", action="store_false", help="time only, bring no outputs back")
    return parser.parse_args(arguments)


def _name(text: str) -> str:
    found = re.sub(r"[^0-9A-Za-z_-]+", "-", text).strip("-")
    if not found:
        raise argparse.ArgumentTypeError(f"a name has letters and digits (got {text!r})")
    return found[:40]


def _seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < 1e6:
        raise argparse.ArgumentTypeError(f"must be a number of seconds above 0 (got {text!r})")
    return found


def _cores(text: str) -> int:
    if not text.isdigit() or int(text) > _MOST_BUSY:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to {_MOST_BUSY} (got {text!r})")
    return int(text)


def _free(out: Path) -> Path:
    """The folder, or one with a number where it exists: samples are never overwritten."""
    number, found = 1, out
    while found.exists():
        number += 1
        found = out.with_name(f"{out.name}-{number}")
    return found


def _follow() -> None:
    """Wait until whoever started this is gone: a connection that breaks closes stdin and sends no signal."""
    while os.read(0, 2**10):
        continue
    os.kill(os.getpid(), signal.SIGTERM)


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt
