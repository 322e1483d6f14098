"""Texts from JSON Lines and Parquet: what is read, and what is refused with the place where it stands."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.data import table
from pipeline.data.dataset import Split
from pipeline.data.table import Asked, near_column, read_table
from pipeline.data.texts import Texts
from pipeline.errors import UserError
from tests.data.test_texts import tokenizer

pytest.importorskip("tokenizers")

ROWS = [{"text": f"w{number % 50} w{number // 50}", "label": number % 2} for number in range(60)]


def json_lines(folder: Path, rows: Sequence[Any], name: str = "t.jsonl", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode(encoding))
    return path


def parquet(folder: Path, **columns: Any) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    write_table(pyarrow.table(columns), folder / "t.parquet", row_group_size=7)
    return folder / "t.parquet"


def read(path: Path, **fields: Any) -> Split:
    return Texts(path=path, tokenizer=tokenizer(path.parent), length=4, fractions={"test": 1.0}, **fields).split("test")


def test_json_lines_and_parquet_give_what_csv_gives(tmp_path: Path) -> None:
    csv = tmp_path / "t.csv"
    csv.write_text("text,label\n" + "".join(f"{row['text']},{row['label']}\n" for row in ROWS))
    expected = read(csv).digest()
    assert read(json_lines(tmp_path, ROWS)).digest() == expected
    assert read(json_lines(tmp_path, ROWS, "T.NDJSON")).digest() == expected
    columns = {name: [row[name] for row in ROWS] for name in ("text", "label")}
    assert read(parquet(tmp_path, **columns, vectors=[[0.5, 1.5]] * 60)).digest() == expected


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_tells_the_encoding_of_json_lines(tmp_path: Path, encoding: str) -> None:
    path = json_lines(tmp_path, [{"text": "é\u2028b"}, *ROWS], encoding=encoding)
    assert next(read_table(Asked(path=path, needed="text"))).rows[0] == {"text": "é\u2028b"}
    assert next(
        read_table(Asked(path=json_lines(tmp_path, ROWS, encoding="utf-8-sig"), needed="text", encoding="utf-8"))
    ).columns == [
        "text",
        "label",
    ]


def test_empty_lines_are_passed_over_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('\n{"text": "good"}\r\n  \n{"text": "bad"}')
    assert list(next(read_table(Asked(path=path, needed="text"))).lines) == [2, 4]


def test_rows_without_a_text_are_left_out_with_a_note(tmp_path: Path) -> None:
    rows = [*ROWS, {"text": None, "label": None}, {"text": " ", "label": [1]}]
    split = read(json_lines(tmp_path, rows))
    assert len(split) == 60
    assert split.notes[0] == "2 rows of t.jsonl without a text left out"


@pytest.mark.parametrize(
    ("labels", "fields", "classes"),
    [
        ([True, False], {}, {0, 1}),
        ([1.0, 0], {}, {0, 1}),
        (["1", " 0"], {}, {0, 1}),
        (["y", "n"], {"class_names": ("n", "y")}, {0, 1}),
        ([None, [1]], {"label_column": None}, None),
    ],
)
def test_labels_of_one_kind_are_read(
    tmp_path: Path, labels: list[Any], fields: dict[str, Any], classes: set[int] | None
) -> None:
    rows = [{"text": row["text"], "label": labels[number % 2]} for number, row in enumerate(ROWS)]
    split = read(json_lines(tmp_path, rows), **fields)
    assert (None if split.labels is None else set(split.labels.tolist())) == classes


def test_labels_may_be_token_numbers_where_texts_are_to_be_met(tmp_path: Path) -> None:
    rows = [{"text": row["text"], "label": [[3, 1, 2], [4]][number % 2]} for number, row in enumerate(ROWS)]
    split = read(json_lines(tmp_path, rows), label_kind="texts")
    assert split.labels is not None
    assert set(map(tuple, split.labels.tolist())) == {(3, 1, 2), (4, -1, -1)}
    with pytest.raises(UserError, match="holds a list: give one class"):
        read(json_lines(tmp_path, rows))
    for wrong in ([], [1.5], [-1], ["a"]):
        with pytest.raises(UserError, match=r"line 3: the column 'label' holds \[.*\]: token numbers are whole"):
            read(json_lines(tmp_path, [*rows[:2], {**rows[2], "label": wrong}], f"{wrong}.jsonl"), label_kind="texts")


def test_the_columns_have_the_names_that_are_given(tmp_path: Path) -> None:
    rows = [{"sentence": row["text"], "sentiment": row["label"]} for row in ROWS]
    split = read(json_lines(tmp_path, rows), text_column="sentence", label_column="sentiment")
    assert split.labels is not None
    assert split.labels.sum() == 30
    with pytest.raises(UserError, match=r"no column 'text'; it has sentence, sentiment: name .*data\.text_column=NAME"):
        read(json_lines(tmp_path, rows))
    with pytest.raises(UserError, match=r"no column 'mood' \(data\.label_column\); beside the texts it has sentiment"):
        read(json_lines(tmp_path, rows), text_column="sentence", label_column="mood")


def test_a_column_that_may_hold_the_labels_is_a_note(tmp_path: Path) -> None:
    split = read(json_lines(tmp_path, [{"text": row["text"], "labels": row["label"]} for row in ROWS]))
    assert split.labels is None
    assert split.notes[0].endswith("if 'labels' holds them, type data.label_column=labels")
    other = json_lines(tmp_path, [{"text": row["text"], "source": "web"} for row in ROWS], "other.jsonl")
    assert not read(other).notes


@pytest.mark.parametrize(
    ("columns", "near"), [(["TEXT"], "TEXT"), (["txt", "id"], "txt"), (["body"], None), ([], None)]
)
def test_the_nearest_column_is_found_in_any_case(columns: list[str], near: str | None) -> None:
    assert near_column("text", columns) == near


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"t\.jsonl is empty: write one JSON object a line"),
        (
            '{"text": "a"}\n{"text": "b"\n',
            r"line 2 is no JSON \(Expecting ',' delimiter at character 13\): write one JSON",
        ),
        ('{\n  "text": "a"\n}\n', r"line 1 is no JSON .*write one JSON object a line, such as"),
        ('[{"text": "a"}]\n', r"line 1 holds a list and no object: write one JSON object a line"),
        ('{"text": "a", "text": "b"}\n', r"line 1 can't be read: it holds 'text' twice"),
        ("[" * 100_000, r"line 1 is nested too deeply"),
        ('{"text": ' + "1" * 5000 + "}\n", r"line 1 can't be read: Exceeds the limit"),
        ('{"Text": "a"}\n', r"has no column 'text'; it has Text: did you mean Text\? type data\.text_column=Text"),
        ('{"text": "a"}\n\n{"txt": "b"}\n', r"line 3 has no 'text', as other lines have; it has txt"),
        ('{"text": ["a", "b"]}\n', r"line 1: the column 'text' holds a list, not a text"),
        ('{"text": 5}\n', r"line 1: the column 'text' holds a number, not a text"),
        ('{"text": "\\ud800x"}\n', r"line 1: the column 'text' holds half of a character \('\\ud800'\)"),
        (
            '{"text": "a", "label": 1}\n{"text": "b", "label": null}\n',
            r"line 2: the column 'label' is empty: give a label",
        ),
        ('{"text": "a", "label": 1}\n{"text": "b"}\n', r"line 2: the column 'label' is empty"),
        (
            '{"text": "a", "label": 1}\n{"text": "b", "label": "1"}\n',
            r"line 2: .* holds a text \('1'\), and line 1 a number",
        ),
        (
            '{"text": "a", "label": 1}\n{"text": "b", "label": true}\n',
            r"line 2: .* holds a truth value \(True\), and line 1",
        ),
        ('{"text": "a", "label": [0, 1]}\n', r"line 1: the column 'label' holds a list: give one class"),
        ('{"text": "a", "label": {"id": 1}}\n', r"line 1: the column 'label' holds an object: give one class"),
        (
            '{"text": "a", "label": 0.5}\n',
            r"line 1: the column 'label' holds 0\.5: a class is a whole number or a name",
        ),
        ('{"text": "a", "label": NaN}\n', r"line 1: the column 'label' holds nan: a class is"),
        ('{"text": "a", "label": 99999999999999999999}\n', r"line 1: the column 'label' holds 9+: a class is"),
        (
            '{"text": "a", "label": "good"}\n',
            r"'label' must hold whole numbers, but holds names: .*class_names=\[good\]",
        ),
    ],
)
def test_a_line_that_is_not_what_it_should_be_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert f"data.path={path}" in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"texts": ["a"]}, r"has no column 'text'; it has texts: did you mean texts\? type data\.text_column=texts"),
        ({"text": [["a"]]}, r"row 1: the column 'text' holds a list"),
        ({"text": [b"a"]}, r"row 1: the column 'text' holds a value of type bytes, not a text"),
        ({"text": ["a", "b"], "label": [1, None]}, r"row 2: the column 'label' is empty"),
        ({"text": ["a", "b"], "label": [{"x": 1}, None]}, r"row 1: the column 'label' holds an object"),
        ({"text": ["a"], "label": [0.25]}, r"row 1: the column 'label' holds 0\.25"),
        ({"text": [None]}, r"holds no texts"),
    ],
)
def test_a_row_of_parquet_that_is_not_what_it_should_be_is_named(
    tmp_path: Path, columns: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        read(parquet(tmp_path, **columns))


def test_a_file_that_is_no_parquet_is_named_and_so_is_a_library_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = parquet(tmp_path, text=["good"] * 50)
    whole = path.read_bytes()
    for damaged in (b"", b"text\ngood\n", whole[:-20], whole[:8] + b"\xff" * 60 + whole[68:]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"t\.parquet can't be read as Parquet: ") as caught:
            read(path)
        assert "\n" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"not installed: install the extra parquet \(pip install pyarrow\)"):
        read(path)


def test_parquet_is_read_in_pieces_that_keep_their_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "_ROWS_AT_ONCE", 20)
    labels: list[object] = [row["label"] for row in ROWS]
    path = parquet(tmp_path, text=[row["text"] for row in ROWS], label=labels)
    assert [len(piece.rows) for piece in read_table(Asked(path=path, needed="text"))] == [20, 20, 20]
    assert sorted(_origins(read(path))) == list(range(1, 61))
    path = parquet(tmp_path, text=[row["text"] for row in ROWS], label=[*labels[:45], None, *labels[46:]])
    with pytest.raises(UserError, match="row 46: the column 'label' is empty"):
        read(path, max_gb=1)


def _origins(split: Split) -> list[int]:
    assert split.origins is not None
    found: list[int] = split.origins.tolist()
    return found
