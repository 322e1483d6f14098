"""What the peers start from, out of a slimline run: its fp32 exports as ONNX, and its data as the model reads it.

python benchmarks/peers/prepare.py RUN OUT

RUN is a run's folder (``outputs/latest``). Writes below OUT: ``baseline/model.onnx``, a folder like it
for every other variant that is an export and nothing else, ``calibration.npz`` and ``test.npz``, with an array per
input, preprocessed, and ``labels`` where there are any. Start it where the run was started, so that the paths in the
run's configuration are found.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
from candidates import artifact_folder
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf

from pipeline.config import build, register
from pipeline.data.dataset import SplitName, preprocess
from pipeline.errors import SlimlineError, UserError
from pipeline.plan import Plan
from pipeline.results.reading import load_record
from pipeline.stages.export import ExportOnnx


def main(run: Path, out: Path) -> None:
    """Write everything; raises UserError where the run has no baseline or no calibration split."""
    plan = _plan(run)
    record = load_record(run / "samples")
    out.mkdir(parents=True, exist_ok=True)
    for variant in record.variants:
        if variant.status == "ok" and all(stage.kind == ExportOnnx.__name__ for stage in variant.stages):
            shutil.copytree(artifact_folder(variant, run), out / variant.name, dirs_exist_ok=True)
            print(f"{out / variant.name / 'model.onnx'}: {record.model}")
    names: tuple[SplitName, ...] = ("calibration", "test")
    for name in names:
        arrays = _arrays(plan, name)
        np.savez(out / f"{name}.npz", **arrays)  # type: ignore[arg-type]
        shapes = ", ".join(f"{key} {list(array.shape)}" for key, array in arrays.items())
        print(f"{out / name}.npz: {shapes}")


def _plan(run: Path) -> Plan:
    file = run / ".hydra" / "config.yaml"
    if not file.exists():
        raise UserError(f"{file} does not exist: give the folder of a run, such as outputs/latest")
    register()
    cfg = OmegaConf.load(file)
    assert isinstance(cfg, DictConfig)
    return build(cfg, run, "")


def _arrays(plan: Plan, name: SplitName) -> dict[str, NDArray[Any]]:
    split = plan.data.split(name)
    arrays = preprocess(split.inputs, plan.model.preprocessing)
    return arrays if split.labels is None else {**arrays, "labels": split.labels}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    try:
        main(arguments.run, arguments.out)
    except SlimlineError as error:
        sys.exit(f"prepare: {error}")
