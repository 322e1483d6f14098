"""Printing: harmless to terminals, in letters that they have, and never the end of the work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.terminal.screen import in_ascii, printable

PROGRAM = """
import sys
from rich.console import Console
from pipeline.terminal.screen import guarded_output
with guarded_output():
    for number in range(2000):
        Console(width=100).print(f"± {number} − · \\u0100 " + "x" * 60)
    sys.stderr.write("±\\n")
open(sys.argv[1], "w").write("went on")
"""


def _run(done: Path, shell: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = shell.replace("PROGRAM", f'"{sys.executable}" -c "$PROGRAM" "{done}"')
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        env={**os.environ, "PROGRAM": PROGRAM, **environment},
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("shell", ["PROGRAM | head -1", "PROGRAM > /dev/full", "PROGRAM >&-", "PROGRAM 2>&1 | true"])
def test_the_work_goes_on_where_nobody_reads_what_is_printed(tmp_path: Path, shell: str) -> None:
    if "/dev/full" in shell and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    done = _run(tmp_path / "done", shell)
    assert (tmp_path / "done").read_text() == "went on"
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


@pytest.mark.parametrize(("encoding", "first"), [("ascii", b"~ 0 - . ?"), ("latin-1", b"\xb1 0 - \xb7 ?")])
def test_what_an_encoding_lacks_is_replaced(tmp_path: Path, encoding: str, first: bytes) -> None:
    done = _run(tmp_path / "done", "PROGRAM", PYTHONIOENCODING=encoding)
    assert done.returncode == 0
    assert done.stdout.startswith(first)


def test_what_a_terminal_would_obey_is_written_out() -> None:
    assert printable("a\x1b[31mb\x9b\u202ec\x07\r\udc80") == "a\\x1b[31mb\\x9b\\u202ec\\x07\\x0d\\udc80"
    assert printable("as it is: ± −\nä 数") == "as it is: ± −\nä 数"


def test_ascii_has_one_letter_for_one() -> None:
    assert in_ascii("±3 %, −0.12 – 数") == "~3 %, -0.12 - ?"
