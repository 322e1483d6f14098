import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.artifact import Artifact
from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.measure import rounds, schedule
from pipeline.measure.group import Subject
from pipeline.measure.latency import Measured, measure_latency
from pipeline.measure.schedule import Expected
from pipeline.measure.telemetry import Snapshot
from pipeline.plan import MeasureSettings, Target
from pipeline.results.record import LatencySamples
from tests.machine.fake_nvml import FakeNvml
from tests.measure.fakes import FEEDS, NotInstalled, artifact, subject

BASE, OTHER = "base@fake/1", "other@fake/1"
ANY_WIDTH = MeasureSettings(
    looks=(2, 3), blocks=4, cell_ms=0.1, min_calls=3, untimed_ms=0.0, warmup_calls=1, warmup_ms=0.0, half_width=1e9
)


def measure(subjects: Sequence[Subject], settings: MeasureSettings = ANY_WIDTH, **more: Any) -> Measured:
    references = {found.key: f"base@{found.target.name}/{found.batch_size}" for found in subjects}
    arguments = {"references": references, "clones": [subjects[0].key], "feeds": FEEDS, "seed": 1, **more}
    return measure_latency(subjects, settings=settings, **arguments)


def on_card(folder: Path, *names: str) -> list[Subject]:
    found = [subject(folder, name) for name in names]
    return [replace(each, target=replace(each.target, device="cuda")) for each in found]


def visits(samples: LatencySamples) -> list[tuple[int, int, int, str]]:
    """(round, block, position, subject) of every cell, in that order."""
    columns = zip(samples.round, samples.block, samples.position, samples.subject, strict=True)
    return sorted({(int(r), int(b), int(p), samples.subjects[s]) for r, b, p, s in columns})


@pytest.fixture
def pair(tmp_path: Path) -> list[Subject]:
    return [subject(tmp_path, "base"), subject(tmp_path, "other")]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """Two subjects, as all settings have it; to be read only."""
    folder = tmp_path_factory.mktemp("measured")
    return measure([subject(folder, "base"), subject(folder, "other")])


def test_every_block_visits_every_subject_and_the_clone_once(measured: Measured) -> None:
    samples = measured.samples
    everyone = {BASE, OTHER, f"clone:{BASE}"}
    assert set(samples.subjects) == everyone
    found = visits(samples)
    for place in [(r, b) for r in range(2) for b in range(4)]:
        cells = [(position, key) for r, b, position, key in found if (r, b) == place]
        assert [position for position, _ in cells] == [0, 1, 2]
        assert {key for _, key in cells} == everyone


def test_the_order_is_random_and_the_seed_repeats_it(measured: Measured, pair: list[Subject]) -> None:
    all_three = [measured, measure(pair, seed=1), measure(pair, seed=2)]
    assert [found.failures for found in all_three] == [{}] * 3
    orders = [visits(found.samples) for found in all_three]
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]
    firsts = {key for _, _, position, key in orders[0] if position == 0}
    assert len(firsts) > 1


def test_untimed_calls_are_not_recorded_and_each_cell_has_enough_calls(tmp_path: Path) -> None:
    slow = subject(tmp_path, "base", call_ms=1.0)
    samples = measure([slow], replace(ANY_WIDTH, cell_ms=0.5, untimed_ms=2.0)).samples
    cells = 2 * 4 * 2
    assert len(samples.duration_ns) == cells * 3
    assert samples.duration_ns.min() >= 1_000_000


def test_a_cell_lasts_as_long_as_it_should(pair: list[Subject]) -> None:
    samples = measure(pair, replace(ANY_WIDTH, cell_ms=2.0)).samples
    for index, round_, block in {*zip(samples.subject, samples.round, samples.block, strict=True)}:
        cell = (samples.subject == index) & (samples.round == round_) & (samples.block == block)
        assert samples.duration_ns[cell].sum() >= 2_000_000


def test_the_columns_are_of_one_length_and_of_the_recorded_types(measured: Measured) -> None:
    samples = measured.samples
    columns = [samples.subject, samples.round, samples.block, samples.position]
    assert {len(column) for column in columns} == {len(samples.duration_ns)}
    assert {column.dtype for column in columns} == {np.dtype(np.int32)}
    assert samples.duration_ns.dtype == np.int64


def test_load_and_first_inference_are_recorded_every_round(measured: Measured) -> None:
    times = measured.times
    assert set(times) == {BASE, OTHER}
    assert all(len(found.load_ms) == len(found.first_inference_ms) == 2 for found in times.values())


