"""Sets that Hugging Face's library saved: columns, labels, and splits of their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.data.dataset import IGNORED, Split, SplitName
from pipeline.data.hashing import SPLITS
from pipeline.data.hugging_face import HuggingFace
from pipeline.data.widened import widened
from pipeline.errors import NoExamples, UserError
from pipeline.measure.accuracy import assert_disjoint
from tests.data.test_texts import tokenizer

datasets = pytest.importorskip("datasets")
Image = pytest.importorskip("PIL.Image")
NAMES = ["cat", "dog", "owl"]


def numbers(first: int, count: int) -> Any:
    features = datasets.Features(
        {
            "x": datasets.Array2D((2, 2), "float32"),
            "label": datasets.ClassLabel(names=NAMES),
            "idx": datasets.Value("int32"),
        }
    )
    places = range(first, first + count)
    rows = {"x": [np.full((2, 2), place) for place in places], "label": [place % 3 for place in places]}
    return datasets.Dataset.from_dict({**rows, "idx": list(places)}, features=features)


def saved(folder: Path, **splits: Any) -> HuggingFace:
    whole = splits.pop("whole", None)
    (datasets.DatasetDict(splits) if whole is None else whole).save_to_disk(str(folder / "set"))
    return HuggingFace(path=folder / "set")


def first_values(split: Split) -> list[int]:
    return sorted(split.arrays["x"][:, 0, 0].astype(int).tolist())


def test_a_set_without_splits_is_divided_and_its_classes_have_names(tmp_path: Path) -> None:
    data = saved(tmp_path, whole=numbers(0, 200))
    splits = {name: data.split(name) for name in SPLITS}
    assert {name: len(split) for name, split in splits.items()} == {
        "test": 100, "train": 60, "calibration": 20, "validation": 20,
    }  # fmt: skip
    assert_disjoint(splits)
    test = splits["test"]
    assert (test.inputs["x"].dtype.name, test.inputs["x"].shape[1:]) == ("float32", (2, 2))
    np.testing.assert_array_equal(test.arrays["x"][:, 0, 0].astype(int) % 3, test.labels)
    assert data.class_names == tuple(NAMES)
    assert len(widened(data).split("test")) == 160
    unlabelled = HuggingFace(path=data.path, label_column=None).split("test")
    assert unlabelled.labels is None
    assert set(unlabelled.inputs) == {"x", "idx"}


def test_a_test_split_of_its_own_stays_the_test_split(tmp_path: Path) -> None:
    data = saved(tmp_path, train=numbers(0, 150), validation=numbers(170, 30), test=numbers(140, 45))
    assert widened(data) is data
    splits = {name: data.split(name) for name in SPLITS}
    assert_disjoint(splits)
    assert first_values(splits["test"]) == list(range(140, 185))
    assert first_values(splits["validation"]) == list(range(185, 200))
    both = first_values(splits["train"]) + first_values(splits["calibration"])
    assert sorted(both) == list(range(140))
    assert len(splits["calibration"]) == 14
    assert any(
        "examples of 'train' are in a split before it, too, and left out" in note for note in splits["test"].notes
    )


def test_a_set_without_a_test_split_says_what_to_type(tmp_path: Path) -> None:
    data = saved(tmp_path, train=numbers(0, 60), validation=numbers(60, 30))
    with pytest.raises(UserError, match=r"no split 'test' .*it has train, validation: type data\.test=validation"):
        data.split("test")
    chosen = HuggingFace(path=data.path, test="validation")
    assert first_values(chosen.split("test")) == list(range(60, 90))
    with pytest.raises(NoExamples, match="has no examples of its own for validation; it has train, validation"):
        chosen.split("validation")


def test_images_are_read_as_a_folder_of_images_is(tmp_path: Path) -> None:
    pictures = [Image.new("RGB", (30, 20), (shade, 20, 30)) for shade in range(40)]
    features = datasets.Features({"photo": datasets.Image(), "kind": datasets.ClassLabel(names=NAMES)})
    rows = {"photo": pictures, "kind": [place % 3 for place in range(40)]}
    data = saved(tmp_path, whole=datasets.Dataset.from_dict(rows, features=features))
    split = HuggingFace(path=data.path, size=8, input="pixels", fractions={"test": 1.0}).split("test")
    assert (split.inputs["pixels"].shape, split.inputs["pixels"].dtype.name) == ((40, 3, 8, 8), "uint8")
    shades = split.arrays["pixels"][:, 0, 4, 4].astype(int)
    assert sorted(shades.tolist()) == list(range(40))
    np.testing.assert_array_equal(shades % 3, split.labels)


def test_images_of_a_set_are_cut_and_scaled_as_it_is_typed(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    features = datasets.Features({"photo": datasets.Image()})
    data = saved(tmp_path, whole=datasets.Dataset.from_dict({"photo": [Image.fromarray(pixels)]}, features=features))
    squeezed = replace(data, size=8, central=None, interpolation="bilinear", fractions={"test": 1.0})
    expected = np.asarray(Image.fromarray(pixels).resize((8, 8), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    np.testing.assert_array_equal(squeezed.split("test").arrays["image"][0], expected)


def test_texts_go_through_the_tokenizer_and_are_shown_as_they_are(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    sentences = [f"w{place} very good" for place in range(40)]
    rows = {"sentence": sentences, "label": [place % 2 for place in range(40)]}
    path = saved(tmp_path, whole=datasets.Dataset.from_dict(rows)).path
    data = HuggingFace(path=path, tokenizer=tokenizer(tmp_path), length=4, fractions={"test": 1.0})
    split = data.split("test")
    assert set(split.inputs) == {"input_ids", "attention_mask"}
    assert split.arrays["input_ids"].shape == (40, 4)
    shown = data.show(split, [str(place) for place in range(40)], tmp_path)["text"]
    words = split.arrays["input_ids"][:, 0] - 5
    assert shown == [f"w{word} very good" for word in words]
    with pytest.raises(UserError, match=r"has no column that a model reads .*type|data\.tokenizer=FILE"):
        HuggingFace(path=path).split("test")


@pytest.mark.parametrize(
    ("labels", "expected"), [([-1] * 40, None), ([-1, *range(39)], IGNORED), ([None, *range(39)], IGNORED)]
)
def test_a_label_that_is_not_known_is_not_judged(tmp_path: Path, labels: list[Any], expected: int | None) -> None:
    features = datasets.Features({"x": datasets.Value("float32"), "label": datasets.ClassLabel(num_classes=40)})
    rows = {"x": [float(place) for place in range(40)], "label": labels}
    data = saved(tmp_path, whole=datasets.Dataset.from_dict(rows, features=features))
    split = HuggingFace(path=data.path, fractions={"test": 1.0}).split("test")
    if expected is None:
        assert split.labels is None
        assert any("knows no label" in note for note in split.notes)
        return
    assert split.labels is not None
    assert split.labels[split.arrays["x"].argmin()] == expected


@pytest.mark.parametrize(
    ("columns", "fields", "message"),
    [
        ({"x": [1.0, 2.0], "label": ["a", "b"]}, {}, r"holds names: .*data\.classes=\[a,b\]"),
        ({"x": [1.0, 2.0]}, {"label_column": "kind"}, r"has no column 'kind' .*it has x; data\.label_column=null"),
        ({"x": [[1.0], [1.0, 2.0]]}, {}, "has no column that a model reads"),
        ({"x": [1.0, 2.0], "label": [[1], [1, 2]]}, {}, "holds lists of different lengths: give one label"),
        (
            {"a": ["x", "y"], "b": ["x", "y"]},
            {"tokenizer": Path("t.json")},
            r"several columns of texts, a, b, and none named 'text': type data\.text_column=a",
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    tmp_path: Path, columns: dict[str, Any], fields: dict[str, Any], message: str
) -> None:
    path = saved(tmp_path, whole=datasets.Dataset.from_dict(columns)).path
    with pytest.raises(UserError, match=message) as caught:
        HuggingFace(path=path, **fields).split("test")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["nowhere", "."])
def test_a_folder_of_something_else_is_refused(tmp_path: Path, name: SplitName) -> None:
    with pytest.raises(UserError, match=r"is no folder|can't be read as a folder that Dataset\.save_to_disk wrote"):
        HuggingFace(path=tmp_path / name).split("test")
