"""Tells which slimline this is: its version and, in a checkout, the commit."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline import PACKAGE, __version__

_ROOT = PACKAGE.parent
_SECONDS = 10
_DIGITS = 12
"""So many digits of a commit tell it from all others."""


def revision(root: Path = _ROOT) -> dict[str, Any]:
    """``version``, ``commit`` (40 hexadecimal digits) and ``changed`` (whether the checkout differs from the commit).

    The last two are None where ``root`` is no checkout of git, as in an installed package, or git can't be run.
    """
    commit = _git(root, "rev-parse", "HEAD") if (root / ".git").exists() else None
    changes = None if commit is None else _git(root, "status", "--porcelain", "--untracked-files=no")
    return {"version": __version__, "commit": commit, "changed": None if changes is None else bool(changes)}


def named(slimline: Mapping[str, Any]) -> str:
    """A revision in words: ``slimline 0.1.0, commit 8a4c06712345, changed since``; empty where it has no version."""
    if not slimline.get("version"):
        return ""
    commit = slimline.get("commit")
    at = f", commit {str(commit)[:_DIGITS]}" if commit else ""
    return f"slimline {slimline['version']}{at}{', changed since' if slimline.get('changed') else ''}"


def _git(root: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(root), "--no-optional-locks", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
