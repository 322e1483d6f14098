"""A kit goes to a host by scp, runs there by ssh, and its samples come back; ssh and scp are stand-ins here."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from pipeline.errors import SlimlineError, UserError
from pipeline.kit.brought import brought
from pipeline.kit.host import Host, measure_on
from pipeline.kit.recorded import recorded
from tests.kit.conftest import Ran

SSH = """#!/bin/sh
# ssh -o OPTION ... HOST COMMAND, which runs here
while [ "$1" = -o ]; do shift 2; done
[ "$1" = nowhere ] && { echo "ssh: no route to nowhere" >&2; exit 255; }
shift
cd / && exec sh -c "$1"
"""
SCP = """#!/bin/sh
# scp -q -o OPTION ... -r FROM TO, where HOST:PATH is a path here
while [ "$1" != -r ]; do shift; done
exec cp -r "${2#pi@box:}" "${3#pi@box:}"
"""


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Puts the stand-ins on the path, and gives the folder that temporary folders of the host lie in."""
    programs, temporary = tmp_path / "programs", tmp_path / "there"
    for folder in (programs, temporary):
        folder.mkdir()
    for name, text in (("ssh", SSH), ("scp", SCP)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(temporary))
    return temporary


@pytest.mark.slow
def test_samples_come_back_and_nothing_stays_there(ran: Ran, there: Path, tmp_path: Path) -> None:
    host = Host(name="pi@box", python=sys.executable)
    out = measure_on(
        host, ran.folder / "kit", tmp_path / "devices" / host.short, ["--no-accuracy", "--budget-s", "1", "--busy", "1"]
    )
    found = brought(out)
    assert recorded(found, trusted=False).measure.busy == 1
    assert (found.facts.name, found.facts.kit, found.facts.budget_s) == ("box", ran.packed.id, 1.0)
    assert not any(there.glob("slimline-kit-*"))


def test_a_host_that_is_not_reached_is_one_line(ran: Ran, there: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="ssh nowhere can't make a folder there: ssh: no route to nowhere"):
        measure_on(Host(name="nowhere"), ran.folder / "kit", tmp_path / "out")


def test_a_host_without_that_python_says_what_to_type(ran: Ran, there: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pi@box has no python2: name its Python with --python"):
        measure_on(Host(name="pi@box", python="python2"), ran.folder / "kit", tmp_path / "out")
    assert not any(there.iterdir())


def test_a_kit_that_measures_nothing_there_is_told(ran: Ran, there: Path, tmp_path: Path) -> None:
    with pytest.raises(SlimlineError, match="the kit measured nothing on pi@box"):
        measure_on(Host(name="pi@box", python="false"), ran.folder / "kit", tmp_path / "out")


@pytest.mark.parametrize("name", ["-oProxyCommand=x", "pi@", "a b", "box;ls", ""])
def test_what_is_no_host_never_reaches_ssh(name: str) -> None:
    with pytest.raises(UserError, match="is no host"):
        Host(name=name)
