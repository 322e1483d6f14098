"""The data and the model are compared before any work."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.data.dataset import Split, SplitName
from pipeline.data.preprocessing import Preprocessing
from pipeline.errors import NoExamples, UserError
from pipeline.plan import MeasureSettings, Target
from pipeline.run.build import builder
from pipeline.run.preflight import preflight
from pipeline.zoo.source import OnnxModel
from pipeline.zoo.transformers_model import TransformersModel
from tests.example import Arrays, Scale, linear_model, plan
from tests.zoo.hub_folders import bert, described


@dataclass(frozen=True)
class Fixed:
    """A data set of one array under one name, or of several by name."""

    array: Any = field(default_factory=lambda: np.zeros((30, 8), np.float32))
    key: str = "x"
    name: str = "fixed"
    calibration_size: int = 8
    class_names: tuple[str, ...] = ()

    def split(self, name: SplitName) -> Split:
        return Split(self.array if isinstance(self.array, dict) else {self.key: self.array})


def test_fitting_data_passes_and_the_test_split_comes_back(tmp_path: Path) -> None:
    assert len(preflight(plan(tmp_path, {"baseline": {}}))["test"]) == 200


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Fixed(key="image"), "the model's inputs are x, but the data has image"),
        (Fixed(np.zeros((30, 4), np.float32)), r"input 'x': the model reads \[N, 8\], the data has \[N, 4\]"),
        (Fixed(np.zeros((30, 8, 1), np.float32)), r"the model reads \[N, 8\], the data has \[N, 8, 1\]"),
        (Fixed(np.zeros((30, 8))), "the model reads float32, the data has float64: store it as float32"),
        (Fixed(np.zeros((30, 8), np.uint8)), r"the data has uint8: .*model\.preprocessing\.x\.scale="),
        (Fixed(np.zeros((0, 8), np.float32)), "the test split is empty"),
        (Arrays(sizes={}), "there is no test split"),
    ],
)
def test_data_that_does_not_fit_is_refused(tmp_path: Path, data: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        preflight(plan(tmp_path, {"baseline": {}}, data=data))


def test_texts_that_are_longer_than_the_model_takes_are_refused(tmp_path: Path) -> None:
    model = TransformersModel(path=described(tmp_path / "m", bert(type_vocab_size=1)))
    tokens = np.zeros((30, 64), np.int64)
    data = Fixed({"input_ids": tokens, "attention_mask": tokens})
    with pytest.raises(UserError, match=r"takes 48 tokens at most, the data has 64: type data\.length=48"):
        preflight(plan(tmp_path, {"baseline": {}}, model=model, data=data))


def test_preprocessing_is_applied_before_the_types_are_compared(tmp_path: Path) -> None:
    model = OnnxModel(path=linear_model(tmp_path / "m.onnx"), preprocessing={"x": Preprocessing(scale=1 / 255)})
    preflight(plan(tmp_path, {"baseline": {}}, model=model, data=Fixed(np.zeros((30, 8), np.uint8))))


def test_preprocessing_of_an_unknown_input_is_refused(tmp_path: Path) -> None:
    model = OnnxModel(path=linear_model(tmp_path / "m.onnx"), preprocessing={"image": Preprocessing(scale=2.0)})
    with pytest.raises(UserError, match=r"model\.preprocessing\.image does not exist; the model's inputs: x"):
        preflight(plan(tmp_path, {"baseline": {}}, model=model))


def test_problems_of_targets_model_and_data_are_told_together(tmp_path: Path) -> None:
    targets = {"ort_cpu": Target(name="ort_cpu", backend=OnnxRuntime(), session={"nope": 1})}
    model = OnnxModel(path=linear_model(tmp_path / "m.onnx"), preprocessing={"image": Preprocessing(scale=2.0)})
    with pytest.raises(UserError) as caught:
        preflight(plan(tmp_path, {"baseline": {}}, model=model, data=Fixed(key="y"), targets=targets))
    session, preprocessing, inputs = caught.value.problems
    assert session.startswith("target.ort_cpu.session.nope does not exist")
    assert preprocessing.startswith("model.preprocessing.image does not exist")
    assert inputs.startswith("the model's inputs are x, but the data has y")


def test_scenarios_without_their_extra_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.run.preflight.find_spec", lambda name: None)
    preflight(plan(tmp_path, {"baseline": {}}))
    with pytest.raises(UserError, match="not installed: install the extra 'mlperf'"):
        preflight(plan(tmp_path, {"baseline": {}}, measure=MeasureSettings(scenarios=("Offline",))))


@dataclass(frozen=True, kw_only=True)
class Calibrated(Scale):
    reads = frozenset({"calibration"})


def test_calibration_data_must_not_be_test_data(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    overlapping = plan(tmp_path, {"baseline": {}, "v": {"a": Calibrated()}}, data=Fixed(array))
    with pytest.raises(UserError, match="splits 'calibration' and 'test' must not overlap, but share 30 examples"):
        preflight(overlapping)


@pytest.mark.parametrize("values", [{"scale": float("nan")}, {"mean": (float("inf"),)}, {"std": (float("nan"),)}])
def test_preprocessing_takes_finite_numbers_only(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must hold finite numbers"):
        Preprocessing(**values)


@dataclass(frozen=True)
class OnlyTest(Fixed):
    def split(self, name: SplitName) -> Split:
        if name != "test":
            raise NoExamples(f"the data set has no {name} split")
        return super().split(name)


def test_a_split_that_only_some_variants_need_may_be_missing(tmp_path: Path) -> None:
    chosen = plan(tmp_path, {"baseline": {}, "calibrated": {"a": Calibrated()}, "v": {"a": Scale()}}, data=OnlyTest())
    assert list(preflight(chosen)) == ["test"]
    with builder(chosen, lambda label, done, text: None) as making:
        records = {name: making.build(variant).record for name, variant in chosen.variants.items()}
    assert {name: record.status for name, record in records.items()} == {
        "baseline": "ok",
        "calibrated": "skipped",
        "v": "ok",
    }
    assert records["calibrated"].reason == "the data set has no calibration split"
