"""Folders of sweeps that never happened, with samples whose effects are known."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

from pipeline.command_line.multirun import asked_jobs, overrides_in
from pipeline.results.record import Record, save_record
from pipeline.results.sweep import Sweep
from pipeline.sweep.assemble import assembled
from pipeline.sweep.found import job_folders, jobs_in
from tests.analyse.synthetic import Made, make_record

BASIC = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
INT8 = Made(name="int8", times_as_fast=2.0)
SLOW_INT8 = Made(name="int8", times_as_fast=0.8)
PRUNED = Made(name="pruned", times_as_fast=3.0)
BAD_PRUNED = Made(name="pruned", times_as_fast=3.0, lost=400)


def record(*made: Made, model: str = "a", seed: int = 0, digest: str | None = None, cpu: str = "a processor") -> Record:
    """What a job recorded; every variant but the baseline has this digest."""
    found = make_record(*made, seed=seed + 1)
    variants = [
        one if one.name == "baseline" or digest is None else replace(one, digest=digest) for one in found.variants
    ]
    machine = replace(found.machine, cpu=cpu)
    return replace(found, model=model, seed=seed, variants=variants, machine=machine, command="python -m pipeline")


def sweep_folder(folder: Path, choices: Mapping[str, Sequence[str]], sweeper: str = BASIC) -> Path:
    """The folder of a sweep over these settings, before its first job."""
    folder.mkdir(parents=True)
    typed = [f"{key}={','.join(values)}" for key, values in choices.items()]
    hydra = {
        "sweeper": {"_target_": sweeper, "max_batch_size": None, "params": None},
        "overrides": {"hydra": ["hydra.mode=MULTIRUN"], "task": typed},
        "runtime": {"config_sources": [{"path": "pipeline.conf", "schema": "pkg", "provider": "main"}]},
    }
    (folder / "multirun.yaml").write_text(json.dumps({"hydra": hydra}))  # JSON is YAML
    return folder


def add_job(
    sweep: Path,
    overrides: Sequence[str],
    samples: Record | None,
    *,
    name: str = "",
    code: int | None = 0,
    reason: str | None = None,
) -> Path:
    """A job's folder, as Hydra and the job leave it."""
    folder = sweep / (name or str(len(job_folders(sweep))))
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text(json.dumps(list(overrides)))
    command = " ".join(["python -m pipeline", *overrides])
    outcome = {"command": command, "exit_code": code, "reason": reason}
    (folder / "job.json").write_text(json.dumps(outcome))
    if samples is not None:
        save_record(samples, folder / "samples")
    return folder


def read(sweep: Path) -> Sweep:
    """What the report of a sweep's folder shows."""
    asked = asked_jobs(sweep)
    return assembled(sweep, asked, list(jobs_in(sweep, asked, overrides_in(job_folders(sweep)))))


def of_models(folder: Path) -> Path:
    """Three models: int8 wins on a, is slow on b, and on c pruning is faster and loses too much."""
    sweep = sweep_folder(folder, {"model": ["a", "b", "c"], "measure": ["default"]})
    made = {"a": (INT8,), "b": (SLOW_INT8, PRUNED), "c": (INT8, BAD_PRUNED)}
    for model, variants in made.items():
        add_job(sweep, [f"model={model}", "measure=default"], record(*variants, model=model))
    return sweep


def of_seeds(folder: Path, seeds: int = 3, same_bytes: bool = False) -> Path:
    """Two models and some seeds."""
    values = [str(seed) for seed in range(seeds)]
    sweep = sweep_folder(folder, {"model": ["a", "b"], "seed": values})
    for model, seed in product("ab", range(seeds)):
        digest = "cd" * 32 if same_bytes else f"{seed:02x}" * 32
        made = replace(INT8, times_as_fast=2.0 + 0.2 * seed, lost=10 * seed)
        add_job(sweep, [f"model={model}", f"seed={seed}"], record(made, model=model, seed=seed, digest=digest))
    return sweep
