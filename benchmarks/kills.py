"""Runs that are killed at random moments, and runs side by side: what is left, and is the next run right?

    python benchmarks/kills.py [MOMENTS] [--seed 0] [--training | --search] [--execution pool|slurm] [--folder DIR]

Each moment starts a real run on a small model, waits for a random time, and sends a signal (KILL, TERM, INT or HUP) to
the run, or KILL to one of its processes or to a template. Then the same command runs to its end. Right is: no process
lives on, no entry of the store is damaged, nothing is left in TMPDIR, in the store or under a hidden name in outputs
once the next run has ended, and its figures that don't depend on time are those of a run that nobody disturbed.
``--training`` trains too: moments then fall into fine-tuning, whose checkpoints the next run continues from.
``--execution`` builds side by side, in a pool or by jobs that stand in for SLURM's; moments then fall on these, too.
``--search`` searches: no trial that had ended may be lost or tried again, and the same space must be finished. Without
either, runs are started side by side at the end. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifact.store import Store
from pipeline.errors import CorruptEntry
from pipeline.search.journal import Journal

MARK = "SLIMLINE_KILLS"
"""Names a workplace in the environment of every process that it starts, so that one that lives on is found."""
LONGEST_S, END_S = 600, 15
FEATURES, HIDDEN, CLASSES, EXAMPLES = 64, 64, 10, 800
MEASURE = ("measure=quick", "measure.budget_s=2", "measure.energy_s=null", "measure.explain=none")
ONNX = (
    "model=onnx", "model.path=model.onnx", "data=npz", "data.path=data.npz", "target=[ort_cpu]",
    "variant=[baseline,dynamic_int8,static_int8]", *MEASURE,
)  # fmt: skip
TRAINING = (
    "model=torch", "model.factory=kills_network.Perceptron", "model.weights=weights.pth",
    "model.inputs={x:{shape:[64],dtype:float32}}", "data=npz", "data.path=data.npz", "target=[ort_cpu]",
    "variant=[baseline,pruned]", "variants.pruned.stages.finetune.epochs=12",
    "variants.pruned.stages.finetune.batch_size=16", *MEASURE,
)  # fmt: skip
SEARCH = (
    "experiment=best", "model=onnx", "model.path=model.onnx", "data=npz", "data.path=data.npz",
    "target=[ort_cpu,openvino_cpu]", "variant=[baseline,fixed_shapes,dynamic_int8,static_int8,weights_int8]",
    "search.rules=false", "search.budget_s=60", "~search.rescue_chains", "~search.ranges", *MEASURE,
)  # fmt: skip
NETWORK = """\
from torch import nn


