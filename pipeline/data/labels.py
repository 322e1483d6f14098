"""Turns class labels as people store them into class numbers from 0 on, and keeps labels that are other numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.data.boxes import boxes_of
from pipeline.data.dataset import IGNORED, Labels, labelled
from pipeline.errors import UserError

_SHOWN = 5
LabelKind = Literal["classes", "boxes", "texts"]
"""What labels are: class numbers, names or other numbers; boxes; texts."""
NO_TOKEN = -1.0
"""What fills an example's token numbers behind the last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRule:
    """The rule that turns stored labels into class numbers. Names become their place in ``names``; ``offset`` is taken
    from whole numbers; labels that are ``ignored`` are not judged. Other numbers stay what they are. Labels of another
    ``kind`` become what ``boxes_of`` and ``texts_of`` say."""

    kind: LabelKind = "classes"
    names: tuple[str, ...] = ()
    offset: int = 0
    ignored: int = IGNORED
    key: str = "class_names"
    """The setting that gives the names."""

    def __call__(self, raw: NDArray[Any], where: str) -> Labels:
        """The class numbers, in the same shape; ``IGNORED`` stands for labels that are not judged. Numbers of which any
        has a fraction are no class numbers: they stay, as float64.

        Raises UserError, with ``where`` the labels are from, where they are neither numbers nor known names.
        """
        if self.kind == "boxes":
            return boxes_of(raw, self.offset, where)
        if self.kind == "texts" and raw.dtype.kind in "iu":
            return texts_of(raw, where)
        if raw.ndim == 2 and raw.shape[1] == 1:
            raw = raw[:, 0]
        if self.kind == "texts":
            return texts_of(raw, where)
        if raw.dtype.kind == "f" and not (raw == np.rint(raw)).all():
            if not np.isfinite(raw).all():
                raise UserError(
                    f"{where} must hold numbers, but holds {raw.dtype} of which some are not finite: boxes take "
                    "data.label_kind=boxes"
                )
            return raw.astype(np.float64)
        numbers = self._numbers(raw, where)
        return np.where(numbers == self.ignored, IGNORED, numbers - self.offset).astype(np.int64)

    def _numbers(self, raw: NDArray[Any], where: str) -> NDArray[np.int64]:
        if raw.dtype.kind in "US":
            return self._named(raw.astype(np.str_), where)
        if raw.dtype.kind not in "iubf" or (raw.size and float(np.abs(raw.astype(np.float64)).max()) >= 2**53):
            raise UserError(f"{where} must hold whole numbers (class numbers), but holds {raw.dtype} {list(raw.shape)}")
        return raw.astype(np.int64)

    def _named(self, raw: NDArray[np.str_], where: str) -> NDArray[np.int64]:
        found = sorted(set(raw.ravel().tolist()))
        unknown = [name for name in found if name not in self.names]
        if unknown and all(_is_whole(name) for name in found):
            return np.vectorize(int, otypes=[np.int64])(raw)  # type: ignore[no-any-return]
        if unknown and self.names:
            raise UserError(f"{where} holds '{unknown[0]}', which data.{self.key} lacks: {', '.join(self.names)}")
        if unknown:
            listed = ",".join(found[:_SHOWN]) + (",…" if len(found) > _SHOWN else "")
            raise UserError(
                f"{where} must hold whole numbers, but holds names: say which class is 0, which is 1 and so on with "
                f"data.{self.key}=[{listed}], or type data.label_kind=texts if they are texts to be met"
            )
        places = {name: number for number, name in enumerate(self.names)}
        return np.vectorize(places.__getitem__, otypes=[np.int64])(raw)  # type: ignore[no-any-return]


def texts_of(raw: NDArray[Any], where: str) -> Labels:
    """Texts [N], or token numbers [N, L] as float64, with ``NO_TOKEN`` behind the last one. Raises UserError where they
    are something else."""
    if raw.ndim == 1 and raw.dtype.kind == "U":
        return raw
    if raw.ndim == 2 and raw.dtype.kind in "iu":
        return np.where(raw < 0, NO_TOKEN, raw).astype(np.float64)
    raise UserError(
        f"{where} must hold texts [examples] or token numbers [examples, tokens] (whole, with -1 behind the last), but "
        f"holds {raw.dtype} {list(raw.shape)}"
    )


def as_numbers(labels: Labels) -> NDArray[np.float64]:
    """Labels as numbers to be met; NaN stands for those that are not judged. Raises UserError for texts."""
    if labels.dtype.kind == "U":
        raise UserError("the metric takes numbers as labels, and they are texts: type data.label_kind=classes")
    return np.where(labelled(labels), labels.astype(np.float64), np.nan)


def _is_whole(text: str) -> bool:
    return text.strip().lstrip("+-").isdecimal()


def label_problem(labels: NDArray[np.int64], classes: int | None, where: str, offset: int) -> str | None:
    """The problem of labels for a model with this number of classes (None: not known), and what to type; None: there is
    none."""
    judged = labels[labels != IGNORED]
    if not judged.size:
        return f"{where}: every label is ignored, so there is nothing to judge"
    low, high = int(judged.min()), int(judged.max())
    if low >= 0 and (classes is None or high < classes):
        return None
    stored = f"{where}: labels run from {low + offset} to {high + offset}"
    if offset:
        stored += f" (less data.label_offset={offset}: {low} to {high})"
    model = "classes are counted from 0" if classes is None else f"the model has classes 0 to {classes - 1}"
    return f"{stored}, {model}: {_advice(judged, classes, offset)}"


def _advice(labels: NDArray[np.int64], classes: int | None, offset: int) -> str:
    low, high = int(labels.min()), int(labels.max())
    if classes is not None and low > 0 and high - low < classes:
        return f"type data.label_offset={low + offset}"
    if low < 0 and (classes is None or high < classes):
        marked = sorted(set(labels[labels < 0].tolist()))
        if len(marked) == 1 and not offset:
            return f"type data.ignore_label={marked[0]} if {marked[0]} marks what has no class"
    return "give labels of the model's own classes, or take another model"


def one_hot_classes(labels: Sequence[Any] | NDArray[np.int64], classes: int | None) -> NDArray[np.int64] | None:
    """The class [N] of labels [N, C] whose rows are one 1 among zeros; None where they are something else."""
    array = np.asarray(labels)
    if array.ndim != 2 or array.shape[1] != classes:
        return None
    if not np.isin(array, (0, 1)).all() or not (array.sum(axis=1) == 1).all():
        return None
    best: NDArray[np.int64] = array.argmax(axis=1).astype(np.int64)
    return best


def check_names(names: Sequence[str], classes: int, *, folders: bool) -> str | None:
    """The problem of the classes' names, from ``folders`` or a list, for a model with this number of classes; None:
    there is none."""
    if not names or len(names) == classes:
        return None
    shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    if folders:
        return (
            f"there are {len(names)} class folders ({shown}), and the model has {classes} classes: name the folders of "
            "all in the model's order with data.classes=[NAME,…], or type data.labelled=false if they are no classes"
        )
    return (
        f"data.class_names has {len(names)} names ({shown}), and the model has {classes} classes: give a name for "
        "each, or none, or take metric=cosine for a model without classes"
    )
