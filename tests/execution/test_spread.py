"""Chains that are built side by side come out as those that are built one after another."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.artifact import Artifact
from pipeline.execution import Pool, Slurm
from pipeline.plan import Context, Execution, Stage
from pipeline.run.build import builder
from pipeline.run.built import Built
from pipeline.run.progress import ProgressDisplay
from pipeline.run.spread import build_all
from tests.example import Scale, plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits(Scale):
    """A stage that says that it has begun, and takes long."""

    started: str

    def __call__(self, source: Artifact, out: Path, context: Context) -> None:
        Path(self.started).touch()
        for share in range(600):
            context.progress(share / 600, "waiting")
            time.sleep(0.1)


def built(folder: Path, execution: Execution | None) -> tuple[Mapping[str, Built], str, list[str]]:
    """Each chain, what the terminal said, and the stages that were called."""
    log = folder / "log"
    shared = Scale(by=2.0, log=str(log))
    stages: dict[str, dict[str, Stage]] = {
        "baseline": {},
        "two": {"a": shared},
        "six": {"a": shared, "b": Scale(by=3.0, log=str(log))},
        "ten": {"a": shared, "b": Scale(by=5.0, log=str(log))},
        "broken": {"c": Scale(by=7.0, fail="no such layer", log=str(log))},
        "broken_too": {"c": Scale(by=7.0, fail="no such layer", log=str(log)), "d": Scale(by=2.0)},
    }
    chosen = replace(plan(folder, stages), execution=execution)
    terminal = StringIO()
    with (
        ProgressDisplay(Console(file=terminal, width=200)) as display,
        builder(chosen, display.step) as making,
    ):
        found = build_all(making, list(chosen.variants.values()), display, 5)
    return dict(zip(chosen.variants, found, strict=True)), terminal.getvalue(), sorted(log.read_text().split())


def told(made: Mapping[str, Built]) -> dict[str, object]:
    """What a report would say of the chains, but for how long they took."""
    return {
        name: (
            item.record.status,
            item.record.reason,
            item.record.digest,
            [(stage.name, stage.digest, stage.notes) for stage in item.record.stages],
        )
        for name, item in made.items()
    }


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    return told(built(tmp_path_factory.mktemp("local"), None)[0])


@pytest.mark.parametrize("places", [1, 2])
def test_a_pool_builds_each_stage_once_and_the_same(one_by_one: dict[str, object], tmp_path: Path, places: int) -> None:
    made, terminal, called = built(tmp_path, Pool(places=places))
    assert told(made) == one_by_one
    assert called == ["2.0", "3.0", "5.0", "7.0"]
    assert {"six: b", "ten: b"} <= {line.rpartition(": ")[0].strip() for line in terminal.splitlines()}


def test_jobs_build_into_the_store_that_they_share(one_by_one: dict[str, object], tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    made, _, called = built(tmp_path, Slurm(cluster="local", folder=str(tmp_path / "jobs"), retries=0))
    assert told(made) == one_by_one
    assert called == ["2.0", "3.0", "5.0", "7.0"]
    assert [stage.reused for stage in made["six"].record.stages] == [False, False]


def test_a_run_that_ends_meanwhile_tells_of_no_failed_chain(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    slow, other = (tmp_path / name for name in ("slow", "other"))
    stages = {"slow": {"a": Waits(started=str(slow))}, "other": {"a": Waits(by=3.0, started=str(other))}}
    chosen = replace(plan(tmp_path, {"baseline": {}, **stages}), execution=Pool(places=2))

    raised: list[str] = []

    def interrupt(label: str, done: float, text: str) -> None:
        if slow.exists() and other.exists() and not raised:  # one chain hears of it, and the other is ended
            raised.append(label)
            raise KeyboardInterrupt

    console = Console(file=StringIO())
    with (
        ProgressDisplay(console, interrupt) as display,
        pytest.raises(KeyboardInterrupt),
        builder(chosen, display.step) as making,
    ):
        build_all(making, list(chosen.variants.values()), display, 2)
    assert [record.message for record in caplog.records if "failed" in record.message] == []
