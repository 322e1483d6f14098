"""Labels that are boxes or texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.data.files import NpzFile
from pipeline.data.hashing import DEFAULT_FRACTIONS
from pipeline.data.labels import LabelRule
from pipeline.errors import UserError

NAN = float("nan")


@pytest.mark.parametrize("filling", [NAN, -1])
def test_boxes_keep_their_corners_and_classes_count_from_0(filling: float) -> None:
    raw = np.array([[[1, 2, 3.5, 4, 1], [0, 0, 2, 2, 3]], [[filling] * 5] * 2])
    found = LabelRule(kind="boxes", offset=1)(raw, "labels")
    assert found.tolist() == [[[1, 2, 3.5, 4, 0], [0, 0, 2, 2, 2]], [[-1] * 5] * 2]


def test_texts_stay_and_token_numbers_are_filled_with_minus_1() -> None:
    rule = LabelRule(kind="texts")
    assert rule(np.array(["good morning", ""]), "labels").tolist() == ["good morning", ""]
    assert rule(np.array([[3, 0, -100]]), "labels").tolist() == [[3, 0, -1]]


@pytest.mark.parametrize(
    ("kind", "raw", "says"),
    [
        ("boxes", np.zeros((2, 4)), r"must hold boxes \[examples, boxes, 5\] .*but holds float64 \[2, 4\]"),
        ("boxes", np.full((2, 3, 5), NAN), "holds no box"),
        ("boxes", np.array([[[0, 0, 1, 1, 0.5]]]), "a class from 0 on, but holds others"),
        ("boxes", np.array([[[5, 5, 1, 1, 0]]]), "give x1, y1, x2, y2, and not a width and a height"),
        ("texts", np.zeros(3), r"must hold texts .*but holds float64 \[3\]"),
        ("classes", np.array(["good morning"]), r"data\.label_kind=texts if they are texts"),
        ("classes", np.full((2, 3, 5), NAN), r"boxes take data\.label_kind=boxes"),
    ],
)
def test_what_is_none_is_told_with_what_to_type(kind: Any, raw: Any, says: str) -> None:
    with pytest.raises(UserError, match=f"^d.npz: 'labels' .*{says}"):
        LabelRule(kind=kind)(raw, "d.npz: 'labels'")


def test_a_file_of_transcripts_is_split_with_them(tmp_path: Path) -> None:
    texts = np.array([f"word {number}" for number in range(60)])
    np.savez(tmp_path / "d.npz", sound=np.arange(60.0)[:, None], labels=texts)
    split = NpzFile(path=tmp_path / "d.npz", label_kind="texts", fractions=DEFAULT_FRACTIONS).split("test")
    assert split.labels is not None
    assert split.labels.tolist() == [f"word {int(sound[0])}" for sound in split.arrays["sound"]]
