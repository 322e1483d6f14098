"""Reads boxes in COCO's format: ``images``, ``annotations`` and ``categories`` in one JSON file.

Source: https://cocodataset.org/#format-data
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.bounds import fitted
from pipeline.errors import UserError

Bbox = tuple[float, float, float, float]
"""x, y, width and height, in pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoImage:
    """A picture, by its file."""

    id: int
    file_name: str
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoAnnotation:
    """A box in a picture. A crowd is many objects in one box."""

    image_id: int
    category_id: int
    bbox: Bbox
    iscrowd: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoCategory:
    """A class."""

    id: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Coco:
    """What is read of such a file."""

    images: list[CocoImage]
    annotations: list[CocoAnnotation] = field(default_factory=list)
    categories: list[CocoCategory] = field(default_factory=list)


def read_coco(path: Path) -> Coco:
    """Read a file; raises UserError, with the first entry that is wrong."""
    where = f"data.labels={path}"
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{where} can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} is not JSON: {error}") from error
    problems: list[str] = []
    found = fitted(content, Coco, f"{where}: COCO", problems)
    if problems:
        raise UserError(problems[0])
    coco: Coco = found
    _check(coco, where)
    return coco


def _check(coco: Coco, where: str) -> None:
    for kind, ids in (("images", [one.id for one in coco.images]), ("categories", [one.id for one in coco.categories])):
        if len(set(ids)) < len(ids):
            raise UserError(f"{where}: two {kind} have the id {next(one for one in ids if ids.count(one) > 1)}")
    images, categories = {one.id for one in coco.images}, {one.id for one in coco.categories}
    for place, one in enumerate(coco.annotations):
        if one.image_id not in images:
            raise UserError(f"{where}: annotations.{place} is of image {one.image_id}, and no image has that id")
        if one.category_id not in categories:
            raise UserError(
                f"{where}: annotations.{place} is of category {one.category_id}, and no category has that id"
            )
