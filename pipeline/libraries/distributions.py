"""Tells what an installed distribution requires, under which licence it says it is, and where its licence files are.

All of it is read from the distribution's own metadata: nothing is asked of an index of packages.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

MOST_CHARACTERS = 200
"""The most characters of a licence's name: some metadata hold the whole text in its place."""
_LICENCE_FILE = re.compile(r"(LICEN[CS]E|COPYING|NOTICE|ThirdPartyNotices)[^/]*", re.IGNORECASE)
_CLASSIFIER = "License :: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """An installed distribution, as its metadata describes it."""

    name: str
    """The normalised name, such as ``typing-extensions``."""
    version: str
    licence: str | None
    """The licence as the metadata name it, such as ``MIT`` or ``MIT License``; None where they don't."""
    requires_python: str | None
    requires: tuple[tuple[str, frozenset[str]], ...]
    """The normalised name of each distribution that it needs here, and the extras that it needs of it."""
    licence_files: Mapping[str, Path]
    """The licence files, by their path below the folder that holds them."""


def installed(name: str, extras: Collection[str] = ()) -> Distribution | None:
    """The distribution with these extras; None where it isn't installed."""
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
    return Distribution(
        name=canonicalize_name(name),
        version=found.version,
        licence=_licence(found),
        requires_python=next(iter(_told(found, "Requires-Python")), None),
        requires=tuple(sorted(_requires(found, extras).items())),
        licence_files=dict(sorted(_licence_files(found))),
    )


def with_requirements(roots: Mapping[str, Collection[str]]) -> dict[str, Distribution | None]:
    """The distributions (by name, with their extras) and whatever they need, sorted by name; None: not installed."""
    waiting = {canonicalize_name(name): frozenset(extras) for name, extras in roots.items()}
    found: dict[str, Distribution | None] = {}
    asked: dict[str, frozenset[str]] = {}
    while waiting:
        name, extras = waiting.popitem()
        extras |= asked.get(name, frozenset())
        if asked.get(name) == extras:
            continue
        asked[name] = extras
        found[name] = here = installed(name, extras)
        for other, more in here.requires if here else ():
            waiting[canonicalize_name(other)] = waiting.get(canonicalize_name(other), frozenset()) | more
    return dict(sorted(found.items()))


def _requires(found: metadata.Distribution, extras: Collection[str]) -> dict[str, frozenset[str]]:
    needed: dict[str, frozenset[str]] = {}
    for line in found.requires or ():
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue  # pip can't read it either
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            name = canonicalize_name(requirement.name)
            needed[name] = needed.get(name, frozenset()) | requirement.extras
    return needed


def _licence(found: metadata.Distribution) -> str | None:
    classifiers = [text for text in _told(found, "Classifier") if text.startswith(_CLASSIFIER)]
    names = [*_told(found, "License-Expression"), *_told(found, "License")]
    names += [text.rpartition(" :: ")[2] for text in classifiers]
    fit = (text for text in names if text not in ("", "UNKNOWN") and "\n" not in text)
    return next((text for text in fit if len(text) <= MOST_CHARACTERS), None)


def _told(found: metadata.Distribution, key: str) -> list[str]:
    return [text.strip() for text in found.metadata.get_all(key) or ()]


def _licence_files(found: metadata.Distribution) -> Iterator[tuple[str, Path]]:
    """The files in the metadata's folder ``licenses``, and files with such names beside the metadata or at the top of
    a package."""
    for file in found.files or ():
        top, *rest = file.parts
        path = Path(str(found.locate_file(file)))
        if not rest or ".." in file.parts or not path.is_file():
            continue
        if top.endswith(".dist-info") and rest[0] == "licenses" and len(rest) > 1:
            yield "/".join(rest[1:]), path
        elif len(rest) == 1 and _LICENCE_FILE.fullmatch(rest[0]) and path.suffix != ".py":
            yield rest[0], path
