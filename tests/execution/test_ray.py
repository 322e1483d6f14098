"""Tasks on a Ray cluster of two nodes, both on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.errors import StageFailed, UserError, WorkerFailed
from pipeline.execution import Ray, Slurm
from pipeline.execution import ray as execution
from pipeline.execution.far import importable
from pipeline.execution.ray import MANNERS, Tasks
from pipeline.isolated import Limits
from pipeline.isolated.template import Template
from pipeline.libraries.manners import with_manners
from pipeline.plan import Execution, PlacedCall, Target
from pipeline.run import loop
from tests.example import Scale, plan
from tests.execution.calls import dying_once, endless, failing, hanging_once, here, placed, saying

pytest.importorskip("ray")
NODE = "edge"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    for _ in range(3):  # a busy machine may be too slow for Ray's own patience of half a minute
        with started() as cluster:
            assert cluster.stdout is not None
            found = cluster.stdout.readline().strip()
            if found:
                yield found
                cluster.communicate("")
                return
    pytest.fail("Ray could not be started here")


def started() -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.execution.cluster", NODE]
    pipe = subprocess.PIPE
    with importable(), with_manners(MANNERS):
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)


@pytest.fixture(scope="module")
def tasks(address: str) -> Iterator[Tasks]:
    with Ray(address=address, retries=1).open(Template()) as opened:
        assert isinstance(opened, Tasks)
        yield opened


def test_a_task_gives_its_result_and_is_heard(tasks: Tasks) -> None:
    assert tasks.count == 3
    value, _, _ = tasks.run(placed(here, "x", where={"resource": NODE}))
    said: list[tuple[float, str]] = []
    assert value == "x"
    assert tasks.run(placed(saying, hear=said.append)) == "done"
    assert said == [(0.5, "half way")]


def test_what_tasks_say_is_kept_on_the_runs_own_node(tasks: Tasks) -> None:
    import ray

    kept = tasks._ears.__ray_call__.remote(lambda ears: ray.get_runtime_context().get_node_id())
    assert ray.get(kept) == ray.get_runtime_context().get_node_id()


def test_a_task_ends_when_its_time_is_over(tasks: Tasks) -> None:
    with pytest.raises(WorkerFailed, match="the time for it was over"):
        tasks.run(placed(time.sleep, 5.0, limits=Limits(until=time.monotonic())))


def test_an_error_of_ours_is_raised_as_it_was(tasks: Tasks) -> None:
    with pytest.raises(StageFailed, match="a layer has no weights"):
        tasks.run(placed(failing))


def test_a_task_whose_process_is_killed_is_started_again(tasks: Tasks, tmp_path: Path) -> None:
    assert tasks.run(placed(dying_once, tmp_path / "mark")) == "alive"


def test_a_task_whose_node_is_gone_for_good_ends(tasks: Tasks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    answers = chain([ray.nodes()], repeat([]))
    monkeypatch.setattr(ray, "nodes", lambda: next(answers))
    monkeypatch.setattr(execution, "_GONE_S", 0.0)
    with pytest.raises(WorkerFailed, match="no node with the resource edge is left in the cluster"):
        tasks.run(placed(endless, tmp_path / "started", where={"resource": NODE}))


def test_a_task_whose_node_is_cut_off_is_started_again(
    tasks: Tasks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    mark, told = tmp_path / "mark", ray.nodes

    def nodes() -> list[dict[str, Any]]:
        """Until the task is started again, others than the one that it is on."""
        found: list[dict[str, Any]] = told()
        again = mark.exists() and mark.read_text() == "again"
        return found if again else [node | {"NodeID": "another"} for node in found]

    monkeypatch.setattr(ray, "nodes", nodes)
    monkeypatch.setattr(execution, "_CUT_S", 0.0)
    assert tasks.run(placed(hanging_once, mark)) == "alive"


def test_a_task_that_was_not_heard_of_before_a_node_was_gone_is_started_again(
    tasks: Tasks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run waited for minutes for one that had been sent to the node just before its network was cut."""
    import ray

    there, mark, once = ray.nodes(), tmp_path / "mark", Tasks._once
    tried: list[PlacedCall[Any]] = []

    def counted(tasks: Tasks, call: PlacedCall[Any]) -> Any:
        """Only the first one hangs, whether or not it had begun when it was given up."""
        if tried:
            mark.touch()
        tried.append(call)
        return once(tasks, call)

    answers = chain([[*there, there[0] | {"NodeID": "cut off"}]], repeat(there))
    monkeypatch.setattr(ray, "nodes", lambda: next(answers))
    monkeypatch.setattr(Tasks, "_heard", lambda tasks, name, place: ([], None))
    monkeypatch.setattr(Tasks, "_once", counted)
    monkeypatch.setattr(execution, "_CUT_S", 0.0)
    assert tasks.run(placed(hanging_once, mark)) == "alive"
    assert len(tried) == 2