class Perceptron(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
"""
EXECUTIONS = {
    "local": (),
    "pool": ("execution=pool", "execution.places=2"),
    "slurm": ("execution=slurm", "execution.cluster=local"),
}
LONG = ("measure.budget_s=20", "measure.looks=[60]")
SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")
VICTIMS = ("run", "run", "process", "template")


@dataclass(frozen=True, kw_only=True)
class Run:
    """A command that was started."""

    process: subprocess.Popen[bytes]
    log: Path
    began: float = field(default_factory=time.monotonic)

    def end(self, longest_s: float = LONGEST_S) -> Ended:
        """Wait for its end; one that does not end is killed, and its code is None."""
        code: int | None
        try:
            code = self.process.wait(longest_s)
        except subprocess.TimeoutExpired:
            code = None
            self.process.kill()
            self.process.wait()
        return Ended(code=code, said=self.said, seconds=time.monotonic() - self.began)

    @property
    def said(self) -> str:
        """On both streams, so far."""
        return self.log.read_text(errors="replace")

    def until(self, words: str) -> None:
        """Wait until it has said this, or has ended."""
        while words not in self.said and self.process.poll() is None:
            time.sleep(0.05)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A command that has ended."""

    code: int | None
    said: str
    seconds: float

    @property
    def wrong(self) -> list[str]:
        """What no run may say, however it ended."""
        found = [words for words in ("Traceback", "Exception ignored", "Segmentation") if words in self.said]
        return [*found, *(["hung"] if self.code is None else [])]


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """A folder with a model, its data, a store, outputs and a TMPDIR of its own."""

    folder: Path
    overrides: Sequence[str] = ONNX
    execution: str = "local"
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def prepare(self) -> None:
        """Write the model and its data."""
        (self.folder / "tmp").mkdir(parents=True)
        (self.folder / "logs").mkdir()
        write_model(self.folder)
        if self.overrides == TRAINING:
            write_network(self.folder)

    @property
    def store(self) -> Path:
        """Where its runs keep what they build."""
        return self.folder / "models" / "store"

    def start(self, *more: str) -> Run:
        """A run, in a session of its own."""
        return self.start_command(*self.overrides, *EXECUTIONS[self.execution], *more)

    def start_command(self, *arguments: str) -> Run:
        """Any command of the program."""
        path = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")]))
        own = {"PYTHONPATH": path, "TMPDIR": str(self.folder / "tmp"), "SLIMLINE_LOCKS": str(self.folder)}
        # A background job ignores Ctrl-C, one under nohup SIGHUP, and so would what it starts.
        heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        heard += "signal.signal(signal.SIGHUP, signal.SIG_DFL)"
        log = self.folder / "logs" / uuid.uuid4().hex
        with log.open("wb") as streams:
            process = subprocess.Popen(
                [sys.executable, "-c", f"{heard}; from pipeline.cli import main; main()", *arguments],
                cwd=self.folder,
                env={**os.environ, **own, MARK: self.mark, "COLUMNS": "200"},
                stdin=subprocess.DEVNULL,
                stdout=streams,
                stderr=streams,
                start_new_session=True,
            )
        return Run(process=process, log=log)

    def processes(self) -> dict[int, str]:
        """The command lines of all processes that its runs have started and that still live."""
        return dict(marked(self.mark))

    def orphans(self) -> list[str]:
        """What still lives a while after its runs have ended."""
        deadline = time.monotonic() + END_S
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.1)
        return list(self.processes().values())

    def damaged(self) -> list[str]:
        """Entries of the store that are not as they were written."""
        found = []
        for summary in Store(self.store).entries():
            try:
                Store(self.store).get(summary.key)
            except CorruptEntry as error:
                found.append(str(error))
        return found

    def left(self) -> list[str]:
        """What nobody needs any more."""
        places = [self.folder / "tmp", *(self.store / name for name in (".new", ".work", ".locks"))]
        found = [path for place in places if place.exists() for path in place.iterdir()]
        outputs = self.folder / "outputs"
        hidden = [path for path in outputs.rglob(".*") if path.name != ".hydra"]
        return [path.relative_to(self.folder).as_posix() for path in [*found, *hidden, *outputs.rglob("*.tmp")]]

    def trials(self) -> dict[str, Any]:
        """The trials that a search which was stopped has in its journal, by candidate; none where none was stopped."""
        found: dict[str, Any] = {}
        for path in (self.store / ".search").glob("*.journal"):
            journal = Journal(path=path, seed=0)
            journal.open()
            found |= {f"{trial.variant}@{trial.target}": asdict(trial) for trial in journal.ended.values()}
        return found

    def runs(self) -> list[Path]:
        """The folders of runs that have a report, the oldest first."""
        return sorted(path.parent for path in (self.folder / "outputs").glob("*/*/report.json"))

    def report(self) -> dict[str, Any]:
        """The newest report."""
        found: dict[str, Any] = json.loads((self.folder / "outputs" / "latest" / "report.json").read_text())
        return found

    def figures(self) -> dict[str, Any]:
        """What the newest report says that depends on no clock: each row's status, accuracy and model."""
        report = self.report()
        if report["search"] is not None:  # which candidates are finalists depends on the clock
            return {"candidates": sorted(f"{one['variant']}@{one['target']}" for one in report["search"]["trials"])}
        return {
            f"{variant['name']} {row['target']}": (
                row["status"],
                (row["accuracy"] or {}).get("value"),
                variant["digest"],
            )
            for variant in report["variants"]
            for row in variant["results"]
        }


