"""Types commands, and writes what they are about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.cli import main
from tests.example import CLASSES, FEATURES, linear_model


def run(capsys: pytest.CaptureFixture[str], *typed: str) -> tuple[Any, str, str]:
    """The exit code of a command, and what it prints on both streams."""
    with pytest.raises(SystemExit) as caught:
        main(typed)
    captured = capsys.readouterr()
    return caught.value.code, captured.out, captured.err


def write_model_and_data(model: str = "m.onnx") -> None:
    """Write a model, and d.npz with 200 examples for it, into the working directory."""
    linear_model(Path(model))
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {"x": rng.normal(size=(200, FEATURES)).astype(np.float32)}
    np.savez("d.npz", **arrays, labels=rng.integers(0, CLASSES, 200))
