"""What the peers' scripts share: read the inputs, make one model after the other, write down what came of it.

Runs in a peer's environment, so it needs NumPy and nothing of slimline's.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ONNX_HELP = "the fp32 model: baseline/model.onnx of prepare.py; again for other exports of it, torchscript/model.onnx"
Example = dict[str, NDArray[Any]]


@dataclass
class Maker:
    """Writes models into folders of ``out``, and ``made.json`` with what each is or why there is none."""

    out: Path
    libraries: Sequence[str]
    models: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, name: str, runs: Mapping[str, str], write: Callable[[Path], None]) -> None:
        """Have ``write`` put ``model.onnx`` or ``model.xml`` into an empty folder; an error becomes the model's own.

        ``runs`` has the runtimes that it is meant for, and what the table calls the tool that it belongs to there.
        """
        folder = self.out / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        began = time.monotonic()
        error: str | None = None
        try:
            write(folder)
        except Exception as raised:  # noqa: BLE001  whatever a peer raises is what the table has to say of it
            error = f"{type(raised).__name__}: {' '.join(str(raised).split())[:300]}"
        seconds = time.monotonic() - began
        self.models.append({"name": name, "runs": dict(runs), "seconds": seconds, "error": error})
        print(f"{name}: {error or f'{seconds:.1f} s'}", file=sys.stderr, flush=True)
        self._write()

    def _write(self) -> None:
        plain = {
            "versions": {name: version(name) for name in self.libraries},
            "models": self.models,
        }
        (self.out / "made.json").write_text(json.dumps(plain, indent=1) + "\n")


def examples(file: Path) -> list[Example]:
    """The calibration examples, each a batch of one, without labels."""
    with np.load(file, allow_pickle=False) as arrays:
        inputs = {name: arrays[name] for name in arrays.files if name != "labels"}
    count = len(next(iter(inputs.values())))
    return [{name: array[index : index + 1] for name, array in inputs.items()} for index in range(count)]


def prefix(file: Path) -> str:
    """What the names of models made of an export begin with: its folder's name, or nothing for the baseline."""
    return "" if file.parent.name == "baseline" else f"{file.parent.name}_"


def command_line(text: str | None) -> argparse.Namespace:
    """``onnx`` (a list), ``calibration``, ``out``, ``transformer`` and ``examples``, for every peer alike."""
    parser = argparse.ArgumentParser(description=(text or "").splitlines()[0])
    parser.add_argument("--onnx", type=Path, action="append", required=True, help=ONNX_HELP)
    parser.add_argument("--calibration", type=Path, required=True, help="calibration.npz of prepare.py")
    parser.add_argument("--out", type=Path, required=True, help="a folder for the models and made.json")
    parser.add_argument("--transformer", action="store_true", help="the model is a transformer: what is made for those")
    parser.add_argument("--examples", type=int, help="calibrate on the first so many; all by default")
    return parser.parse_args()
