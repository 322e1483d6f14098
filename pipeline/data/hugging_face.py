"""A data set of Hugging Face's library, as its ``save_to_disk`` wrote it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data.adapted import length, picture_input, side, token_input
from pipeline.data.columns import WHOLE, Columns, Reader, Roles, load, roles_of
from pipeline.data.dataset import IGNORED, Labels, Split, SplitName
from pipeline.data.files import Reading, split_of
from pipeline.data.fitted import Wanted
from pipeline.data.hashing import SPLITS, Divided, Partition, partition
from pipeline.data.labels import LabelRule
from pipeline.data.showing import show_arrays
from pipeline.data.square import CENTRAL, SIZE, Interpolation, Square, check_square
from pipeline.data.tokens import LENGTH, folders_beside, tokenizer_in
from pipeline.errors import NoExamples, UserError

TEST = "test"
_UNKNOWN = -1
"""A class that is not known, as the library writes it."""
_OTHERS = ("validation", "calibration", "train")
"""The splits beside the one to test on, the first ones first where two have an example in common."""
_GIVERS = ("train", "validation")
_CALIBRATION = {"calibration": 0.1, "train": 0.9}


@dataclass(frozen=True, slots=True, kw_only=True)
class HuggingFace(Divided):
    """A folder that ``Dataset.save_to_disk`` or ``DatasetDict.save_to_disk`` wrote (package datasets); nothing is
    downloaded.

    Columns of numbers are the model's inputs of their names. A column of images (``datasets.Image``) is read as a
    folder of images is, by the name ``input``; a column of texts goes through the ``tokenizer``. The labels are the
    column ``label_column``, or else the only column of classes (``datasets.ClassLabel``), which also names them.

    A set with several splits keeps them, and calibrates on a tenth of its train split. A set with one is divided by the
    sha256 of each example's inputs (``pipeline.data.hashing``).
    """

    path: Path
    test: str = TEST
    """The split that is tested on, where the set has several."""
    label_column: str | None = "label"
    """The column of the labels; None: no labels are read."""
    input: str = "image"
    """The model's input of images."""
    size: int | None = None
    """The pixels of its square; None: what the model reads, and 224 where that is any."""
    central: float | None = CENTRAL
    """The share of the shorter side that the square shows; None: the whole image, squeezed into the square."""
    interpolation: Interpolation = "bicubic"
    text_column: str = "text"
    tokenizer: Path | None = None
    """None: the tokenizer that lies beside the model; texts are not read where there is none."""
    length: int | None = None
    """None: as many tokens as the model reads, and 64 or the most that it takes where that is free."""
    input_ids: str = "input_ids"
    attention_mask: str = "attention_mask"
    classes: tuple[str, ...] = ()
    """The classes' names in the model's order, where the labels are names; none: those that the column has."""
    augmentation: tuple[str, ...] = ()
    """Random changes of a training image that keep its label, for fine-tuning: flip, crop."""
    label_offset: int = 0
    """The number of the first class: 1 where the labels begin at 1."""
    ignore_label: int = IGNORED
    """A label that is neither judged nor learnt from."""

    def __post_init__(self) -> None:
        Divided.__post_init__(self)
        check_square(self.size, self.central)
        if self.length is not None and self.length < 1:
            raise ValueError(f"length must be at least 1 (got {self.length})")

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, as they were given or as the column of labels has them."""
        return self.classes or self.roles.names

    @property
    def roles(self) -> Roles:
        """What the columns are; raises UserError where the set can't be read, and where that is not clear."""
        return self._source.roles

    @property
    def own_splits(self) -> bool:
        """Whether the set has splits of its own."""
        return len(load(self.path)) > 1

    def split(self, name: SplitName) -> Split:
        """Read one split; raises UserError where the set can't be read, NoExamples where the split gets no example."""
        whole, parts = _read(self._source, tuple(self.fractions.items()))
        if self.own_splits and not parts.positions[name]:
            raise NoExamples(f"{self.path} has no examples of its own for {name}; it has {', '.join(load(self.path))}")
        return self.part(whole, parts, name, self.path)

    def adapted(self, inputs: Mapping[str, Wanted], beside: Path | None) -> HuggingFace:
        """The set in the sizes, by the names, and with the tokenizer of a model."""
        name, tokenizer = picture_input(inputs, self.input), self.tokenizer
        with suppress(UserError):  # the set may have no texts
            tokenizer = tokenizer or tokenizer_in(*folders_beside(beside))
        return replace(
            self,
            input=name,
            size=self.size or (side(inputs, name) if self.roles.image else None) or SIZE,
            tokenizer=tokenizer,
            length=self.length or length(inputs),
            input_ids=token_input(inputs, self.input_ids),
        )

    def show(self, examples: Split, names: Sequence[str], folder: Path) -> Mapping[str, Sequence[str]]:
        """The texts of examples in a column ``text``; others as arrays are shown."""
        text = self.roles.text
        if text is None or examples.origins is None:
            return show_arrays(examples, names, folder)
        sets = load(self.path)
        places = [origin.rpartition(" ") for origin in examples.origins.tolist()]
        return {"text": [sets[split or WHOLE][int(row)][text] for split, _, row in places]}

    @property
    def _source(self) -> _Source:
        return _Source(
            path=self.path,
            test=self.test,
            rule=LabelRule(names=self.classes, offset=self.label_offset, ignored=self.ignore_label, key="classes"),
            columns=Columns(
                text=self.text_column,
                label=self.label_column,
                tokenizer=self.tokenizer,
                length=self.length or LENGTH,
                token_inputs=(self.input_ids, self.attention_mask),
                square=Square(size=self.size or SIZE, central=self.central, interpolation=self.interpolation),
                image_input=self.input,
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """A set, and how it is read."""

    path: Path
    test: str
    rule: LabelRule
    columns: Columns

    @property
    def roles(self) -> Roles:
        """What the columns are."""
        return roles_of(next(iter(load(self.path).values())).features, self.columns, self.path)

    def sets(self) -> dict[str, Any]:
        """The splits that are read, the one to test on first; raises UserError where there is none, or one lacks a
        column."""
        sets = dict(load(self.path))
        if len(sets) > 1 and self.test not in sets:
            raise UserError(
                f"data.path={self.path} has no split '{self.test}' to test on; it has {', '.join(sets)}: type "
                f"data.test={'validation' if 'validation' in sets else next(iter(sets))}"
            )
        if len(sets) > 1:
            sets = {name: sets[name] for name in (self.test, *_OTHERS) if name in sets}
        for name, data in sets.items():
            if lacking := set(self.roles.all) - set(data.column_names):
                raise UserError(
                    f"data.path={self.path}: the split '{name}' has no column '{min(lacking)}', as others have"
                )
        return sets


@lru_cache(maxsize=2)
def _read(source: _Source, fractions: tuple[tuple[str, float], ...]) -> tuple[Split, Partition]:
    reader = Reader(path=source.path, columns=source.columns, roles=source.roles)
    sizes: dict[str, int] = {}
    for name, data in source.sets().items():
        reader.add(name, data)
        sizes[name] = len(data)
    if not any(sizes.values()):
        raise UserError(f"data.path={source.path} holds no examples")
    inputs = reader.inputs()
    reading = Reading(batch_axes=tuple((name, 0) for name in inputs))
    whole = split_of(inputs, _classes(source, reader), reading, source.path)
    whole = replace(whole, notes=tuple(reader.notes), origins=np.array(reader.origins))
    hashes = whole.example_hashes()
    return whole, _own(hashes, sizes) if len(sizes) > 1 else partition(hashes, dict(fractions))


def _classes(source: _Source, reader: Reader) -> Labels | None:
    """The class of each example; None where the set has none, or knows none of them."""
    column = source.roles.label
    if column is None:
        return None
    where = f"data.path={source.path}: the column '{column}'"
    try:
        raw = np.array([_UNKNOWN if label is None else label for label in reader.labels])
    except ValueError as error:
        raise UserError(f"{where} holds lists of different lengths: give one label for each example") from error
    if raw.dtype.kind in "iu" and (raw == _UNKNOWN).all():
        reader.notes.append(f"the column '{column}' knows no label, so the examples have none")
        return None
    rule = replace(source.rule, names=source.rule.names or source.roles.names)
    if source.roles.names:
        raw = np.where(raw == _UNKNOWN, rule.ignored, raw)
    return rule(raw, where)


def _own(hashes: Sequence[str], sizes: Mapping[str, int]) -> Partition:
    """The positions of a set's own splits, each in the order of the hashes, since sets are often sorted by class. The
    first one is tested on. An example that a split before has, too, is left out; a tenth of the train split, or else of
    the validation split, is calibrated on where there is no split of that name."""
    positions: dict[str, list[int]] = {name: [] for name in SPLITS}
    notes: list[str] = []
    start, seen = 0, set[str]()
    for place, (name, size) in enumerate(sizes.items()):
        every = range(start, start + size)
        kept = sorted((index for index in every if hashes[index] not in seen), key=hashes.__getitem__)
        if len(kept) < size:
            notes.append(f"{size - len(kept)} examples of '{name}' are in a split before it, too, and left out")
        positions[name if place else TEST] = kept
        seen.update(hashes[index] for index in kept)
        start += size
    giver = next((name for name in _GIVERS if positions[name]), None)
    if giver is not None and not positions["calibration"]:
        parts = partition([hashes[index] for index in positions[giver]], _CALIBRATION).positions
        positions["calibration"], positions[giver] = (
            [positions[giver][index] for index in sorted(parts[part])] for part in ("calibration", "train")
        )
        notes.append(f"the calibration split is {len(positions['calibration'])} examples of '{giver}'")
    return Partition(positions, len(seen), note="; ".join(notes) or None)
