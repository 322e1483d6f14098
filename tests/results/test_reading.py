"""Reading a run's samples back, whatever happened to the files meanwhile."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from pipeline import __version__
from pipeline.errors import UserError
from pipeline.errors.contained import RAISING
from pipeline.results.reading import load_record
from pipeline.results.record import save_record
from pipeline.run import loop
from tests.analyse.synthetic import Made, make_record

FILES = ("record.json", "latency.npz", "accuracy.npz")


@pytest.fixture(name="samples", scope="module")
def _samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("run")
    save_record(make_record(Made(name="int8", times_as_fast=1.4, gained=5, lost=9)), folder)
    return {name: (folder / name).read_bytes() for name in FILES}


def test_a_record_without_roles_has_them_told_from_the_classes(samples: dict[str, bytes], tmp_path: Path) -> None:
    plain = json.loads(samples["record.json"])
    stages = [stage for variant in plain["variants"] for stage in variant["stages"]]
    for stage in stages:
        del stage["role"]
    stages[-1]["kind"] = "MyOwn"
    older = {**samples, "record.json": json.dumps(plain).encode()}
    record = load_record(_written(older, tmp_path) / "samples")
    assert [stage.role for variant in record.variants for stage in variant.stages] == ["export", None]


def _written(samples: dict[str, bytes], run: Path) -> Path:
    (run / "samples").mkdir(parents=True, exist_ok=True)
    for name, content in samples.items():
        (run / "samples" / name).write_bytes(content)
    return run


def _reported(run: Path) -> str:
    """What is printed, or the one line that a user gets instead."""
    text = io.StringIO()
    try:
        loop.report(run, Console(file=text, width=120))
    except UserError as error:
        return str(error)
    return text.getvalue()


def test_a_record_comes_back_as_it_was_written(samples: dict[str, bytes], tmp_path: Path) -> None:
    record = load_record(_written(samples, tmp_path) / "samples")
    save_record(record, tmp_path / "again")
    assert (tmp_path / "again" / "record.json").read_bytes() == samples["record.json"]


def test_sureness_comes_back_and_is_checked(tmp_path: Path) -> None:
    record = make_record(Made(name="int8"))
    sure = np.linspace(0.5, 1, len(record.accuracy.predictions["int8@ort_cpu"]), dtype=np.float32)
    for array, told in ((sure, None), (sure[:, None], "no probability for each example")):
        samples = replace(record.accuracy, sureness={"int8@ort_cpu": array})
        save_record(replace(record, accuracy=samples), tmp_path)
        if told is None:
            found = load_record(tmp_path).accuracy
            assert found.sureness.keys() == {"int8@ort_cpu"}
            assert (found.sureness["int8@ort_cpu"] == sure).all()
            assert found.predictions.keys() == record.accuracy.predictions.keys()
        else:
            with pytest.raises(ValueError, match=told):
                load_record(tmp_path)


@pytest.mark.usefixtures("undrawn")
def test_damaged_samples_give_a_report_or_one_line(
    samples: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(RAISING)
    chance = random.Random(0)
    for number in range(45):
        name = FILES[number % 3]
        content = bytearray(samples[name])
        if number % 2:
            content = content[: chance.randrange(len(content))]
        else:
            for _ in range(chance.choice([1, 3, 30])):
                content[chance.randrange(len(content))] = chance.randrange(256)
        said = _reported(_written({**samples, name: bytes(content)}, tmp_path / "run"))
        assert said.startswith("model on data") or "\n" not in said, said


WRONG: list[Any] = [None, [], {}, "x", -1, 1e308, True]


@pytest.mark.usefixtures("undrawn")
def test_fields_of_wrong_types_give_a_report_or_one_line(
    samples: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(RAISING)
    chance = random.Random(1)
    for _ in range(40):
        plain = json.loads(samples["record.json"])
        node: Any = plain
        while True:  # to any depth
            key = chance.choice(list(node) if isinstance(node, dict) else range(len(node)))
            if not isinstance(node[key], dict | list) or not node[key] or chance.random() < 0.3:
                break
            node = node[key]
        node[key] = chance.choice(WRONG)
        changed = {**samples, "record.json": json.dumps(plain).encode()}
        said = _reported(_written(changed, tmp_path / "run"))
        assert " on " in said.splitlines()[0] or "\n" not in said, (key, node[key], said)


def _columns(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    def changed(samples: dict[str, bytes]) -> dict[str, bytes]:
        with np.load(io.BytesIO(samples["latency.npz"])) as arrays:
            columns = {name: arrays[name] for name in arrays.files}
        change(columns)
        file = io.BytesIO()
        np.savez(file, **columns)
        return {**samples, "latency.npz": file.getvalue()}

    return changed


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_columns(lambda columns: columns.update(block=columns["block"][:-1])), "not of one length"),
        (_columns(lambda columns: columns.update(duration_ns=columns["duration_ns"] * 0)), "numbers that can't be"),
        (_columns(lambda columns: columns.update(subject=columns["subject"] + 9)), "a subject that is not recorded"),
        (_columns(lambda columns: columns.pop("round")), "latency is not whole"),
        (lambda samples: {**samples, "record.json": b"[]"}, "it holds no record"),
        (lambda samples: {**samples, "record.json": b"[" * 100_000}, "RecursionError"),
    ],
)
def test_what_is_wrong_is_named(
    samples: dict[str, bytes], tmp_path: Path, damage: Callable[[dict[str, bytes]], dict[str, bytes]], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        load_record(_written(damage(samples), tmp_path) / "samples")


def test_a_record_of_a_later_version_names_both(samples: dict[str, bytes], tmp_path: Path) -> None:
    plain = {**json.loads(samples["record.json"]), "record_version": 7, "slimline": {"version": "9.1"}}
    run = _written({**samples, "record.json": json.dumps(plain).encode()}, tmp_path)
    assert f"made by slimline 9.1 (its version of a record is 7); this one, {__version__}, reads up to" in _reported(
        run
    )


def test_settings_that_an_older_record_lacks_say_what_it_did(samples: dict[str, bytes], tmp_path: Path) -> None:
    plain = json.loads(samples["record.json"])
    for name in ("explain", "energy_s", "peaks"):
        del plain["measure"][name]
    del plain["targets"]["ort_cpu"]["session"]
    record = load_record(_written({**samples, "record.json": json.dumps(plain).encode()}, tmp_path) / "samples")
    assert (record.measure.explain, record.measure.energy_s, record.measure.peaks) == ("none", None, False)
    assert record.targets["ort_cpu"].session == {}


def test_a_file_in_place_of_a_run_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert _reported(tmp_path / "file") == f"{tmp_path / 'file'} is a file: type a run's folder, such as outputs/latest"
