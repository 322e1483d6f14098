"""The rows of an experiment, built: what the scripts of this folder share."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import build, register
from pipeline.data.batches import Inputs
from pipeline.data.dataset import preprocess
from pipeline.plan import Plan
from pipeline.run.build import builder
from pipeline.run.fitting import acquainted, with_fitted_data
from pipeline.run.preflight import preflight
from pipeline.run.rows import Row, rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """A plan, its rows (those that can't run here have no artifact), and the test split as the model reads it."""

    plan: Plan
    rows: list[Row]
    inputs: Inputs


@contextmanager
def built(overrides: Sequence[str]) -> Iterator[Experiment]:
    """Of what stands behind ``python -m pipeline``; models come from the store, or are built and kept there."""
    with tempfile.TemporaryDirectory() as folder:
        plan = with_fitted_data(composed(overrides, Path(folder)))
        splits = preflight(plan)
        with builder(plan, lambda *_: None) as making:
            plan = making.plan = acquainted(plan, making.source().artifact, splits).plan
            models = {name: making.build(variant) for name, variant in plan.variants.items()}
        inputs = preprocess(plan.data.split("test").inputs, plan.model.preprocessing)
        yield Experiment(plan=plan, rows=rows(plan, models), inputs=inputs)


def run_pipeline(words: Sequence[str], out: Path, log: Path) -> int:
    """Run an experiment as a user does, into the folder ``out``; returns its exit code. ``log`` has what it says."""
    command = (sys.executable, "-m", "pipeline", *words, f"hydra.run.dir={out}")
    with log.open("w") as text:
        return subprocess.run(command, stdout=text, stderr=text, check=False).returncode


def composed(overrides: Sequence[str], output: Path) -> Plan:
    """The plan of what stands behind ``python -m pipeline``."""
    from hydra import compose, initialize_config_module

    register()
    with initialize_config_module("pipeline.conf", version_base="1.3"):
        cfg = compose("config", list(overrides))
    return build(cfg, output, "")
