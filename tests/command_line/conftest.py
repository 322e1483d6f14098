"""Where commands are typed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own, and nothing typed before."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["slimline"])
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
