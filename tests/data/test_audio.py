"""Audio from a folder: decoded, resampled, cut to windows, split by file, and what is refused."""

from __future__ import annotations

import struct
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.data.audio import Audio
from pipeline.data.dataset import Split
from pipeline.data.hashing import SPLITS
from pipeline.errors import NoExamples, UserError
from pipeline.measure.accuracy import assert_disjoint
from tests.data.sounds import RATE, write_wav

pytest.importorskip("soundfile", exc_type=ImportError)

TEST_ONLY = {"test": 1.0}


def write_float(path: Path, samples: NDArray[np.float32], rate: int = RATE) -> Path:
    """A WAV file of 32-bit fractions, in mono."""
    data = samples.astype("<f4").tobytes()
    header = struct.pack("<HHIIHH", 3, 1, rate, 4 * rate, 4, 32)
    body = b"WAVEfmt " + struct.pack("<I", len(header)) + header + b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


def noise(folder: Path, count: int, seconds: float = 1.0, classes: int = 2) -> None:
    rng = np.random.default_rng(0)
    for number in range(count):
        write_wav(folder / f"class{number % classes}" / f"{number}.wav", rng.uniform(-1, 1, round(seconds * RATE)))


def audio(folder: Path, **fields: Any) -> Audio:
    return Audio(**{"path": folder, "sample_rate": RATE, **fields})


def read(folder: Path, **fields: Any) -> Split:
    return audio(folder, fractions=TEST_ONLY, **fields).split("test")


def test_a_file_is_read_from_minus_one_to_one_and_filled_with_zeros(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.array([0.5, -1.0, 1.0]))
    (found,) = read(tmp_path, seconds=0.005).arrays["audio"]
    assert found.dtype == np.float32
    assert found.tolist() == pytest.approx([0.5, -1, 1, 0, 0], abs=1e-3)


def test_channels_are_averaged_and_a_model_may_read_an_axis_for_the_one_that_is_left(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.array([[0.5, 0.25], [-0.5, 0.5]]))
    found = read(tmp_path, seconds=0.002, channel=True, input="waveform").arrays["waveform"]
    assert found.shape == (1, 1, 2)
    assert found[0, 0].tolist() == pytest.approx([0.375, 0], abs=1e-3)


@pytest.mark.parametrize("rate", [500, 8000, 11025, 44100])
def test_a_tone_keeps_its_pitch_at_another_rate(tmp_path: Path, rate: int) -> None:
    write_wav(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 50 * np.arange(3 * rate) / rate), rate)
    (found,) = read(tmp_path, seconds=1.0).arrays["audio"]
    assert np.abs(np.fft.rfft(found)).argmax() == 50
    expected = 0.5 * np.sin(2 * np.pi * 50 * np.arange(RATE) / RATE)
    assert np.abs(found - expected)[20:-20].max() < 0.01
    first_of_all = read(tmp_path, seconds=1.0, windows="all").arrays["audio"][0]
    assert np.abs(found - first_of_all).max() < 1e-4


def test_flac_is_read_as_wav_is(tmp_path: Path) -> None:
    import soundfile

    samples = np.random.default_rng(0).uniform(-1, 1, RATE)
    write_wav(tmp_path / "wav" / "a.wav", samples)
    (tmp_path / "flac").mkdir()
    soundfile.write(str(tmp_path / "flac" / "a.FLAC"), (samples * 32767).astype(np.int16), RATE, format="FLAC")
    assert read(tmp_path / "flac").digest() == read(tmp_path / "wav").digest()


@pytest.mark.parametrize(("seconds", "windows"), [(0.5, 1), (1.0, 1), (1.4, 1), (1.5, 2), (3.0, 3)])
def test_all_windows_of_a_file_are_taken_where_half_of_the_last_is_there(
    tmp_path: Path, seconds: float, windows: int
) -> None:
    noise(tmp_path, 1, seconds)
    assert len(read(tmp_path, windows="all")) == windows
    assert len(read(tmp_path)) == 1


def test_windows_are_one_behind_the_other(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.linspace(0, 1, 10))
    found = read(tmp_path, windows="all", seconds=0.005).arrays["audio"]
    assert np.sort(found.ravel()).tolist() == pytest.approx(np.linspace(0, 1, 10).tolist(), abs=1e-3)


def test_windows_of_zeros_are_left_out_where_a_file_has_others(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.concatenate([np.zeros(2 * RATE), np.full(RATE, 0.5)]))
    write_wav(tmp_path / "b.wav", np.zeros(3 * RATE))
    split = read(tmp_path, windows="all", normalize=True)
    assert sorted(split.arrays["audio"].max(axis=1).tolist()) == [0, 1]
    assert "4 windows of zeros only left out" in split.notes


def test_the_peak_is_one_where_windows_are_normalized(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.concatenate([np.full(RATE, 0.25), np.full(RATE, -0.5)]))
    assert np.abs(read(tmp_path, windows="all", normalize=True).arrays["audio"]).max(axis=1).tolist() == [1, 1]


