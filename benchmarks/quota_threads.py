"""Threads under a container's quota: is the number that a bundle's infer.py chooses as good as any other?

    python benchmarks/quota_threads.py BUNDLE [--quotas 0.5 1 1.5 2] [--wanted 2] [--rounds 3] [--seconds 3]

Each process joins a control group with the quota (of version 1 or 2, which takes root), loads the bundle's model with
one number of threads, and times calls: back to back, and with pauses that leave half of the quota unused. "chosen" is
the number that infer.py takes where the figures were taken with --wanted threads (by default with one per core); "host"
is what ONNX Runtime takes by itself. Rounds are interleaved, and the p99 is over all of them. It prints a table in
Markdown; the last column is the chosen number's p99 over that of the best. It takes some 5 minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_PERIOD_US = 100_000
_VERSION_1, _VERSION_2 = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
_WARM_CALLS = 5
_HOST = 0
LOADS = ("back to back", "half of the quota")


@dataclass(frozen=True)
class Worked:
    """What a process saw: how many threads infer.py would choose there, and the milliseconds of each call by load."""

    chosen: int
    calls_ms: Mapping[str, Sequence[float]]


def work(
    bundle: Path, group: Path, *, threads: int, wanted: int, batch_size: int, seconds: float, quota: float
) -> Worked:
    """Join the group, load the model with this many threads and time calls; in a process of its own."""
    (group / "cgroup.procs").write_text(str(os.getpid()))
    sys.path.insert(0, str(bundle))
    from slimline_infer import model as program  # type: ignore[import-not-found]
    from slimline_infer.threads import allowed_threads  # type: ignore[import-not-found]

    chosen, _ = allowed_threads(wanted)
    program.allowed_threads = lambda _: (threads, None)
    model = program.Model(bundle, batch_size=batch_size)
    inputs, _, _ = model.golden()
    feed = {name: np.resize(array, (batch_size, *array.shape[1:])) for name, array in inputs.items()}
    for _ in range(_WARM_CALLS):
        model.outputs(feed)
    before = time.process_time()
    back_to_back = list(_timed(lambda: model.outputs(feed), seconds))
    each_s = (time.process_time() - before) / len(back_to_back)
    paused = list(_timed(lambda: model.outputs(feed), seconds, 2 * each_s / quota))
    return Worked(chosen, dict(zip(LOADS, (back_to_back, paused), strict=True)))


def _timed(call: Callable[[], object], seconds: float, every_s: float = 0.0) -> Iterator[float]:
    """Milliseconds of each call; a pause follows, so that calls begin ``every_s`` apart where they take no longer."""
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        call()
        spent_s = time.perf_counter() - start
        yield spent_s * 1000
        time.sleep(max(0.0, every_s - spent_s))


@contextmanager
def group_with(quota: float) -> Iterator[Path]:
    """A control group whose processes may use this many cores' time."""
    first = (_VERSION_1 / "cpu.cfs_quota_us").exists() or (_VERSION_1 / "cpu.shares").exists()
    folder = (_VERSION_1 if first else _VERSION_2) / f"slimline-quota-{os.getpid()}"
    try:
        folder.mkdir()
        if first:
            (folder / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (folder / "cpu.cfs_quota_us").write_text(str(round(quota * _PERIOD_US)))
        else:
            (_VERSION_2 / "cgroup.subtree_control").write_text("+cpu")
            (folder / "cpu.max").write_text(f"{round(quota * _PERIOD_US)} {_PERIOD_US}")
    except OSError as error:
        raise SystemExit(f"no control group with a quota can be made here: {error}") from error
    try:
        yield folder
    finally:
        folder.rmdir()


def measured(bundle: Path, quota: float, threads: int, options: argparse.Namespace) -> Worked:
    """One process in a group of its own."""
    with group_with(quota) as group:
        settings = {"threads": threads, "quota": quota}
        settings |= {name: getattr(options, name) for name in ("wanted", "batch_size", "seconds")}
        asked = json.dumps([str(bundle), str(group), settings])
        done = subprocess.run(
            [sys.executable, "-B", __file__, "--worker", asked], check=True, stdout=subprocess.PIPE, text=True
        )
    chosen, calls = json.loads(done.stdout)
    return Worked(chosen, calls)


def rows(quota: float, calls: Mapping[tuple[int, str], Sequence[float]], chosen: int) -> Iterator[str]:
    """A row of the table for each load."""
    counts = sorted({threads for threads, _ in calls})
    for load in LOADS:
        p99 = {threads: float(np.percentile(calls[threads, load], 99)) for threads in counts}
        best = min(value for threads, value in p99.items() if threads != _HOST)
        figures = " | ".join(f"{p99[threads]:.1f}" for threads in counts)
        yield f"| {quota:g} | {load} | {figures} | {chosen} | {p99[chosen] / best:.2f} |"


def main() -> None:
    """Measure every number of threads under every quota, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--quotas", type=float, nargs="+", default=[0.5, 1.0, 1.5, 2.0])
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--wanted", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    counts = [_HOST, *range(1, (os.cpu_count() or 1) + 1)]
    names = " | ".join("host" if threads == _HOST else str(threads) for threads in counts)
    print(f"p99 in ms of {options.batch_size} examples a call, by number of threads\n")
    print(f"| quota | calls | {names} | chosen | over the best |")
    print("|---|---|" + "---|" * (len(counts) + 2), flush=True)
    draw = random.Random(7)
    for quota in options.quotas:
        calls: dict[tuple[int, str], list[float]] = defaultdict(list)
        for _ in range(options.rounds):
            for threads in draw.sample(counts, len(counts)):
                worked = measured(options.bundle.resolve(), quota, threads, options)
                for load, figures in worked.calls_ms.items():
                    calls[threads, load] += figures
        for row in rows(quota, calls, worked.chosen):
            print(row, flush=True)


def _as_worker(asked: str) -> None:
    bundle, group, settings = json.loads(asked)
    worked = work(Path(bundle), Path(group), **settings)
    print(json.dumps([worked.chosen, worked.calls_ms]))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        _as_worker(sys.argv[2])
    else:
        main()