def test_a_node_that_does_not_exist_is_named_with_those_that_do(tasks: Tasks) -> None:
    with pytest.raises(WorkerFailed, match="no node of the cluster has the resource xeon; there are: edge"):
        tasks.run(placed(here, "x", where={"resource": "xeon"}))
    assert "type {resource: NAME}" in str(Ray().node_problem({"host": "a"}))


def report(folder: Path, execution: Execution | None, *, here: bool = True, **targets: Target) -> dict[str, Any]:
    """The report of a small experiment, on this machine's target too or on others alone."""
    variants = {"baseline": {}, "twice": {"a": Scale(by=2.0)}, "six": {"a": Scale(by=2.0), "b": Scale(by=3.0)}}
    chosen = replace(plan(folder, variants), execution=execution)
    chosen = replace(chosen, targets={**(chosen.targets if here else {}), **targets})
    assert loop.run(chosen, Console(file=StringIO())) == 0
    found: dict[str, Any] = json.loads((chosen.output / "report.json").read_text())
    return found


def without_times(found: dict[str, Any]) -> dict[str, Any]:
    """What a report says of models: not how fast they were, nor where and when they were built."""
    kept = ("target", "batch_size", "status", "reason", "accuracy")
    return {
        "data": found["data"],
        "machine": found["machine"]["cpu"],
        "constraints": found["constraints"],
        "variants": [
            {
                "name": variant["name"],
                "digest": variant["digest"],
                "size": variant["size_bytes"],
                "stages": [(stage["name"], stage["key"], stage["digest"]) for stage in variant["stages"]],
                "rows": [{key: row[key] for key in kept} for row in variant["results"]],
            }
            for variant in found["variants"]
        ],
    }


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return without_times(report(tmp_path_factory.mktemp("local"), None))


@pytest.mark.usefixtures("undrawn")
def test_an_experiment_on_ray_reports_the_same_and_times_a_target_on_its_node(
    local: dict[str, Any], address: str, tmp_path: Path
) -> None:
    import ray

    ray.shutdown()  # the other tests' connection
    edge = Target(name="there", backend=OnnxRuntime(), where={"resource": NODE})
    found = report(tmp_path, Ray(address=address), there=edge)
    rows = [row for variant in found["variants"] for row in variant["results"]]
    there = [row for row in rows if row["target"] == f"there@{NODE}"]
    assert [row["status"] for row in there] == ["ok", "ok", "ok"]
    assert there[1]["speedup"]["reference"]["target"] == f"there@{NODE}"
    assert [node["name"] for node in found["elsewhere"]] == [NODE]
    for variant in found["variants"]:
        variant["results"] = [row for row in variant["results"] if row not in there]
    assert without_times(found) == local
    again = tmp_path / "outputs" / "run"
    assert loop.report(again, Console(file=StringIO())) == 0
    assert len(json.loads((again / "report.json").read_text())["elsewhere"]) == 1


@pytest.mark.usefixtures("undrawn")
def test_a_run_that_times_on_nodes_alone_is_the_first_ones(local: dict[str, Any], address: str, tmp_path: Path) -> None:
    import ray

    ray.shutdown()
    edge = Target(name="ort_cpu", backend=OnnxRuntime(), where={"resource": NODE})
    found = report(tmp_path, Ray(address=address), here=False, ort_cpu=edge)
    assert without_times(found) == local
    assert found["elsewhere"] == []
    run = tmp_path / "outputs" / "run"
    assert loop.report(run, Console(file=StringIO())) == 0
    assert without_times(json.loads((run / "report.json").read_text())) == local
    assert list((run / "samples" / "nodes").iterdir()) == []


@pytest.mark.usefixtures("undrawn")
def test_an_experiment_of_jobs_reports_the_same(local: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    jobs = Slurm(cluster="local", folder=str(tmp_path / "jobs"))
    assert without_times(report(tmp_path, jobs)) == local


def test_a_cluster_that_does_not_answer_is_named() -> None:
    unreachable = Ray(address="127.0.0.1:1").open(Template())
    expected = r"no Ray cluster answers at 127\.0\.0\.1:1: .* type execution\.address=ADDRESS"
    with pytest.raises(UserError, match=expected), unreachable:
        pass
