"""The shipped data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.data import fashion_mnist
from pipeline.data.files import SplitFolder
from pipeline.data.hashing import SPLITS
from pipeline.measure.accuracy import assert_disjoint

FOLDER = Path(fashion_mnist.__file__).parent
DATA = SplitFolder(path=FOLDER, name="fashion_mnist", calibration_size=100_000)


def test_the_whole_official_test_set_is_shipped() -> None:
    test = DATA.split("test")
    assert test.inputs["image"].shape == (10_000, 1, 28, 28)
    assert test.inputs["image"].dtype == np.uint8
    assert test.labels is not None
    assert np.bincount(test.labels).tolist() == [1000] * 10


def test_the_splits_share_no_image() -> None:
    assert_disjoint({name: DATA.split(name) for name in SPLITS})


def test_the_splits_and_their_licence_fit_20_mb() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file()) < 20_000_000
    assert "Zalando" in (FOLDER / "LICENSE").read_text()
