"""A kit that is stopped keeps the rounds that it has measured, and leaves no process behind."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.conftest import Ran


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_connection_that_breaks_stops_it(ran: Ran, tmp_path: Path) -> None:
    kit = Path(shutil.copytree(ran.folder / "kit", tmp_path / "kit"))
    facts = json.loads((kit / "kit.json").read_text())
    facts["measure"]["looks"] = [500]
    facts["rows"] = facts["rows"][:1]
    (kit / "kit.json").write_text(json.dumps(facts))
    words = [sys.executable, str(kit / "kit.py"), "--while-stdin-is-open", "--out", str(tmp_path / "samples")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert process.stdin is not None
        next(line for line in process.stderr if line.startswith(b"round 3 "))
        process.stdin.close()
        said = process.stdout.read() if process.stdout else b""
    assert process.returncode == 130
    assert b"SCREENED" in said
    kept = json.loads((tmp_path / "samples" / "samples.json").read_text())
    assert kept["interrupted"]
    assert kept["latency"]["rounds"] >= 2
    assert not _with(str(kit))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kit", "samples"]


def _with(text: str) -> list[str]:
    """The command lines of processes that name a text."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        found += [line] if text in line else []
    return found
