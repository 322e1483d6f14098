"""Runs a kit on another machine over ssh: copied there, run, and what it measured brought back.

Nothing but ssh and scp is used here, and sh, mktemp, rm and Python there. ssh has to log in without asking for a
password, as it has no terminal.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import SlimlineError, UserError

_HOST = re.compile(r"(?:[\w.-]+@)?(?:[A-Za-z0-9_][\w.-]*|\[[0-9A-Fa-f:.%]+\])")
_UNREACHED, _NOT_FOUND = 255, (126, 127)
_OPTIONS = ("-o", "BatchMode=yes", "-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=8")
_PATIENCE_S = 120.0
"""How long a kit that was stopped may take to write what it has."""
_SAMPLES = "samples"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A machine that ssh reaches, and the Python there."""

    name: str
    python: str = "python3"

    def __post_init__(self) -> None:
        if not _HOST.fullmatch(self.name):
            raise UserError(f"--host {self.name} is no host: type one as ssh takes it, such as pi@192.168.1.20")

    @property
    def short(self) -> str:
        """The host's name as a part of a file's name."""
        return re.sub(r"[^0-9A-Za-z]+", "-", self.name.rpartition("@")[2]).strip("-")[:40] or "device"


def measure_on(host: Host, kit: Path, out: Path, arguments: Sequence[str] = ()) -> Path:
    """Run the kit in the folder ``kit`` on a host, and bring its samples to ``out``; Ctrl-C stops it there, and what
    was measured still comes.

    Raises UserError where the host can't be reached or has no such Python, SlimlineError where the kit measured
    nothing.
    """
    with _folder_on(host) as there:
        _copy(["-r", str(kit), f"{host.name}:{there}/kit"], host)
        words = [
            host.python,
            "kit/kit.py",
            "--out",
            _SAMPLES,
            "--name",
            host.short,
            "--while-stdin-is-open",
            *arguments,
        ]
        code = _run(host, f"cd {shlex.quote(there)} && {shlex.join(words)}")
        if code in _NOT_FOUND:
            raise UserError(f"{host.name} has no {host.python}: name its Python with --python")
        if _ask(host, f"test -f {shlex.quote(there)}/{_SAMPLES}/SHA256SUMS") != 0:
            raise SlimlineError(f"the kit measured nothing on {host.name}: what it said is above")
        out.parent.mkdir(parents=True, exist_ok=True)
        _copy(["-r", f"{host.name}:{there}/{_SAMPLES}", str(out)], host)
    return out


@contextmanager
def _folder_on(host: Host) -> Iterator[str]:
    """A new folder there, which goes with the block."""
    made = subprocess.run(
        ["ssh", *_OPTIONS, host.name, 'mktemp -d "${TMPDIR:-/tmp}/slimline-kit-XXXXXX"'],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    there = made.stdout.strip()
    if made.returncode != 0 or not there.startswith("/") or "\n" in there:
        raise UserError(f"ssh {host.name} can't make a folder there: {_last(made.stderr) or 'it said nothing'}")
    try:
        yield there
    finally:
        _ask(host, f"rm -rf {shlex.quote(there)}")


def _copy(words: Sequence[str], host: Host) -> None:
    done = subprocess.run(
        ["scp", "-q", *_OPTIONS, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SlimlineError(f"scp could not copy between here and {host.name}: {_last(done.stderr)}")


def _ask(host: Host, command: str) -> int:
    words = ["ssh", *_OPTIONS, host.name, command]
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode


def _run(host: Host, command: str) -> int:
    """Run a command there, with what it says shown here; its stdin stays open for as long as it is wanted."""
    process = subprocess.Popen(["ssh", *_OPTIONS, host.name, command], stdin=subprocess.PIPE, process_group=0)
    assert process.stdin is not None
    try:
        code = process.wait()
    except KeyboardInterrupt:
        process.stdin.close()
        code = _stopped(process)
    finally:
        process.stdin.close()
    if code == _UNREACHED:
        raise SlimlineError(f"the connection to {host.name} broke while the kit ran there: run it again")
    return code


def _stopped(process: subprocess.Popen[bytes]) -> int:
    """Wait until a kit that was told to stop has written its samples."""
    try:
        return process.wait(_PATIENCE_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.kill()
        process.wait()
        raise KeyboardInterrupt from None


def _last(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
