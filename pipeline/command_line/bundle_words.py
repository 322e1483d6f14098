"""The settings by which DATA, as it was typed behind ``verify --accuracy``, fits a bundle's model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from pydoc import locate
from typing import Any

from pipeline.command_line.data_words import data_words
from pipeline.command_line.model_words import GivenModel
from pipeline.command_line.shipped import configurations, default_of
from pipeline.errors import UserError
from pipeline.run.deployed import signature


def accuracy_words(
    manifest: Mapping[str, Any], typed: str, settings: Sequence[str], folders: Sequence[Path]
) -> list[str]:
    """The settings of a plan whose data and metric a bundle's model is judged by; what was typed wins.

    Without a metric it is the manifest's. Raises UserError, with what to type, where there is no such data, and for
    data without labels.
    """
    given = {word.partition("=")[0].lstrip("+~"): word.partition("=")[2] for word in settings}
    found = data_words(typed, _model(manifest), given, folders)
    if found.labelled is False:
        raise UserError(f"--accuracy needs labels, and {typed} has none")
    words = [*found.words, *_metric(manifest, folders)]
    return [
        *(word for word in words if word.partition("=")[0] not in given),
        *settings,
        "variant=[baseline]",
        "target=[ort_cpu]",
    ]


def _model(manifest: Mapping[str, Any]) -> GivenModel:
    recipes = [entry["image"] for entry in manifest["inputs"] if entry["image"]]
    return GivenModel(
        words=(),
        inputs=signature(manifest),
        classes=tuple(manifest["labels"] or ()),
        pictures=tuple(word for recipe in recipes for word in _pictures(recipe)),
    )


def _pictures(recipe: Mapping[str, Any]) -> Iterator[str]:
    """How images were read, where the manifest knows it."""
    if recipe["known"]:
        yield f"data.central={'null' if recipe['central'] is None else recipe['central']}"
        yield f"data.interpolation={recipe.get('interpolation', 'bicubic')}"


def _metric(manifest: Mapping[str, Any], folders: Sequence[Path]) -> Iterator[str]:
    """The metric that the manifest names, where a configuration makes it. The default comes first: most others import
    what takes seconds."""
    told, usual = manifest["measured"]["accuracy"], default_of("metric")
    nodes = configurations("metric", folders) if told else {}
    for name, node in sorted(nodes.items(), key=lambda item: item[0] != usual):
        if getattr(locate(str(node.get("_target_"))), "name", None) == told["metric"]:
            yield f"metric={name}"
            return
