"""One data set serves every model that reads such inputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.adapted import adapted
from pipeline.data.dataset import Dataset
from pipeline.data.files import NpzFile
from pipeline.data.fitted import Fit, Fitted, Wanted
from pipeline.data.images import Images
from pipeline.data.texts import Texts
from pipeline.errors import UserError
from tests.data.test_texts import tokenizer

TOKENS = Wanted(shape=(None, 7), dtype="int64")


def shapes(data: Dataset, wanted: dict[str, Wanted], beside: Path | None = None) -> dict[str, tuple[int, ...]]:
    split = Fitted(data=adapted(data, wanted, beside), fit=Fit(wanted=wanted)).split("test")
    return {name: array.shape[1:] for name, array in split.inputs.items()}


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("image", (None, 3, 20, 20), (3, 20, 20)),
        ("pixel_values", (None, 8, 8, 3), (8, 8, 3)),
        ("image", (None, 3, None, None), (3, 224, 224)),
    ],
)
def test_images_take_size_name_and_layout_from_the_model(
    tmp_path: Path, name: str, shape: tuple[int | None, ...], expected: tuple[int, ...]
) -> None:
    pictures = pytest.importorskip("PIL.Image")
    for number in range(3):
        pictures.new("RGB", (30, 25), (number, 0, 0)).save(tmp_path / f"{number}.png")
    data = Images(path=tmp_path, fractions={"test": 1.0})
    assert shapes(data, {name: Wanted(shape=shape, dtype="float32", preprocessed=True)}) == {name: expected}
    typed = Images(path=tmp_path, size=16, fractions={"test": 1.0})
    assert adapted(typed, {name: Wanted(shape=shape, dtype="float32")}, None).split("test").inputs[name].shape[2] == 16
    with pytest.raises(UserError, match=r"reads 'x' as \[N, 3, 10, 20\], and a folder of images gives squares"):
        adapted(data, {"x": Wanted(shape=(None, 3, 10, 20), dtype="float32")}, None)


def test_texts_take_length_name_and_tokenizer_from_the_model(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    for folder in ("model", "texts"):
        (tmp_path / folder).mkdir()
    (tmp_path / "texts" / "t.csv").write_text("text\ngood\nbad w1\n")
    data = Texts(path=tmp_path / "texts" / "t.csv", fractions={"test": 1.0})
    with pytest.raises(UserError, match=r"neither lies in .*model, .*texts: type data\.tokenizer=PATH"):
        adapted(data, {"ids": TOKENS}, tmp_path / "model")
    tokenizer(tmp_path / "model")
    assert shapes(data, {"ids": TOKENS}, tmp_path / "model") == {"ids": (7,)}
    both = {name: Wanted(shape=(None, None), dtype="int64") for name in ("input_ids", "attention_mask")}
    assert shapes(data, both, tmp_path / "model" / "onnx") == dict.fromkeys(both, (64,))
    limited = {name: replace(entry, longest=48) for name, entry in both.items()}
    assert shapes(data, limited, tmp_path / "model") == dict.fromkeys(both, (48,))


def test_data_that_leaves_nothing_open_stays_as_it_is(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.zeros((3, 2)))
    data = NpzFile(path=tmp_path / "d.npz", fractions={"test": 1.0})
    assert adapted(data, {"x": TOKENS}, None) is data