def test_windows_of_one_file_share_a_split_and_keep_their_label(tmp_path: Path) -> None:
    noise(tmp_path, 60, seconds=3.0, classes=3)
    data = audio(tmp_path, windows="all", labelled=True, calibration_size=1000)
    splits = {name: data.split(name) for name in SPLITS}
    assert_disjoint(splits)
    assert {name: len(split) for name, split in splits.items()} == {
        "train": 48, "validation": 18, "calibration": 24, "test": 90,
    }  # fmt: skip
    assert data.class_names == ("class0", "class1", "class2")
    place: dict[bytes, tuple[str, int]] = {}
    for name, split in splits.items():
        assert split.labels is not None
        for window, label in zip(split.arrays["audio"], split.labels.tolist(), strict=True):
            place[window.tobytes()] = (name, label)
    for folder in range(3):
        for file in (tmp_path / f"class{folder}").iterdir():
            with wave.open(str(file)) as opened:
                raw = np.frombuffer(opened.readframes(3 * RATE), "<i2").astype(np.float32) / 32768
            found = {place[window.tobytes()] for window in raw.reshape(3, RATE)}
            assert len(found) == 1
            assert found.pop()[1] == folder


def test_files_that_have_a_window_in_common_share_a_split_through_others_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pieces = rng.uniform(-1, 1, (61, RATE))
    for number in range(60):
        write_wav(tmp_path / f"{number}.wav", pieces[number : number + 2].ravel())
    split = read(tmp_path, windows="all")
    assert len(split) == 120
    with pytest.raises(NoExamples, match=r"it takes 8 different files at least, and .* has 1"):
        audio(tmp_path, windows="all").split("calibration")


def test_few_files_are_counted_as_files(tmp_path: Path) -> None:
    noise(tmp_path, 10, seconds=5.0)
    data = audio(tmp_path, windows="all")
    assert data.split("test").notes[0].startswith("the data has 10 different files (50 examples), so its splits are ")


def test_neither_names_nor_order_change_who_is_in_a_split(tmp_path: Path) -> None:
    noise(tmp_path / "a", 40, seconds=2.0, classes=1)
    files = sorted((tmp_path / "a" / "class0").iterdir())
    (tmp_path / "b").mkdir()
    for number, file in enumerate(reversed(files)):
        (tmp_path / "b" / f"renamed{number}.wav").write_bytes(file.read_bytes())
    a, b = (audio(tmp_path / name, windows="all").split("test") for name in "ab")
    assert set(a.example_hashes()) == set(b.example_hashes())


def test_what_is_no_audio_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no audio files \(\.wav, \.flac\)"):
        read(tmp_path)
    (tmp_path / "song.mp3").write_bytes(b"ID3")
    write_wav(tmp_path / "a.wav", np.ones(9))
    assert read(tmp_path).notes == ("1 .mp3 file left out: only .wav, .flac are read",)
    content = (tmp_path / "a.wav").read_bytes()
    for damaged, message in (
        (b"", r"a\.wav can't be read as audio: "),
        (b"RIFF no audio", r"a\.wav can't be read as audio: "),
        (content[:44], r"a\.wav holds no samples"),
        (
            content[:24] + struct.pack("<I", 2**31 - 1) + content[28:],
            r"a\.wav claims a sample rate of 2,147,483,647 Hz",
        ),
    ):
        (tmp_path / "a.wav").write_bytes(damaged)
        with pytest.raises(UserError, match=message) as caught:
            read(tmp_path, seconds=2 + len(damaged) / RATE)
        assert "\n" not in str(caught.value)


def test_flac_that_is_cut_or_does_not_tell_its_length_is_named(tmp_path: Path) -> None:
    import soundfile

    path = tmp_path / "a.flac"
    soundfile.write(str(path), np.random.default_rng(0).uniform(-1, 1, 50_000), RATE)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"a\.flac can't be read as audio: Error : flac decoder lost sync"):
        read(tmp_path, windows="all")
    path.write_bytes(whole[:21] + bytes([whole[21] & 0xF0, 0, 0, 0, 0]) + whole[26:])
    with pytest.raises(UserError, match=r"a\.flac does not tell how long it is"):
        read(tmp_path, windows="all")


def test_values_that_are_no_samples_are_refused_and_loud_ones_are_cut_off(tmp_path: Path) -> None:
    path = write_float(tmp_path / "a.wav", np.array([0.5, -1.5, 0.25]))
    split = read(tmp_path, seconds=0.003)
    assert split.arrays["audio"].tolist() == [[0.5, -1, 0.25]]
    assert "1 file has samples beyond -1 to 1, which are cut off" in split.notes
    write_float(path, np.array([0.5, np.nan]))
    with pytest.raises(UserError, match=r"a\.wav holds values that are not finite"):
        read(tmp_path, seconds=0.004)
    write_float(path, np.array([100, -32768]))
    with pytest.raises(UserError, match=r"a\.wav holds values up to 32768, and it is not known which is full scale"):
        read(tmp_path, seconds=0.005)


def test_windows_that_would_not_fit_into_memory_are_refused_before_they_are_read(tmp_path: Path) -> None:
    noise(tmp_path, 4, seconds=3.0)
    with pytest.raises(UserError, match=r"the 12 windows of .* take 60,000 bytes, more than data\.max_gb"):
        read(tmp_path, windows="all", max_gb=1e-6)


def test_settings_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"seconds=0\.0001 is shorter than one sample at sample_rate=1000"):
        audio(tmp_path, seconds=0.0001)


def test_without_soundfile_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise(tmp_path, 1)
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(UserError, match=r"install the extra audio \(pip install soundfile\)"):
        read(tmp_path, seconds=0.9)
