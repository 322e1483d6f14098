"""Under which licence a model and its data are, as far as anybody has said so, and the texts that lie beside them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline import PACKAGE
from pipeline.libraries.distributions import MOST_CHARACTERS

PARTS = ("model", "data")
FOLDER = "licenses"
CARD_FILE = "card.json"
"""The file beside a model's weights, or in a data set's folder, whose ``license`` names the licence."""
_TEXT = re.compile(r"(LICEN[CS]E|COPYING|NOTICE)[^/]*", re.IGNORECASE)
_MOST_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Licence:
    """What is known of a licence: its name, such as ``Apache-2.0``, and the files that hold its text."""

    name: str | None = None
    texts: tuple[Path, ...] = ()


def licences_of(model: Any, data: Any, stated: Mapping[str, str]) -> dict[str, Licence]:
    """The licences of a model and of a data set; ``stated`` are names by ``model`` and ``data`` that the user gave."""
    found = {part: _beside(_folder(source)) for part, source in zip(PARTS, (model, data), strict=True)}
    return {part: replace(licence, name=stated.get(part, licence.name)) for part, licence in found.items()}


def _folder(source: Any) -> Path | None:
    """The folder that belongs to a model or a data set, where it has one: its own, or the one that its file came in.

    What lies beside a file of the user's own may be the licence of something else, so that folder does not count. The
    one of a file that ships with slimline or another package does.
    """
    found = getattr(source, "weights", None) or getattr(source, "path", None)
    if found is None:
        return None
    place = Path(found).resolve()
    if place.is_dir():
        return place
    packages = PACKAGE.parent.resolve()
    return place.parent if place.is_file() and packages in place.parent.parents else None


def _beside(folder: Path | None) -> Licence:
    if folder is None:
        return Licence()
    texts = (path for path in sorted(folder.iterdir()) if _TEXT.fullmatch(path.name) and _is_text(path))
    return Licence(_on_card(folder / CARD_FILE), tuple(texts))


def _on_card(path: Path) -> str | None:
    """The licence that a card names; None where there is no such card."""
    try:
        name = json.loads(path.read_text(encoding="utf-8"))["license"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return name if isinstance(name, str) and 0 < len(name) <= MOST_CHARACTERS else None


def _is_text(path: Path) -> bool:
    return path.is_file() and path.stat().st_size <= _MOST_BYTES


def entries(licences: Mapping[str, Licence]) -> dict[str, dict[str, Any]]:
    """The manifest's entry."""
    known = {part: licences.get(part, Licence()) for part in PARTS}
    return {part: {"name": licence.name, "files": sorted(_named(part, licence))} for part, licence in known.items()}


def files(licences: Mapping[str, Licence]) -> dict[str, Path]:
    """The files that hold the texts, by the name that they get in the bundle."""
    return {name: path for part, licence in licences.items() for name, path in _named(part, licence).items()}


def _named(part: str, licence: Licence) -> dict[str, Path]:
    return {f"{FOLDER}/{part}/{path.name}": path for path in licence.texts}
