"""A process that has imported OpenVINO, and has compiled nothing yet, may be forked."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from pipeline.artifact import Artifact
from pipeline.artifact.files import OPENVINO_FILE
from pipeline.backends.openvino import OpenVino
from pipeline.libraries.telemetry import without_telemetry
from pipeline.measure.probe import probe_feed, write_probe
from pipeline.measure.workers.process import Worker
from pipeline.measure.workers.start import FreshWorkers
from pipeline.measure.workers.worker import Cell, Job, Load, Timed
from pipeline.plan import Target

pytestmark = [
    pytest.mark.skipif(find_spec("openvino") is None, reason="needs the extra openvino"),
    pytest.mark.skipif(sys.platform != "linux", reason="a fork"),
]
IMPORT = """
import os, numpy
from pipeline.backends.openvino import OpenVino
from pipeline.plan import Target

before = len(os.listdir("/proc/self/task"))
OpenVino().preload(Target(name="cpu", backend=OpenVino()))
assert len(os.listdir("/proc/self/task")) == before
"""


def test_importing_it_starts_no_thread(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", IMPORT], check=True, env={"HOME": str(tmp_path)}, timeout=120)


def converted(probe: Artifact, out: Path) -> Artifact:
    openvino = without_telemetry("openvino")
    openvino.save_model(openvino.Core().read_model(str(probe.onnx_path)), str(out / OPENVINO_FILE))
    return Artifact(out, "openvino", "converted")


@pytest.mark.slow
def test_forked_processes_load_and_run_both_formats_round_after_round(tmp_path: Path) -> None:
    probe = write_probe(tmp_path / "probe")
    jobs = {
        f"{model.format} on {threads}": Job(
            artifact=model, target=Target(name="cpu", backend=OpenVino(), threads=threads), feed=probe_feed()
        )
        for model in (probe, converted(probe, tmp_path))
        for threads in (1, 2)
    }
    parents = set()
    with FreshWorkers("fork") as fresh:
        for _ in range(3):
            with fresh.started(jobs) as workers:
                for worker in workers.values():
                    assert isinstance(worker, Worker), worker
                    worker.ask(Load(calls=2, warmup_ns=0))
                    timed: Timed = worker.ask(Cell(untimed_ns=0, calls=3, cell_ns=0))
                    assert np.all(timed.durations_ns > 0)
                    if worker.pid:  # only that of a worker with a thread pool is kept
                        parents.add(parent_of(worker.pid))
    assert len(parents) == 3, "the workers of a round have one parent, and every round another"


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
