"""The bundle's ``MODEL_CARD.md``, written from its manifest: what the model is, what was done to it, and how far the
figures go. Whatever names are in the manifest, they are no markup."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.bundle.fence import code, prose
from pipeline.bundle.figures import examples, machine_words, rows

CARD_FILE = "MODEL_CARD.md"
_NOT_STATED = "not stated"
_MOST_FILES = 3


def card(manifest: Mapping[str, Any]) -> str:
    """The text."""
    sections = (_model, _steps, _data, _figures, _limits, _licences, _machine)
    return "\n\n".join([f"# Model card: {prose(manifest['name'])}", *(part(manifest) for part in sections)]) + "\n"


def _model(manifest: Mapping[str, Any]) -> str:
    maker = manifest["slimline"]
    commit = f", commit {code(maker['commit'])}" if maker["commit"] else ""
    changed = ", with changes that no commit holds" if maker["changed"] else ""
    return _section(
        "The model",
        f"Variant {code(manifest['name'])} of {code(manifest['provenance']['model'])}, in {code(manifest['model'])} "
        f"(sha256 {code(manifest['sha256'])}).",
        f"It was made and measured by slimline {prose(maker['version'])}{commit}{changed}, on "
        f"{prose(manifest['created'])}, by {code(manifest['provenance']['command'])}.",
        f"Why this variant: {prose(manifest['why'])}",
        "\n".join(_ends(manifest)),
    )


def _ends(manifest: Mapping[str, Any]) -> Iterator[str]:
    """What goes in and what comes out, a line each."""
    for kind, entries in (("Input", manifest["inputs"]), ("Output", manifest["outputs"])):
        for entry in entries:
            shape = ", ".join("?" if size is None else str(size) for size in entry["shape"])
            yield f"- {kind} {code(entry['name'])}: {prose(entry['dtype'])}, {code(f'[{shape}]')}"
    if manifest["labels"]:
        yield f"- Classes ({len(manifest['labels'])}): {', '.join(map(prose, manifest['labels']))}"


def _steps(manifest: Mapping[str, Any]) -> str:
    stages = manifest["provenance"]["stages"]
    lines = [f"{number}. {_step(stage)}" for number, stage in enumerate(stages, start=1)]
    return _section("What was done to it", "\n".join(lines) or "Nothing: the model is as it was given.")


def _step(stage: Mapping[str, Any]) -> str:
    fields = ", ".join(code(f"{name}={_value(value)}") for name, value in stage["fields"].items())
    return f"{code(stage['name'])} ({prose(stage['kind'])}){': ' if fields else ''}{fields}"


def _value(value: Any) -> str:
    """A field as it is typed on the command line."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return f"[{','.join(map(_value, value))}]" if isinstance(value, list) else str(value)


def _data(manifest: Mapping[str, Any]) -> str:
    accuracy, golden = manifest["measured"]["accuracy"], manifest["golden"]
    judged = "No metric was measured."
    if accuracy:
        against = "the baseline's outputs" if accuracy.get("against") == "baseline" else "its labels"
        judged = (
            f"The metric {code(accuracy['metric'])} judges {examples(accuracy['n'])} of its test split by {against}."
        )
    return _section(
        "Data and metric",
        f"Data set: {code(manifest['provenance']['data'])}. {judged}",
        f"{code(golden['file'])} holds {examples(golden['examples'])} of it, and the model's outputs for them.",
    )


def _figures(manifest: Mapping[str, Any]) -> str:
    measured = manifest["measured"]
    target, device = code(measured["target"]), prose(measured["device"])
    lines = [f"| {name} | {value} | {interval} |" for name, value, interval in rows(measured)]
    return _section(
        "Figures",
        f"On target {target} ({device}), {examples(measured['batch_size'])} a call.",
        "\n".join(["| figure | value | interval |", "|---|---|---|", *lines]),
        "\n".join(_verdicts(manifest)),
    )


def _verdicts(manifest: Mapping[str, Any]) -> Iterator[str]:
    measured = manifest["measured"]
    for name, figure in (("Accuracy", measured["accuracy"]), ("Speed", measured["speedup"])):
        verdict = (figure or {}).get("verdict")
        yield f"- {name}: {prose(verdict) if verdict else 'no verdict, as there is nothing to compare with'}"
    limits = [code(f"{name}={value}") for name, value in manifest["constraints"].items() if value is not None]
    yield f"- Limits that a recommended variant had to keep: {', '.join(limits) or 'none beside the defaults'}"


def _limits(manifest: Mapping[str, Any]) -> str:
    return _section(
        "Limits",
        "\n".join(
            [
                "- The speed holds for the machine, the versions, the threads and the batch size that are named here.",
                "- The accuracy holds for data like the test data. The intervals cover chance, not a change of data.",
                "- slimline measured speed, size and the metric above. It did not measure robustness, bias or safety, "
                "and does not know what the model is used for.",
                f"- On other processors outputs may differ: {prose(manifest['golden']['rule'])}.",
            ]
        ),
    )


def _licences(manifest: Mapping[str, Any]) -> str:
    parts = [
        (f"{part} {code(manifest['provenance'][part])}", entry["name"], entry["files"])
        for part, entry in manifest["licences"].items()
    ]
    packages = [
        (f"package {code(package['name'])} {prose(package['version'])}", package["licence"], package["licence_files"])
        for package in manifest["packages"]
    ]
    lines = [f"| {of} | {prose(name or _NOT_STATED)} | {_texts(files)} |" for of, name, files in [*parts, *packages]]
    return _section(
        "Licences",
        "Of the model and the data as their user or their maker stated it, of the packages as their metadata do. The "
        "packages are not part of this folder.",
        "\n".join(["| of | licence | text |", "|---|---|---|", *lines]),
    )


def _texts(files: list[str]) -> str:
    more = f" and {len(files) - _MOST_FILES} more" if len(files) > _MOST_FILES else ""
    return ", ".join(map(code, files[:_MOST_FILES])) + more or "-"


def _machine(manifest: Mapping[str, Any]) -> str:
    machine = manifest["measured"]["machine"]
    libraries = [f"- {prose(name)} {prose(version)}" for name, version in sorted(machine.get("libraries", {}).items())]
    return _section(
        "Machine and versions",
        f"{machine_words(machine)}; Python {prose(machine.get('python') or 'not recorded')}.",
        "\n".join(libraries),
    )


def _section(title: str, *paragraphs: str) -> str:
    return "\n\n".join([f"## {title}", *(text for text in paragraphs if text)])
