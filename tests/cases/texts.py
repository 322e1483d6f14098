"""Tables of texts."""

from __future__ import annotations

from tests.cases.making import Make


def csv_bom(make: Make) -> None:
    """A CSV that Excel saved as 'CSV UTF-8': it begins with a byte order mark."""
    make.encoder()
    make.table(encoding="utf-8-sig")


def csv_semicolon(make: Make) -> None:
    """A CSV with semicolons, as Excel writes it in much of Europe."""
    make.encoder()
    make.table(delimiter=";")


def csv_short_row(make: Make) -> None:
    """A CSV whose last line is cut off: a label and no text."""
    make.encoder()
    make.table(order=("label", "text"), extra="1\r\n")


def token_type_ids(make: Make) -> None:
    """A BERT-like ONNX file with token_type_ids, as Optimum exports it, and texts."""
    make.encoder(types=True)
    make.table()
