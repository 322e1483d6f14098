"""How examples come about: step by step they become what the split holds."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.data.dataset import Dataset
from pipeline.data.fitted import Fit, Fitted, Wanted
from pipeline.data.making import MOST, Making, making_of
from tests.data.sounds import RATE, write_wav
from tests.data.test_files import npz, save
from tests.data.test_images import noise
from tests.data.test_texts import many

pytest.importorskip("PIL")
pytest.importorskip("tokenizers")


def made_of(data: Dataset, making: Making) -> None:
    """Check that each source becomes the example of its place, in another process too."""
    split = data.split("test").take(0, MOST)
    assert len(making.sources) == len(split)
    again: Making = pickle.loads(pickle.dumps(making))
    for place, source in enumerate(again.sources):
        feed = again.prepare(source if again.decode is None else again.decode(source))
        assert list(feed) == list(split.inputs)
        for name, array in feed.items():
            np.testing.assert_array_equal(array, split.inputs[name][place : place + 1], strict=True)


def test_a_picture_is_decoded_and_cut(tmp_path: Path) -> None:
    from pipeline.data.images import Images

    noise(tmp_path, 40)
    data = Images(path=tmp_path, size=8)
    making = making_of(data, "test")
    assert making.decode is not None
    made_of(data, making)


def test_a_text_becomes_tokens(tmp_path: Path) -> None:
    data = many(tmp_path)
    making = making_of(data, "test")
    assert making.decode is None
    made_of(data, making)


@pytest.mark.parametrize(("rate", "fields"), [(RATE, {}), (2 * RATE, {"channel": True, "normalize": True})])
def test_a_sound_is_decoded_and_cut(tmp_path: Path, rate: int, fields: dict[str, Any]) -> None:
    pytest.importorskip("soundfile", exc_type=ImportError)
    from pipeline.data.audio import Audio

    rng = np.random.default_rng(0)
    for number in range(40):
        write_wav(tmp_path / f"{number}.wav", rng.uniform(-1, 1, (rate // 5 + number, 2)), rate)
    data = Audio(path=tmp_path, sample_rate=RATE, seconds=0.15, **fields)
    making = making_of(data, "test")
    assert making.decode is not None
    made_of(data, making)


def test_of_several_windows_the_first_is_made(tmp_path: Path) -> None:
    pytest.importorskip("soundfile", exc_type=ImportError)
    from pipeline.data.audio import Audio

    write_wav(tmp_path / "a.wav", np.linspace(0.1, 0.9, RATE))
    data = Audio(path=tmp_path, sample_rate=RATE, seconds=0.5, windows="all", fractions={"test": 1.0})
    making = making_of(data, "test")
    assert making.decode is not None
    for source in making.sources:
        made = making.prepare(making.decode(source))["audio"]
        np.testing.assert_array_equal(made, data.split("test").take(0, 1).arrays["audio"])
    assert len(making.sources) == 2


def test_arrays_need_nothing(tmp_path: Path) -> None:
    data = npz(save(tmp_path / "d.npz"))
    making = making_of(data, "test")
    assert (making.from_source, making.decode) == (False, None)
    made_of(data, making)


def test_what_is_fitted_to_a_model_is_fitted_here_too(tmp_path: Path) -> None:
    texts = many(tmp_path)
    wanted = {
        name: Wanted(shape=(None, 4), dtype="int32") for name in ("input_ids", "attention_mask", "token_type_ids")
    }
    data = Fitted(data=texts, fit=Fit(wanted=wanted))
    made_of(data, making_of(data, "test"))
