"""What it costs to start, and to load, the processes of one round: a check of what is shared and what is not.

    python benchmarks/start_cost.py [OVERRIDE ...]

OVERRIDE is what stands behind ``python -m pipeline``. For each way to start (spawn: a new interpreter for each row;
fork: one imports the runtimes and is forked) it prints the seconds until every process has imported its runtime and
made its context on an accelerator, then what each row takes to load and for its first inference, one after the other.
"""

from __future__ import annotations

import argparse
import time
from typing import Literal

import numpy as np
from built import built

from pipeline.data.batches import batch_of
from pipeline.errors import WorkerFailed
from pipeline.measure.workers.start import FreshWorkers
from pipeline.measure.workers.worker import Job, Load, Loaded

_ROUNDS = 2
_NS_PER_S = 1e9


def main() -> None:
    """Time both ways, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("overrides", nargs="*", metavar="OVERRIDE")
    with built(parser.parse_args().overrides) as experiment:
        jobs = {
            row.record.key: Job(
                artifact=row.artifact,
                target=row.target,
                feed={
                    name: np.array(array) for name, array in batch_of(experiment.inputs, row.record.batch_size).items()
                },
            )
            for row in experiment.rows
            if row.artifact is not None
        }
        for start in ("spawn", "fork"):
            _rounds(start, jobs)


def _rounds(start: Literal["spawn", "fork"], jobs: dict[str, Job]) -> None:
    """From the second round on, a fork's template was started while the models of the round before were loaded."""
    with FreshWorkers(start) as fresh:
        for number in range(1, _ROUNDS + 1):
            began = time.monotonic()
            with fresh.started(jobs) as workers:
                print(
                    f"{start}, round {number}: {len(jobs)} processes up in {time.monotonic() - began:.2f} s", flush=True
                )
                began = time.monotonic()
                with fresh.importing(jobs if number < _ROUNDS else {}):
                    for key, worker in workers.items():
                        try:
                            if isinstance(worker, WorkerFailed):
                                raise worker
                            loaded: Loaded = worker.ask(Load(calls=1, warmup_ns=0))
                        except WorkerFailed as failure:
                            print(f"  {key}: {failure}", flush=True)
                            continue
                        load_s, first_s = loaded.load_ns / _NS_PER_S, loaded.first_ns / _NS_PER_S
                        print(f"  {key}: load {load_s:.2f} s, first {first_s:.2f} s", flush=True)
                print(f"  all: {time.monotonic() - began:.2f} s", flush=True)


if __name__ == "__main__":
    main()
