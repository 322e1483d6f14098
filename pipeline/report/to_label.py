"""The file of the examples that models answer differently, for someone to label, and its reading back.

Nothing in it says which model gave which answer, and the examples come in random order: so the labels are nobody's
favour, and the first ones of them are a random part.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.data.dataset import IGNORED
from pipeline.errors import UserError
from pipeline.folders.writing import write_whole
from pipeline.plan import BASELINE
from pipeline.report.looks import Show
from pipeline.report.rows import all_rows
from pipeline.results.figures import Accuracy
from pipeline.results.record import Record
from pipeline.results.report import Report

FILE, FOLDER = "to_label.csv", "to_label"
PLACE, EXAMPLE, LABEL = "place", "example", "label"
_SEPARATORS = ",;\t"
_SHOWN = 5


def rows_to_label(report: Report) -> dict[tuple[str, str], Accuracy]:
    """What labels would decide, by variant and target."""
    measured = ((row.variant.name, row.result) for row in all_rows(report) if row.result is not None)
    return {
        (variant, result.target): result.accuracy
        for variant, result in measured
        if result.accuracy is not None and result.accuracy.labels_to_decide is not None
    }


def write_to_label(record: Record, report: Report, folder: Path, show: Show | None = None) -> None:
    """Write the file into a run's folder, where labels would decide anything and the file is not there already. With
    ``show``, the examples themselves lie beside it in a folder, or stand in a column of it."""
    path = folder / FILE
    places = _differing(record, report)
    if not len(places) or path.exists():
        return
    order = np.random.default_rng(record.seed).permutation(places).tolist()
    shown = {} if show is None else _shown(show, order, folder / FOLDER)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((PLACE, EXAMPLE, *shown, LABEL))
    origins = record.accuracy.origins
    for place, *more in zip(order, *shown.values(), strict=True):
        writer.writerow((place, "" if origins is None else origins[place], *more, ""))
    write_whole(path, text.getvalue())


def _shown(show: Show, places: Sequence[int], folder: Path) -> Mapping[str, Sequence[str]]:
    folder.mkdir(exist_ok=True)
    found = show(places, folder)
    with suppress(OSError):  # it has files: where none was written, it goes
        folder.rmdir()
    return found


def _differing(record: Record, report: Report) -> NDArray[np.intp]:
    """The places of the examples that any row which labels would decide answers differently than its baseline."""
    predictions = record.accuracy.predictions
    found = np.zeros(next((len(one) for one in predictions.values()), 0), np.bool_)
    for variant, target in rows_to_label(report):
        baseline = predictions[f"{BASELINE}@{record.measure.reference_for(target)[1]}"]
        found |= predictions[f"{variant}@{target}"] != baseline
    return np.flatnonzero(found)


def read_labels(path: Path, count: int, names: Sequence[str] = ()) -> NDArray[np.int64]:
    """The labels [count] of such a file, ``IGNORED`` where it has none: the classes' numbers or their ``names``. Raises
    UserError, with the line, where a label or a place can't be read."""
    labels = np.full(count, IGNORED, np.int64)
    advice = f"type the number of the class{_or_its_name(names)}, or leave it empty"
    for line, row in _rows(path):
        label = (row[LABEL] or "").strip()
        if not label:
            continue
        where = f"{path}, line {line}"
        place = _number(row[PLACE], f"{where}: the column '{PLACE}'", "it is the number that the file came with")
        if place >= count:
            raise UserError(f"{where}: there is no example {place}; the test split has {count} (0 to {count - 1})")
        known = names.index(label) if label in names else _number(label, f"{where}: the column '{LABEL}'", advice)
        if labels[place] not in (IGNORED, known):
            raise UserError(f"{where}: example {place} has the label {labels[place]} in another line")
        labels[place] = known
    if (labels == IGNORED).all():
        raise UserError(f"{path} has no labels: type the number of the class into the column '{LABEL}'")
    return labels


def _or_its_name(names: Sequence[str]) -> str:
    return f" or its name ({', '.join(names[:_SHOWN])}{', …' if len(names) > _SHOWN else ''})" if names else ""


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str | None]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist: a run writes it as {FILE} where labels would decide") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} can't be read as a table in UTF-8: {error}") from error
    header = text.partition("\n")[0]
    separator = max(_SEPARATORS, key=header.count)
    reader = csv.DictReader(io.StringIO(text), delimiter=separator)
    lacking = [name for name in (PLACE, LABEL) if name not in (reader.fieldnames or ())]
    if lacking:
        raise UserError(f"{path} has no column '{lacking[0]}'; it has {', '.join(reader.fieldnames or ()) or 'none'}")
    for row in reader:
        yield reader.line_num, row


def _number(text: str | None, what: str, advice: str) -> int:
    try:
        value = int((text or "").strip())
    except ValueError:
        value = -1
    if value < 0:
        raise UserError(f"{what} holds '{text}', which is no whole number from 0 on: {advice}")
    return value
