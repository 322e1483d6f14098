"""What is said in a folder of sounds, from a table, LibriSpeech's files or texts beside the sounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.data.audio import Audio
from pipeline.data.dataset import Split
from pipeline.errors import UserError
from tests.data.sounds import RATE, write_wav

pytest.importorskip("soundfile", exc_type=ImportError)


def sounds(folder: Path, *names: str, seconds: float = 0.1) -> None:
    rng = np.random.default_rng(0)
    for name in names or ("a.wav", "b.wav"):
        write_wav(folder / name, rng.uniform(-1, 1, round(seconds * RATE)))


def write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def read(folder: Path, **fields: Any) -> Split:
    fields = {"seconds": 0.1, "sample_rate": RATE, "label_kind": "texts", "fractions": {"test": 1.0}, **fields}
    return Audio(path=folder, **fields).split("test")


def texts_of(split: Split) -> dict[str, str]:
    assert split.labels is not None
    assert split.origins is not None
    return dict(zip(split.origins.tolist(), split.labels.tolist(), strict=True))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metadata.csv", "file_name,transcription\na.wav,good morning\nb.wav,yes\n"),
        (
            "metadata.jsonl",
            '{"file_name": "a.wav", "transcription": "good morning"}\n{"file_name": "b.wav", "transcription": "yes"}',
        ),
        ("84-121.trans.txt", "a good morning\nb yes\n"),
    ],
)
def test_a_file_tells_what_is_said(tmp_path: Path, name: str, content: str) -> None:
    sounds(tmp_path)
    write(tmp_path / name, content)
    split = read(tmp_path)
    assert texts_of(split) == {"a.wav": "good morning", "b.wav": "yes"}
    assert split.notes[:-1] == ()  # only the note that there are few


def test_a_text_beside_each_sound_tells_it(tmp_path: Path) -> None:
    sounds(tmp_path, "x/a.wav", "y/a.wav")
    write(tmp_path / "x" / "a.txt", "good\nmorning\n")
    write(tmp_path / "y" / "a.txt", "yes")
    assert texts_of(read(tmp_path)) == {"x/a.wav": "good morning", "y/a.wav": "yes"}


def test_librispeechs_files_lie_in_each_folder(tmp_path: Path) -> None:
    sounds(tmp_path, "84/1/84-1-0.wav", "85/2/85-2-0.wav")
    write(tmp_path / "84" / "1" / "84-1.trans.txt", "84-1-0 GOOD MORNING\n")
    write(tmp_path / "85" / "2" / "85-2.trans.txt", "85-2-0 YES\n")
    assert texts_of(read(tmp_path)) == {"84/1/84-1-0.wav": "GOOD MORNING", "85/2/85-2-0.wav": "YES"}


def test_another_table_and_column_can_be_named(tmp_path: Path) -> None:
    sounds(tmp_path / "clips", "a.wav")
    write(tmp_path / "validated.tsv", "file_name\tsentence\na.wav\tgood morning\nz.wav\tno\n")
    split = read(tmp_path / "clips", labels=tmp_path / "validated.tsv", label_column="sentence")
    assert texts_of(split) == {"a.wav": "good morning"}
    assert any("1 entries of" in note for note in split.notes)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "metadata.csv",
            "file_name,text\na.wav,yes\n",
            r"no column 'transcription' \(data\.label_column\); it",
        ),
        ("metadata.csv", "name,transcription\na.wav,yes\n", r"data\.labels=.* has no column 'file_name'"),
        (
            "metadata.csv",
            "file_name,transcription\na.wav,yes\nb.wav, \n",
            r"line 3: the column '\w+' is empty",
        ),
        ("metadata.csv", "file_name,transcription\na.wav,yes\n", r"has no entry for b\.wav of the 2 files"),
        ("metadata.jsonl", '{"file_name": "a.wav", "transcription": 3}', r"line 1: the column 'transcription' holds a"),
        ("84.trans.txt", "a yes\nb\n", r"84\.trans\.txt, line 2 has no text"),
        ("84.trans.txt", "a yes\n", r"has no entry for b\.wav"),
        ("a.txt", "yes", r"b\.wav has no b\.txt beside it"),
        ("a.txt", " \n", r"a\.txt is empty"),
    ],
)
def test_a_wrong_or_missing_entry_is_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    sounds(tmp_path)
    write(tmp_path / name, content)
    with pytest.raises(UserError, match=message) as caught:
        read(tmp_path)
    assert len(str(caught.value).splitlines()) == 1


def test_without_transcripts_it_says_what_they_may_be(tmp_path: Path) -> None:
    sounds(tmp_path)
    with pytest.raises(UserError, match=r"has no transcripts: give a metadata\.csv with the columns file_name and"):
        read(tmp_path)
    with pytest.raises(UserError, match=r"b\.txt is no table .* are found by themselves: data\.labels=null"):
        read(tmp_path, labels=tmp_path / "b.txt")


def test_a_window_may_not_cut_off_what_is_said(tmp_path: Path) -> None:
    sounds(tmp_path, "a.wav")
    sounds(tmp_path, "b.wav", seconds=0.25)
    write(tmp_path / "metadata.csv", "file_name,transcription\na.wav,yes\nb.wav,good morning\n")
    with pytest.raises(UserError, match=r"b\.wav lasts 0\.25 s, and a window 0\.1 s, .* type data\.seconds=0\.25, or"):
        read(tmp_path)
    assert texts_of(read(tmp_path, seconds=0.25))["b.wav"] == "good morning"


@pytest.mark.parametrize("fields", [{"labelled": True}, {"windows": "all"}])
def test_texts_go_with_neither_class_folders_nor_several_windows(tmp_path: Path, fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="label_kind=texts takes what is said in whole files"):
        Audio(path=tmp_path, label_kind="texts", **fields)
