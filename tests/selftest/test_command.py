import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pipeline.errors import UserError
from pipeline.plan import MeasureSettings
from pipeline.selftest import command
from pipeline.selftest.command import Options, selftest
from pipeline.selftest.trials import Trial
from tests.selftest.test_judge import DIFFERENT, FOOLED, KEPT, SAME


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> list[Trial]:
    """What the next trials find; those that were run are taken from the list."""
    found: list[Trial] = []

    def run(models: list[str], artifact: Any, settings: Any, seed: int, progress: Any) -> dict[str, Trial]:
        if not found:
            raise KeyboardInterrupt
        trial = replace(found.pop(0), seed=seed)
        return dict.fromkeys(models, trial)

    monkeypatch.setattr(command, "run_trial", run)
    return found


def run(tmp_path: Path, **changes: Any) -> tuple[int, str]:
    options = Options(action="aa", runs=4, busy=0, settings=MeasureSettings(), seed=10, folder=tmp_path)
    said = StringIO()
    return selftest(replace(options, **changes), Console(file=said, width=200)), said.getvalue()


def test_a_test_that_passes_ends_with_0_and_one_that_fails_with_1(trials: list[Trial], tmp_path: Path) -> None:
    trials[:] = [SAME] * 4
    assert run(tmp_path / "a")[0] == 0
    trials[:] = [DIFFERENT] * 4
    assert run(tmp_path / "b")[0] == 1


def test_a_test_that_was_stopped_goes_on_where_it_was(trials: list[Trial], tmp_path: Path) -> None:
    trials[:] = [SAME] * 3
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    trials[:] = [SAME]
    code, said = run(tmp_path)
    assert code == 0
    assert "3 of them are there already" in said
    (kept,) = tmp_path.glob("*.jsonl")
    assert [json.loads(line)["copy"]["seed"] for line in kept.read_text().splitlines()] == [10, 11, 12, 13]


def test_a_trial_that_was_half_written_is_run_again(trials: list[Trial], tmp_path: Path) -> None:
    trials[:] = [SAME] * 4
    run(tmp_path)
    (kept,) = tmp_path.glob("*.jsonl")
    kept.write_text(kept.read_text()[:-10])
    trials[:] = [SAME]
    assert run(tmp_path)[0] == 0
    assert len(kept.read_text().splitlines()) == 4


def test_trials_of_other_settings_are_kept_apart(trials: list[Trial], tmp_path: Path) -> None:
    for settings in (MeasureSettings(), MeasureSettings(blocks=16)):
        trials[:] = [SAME] * 4
        run(tmp_path, settings=settings)
    assert len(list(tmp_path.glob("*.jsonl"))) == 2


def test_cores_are_kept_busy_for_as_long_as_it_takes(
    trials: list[Trial], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int | str] = []

    @contextmanager
    def busy(count: int) -> Iterator[None]:
        told.append(count)
        yield
        told.append("over")

    monkeypatch.setattr(command, "busy_cores", busy)
    trials[:] = [SAME] * 4
    assert run(tmp_path, busy=1)[0] == 0
    assert told == [1, "over"]


def test_a_search_among_copies_is_run_kept_and_judged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(command, "search_copies", lambda artifact, settings, seed, progress: replace(KEPT, seed=seed))
    code, said = run(tmp_path, action="search")
    assert code == 0
    assert "search: 4 runs, 0 of them NOISY" in said
    (kept,) = tmp_path.glob("search-default-idle-*.jsonl")
    assert [json.loads(line)["seed"] for line in kept.read_text().splitlines()] == [10, 11, 12, 13]
    monkeypatch.setattr(command, "search_copies", lambda artifact, settings, seed, progress: FOOLED)
    assert run(tmp_path / "other", action="search")[0] == 1


def test_a_search_with_a_quick_look_gets_a_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="recommends nothing"):
        run(tmp_path, action="search", settings=MeasureSettings(profile="quick", screening=True))


@pytest.mark.parametrize(
    ("override", "message"),
    [("variant=baseline", "only measure=OPTION"), ("measure.blocks=1", "measure.blocks must be at least 4")],
)
def test_what_is_no_setting_of_measure_gets_a_line(override: str, message: str) -> None:
    from pipeline.config import measure_settings, register

    register()
    with pytest.raises(UserError, match=message):
        measure_settings([override])
