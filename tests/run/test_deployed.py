"""``verify --accuracy`` and ``--speed``: what a bundle's manifest says, beside what the model does here."""

from __future__ import annotations

import shutil
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.bundle.slimline_infer import Model
from pipeline.cli import main
from pipeline.data.dataset import Split
from pipeline.data.files import NpzFile
from pipeline.metrics import TopOne
from pipeline.results.header import Machine
from pipeline.results.intervals import Quantile
from pipeline.run.deployed import DeployedModel, artifact, signature
from pipeline.run.deployed_accuracy import Examples, examples_for, verdict
from pipeline.run.deployed_speed import verdict as speed_verdict
from pipeline.statistics.accuracy import wilson
from tests import example as models
from tests.bundle import example
from tests.bundle.forgery import forge, manifest_of

COUNT = 160
FRACTIONS = {"test": 0.5, "train": 0.3, "calibration": 0.1, "validation": 0.1}
SCREEN = ("measure=quick", "measure.looks=[3]", "measure.blocks=4", "measure.warmup_calls=1", "measure.cell_ms=1")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a small model, to be read only."""
    folder = tmp_path_factory.mktemp("deployed")
    return example.bundle(example.save(example.linear_model(), folder / "artifact"), folder / "static_int8")


@pytest.fixture(scope="module")
def data(bundle: Path) -> Path:
    """Examples of which the model gets the first nine of ten right."""
    path = bundle.parent / "data.npz"
    pictures = example.images(COUNT).inputs["image"]
    labels = Model(bundle)({"image": np.asarray(pictures)})["logits"].argmax(axis=1)
    labels[COUNT * 9 // 10 :] = (labels[COUNT * 9 // 10 :] + 1) % 3
    np.savez(path, image=np.asarray(pictures), labels=labels)
    return path


def npz(path: Path) -> NpzFile:
    return NpzFile(path=path, fractions=FRACTIONS, calibration_size=512)


def examples(same: bool) -> Examples:
    nothing: Any = SimpleNamespace()
    return Examples(plan=nothing, split=nothing, same=same, where="mine.npz, test split")


def told(value: float, n: int = 10_000, **changes: Any) -> dict[str, Any]:
    found = wilson(round(value * n), n)
    entry = {"metric": "accuracy", "value": found.value, "low": found.low, "high": found.high, "n": n}
    return {**entry, "against": "labels", **changes}


def test_the_same_figure_on_the_same_examples_is_said_to_be_that() -> None:
    check = verdict(wilson(9300, 10_000), "percent", TopOne(), told(0.93), examples(True))
    assert (check.passed, check.done) == (True, True)
    assert check.detail == (
        "accuracy 93.00 % [92.48, 93.48] on 10,000 examples (mine.npz, test split); the manifest says 93.00 % "
        "[92.48, 93.48]: the same figure on the same examples"
    )


def test_a_figure_that_these_examples_allow_passes_and_tells_how_much_they_allow() -> None:
    check = verdict(wilson(90, 100), "percent", TopOne(), told(0.93), examples(False))
    assert check.passed
    assert "the same, as far as these examples tell (difference −3.00 pt [" in check.detail
    assert check.detail.endswith(", other examples)")


@pytest.mark.parametrize(("right", "passed", "words"), [(800, False, "worse than"), (990, True, "better than")])
def test_a_figure_beyond_both_intervals_is_worse_or_better(right: int, passed: bool, words: str) -> None:
    check = verdict(wilson(right, 1000), "percent", TopOne(), told(0.93), examples(False))
    assert (check.passed, check.done) == (passed, True)
    assert f"{words} the manifest says (difference " in check.detail


@pytest.mark.parametrize(("value", "passed"), [(0.2, False), (0.01, True)])
def test_more_of_an_error_is_worse(value: float, passed: bool) -> None:
    found = replace(wilson(10, 100), value=value, low=value * 0.9, high=value * 1.1)
    check = verdict(found, "error", TopOne(), told(0.1), examples(False))
    assert check.passed is passed
    assert ("worse" in check.detail) is not passed


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (None, "the manifest has no figure"),
        (told(0.9, metric="F1"), "the manifest's figure is another one: F1"),
        (told(0.9, against="baseline"), "the manifest's figure is another one: agreement with the baseline"),
    ],
)
def test_without_a_like_figure_it_is_only_told(entry: dict[str, Any] | None, words: str) -> None:
    check = verdict(wilson(10, 1000), "percent", TopOne(), entry, examples(False))
    assert (check.passed, check.done) == (True, False)
    assert words in check.detail


def test_the_examples_are_the_test_split_and_the_train_share_only_where_the_manifest_judged_it(
    bundle: Path, data: Path, tmp_path: Path
) -> None:
    plan = replace(models.plan(tmp_path, {}), data=npz(data), metric=TopOne())
    manifest = manifest_of(bundle)
    narrow = examples_for(plan, bundle, manifest)
    assert (narrow.where, narrow.same) == ("data.npz, test split", False)
    wide_count = len(npz(data).split("test")) + len(npz(data).split("train"))
    manifest["measured"]["accuracy"]["n"] = wide_count
    wide = examples_for(plan, bundle, manifest)
    assert (wide.where, len(wide.split)) == ("data.npz, test and train splits", wide_count)
    assert not wide.same, "the golden examples are others"


def test_the_manifests_own_examples_are_known_by_their_number_and_the_golden_ones(
    bundle: Path, data: Path, tmp_path: Path
) -> None:
    golden = example.images().inputs["image"]

    class Handed:
        name, calibration_size, class_names = "handed", 1, ()

        def split(self, name: str) -> Split:
            return Split({"image": np.asarray(golden)}, np.zeros(len(golden), np.int64))

    manifest = manifest_of(bundle)
    manifest["measured"]["accuracy"]["n"] = len(golden)
    plan = replace(models.plan(tmp_path, {}), data=Handed(), metric=TopOne())
    assert examples_for(plan, bundle, manifest).same


def test_a_deployed_model_reads_what_its_manifest_declares(bundle: Path) -> None:
    manifest = manifest_of(bundle)
    model = DeployedModel(folder=bundle, manifest=manifest)
    assert {name: entry.shape for name, entry in model.signature().items()} == {"image": (None, 2, 4, 4)}
    assert model.preprocessing["image"].to_dict() == example.PREPROCESSING["image"].to_dict()
    assert artifact(bundle, manifest).onnx_path == bundle / "model.onnx"
    (entry,) = manifest["inputs"]
    entry.update(shape=[None, 2, 4], batch_axis=1)
    assert signature(manifest)["image"].shape == (2, None, 4)
    entry.update(batch_axis=None)
    assert signature(manifest)["image"].shape == (2, 4)


def quantile(value: float, reach: float = 0.01) -> Quantile:
    return Quantile(value=value, low=value * (1 - reach), high=value * (1 + reach))


def measured(value: float = 1.0, **machine: Any) -> dict[str, Any]:
    return {"latency_ms": {"p50": asdict(quantile(value))}, "machine": {**asdict(HERE), **machine}}


HERE = Machine(cpu="This CPU", cores=2, libraries={"onnxruntime": "1.32.0"})


@pytest.mark.parametrize(
    ("value", "passed", "done", "words"),
    [
        (1.02, True, True, "as fast as where it was measured, 1.02x [1.01, 1.03] its time"),
        (1.5, False, True, "slower than where it was measured, 1.50x ["),
        (0.5, True, True, "faster than where it was measured, 0.50x ["),
        (1.1, True, False, "not decided, 1.10x ["),
    ],
)
def test_on_a_like_machine_the_time_is_judged(value: float, passed: bool, done: bool, words: str) -> None:
    check = speed_verdict(quantile(value), measured(), HERE, "batch 1, 10 calls", [])
    assert (check.passed, check.done) == (passed, done)
    assert words in check.detail
    assert check.detail.startswith("p50 ")


def test_another_version_of_the_runtime_is_named() -> None:
    there = measured(libraries={"onnxruntime": "1.30.0"})
    check = speed_verdict(quantile(2.0), there, HERE, "batch 1, 10 calls", [])
    assert check.detail.endswith("on a like machine with other versions of onnxruntime")


@pytest.mark.parametrize(
    ("entry", "noise", "words"),
    [
        (measured(cpu="Another CPU"), [], "measured on another machine (Another CPU, 2 cores): told, not judged"),
        (measured(), ["a second copy was slower"], "NOISY, so not judged: a second copy was slower"),
        ({**measured(), "latency_ms": None}, [], "the manifest has no figure"),
        ({**measured(), "latency_ms": {"p50": {"value": 1.0}}}, [], "too few rounds for an interval"),
    ],
)
def test_a_time_that_can_not_be_compared_is_only_told(entry: dict[str, Any], noise: list[str], words: str) -> None:
    check = speed_verdict(quantile(3.0), entry, HERE, "batch 1, 10 calls", noise)
    assert (check.passed, check.done) == (True, False)
    assert words in check.detail


@pytest.mark.slow
def test_the_command_line_judges_and_times_a_bundle_here(
    bundle: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A manifest with another figure than the model's fails by accuracy; the machine of the example is not this one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["slimline"])
    wrong = Path(shutil.copytree(bundle, tmp_path / "wrong"))
    forge(wrong, lambda manifest: manifest["measured"]["accuracy"].update(value=1.0, low=0.9995, high=1.0))
    with pytest.raises(SystemExit) as caught:
        main(["verify", str(wrong), "--speed", "--accuracy", str(data), *SCREEN])
    lines = capsys.readouterr().out.splitlines()
    assert caught.value.code == 1, lines
    (judged,) = (line for line in lines if "accuracy:" in line)
    assert judged.startswith("FAILED accuracy: accuracy ")
    assert "(data.npz, test split); the manifest says 100.00 %" in judged
    with pytest.raises(SystemExit) as caught:
        main(["verify", str(bundle), "--speed", *SCREEN])
    lines = capsys.readouterr().out.splitlines()
    assert caught.value.code == 0
    (timed,) = (line for line in lines if "speed:" in line)
    assert timed.startswith("note   speed: p50 ")
    assert "measured on another machine (Example CPU, 2 cores): told, not judged" in timed
