"""Which slimline it is."""

from __future__ import annotations

import subprocess
from pathlib import Path

from pipeline import __version__
from pipeline.libraries.revision import revision


def _git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    return subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_a_checkout_has_its_commit_and_whether_it_was_changed(tmp_path: Path) -> None:
    _git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("a")
    _git(tmp_path, "add", "file")
    _git(tmp_path, "commit", "-qm", "a")
    commit = _git(tmp_path, "rev-parse", "HEAD")
    assert revision(tmp_path) == {"version": __version__, "commit": commit, "changed": False}
    (tmp_path / "file").write_text("b")
    assert revision(tmp_path)["changed"] is True


def test_an_installed_package_has_no_commit_even_inside_someones_checkout(tmp_path: Path) -> None:
    _git(tmp_path, "init", "-q")
    inside = tmp_path / "site-packages"
    inside.mkdir()
    assert revision(inside) == {"version": __version__, "commit": None, "changed": None}
