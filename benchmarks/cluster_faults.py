"""Faults of a cluster at random moments: does the run end right, and is the next one right?

    sudo .venv/bin/python benchmarks/cluster_faults.py [MOMENTS] [--seed 0] [--kinds worker,driver,…] [--folder DIR]

Two nodes of Ray, both on this machine. The second one is called ``edge``. It has a network of its own (a namespace,
joined by a pair of virtual cards) and a disk of its own (a file system in memory). The store lies on a server of S3
(moto). A run builds a small model's variants on both nodes, and times one target on ``edge``. Each moment begins a run
with an empty store, waits for a random time, and then, for each kind in turn,

    worker   kills a process that carries out a task
    driver   kills the run
    node     kills all processes of edge
    network  takes edge's network down
    disk     fills edge's disk

and this lasts until the run has ended. Then the cluster is made whole, and the same command runs to its end. Right is:
the first run ends by itself, with a reason for whatever it lacks; no process of it lives on; every model that was in
the store is there as it was, so it was not built again; and the second run's rows are those of a run that nobody
disturbed, and it leaves no lease and no file. Linux only, and only as root. By itself Ray calls a node dead that has
not answered for some half a minute; here, for five seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kills import MARK, MEASURE, Ended, Run, Workplace, command_of, living, marked, wrong_after

from pipeline.execution.far import importable
from pipeline.store.place import LEASES

KINDS = ("worker", "driver", "node", "network", "disk")
EDGE, BUCKET = "edge", "team"
HERE, THERE = "10.77.0.1", "10.77.0.2"
PORTS = {"ray": 26379, "s3": 25000}
DISK_MB = 256
SERVED = {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "mine", "AWS_DEFAULT_REGION": "us-east-1"}
NODE = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
}
"""The environment of a node. The last four say when Ray's head calls another one dead."""
RUN = (
    "model=onnx", "model.path=model.onnx", "data=npz", "data.path=data.npz", "execution=ray",
    f"execution.address={HERE}:{PORTS['ray']}", "variant=[baseline,dynamic_int8,static_int8,weights_int8,fixed_shapes]",
    "target=[ort_cpu,openvino_cpu]", f"+target.openvino_cpu.where.resource={EDGE}",
    f"store.options.endpoint_url=http://{HERE}:{PORTS['s3']}", *MEASURE,
)  # fmt: skip
SESSIONS = Path("/tmp/ray")
"""Where Ray's nodes keep their logs and sockets; edge has a folder of its own there, on its disk."""
NODES = "nodes"
"""The mark of what the nodes start."""
TASK = "ray::"
IDLE = "ray::IDLE"
READY_S, LONGEST_S = 60.0, 300.0


@dataclass(kw_only=True)
class Edge:
    """The second node."""

    disk: Path
    """Where its disk is mounted, which this machine does not see."""
    process: subprocess.Popen[bytes] | None = None

    def join(self) -> None:
        """Make its network."""
        ip("netns", "add", EDGE)
        ip("link", "add", "edge0", "type", "veth", "peer", "name", "edge1", "netns", EDGE)
        ip("addr", "add", f"{HERE}/24", "dev", "edge0")
        ip("link", "set", "edge0", "up")
        ip("-n", EDGE, "addr", "add", f"{THERE}/24", "dev", "edge1")
        ip("-n", EDGE, "link", "set", "edge1", "up")
        ip("-n", EDGE, "link", "set", "lo", "up")

    def leave(self) -> None:
        """Take it away."""
        self.kill()
        for words in (("link", "del", "edge0"), ("netns", "del", EDGE)):
            with suppress(subprocess.CalledProcessError):
                ip(*words)

    def start(self) -> None:
        """Start its processes, and wait until the head knows it."""
        self.kill()
        before = known()  # one that has just ended may be among them
        self.disk.mkdir(parents=True, exist_ok=True)
        SESSIONS.mkdir(exist_ok=True)
        mount = (
            f"mount -t tmpfs -o size={DISK_MB}m tmpfs {self.disk} && mkdir {self.disk}/tmp {self.disk}/ray && "
            f'mount --bind {self.disk}/ray {SESSIONS} && exec "$@"'
        )
        words = ray_start(f"--address={HERE}:{PORTS['ray']}", f"--node-ip-address={THERE}", "--num-cpus=1")
        words += [f"--resources={json.dumps({EDGE: 1})}"]
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", EDGE, "unshare", "-m", "sh", "-c", mount, "sh", *words],
            env={**os.environ, **NODE, MARK: NODES, "TMPDIR": str(self.disk / "tmp")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_for(lambda: bool(known() - before), "edge to join the cluster")

    def is_whole(self) -> bool:
        """Whether it lives here and for the head."""
        return self.process is not None and self.process.poll() is None and bool(known())

    def pids(self) -> list[int]:
        """Its processes."""
        found = subprocess.run(["ip", "netns", "pids", EDGE], capture_output=True, text=True, check=False).stdout
        return [int(word) for word in found.split()]

    def kill(self) -> None:
        """End all its processes at once."""
        while pids := self.pids():
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)
        if self.process is not None:
            self.process.wait()

    def connect(self, *, up: bool) -> None:
        """Put its network up, or down."""
        ip("link", "set", "edge0", "up" if up else "down")

    def fill(self) -> None:
        """Fill its disk."""
        self._on_disk(f"dd if=/dev/zero of={self.disk}/full bs=1M 2>/dev/null; true")

    def empty(self) -> None:
        """Give its disk room again."""
        self._on_disk(f"rm -f {self.disk}/full")

    def _on_disk(self, command: str) -> None:
        pids = self.pids()
        if pids:
            subprocess.run(["nsenter", "-t", str(pids[0]), "-m", "sh", "-c", command], check=False)