def test_measuring_stops_at_the_first_look_where_intervals_are_narrow(measured: Measured) -> None:
    samples = measured.samples
    assert (samples.rounds, samples.stopped) == (2, "width")


def test_measuring_stops_at_the_cap_where_they_never_are(pair: list[Subject]) -> None:
    samples = measure(pair, replace(ANY_WIDTH, half_width=1e-12)).samples
    assert (samples.rounds, samples.stopped) == (3, "cap")


def test_a_budget_ends_measuring_but_leaves_two_rounds(pair: list[Subject]) -> None:
    samples = measure(pair, replace(ANY_WIDTH, looks=(3, 9), half_width=1e-12, budget_s=1e-9)).samples
    assert (samples.rounds, samples.stopped) == (2, "budget")
    (plan,) = samples.plans
    assert (plan["rounds"], plan["most_rounds"], plan["stopped"]) == (2, 9, "budget")
    assert plan["blocks"] <= plan["full_blocks"]


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_subject_that_fails_is_a_failure_and_the_others_go_on(start: Any, tmp_path: Path) -> None:
    subjects = [
        subject(tmp_path, "base"),
        subject(tmp_path, "refused", refuse="no such operator"),
        subject(tmp_path, "dying", die=True),
        subject(tmp_path, "absent", backend=NotInstalled()),
        subject(tmp_path, "picky", 8, raise_at_batch=8),
        subject(tmp_path, "other"),
    ]
    found = measure(subjects, replace(ANY_WIDTH, start=start))
    assert found.failures == {
        "refused@fake/1": "RuntimeError: no such operator",
        "dying@fake/1": "its process was ended by SIGKILL (out of memory?): out of luck",
        "absent@fake/1": "ModuleNotFoundError: No module named 'fake_runtime'",
        "picky@fake/8": "ValueError: this batch is not for me",
    }
    assert set(found.samples.subjects) == {BASE, OTHER, f"clone:{BASE}"}
    assert set(found.times) == {BASE, OTHER}


def test_without_its_reference_a_subject_is_measured_all_the_same(tmp_path: Path) -> None:
    found = measure([subject(tmp_path, "base", refuse="broken"), subject(tmp_path, "other")])
    assert set(found.failures) == {BASE}
    assert found.samples.subjects == [OTHER]


def test_where_all_fail_nothing_is_recorded(tmp_path: Path) -> None:
    found = measure([subject(tmp_path, "base", refuse="broken")])
    assert set(found.failures) == {BASE}
    assert len(found.samples.duration_ns) == 0
    assert found.samples.subjects == []


def test_with_no_subjects_there_is_nothing_to_do() -> None:
    found = measure_latency([], {}, [], FEEDS, ANY_WIDTH, seed=1)
    assert (found.samples.rounds, found.times, found.failures) == (0, {}, {})


def test_what_it_will_take_is_announced_before_progress_starts(pair: list[Subject]) -> None:
    told: list[Any] = []
    measure(pair, announce=told.append, progress=lambda done, text: told.append((done, text)))
    assert isinstance(told[0], Expected)
    assert told[0].subjects == 3
    shares = [entry[0] for entry in told[1:]]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert all(share < 1 for share in shares[:-1])
    assert "widest interval" in told[-1][1]


def test_telemetry_has_an_entry_a_block_in_plain_values(measured: Measured) -> None:
    samples = measured.samples
    assert [(entry["round"], entry["block"]) for entry in samples.telemetry] == [
        (r, b) for r in range(2) for b in range(4)
    ]
    names = {"steal_ticks", "run_delay_ns", "throttled", "major_faults", "load", "dropped", "device", "cores"}
    assert all(names <= entry.keys() for entry in samples.telemetry)
    json.dumps(samples.telemetry)


