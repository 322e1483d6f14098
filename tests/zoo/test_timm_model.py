"""Models of timm by name, with weights, and as folders in timm's format."""

from __future__ import annotations

import io
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from rich.console import Console

from pipeline.artifact.torch_module import load_module
from pipeline.command_line.optimize import search
from pipeline.construct import construct
from pipeline.data.images import Images
from pipeline.data.preprocessing import Preprocessing
from pipeline.errors import UserError
from pipeline.metrics.cosine import Cosine
from pipeline.run.loop import run
from pipeline.stages.export import ExportOnnx
from pipeline.stages.quantize_static import QuantizeStatic
from pipeline.zoo import timm_model as source
from pipeline.zoo.source import TorchModel
from pipeline.zoo.timm_model import timm_model
from tests.example import plan

timm = pytest.importorskip("timm")

CONF = Path(str(files("pipeline.conf")))

NAME = "test_vit"
"""timm's own small network for tests; it reads pictures of 160 x 160."""
SMALL = {"num_classes": 3, "img_size": 32}


def written(model: TorchModel, out: Path) -> torch.Tensor:
    """What the model gives for pictures that are always the same."""
    out.mkdir()
    model.write(out)
    with torch.no_grad():
        found: torch.Tensor = load_module(out)(pictures())
    return found


def pictures() -> torch.Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def trained() -> Any:
    torch.manual_seed(1)
    return timm.create_model(NAME, **SMALL).eval()


def test_a_name_tells_pictures_and_preprocessing_and_that_weights_are_random() -> None:
    model = timm_model(name=NAME)
    assert model.name == f"{NAME}_random_weights"
    assert model.signature()["image"].shape == (None, 3, 160, 160)
    assert model.preprocessing["image"].to_dict() == {"scale": 1 / 255, "mean": [0.5] * 3, "std": [0.5] * 3}


def test_what_is_typed_wins_over_the_models_own() -> None:
    problems: list[str] = []
    node = yaml.safe_load((CONF / "model" / "timm.yaml").read_text())
    typed: dict[str, Any] = {
        "name": NAME,
        "arguments": {"img_size": 32, "in_chans": 1},
        "preprocessing": {"image": {"scale": 0.5}},
    }
    model = construct({**node, **typed}, "model", problems)
    assert not problems
    assert model.signature()["image"].shape == (None, 1, 32, 32)
    assert model.preprocessing == {"image": Preprocessing(scale=0.5)}
    assert timm_model(**{**typed, "preprocessing": {}}).preprocessing == {"image": Preprocessing(scale=1 / 255)}


def test_a_checkpoint_is_loaded(tmp_path: Path, trained: Any) -> None:
    torch.save({"state_dict": trained.state_dict(), "epoch": 3}, tmp_path / "w.pth")
    model = timm_model(name=NAME, weights=tmp_path / "w.pth", arguments=SMALL)
    assert model.name == NAME
    with torch.no_grad():
        torch.testing.assert_close(written(model, tmp_path / "out"), trained(pictures()), atol=1e-5, rtol=1e-4)


def test_a_folder_that_timm_wrote_is_taken(tmp_path: Path, trained: Any) -> None:
    timm.models.save_for_hf(trained, tmp_path / "flowers")
    with torch.no_grad():
        expected = trained(pictures())
    model = timm_model(path=tmp_path / "flowers")
    assert model.name == "flowers"
    torch.testing.assert_close(written(model, tmp_path / "out"), expected, atol=1e-5, rtol=1e-4)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").touch()
    assert search([str(tmp_path / "flowers"), str(tmp_path / "photos")]).words[1:-1] == (
        "model=timm",
        f"model.path={tmp_path / 'flowers'}",
        "data=images",
        f"data.path={tmp_path / 'photos'}",
        "data.central=0.95",
        "data.interpolation=bicubic",
        "data.size=32",
    )


def test_a_name_is_typed_behind_a_colon() -> None:
    words = search([f"timm:{NAME}", "model.arguments.img_size=32"]).words
    assert words[1:3] == ("model=timm", f"model.name={NAME}")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "resnt18"}, "has no model 'resnt18': did you mean resnet18 or"),
        ({"name": "qqqqqqqq"}, r"has no model 'qqqqqqqq': timm\.list_models\(\) has the names"),
        ({}, r"needs one of two: type model\.name=resnet18, say, or model\.path=FOLDER"),
        ({"name": NAME, "path": Path("m")}, "needs one of two"),
    ],
)
def test_a_model_that_there_is_not_is_said(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        timm_model(**fields)


def test_a_folder_of_another_kind_is_said(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(UserError, match="names no architecture of timm's: model=transformers takes"):
        timm_model(path=tmp_path)


def test_arguments_that_a_network_does_not_have_are_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"can't be made with model\.arguments: TypeError.*'depht'"):
        timm_model(name=NAME, arguments={"depht": 2}).write(tmp_path)


def test_an_extra_that_is_missing_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'slimline\[timm\]'$"):
        timm_model(name=NAME)


@pytest.mark.slow
def test_a_model_is_quantized_and_measured_to_the_report(tmp_path: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    for number in range(48):
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(tmp_path / f"{number}.png")
    chosen = plan(
        tmp_path / "run",
        {"baseline": {"export": ExportOnnx()}, "static": {"export": ExportOnnx(), "quantize": QuantizeStatic()}},
        model=timm_model(name="test_resnet", arguments={"num_classes": 3}),
        data=Images(path=tmp_path),
        metric=Cosine(),
    )
    assert run(chosen, Console(file=io.StringIO())) == 0
    report = json.loads((chosen.output / "report.json").read_text())
    baseline, static = report["variants"]
    assert (static["name"], static["status"]) == ("static", "ok")
    assert static["size_bytes"] < baseline["size_bytes"] / 2
    (row,) = static["results"]
    assert row["accuracy"]["value"] > 0.9