def known() -> set[str]:
    """The ids under which the head says that edge lives."""
    import ray

    return {node["NodeID"] for node in ray.nodes() if node["Alive"] and EDGE in node["Resources"]}


def ip(*words: str) -> None:
    """Change the network."""
    subprocess.run(["ip", *words], check=True, capture_output=True)


def ray_start(*words: str) -> list[str]:
    """What starts a node of Ray in the foreground."""
    return [sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start", "--block", *words]


def wait_for(happens: Callable[[], bool], what: str) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + READY_S
    while not happens():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {READY_S:g} s for {what}")
        time.sleep(0.2)


@contextmanager
def running(*words: str, environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program beside this one."""
    with log.open("wb") as streams:
        process = subprocess.Popen(
            words, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=streams, stderr=streams,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def cluster(folder: Path) -> Iterator[Edge]:
    """The head, the server of S3, and edge, which has joined."""
    import ray

    edge = Edge(disk=folder / "disk")
    head = ray_start("--head", f"--node-ip-address={HERE}", f"--port={PORTS['ray']}", "--num-cpus=1")
    with ExitStack() as stack:
        stack.callback(edge.leave)
        edge.leave()
        edge.join()
        stack.enter_context(importable())
        moto = ("-m", "moto.server", "-H", HERE, "-p", str(PORTS["s3"]))
        stack.enter_context(running(sys.executable, *moto, environment=SERVED, log=folder / "s3.log"))
        words = [*head, "--include-dashboard=false"]
        stack.enter_context(running(*words, environment={**NODE, MARK: NODES}, log=folder / "head.log"))
        wait_for(is_there, "the head and the server of S3")
        ray.init(f"{HERE}:{PORTS['ray']}", log_to_driver=False, configure_logging=False)
        stack.callback(ray.shutdown)
        files().mkdir(BUCKET)
        edge.start()
        yield edge


def is_there() -> bool:
    """Whether both servers answer."""
    with suppress(OSError):
        for port in PORTS.values():
            socket.create_connection((HERE, port), 1).close()
        return True
    return False


def files() -> Any:
    """What lies on the server of S3."""
    import s3fs

    return s3fs.S3FileSystem(endpoint_url=f"http://{HERE}:{PORTS['s3']}", use_listings_cache=False)


@dataclass(frozen=True, kw_only=True)
class Place(Workplace):
    """A folder with a model, and a store on the server."""

    prefix: str

    @property
    def address(self) -> str:
        """The store."""
        return f"s3://{BUCKET}/{self.prefix}"

    def entries(self) -> dict[str, str]:
        """The version of each entry in the store, by its key."""
        found = files().find(f"{BUCKET}/{self.prefix}", detail=True)
        return {name: one["ETag"] + str(one["LastModified"]) for name, one in found.items() if "/entry.json" in name}

    def leases(self) -> list[str]:
        """The leases that lie in the store."""
        return [name for name in files().find(f"{BUCKET}/{self.prefix}") if LEASES in name]

    def run(self) -> Run:
        """The command."""
        return self.start(f"store.path={self.address}", f"store.cache={self.folder / 'disk' / self.prefix}")

    def tasks(self) -> dict[int, str]:
        """Processes of Ray that carry out something."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                command = command_of(folder)
                if command.startswith(TASK) and not command.startswith((IDLE, "ray::Ears")):
                    found[int(folder.name)] = command
        return found

    def processes(self) -> dict[int, str]:
        """The command lines of what its runs, and their tasks, have started, and of the tasks."""
        of_tasks = {pid: command for pid, command in marked(NODES) if "pipeline" in command}
        return {**super().processes(), **self.tasks(), **of_tasks}

    def left(self) -> list[str]:
        """What nobody needs any more."""
        return [*super().left(), *self.leases()]


@dataclass(kw_only=True)
class Outcome:
    """What came of a moment; whatever is in ``wrong`` should not be."""

    first: Ended
    second: Ended
    kept: int
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """For the table."""
        times = f"{self.first.seconds:5.1f} s, code {self.first.code}; then {self.second.seconds:5.1f} s"
        return f"{times}, {self.kept} models kept  {'; '.join(self.wrong) or 'right'}"


def break_it(kind: str, place: Place, run: Run, edge: Edge, rng: random.Random) -> str:
    """Do what the kind says; returns what was hit."""
    if run.process.poll() is not None:
        return "it had ended"
    if kind == "worker":
        tasks = place.tasks()
        if not tasks:
            return "no task"
        pid = rng.choice(sorted(tasks))
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return tasks[pid]
    if kind == "driver":
        run.process.kill()
    elif kind == "node":
        edge.kill()
    elif kind == "network":
        edge.connect(up=False)
    else:
        edge.fill()
    return kind


def mend(kind: str, edge: Edge) -> None:
    """Make the cluster whole again."""
    if kind == "network":
        edge.connect(up=True)
    if kind == "disk":
        edge.empty()
    if kind in ("node", "network") or not edge.is_whole():
        edge.start()


def try_moment(
    place: Place, edge: Edge, kind: str, after_s: float, right: dict[str, Any], rng: random.Random
) -> Outcome:
    """Break something during a run, mend it, let the next run end, and look."""
    run = place.run()
    with suppress(subprocess.TimeoutExpired):
        run.process.wait(after_s)
    hit = break_it(kind, place, run, edge, rng)
    first = run.end(LONGEST_S)
    wrong = [*first.wrong]
    wrong += [f"code {first.code}"] if first.code not in ((-9,) if hit == "driver" else (0, 1)) else []
    mend(kind, edge)
    wrong += living(place)
    before = place.entries()
    second = place.run().end(LONGEST_S)
    after = place.entries()
    wrong += [f"built again: {name}" for name, version in before.items() if after.get(name) != version]
    wrong += [*living(place), *wrong_after(place, second, right)]
    return Outcome(first=first, second=second, kept=len(before), wrong=wrong)


def main(words: Sequence[str]) -> None:
    """Print the table; exit with 1 where anything was wrong."""
    parser = argparse.ArgumentParser(description="Break parts of a cluster, and look at what comes of it.")
    parser.add_argument("moments", nargs="?", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", default=",".join(KINDS), help="with commas between (default: all)")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    options = parser.parse_args(words)
    kinds = options.kinds.split(",")
    if not set(kinds) <= set(KINDS):
        parser.error(f"--kinds: choose from {', '.join(KINDS)}")
    if os.geteuid() != 0:
        parser.error("only root may make a network and a disk: type sudo before it")
    folder = options.folder or Path(tempfile.mkdtemp(prefix="faults-"))
    os.environ.update(SERVED)
    rng, failed = random.Random(options.seed), 0
    place = Place(folder=folder, overrides=RUN, prefix="undisturbed")
    place.prepare()
    with cluster(folder) as edge:
        place.run().end(LONGEST_S)  # the first one meets cold disks
        undisturbed = Place(folder=folder, overrides=RUN, prefix="again").run().end(LONGEST_S)
        if undisturbed.code != 0:
            sys.exit(f"the run does not work undisturbed: code {undisturbed.code}\n{undisturbed.said}")
        right = place.figures()
        print(f"an undisturbed run takes {undisturbed.seconds:.1f} s; working in {folder}", flush=True)
        for number in range(options.moments):
            kind, after_s = kinds[number % len(kinds)], rng.uniform(0, undisturbed.seconds)
            here = Place(folder=folder, overrides=RUN, prefix=f"moment{number}")
            outcome = try_moment(here, edge, kind, after_s, right, rng)
            failed += bool(outcome.wrong)
            print(f"{number + 1:>3}  {after_s:5.1f} s  {kind:<8} {outcome}", flush=True)
    print("all right" if not failed else f"{failed} were wrong")
    if options.folder is None and not failed:
        shutil.rmtree(folder)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