def write_model(folder: Path) -> None:
    """model.onnx, a perceptron with one hidden layer, and data.npz, which it is right about."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    first = rng.standard_normal((FEATURES, HIDDEN)).astype(np.float32) / 8
    second = rng.standard_normal((HIDDEN, CLASSES)).astype(np.float32) / 8
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["hidden"], "first"),
        helper.make_node("Relu", ["hidden"], ["rectified"], "relu"),
        helper.make_node("MatMul", ["rectified", "second"], ["scores"], "second"),
    ]
    graph = helper.make_graph(
        nodes,
        "perceptron",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", FEATURES])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", CLASSES])],
        [numpy_helper.from_array(first, "first"), numpy_helper.from_array(second, "second")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "model.onnx")
    x = rng.standard_normal((EXAMPLES, FEATURES)).astype(np.float32)
    np.savez(folder / "data.npz", x=x, labels=(np.maximum(x @ first, 0) @ second).argmax(1))


def write_network(folder: Path) -> None:
    """A PyTorch network's code and weights."""
    import torch

    (folder / "kills_network.py").write_text(NETWORK)
    scope: dict[str, Any] = {"__name__": "kills_network"}
    exec(NETWORK, scope)
    torch.manual_seed(0)
    torch.save(scope["Perceptron"]().state_dict(), folder / "weights.pth")