@pytest.fixture
def throttled(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each block to come is throttled; those after are not."""
    script: list[bool] = []
    count = [0, 0]

    def snapshot(card: Any = None) -> Snapshot:
        count[0] += 1
        if count[0] % 2 == 0:
            count[1] += script.pop(0) if script else False
        return Snapshot(steal_ticks=0, throttled=count[1], suspended_s=0.0)

    monkeypatch.setattr(rounds, "snapshot", snapshot)
    return script


def test_a_block_spoilt_by_a_hard_event_is_kept_marked_and_repeated(pair: list[Subject], throttled: list[bool]) -> None:
    throttled.extend([False, True])
    samples = measure(pair).samples
    marked = [(entry["round"], entry["block"]) for entry in samples.telemetry if entry["dropped"] is not None]
    assert marked == [(0, 1)]
    assert "quota" in next(entry["dropped"] for entry in samples.telemetry if entry["dropped"])
    assert np.unique(samples.block[samples.round == 0]).tolist() == [0, 1, 2, 3, 4]
    assert np.unique(samples.block[samples.round == 1]).tolist() == [0, 1, 2, 3]


def test_repeats_are_bounded_by_a_quarter(pair: list[Subject], throttled: list[bool]) -> None:
    throttled.extend([True] * 100)
    samples = measure(pair).samples
    assert [len(np.unique(samples.block[samples.round == number])) for number in range(3)] == [5, 5, 5]
    assert samples.stopped == "cap", "without a block that counts no interval is narrow"


def test_a_large_set_is_measured_in_groups_that_share_the_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "LARGEST_GROUP", 2)
    samples = measure([subject(tmp_path, name) for name in ("base", "a", "b", "c")]).samples
    together: dict[int, set[str]] = {}
    for round_, _, _, key in visits(samples):
        together.setdefault(round_, set()).add(key)
    assert all({BASE, f"clone:{BASE}"} <= keys for keys in together.values())
    assert [len(keys) - 2 for keys in together.values()] == [2, 2, 1, 1]
    assert samples.rounds == 4


def test_no_more_are_loaded_at_once_than_the_card_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    driver = FakeNvml(monkeypatch)
    driver.memory = 100
    subjects = on_card(tmp_path, "base", "a", "b", "c")
    # The baseline and its clone take 20 of the 90 that are usable: two more fit, three don't.
    samples = measure(subjects, needed_bytes={BASE: 10, "a@fake/1": 30, "b@fake/1": 30, "c@fake/1": 30}).samples
    together: dict[int, set[str]] = {}
    for round_, _, _, key in visits(samples):
        together.setdefault(round_, set()).add(key.partition("@")[0])
    assert list(together.values()) == [{"base", "clone:base", "a", "b"}] * 2 + [{"base", "clone:base", "c"}] * 2


def test_every_batch_that_is_given_is_run(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    subjects = [subject(tmp_path, "base", batches_file=str(seen))]
    further = [{"x": np.full((1, 2), number, np.float32)} for number in (1, 2)]
    assert not measure(subjects, more={1: further}, clones=[]).failures
    assert set(seen.read_text().split()) == {"0", "1", "2"}


def test_a_device_time_that_fails_leaves_the_row_what_it_was_timed_at(tmp_path: Path) -> None:
    [base, other] = on_card(tmp_path, "base", "other")
    other = replace(other, artifact=artifact(tmp_path, "other", no_device_time="the stream is gone"))
    found = measure([base, other])
    assert found.failures == {}
    assert found.times[other.key].device_reason == "RuntimeError: the stream is gone"
    assert found.times[other.key].device_ms == []
    assert found.times[base.key].device_reason is None
    assert len(found.times[base.key].device_ms) == 2


def test_a_real_model_is_measured(tmp_path: Path) -> None:
    from onnx import TensorProto, helper, save

    shape: list[str | int | None] = ["n", 2]
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "relu",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "model.onnx")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "model.onnx").write_bytes(b"not a model")
    target = Target(name="ort", backend=OnnxRuntime())
    subjects = [
        Subject(key=f"{name}@ort/1", artifact=Artifact(path, "onnx", name), target=target, batch_size=1)
        for name, path in (("base", tmp_path), ("broken", tmp_path / "broken"))
    ]
    found = measure(subjects)
    assert set(found.samples.subjects) == {"base@ort/1", "clone:base@ort/1"}
    assert set(found.failures) == {"broken@ort/1"}
    assert "\n" not in found.failures["broken@ort/1"]


def test_what_is_measured_can_be_recorded(measured: Measured) -> None:
    samples = measured.samples
    joined = LatencySamples.concatenate([samples])
    assert joined.subjects == samples.subjects
    json.dumps({name: value for name, value in asdict(joined).items() if not isinstance(value, np.ndarray)})


@pytest.mark.skipif(sys.platform != "linux", reason="a fork")
def test_a_round_whose_processes_were_ended_by_another_is_measured_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As by the system, for want of memory: the process that all workers are forked from."""
    subjects = [subject(tmp_path, "base"), subject(tmp_path, "other", odd=str(tmp_path / "kill_parent"))]
    found = measure(subjects)
    assert found.failures == {}
    assert {place[0] for place in visits(found.samples)} == {0, 1}
    assert [len(times.load_ms) for times in found.times.values()] == [2, 2]
    assert "the round is measured again" in caplog.text
