"""Texts from a CSV file: tokens, labels, splits, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.data.hashing import SPLITS
from pipeline.data.texts import Texts
from pipeline.data.tokens import encoder_of
from pipeline.errors import UserError
from pipeline.measure.accuracy import assert_disjoint

pytest.importorskip("tokenizers")

WORDS = ["[PAD]", "[UNK]", "good", "bad", "very", *(f"w{number}" for number in range(50))]


def tokenizer(folder: Path) -> Path:
    path = folder / "tokenizer.json"
    path.write_text(
        json.dumps(
            {
                "version": "1.0",
                "added_tokens": [],
                "pre_tokenizer": {"type": "Whitespace"},
                "model": {
                    "type": "WordLevel",
                    "vocab": {word: number for number, word in enumerate(WORDS)},
                    "unk_token": "[UNK]",
                },
            }
        )
    )
    return path


def texts(folder: Path, content: str, **fields: Any) -> Texts:
    path = folder / "reviews.csv"
    path.write_text(content, encoding="utf-8")
    return Texts(**{"path": path, "tokenizer": tokenizer(folder), "length": 4, **fields})


def many(folder: Path, count: int = 100) -> Texts:
    lines = [f'"w{number % 50}, w{number // 50} very good",{number % 2}' for number in range(count)]
    return texts(folder, "\n".join(["text,label", *lines]))


def test_texts_are_cut_and_filled_to_the_length(tmp_path: Path) -> None:
    data = texts(
        tmp_path,
        "text\n" + "\n".join(["good w1", "very very very very bad", *(f"w{n} w{n}" for n in range(28))]),
        fractions={"test": 1.0},
    )
    split = data.split("test")
    rows = {
        tuple(ids): tuple(mask) for ids, mask in zip(*(split.arrays[k].tolist() for k in split.arrays), strict=True)
    }
    assert rows[(2, 6, 0, 0)] == (1, 1, 0, 0)
    assert rows[(4, 4, 4, 4)] == (1, 1, 1, 1)
    assert split.labels is None


@pytest.mark.parametrize(
    ("changes", "filling"),
    [
        ({"added_tokens": []}, 0),
        ({"model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "<pad>": 1}, "unk_token": "[UNK]"}}, 1),
        (
            {
                "padding": {
                    "strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None, "pad_id": 2,
                    "pad_type_id": 0, "pad_token": "good",
                }
            },
            2,
        ),
    ],
)  # fmt: skip
def test_texts_are_filled_with_the_tokenizers_own_token(tmp_path: Path, changes: dict[str, Any], filling: int) -> None:
    path = tokenizer(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    numbers, _ = encoder_of(path, 3)(["x"])
    assert numbers[0, 1:].tolist() == [filling, filling]


def test_splits_share_no_text_and_keep_their_labels(tmp_path: Path) -> None:
    data = many(tmp_path)
    splits = {name: data.split(name) for name in SPLITS}
    assert_disjoint(splits)
    assert sum(len(split) for split in splits.values()) == 100
    for split in splits.values():
        assert split.labels is not None
        for ids, label in zip(split.arrays["input_ids"], split.labels, strict=True):
            assert int(WORDS[ids[0]][1:]) % 2 == label


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("words\nhello\n", "has no column 'text'; it has words"),
        ("text,label\nhello,good\n", r"'label' must hold whole numbers, but holds names: .*class_names=\[good\]"),
        ("text\n", "holds no texts"),
        ("text,label\ngood,1\nbad\n", "line 3: 1 fields, and the header has 2"),
        ("text,label\nvery good, really,1\n", "line 2: 3 fields, and the header has 2 .*double quotes"),
        ('text,label\n"a\nb,1\n', "can't be read as CSV, at line"),
        ("text,label\ngood,\n", "line 2: the column 'label' is empty"),
        ("text,text\na,b\n", "two columns of one name"),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_refused(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        texts(tmp_path, content).split("test")


def test_a_missing_or_broken_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere.json does not exist: give the tokenizer.json"):
        texts(tmp_path, "text\ngood\n", tokenizer=tmp_path / "nowhere.json").split("test")
    broken = tmp_path / "broken.json"
    broken.write_text("{}")
    with pytest.raises(UserError, match="can't be read as a tokenizer"):
        texts(tmp_path, "text\ngood\n", tokenizer=broken).split("test")


ROWS = [(f"w{number % 50} w{number // 50} good", "yn"[number % 2]) for number in range(60)]


@pytest.mark.parametrize(
    ("separator", "encoding", "fields"),
    [
        (",", "utf-8-sig", {}),
        (";", "utf-8", {}),
        ("\t", "utf-8", {}),
        ("|", "utf-16", {}),
        (",", "latin-1", {"encoding": "latin-1"}),
    ],
)
def test_a_table_is_read_as_programs_write_it(
    tmp_path: Path, separator: str, encoding: str, fields: dict[str, Any]
) -> None:
    path = tmp_path / "t.csv"
    lines = [separator.join(("label", "text")), *(separator.join((label, f"{text} é")) for text, label in ROWS), "", ""]
    path.write_bytes("\r\n".join(lines).encode(encoding))
    data = Texts(path=path, tokenizer=tokenizer(tmp_path), class_names=("n", "y"), fractions={"test": 1.0}, **fields)
    split = data.split("test")
    assert len(split) == 60
    assert split.labels is not None
    assert sorted(set(split.labels.tolist())) == [0, 1]


def test_an_unknown_encoding_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("text\ngood\nbäd\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"is not in utf-8, at line 3: .*data\.encoding=latin-1"):
        Texts(path=path, tokenizer=tokenizer(tmp_path)).split("test")


def test_texts_keep_their_line_breaks_and_empty_ones_are_left_out(tmp_path: Path) -> None:
    data = texts(tmp_path, 'text,label\n"good\nbad",1\n" ",0\nvery,0\n', fractions={"test": 1.0})
    split = data.split("test")
    assert len(split) == 2
    assert split.notes[0] == "1 row of reviews.csv without a text left out"