def command_of(folder: Path) -> str:
    """The command line of a process, by its folder in /proc; raises OSError where it is gone."""
    return (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()


def marked(mark: str) -> Iterator[tuple[int, str]]:
    """Processes whose environment names a workplace, and that are no zombies."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            if f"{MARK}={mark}".encode() not in (folder / "environ").read_bytes().split(b"\0"):
                continue
            if (folder / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                yield int(folder.name), command_of(folder)


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One kill: when, with what, whom."""

    after_s: float
    signal: str
    victim: str
    cold: bool
    """With an empty store."""

    @staticmethod
    def draw(rng: random.Random, longest_s: float) -> Moment:
        """Anywhere in a run that takes so long. Other victims than the run itself are killed without a warning."""
        victim = rng.choice(VICTIMS)
        name = rng.choice(SIGNALS) if victim == "run" else "SIGKILL"
        return Moment(after_s=rng.uniform(0, longest_s), signal=name, victim=victim, cold=rng.random() < 0.6)

    def __str__(self) -> str:
        """For the table."""
        return f"{self.after_s:6.1f} s  {self.signal:<8} {self.victim:<8}{'cold' if self.cold else 'warm'}"


@dataclass(kw_only=True)
class Outcome:
    """What came of a moment; whatever is in ``wrong`` should not be."""

    hit: str
    first: Ended
    left_at_once: int
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """For the table."""
        code = "-" if self.first.code is None else str(self.first.code)
        return f"{self.hit:<12} code {code:>4}  left {self.left_at_once:>2}  {'; '.join(self.wrong) or 'right'}"


def try_moment(place: Workplace, moment: Moment, right: dict[str, Any], rng: random.Random) -> Outcome:
    """Kill a run, look at what is left, let the next one run, and look again."""
    if moment.cold:
        shutil.rmtree(place.store, ignore_errors=True)
    run = place.start()
    with suppress(subprocess.TimeoutExpired):
        run.process.wait(moment.after_s)
    hit = strike(place, run, moment, rng)
    first = run.end()
    outcome = Outcome(hit=hit, first=first, left_at_once=0, wrong=first.wrong)
    outcome.wrong += [f"code {first.code}"] if first.code not in expected_codes(moment, hit, first) else []
    outcome.wrong += living(place)
    outcome.left_at_once = len(place.left())
    outcome.wrong += place.damaged()
    ended = place.trials()
    following = place.start().end()
    if following.code == 0:
        outcome.wrong += lost(ended, place.report())
    outcome.wrong += wrong_after(place, following, right)
    return outcome


def living(place: Workplace) -> list[str]:
    """What still lives a while after a run has ended, and should not."""
    return [f"lives on: {command[-60:]}" for command in place.orphans()]


def wrong_after(place: Workplace, following: Ended, right: dict[str, Any]) -> list[str]:
    """What is wrong once the next run has ended."""
    wrong = [f"next run: {words}" for words in following.wrong]
    wrong += [f"next run: code {following.code}"] if following.code != 0 else []
    wrong += [f"left: {name}" for name in place.left()]
    return wrong + ([f"figures: {place.figures()}"] if following.code == 0 and place.figures() != right else [])


def lost(ended: dict[str, Any], report: dict[str, Any]) -> list[str]:
    """What is wrong with a search that went on: trials that had ended and are gone or were tried again."""
    if report["search"] is None:
        return []
    trials = {f"{one['variant']}@{one['target']}": one for one in report["search"]["trials"]}
    wrong = [f"{key} was tried again" for key, one in ended.items() if speed(trials.get(key, {})) != speed(one)]
    if report["search"]["continued"] != len(ended):
        wrong.append(f"{report['search']['continued']} of {len(ended)} trials were taken up")
    return wrong


def speed(trial: dict[str, Any]) -> Any:
    """The speed-up that a trial saw, which no two looks see alike."""
    return (trial.get("speed") or {}).get("value")


def strike(place: Workplace, run: Run, moment: Moment, rng: random.Random) -> str:
    """Send the signal; who was hit."""
    if run.process.poll() is not None:
        return "it had ended"
    others = {pid: command for pid, command in place.processes().items() if pid != run.process.pid}
    templates = [pid for pid, command in others.items() if "workers.forking" in command]
    chosen = templates if moment.victim == "template" and templates else list(others)
    pid = run.process.pid if moment.victim == "run" or not chosen else rng.choice(sorted(chosen))
    name = moment.signal if pid == run.process.pid else "SIGKILL"
    with suppress(ProcessLookupError):
        os.kill(pid, getattr(signal, name))
    if pid == run.process.pid:
        return "run" if moment.victim == "run" else "run (alone)"
    return "template" if pid in templates else "process"


def expected_codes(moment: Moment, hit: str, first: Ended) -> Sequence[int]:
    """How a run may end. Before it listens a signal ends it in the system's own way, and at its end it is too late."""
    if hit in ("process", "template"):
        return (0, 1)  # a part that could not be made anew is its row's reason
    if hit == "it had ended":
        return (0,)
    number = getattr(signal, moment.signal)
    told = (128 + number,) if "stopped" in first.said or not first.said else ()
    return (-number, *told, 0)


def side_by_side(place: Workplace) -> Iterator[tuple[str, list[str]]]:
    """Neighbours: what was tried, and what was wrong."""
    yield "three runs started in the same second", same_second(place)
    yield "runs beside a store that is emptied all the time", emptied(place)
    yield "measure.exclusive=false beside another run", not_exclusive(place)
    yield "waiting for a stopped run, and Ctrl-C", stopped(place)
    yield "two runs into the same folder", same_folder(place)


def same_second(place: Workplace) -> list[str]:
    """Each has a folder and a report of its own, and they measure one after the other."""
    shutil.rmtree(place.store, ignore_errors=True)
    before = len(place.runs())
    time.sleep(1 - time.time() % 1)
    ended = [run.end() for run in [place.start() for _ in range(3)]]
    wrong = [words for one in ended for words in one.wrong] + [f"code {one.code}" for one in ended if one.code != 0]
    if len(place.runs()) != before + 3:
        wrong.append(f"{len(place.runs()) - before} reports")
    if not any("waiting for another run that measures on this machine: process" in one.said for one in ended):
        wrong.append("nobody said that it waits")
    if (place.folder / "outputs" / "latest").resolve() not in [run.resolve() for run in place.runs()]:
        wrong.append("latest is none of them")
    return wrong + place.orphans() + place.left()


def emptied(place: Workplace) -> list[str]:
    """What a run uses stays; nobody raises."""
    runs = [place.start() for _ in range(2)]
    wrong = []
    while any(run.process.poll() is None for run in runs):
        collected = place.start_command("store", "gc", "--max-gb", "0").end()
        wrong += [f"store gc: {words}" for words in collected.wrong]
        wrong += [f"store gc: code {collected.code}"] if collected.code != 0 else []
    ended = [run.end() for run in runs]
    wrong += [words for one in ended for words in one.wrong] + [f"code {one.code}" for one in ended if one.code != 0]
    return wrong + place.damaged() + place.left()


def not_exclusive(place: Workplace) -> list[str]:
    """It measures at once, and each report names the other run."""
    long = place.start(*LONG)
    long.until("measuring latency")
    other = place.start("measure.exclusive=false")
    ended = other.end(), long.end()
    wrong = [words for one in ended for words in one.wrong] + [f"code {one.code}" for one in ended if one.code != 0]
    reports = [json.loads((run / "report.json").read_text())["noise"]["beside"] for run in place.runs()[-2:]]
    named = [any("measured at the same time" in line for line in beside) for beside in reports]
    return wrong + ([] if named == [True, True] else [f"reports say {reports}"])


def stopped(place: Workplace) -> list[str]:
    """A run that waits says that the other is stopped, and Ctrl-C ends it at once."""
    holder = place.start()
    holder.until("measuring latency")
    os.kill(holder.process.pid, signal.SIGSTOP)
    waiting = place.start()
    waiting.until("it is stopped")
    os.kill(waiting.process.pid, signal.SIGINT)
    ended = waiting.end(END_S)
    os.kill(holder.process.pid, signal.SIGCONT)
    wrong = [*ended.wrong, *holder.end().wrong]
    wrong += [f"code {ended.code}"] if ended.code != 130 else []
    if f"process {holder.process.pid} " not in ended.said or "it is stopped" not in ended.said:
        wrong.append("the one that waits does not say for whom")
    return wrong


def same_folder(place: Workplace) -> list[str]:
    """The second is refused, and the first is right."""
    first = place.start("hydra.run.dir=outputs/mine/run", *LONG)
    first.until("measuring latency")
    second = place.start("hydra.run.dir=outputs/mine/run").end()
    ended = first.end()
    wrong = [*ended.wrong, *second.wrong]
    return wrong + ([] if (ended.code, second.code) == (0, 2) else [f"codes {ended.code} and {second.code}"])


def main() -> None:
    """Print the table; exit with 1 where anything was wrong."""
    parser = argparse.ArgumentParser(description="Kill runs at random moments, and look at what is left.")
    parser.add_argument("moments", nargs="?", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--training", action="store_true", help="runs that train")
    parser.add_argument("--search", action="store_true", help="runs that search")
    parser.add_argument("--execution", choices=EXECUTIONS, default="local", help="how models are built")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="kills-"))
    overrides = TRAINING if options.training else SEARCH if options.search else ONNX
    place = Workplace(folder=folder, overrides=overrides, execution=options.execution)
    place.prepare()
    undisturbed = place.start().end()
    if undisturbed.code != 0:
        sys.exit(f"the run does not work undisturbed: code {undisturbed.code}\n{undisturbed.said}")
    right, rng, failed = place.figures(), random.Random(options.seed), 0
    print(f"an undisturbed run takes {undisturbed.seconds:.1f} s; working in {folder}")
    for number in range(options.moments):
        moment = Moment.draw(rng, undisturbed.seconds)
        outcome = try_moment(place, moment, right, rng)
        failed += bool(outcome.wrong)
        print(f"{number + 1:>3}  {moment}  {outcome}", flush=True)
    for what, wrong in side_by_side(place) if overrides == ONNX else ():
        failed += bool(wrong)
        print(f"     {what}: {'; '.join(wrong) or 'right'}", flush=True)
    print("all right" if not failed else f"{failed} were wrong")
    if options.folder is None and not failed:
        shutil.rmtree(folder)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
