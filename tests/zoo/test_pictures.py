"""Pictures are cut, scaled and normalized as a model's own processor does it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.data.images import Images
from pipeline.data.preprocessing import Preprocessing
from pipeline.zoo.pictures import of_data_config, of_processor
from tests.zoo.hub_folders import PROCESSOR

CUT = {"do_center_crop": True, "size": {"shortest_edge": 20}, "crop_size": {"height": 16, "width": 16}}
TIMM = {"input_size": (3, 16, 16), "interpolation": "bilinear", "mean": (0.5,) * 3, "std": (0.2,) * 3, "crop_pct": 0.9}


@pytest.mark.parametrize(
    ("changes", "shape", "central"),
    [
        ({}, (3, 16, 16), "null"),
        (CUT, (3, 16, 16), "0.8"),
        ({"size": {"shortest_edge": 20}}, (3, 20, 20), "1"),
        ({"size": 32}, (3, 32, 32), "null"),
        ({"size": {"shortest_edge": 16}, "crop_pct": 0.875}, (3, 16, 16), "0.875"),
        ({"size": {"height": 16, "width": 24}}, (3, 16, 24), "null"),
    ],
)
def test_a_processor_tells_how_pictures_are_cut(
    changes: dict[str, Any], shape: tuple[int, int, int], central: str
) -> None:
    pictures = of_processor({**PROCESSOR, **changes}, {}, "p.json")
    assert pictures.shape == shape
    assert pictures.words == (f"data.central={central}", "data.interpolation=bilinear")


def test_what_a_processor_does_not_do_is_not_done() -> None:
    pictures = of_processor({**PROCESSOR, "do_rescale": False, "do_normalize": False}, {"num_channels": 1}, "p.json")
    assert pictures.preprocessing.is_identity
    assert pictures.channels == 1


@pytest.mark.parametrize(("mode", "central"), [("center", 0.9), ("squash", None)])
def test_timm_tells_how_pictures_are_cut(mode: str, central: float | None) -> None:
    pictures = of_data_config({**TIMM, "crop_mode": mode})
    assert (pictures.shape, pictures.central, pictures.interpolation) == ((3, 16, 16), central, "bilinear")
    assert pictures.preprocessing == Preprocessing(scale=1 / 255, mean=(0.5,) * 3, std=(0.2,) * 3)


def test_a_squeezed_picture_shows_all_of_it(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    data = Images(path=tmp_path, size=16, central=None, interpolation="bilinear", fractions={"test": 1.0})
    expected = np.asarray(Image.fromarray(pixels).resize((16, 16), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    np.testing.assert_array_equal(data.split("test").arrays["image"][0], expected)
