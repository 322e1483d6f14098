"""Tells on the terminal what looking at a model found."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console

from pipeline.inspection.inspection import Chain, Inspection, ModelFile, Sizes
from pipeline.inspection.sections import facts_table, grouped, listing
from pipeline.report.formats.printing import say, tell
from pipeline.report.formats.terminal_sections import print_sections
from pipeline.report.sections.section import Line, Part, Section
from pipeline.results import numbers as show

_OPERATORS = 12
"""How many operators are named; the others are counted."""
_VERDICTS = {"cannot pay": "can't pay", "cannot": "can't"}
_FORMATS = {"onnx": "ONNX", "torch": "PyTorch", "openvino": "OpenVINO"}


def tell_inspection(found: Inspection, console: Console) -> None:
    """Print everything that was found, and last what to type next."""
    say(console, f"{found.model} on {found.data}", style="bold")
    print_sections([_model(found), _interface(found), _chains(found), _targets(found)], console)
    for title, texts, style in (
        ("A run would refuse", found.problems, "red"),
        ("Importing the file changes", found.cleaned, ""),
        ("To know", found.warnings, "yellow"),
    ):
        if texts:
            console.print()
            say(console, title, style="bold")
            for text in texts:
                say(console, f"- {text}", style=style)
    console.print()
    if found.next.optimize is None or found.next.run is None:
        say(console, "Mend this first, then look again.", style="bold")
        return
    say(console, "Next: the search for the best, or a plain run", style="bold")
    tell(console, f"  {found.next.optimize}")
    tell(console, f"  {found.next.run}")


def sizes_in_words(sizes: Sizes | None) -> str:
    """A shape as it is shown: ``[batch, 3, 224, any]``."""
    if sizes is None:
        return "not declared"
    return f"[{', '.join('any' if size is None else str(size) for size in sizes)}]"


def _model(found: Inspection) -> Section:
    pairs = [
        ("comes from", _origin(found.file)),
        ("size", "no file" if found.file.size_bytes is None else f"{show.megabytes(found.file.size_bytes)} MB"),
        *_written_by(found.file),
        ("parameters", _count(found.parameters)),
        ("MACs", _macs(found)),
        ("weights", _weights(found)),
        ("quantized", found.quantized or "no"),
        ("operators", _operators(found)),
    ]
    return Section(title="Model", brief=[Part(title="Model", tables=[facts_table(pairs)])])


def _macs(found: Inspection) -> str:
    if found.macs is None:
        return "can't be told"
    at = ", ".join(f"{name} {size}" for name, size in found.macs_at.items())
    return f"{_count(found.macs)} for one example" + (f", at {at}" if at else "")


def _origin(file: ModelFile) -> str:
    if file.factory is None:
        return f"{file.path}, {_FORMATS[file.format]}"
    weights = "random weights" if file.path is None else f"weights {file.path}"
    return f"{file.factory}, {_FORMATS[file.format]}, {weights}"


def _written_by(file: ModelFile) -> Iterator[tuple[str, str]]:
    if file.opset is not None:
        others = [f"{name} {version}" for name, version in file.domains.items()]
        yield "written by", file.producer or "it does not say"
        yield "opset", ", ".join([str(file.opset), *others]) + f" (IR version {file.ir_version})"
    if file.external:
        yield "external data", ", ".join(f"{one.name} ({_megabytes(one.size_bytes)})" for one in file.external)


def _megabytes(size_bytes: int | None) -> str:
    return "missing" if size_bytes is None else f"{show.megabytes(size_bytes)} MB"


def _count(value: int | None) -> str:
    return "can't be told" if value is None else show.magnitude(value)


def _weights(found: Inspection) -> str:
    return ", ".join(f"{kind} ({show.magnitude(count)})" for kind, count in found.weights.items()) or "can't be told"


def _operators(found: Inspection) -> str:
    named = [f"{count} {name}" for name, count in list(found.operators.items())[:_OPERATORS]]
    rest = sum(list(found.operators.values())[_OPERATORS:])
    if not named:
        return "can't be told"
    made = "as exported" if found.file.format == "torch" else "as imported"
    return ", ".join([*named, *([f"{rest} others"] if rest else [])]) + f" ({made}, opset {found.graph_opset})"


def _interface(found: Inspection) -> Section:
    reads = [
        (
            one.name,
            one.dtype,
            sizes_in_words(one.shape),
            "" if one.below is None else f"whole numbers below {one.below}",
        )
        for one in found.inputs
    ]
    gives = [
        (one.name, one.dtype or "not known", sizes_in_words(one.shape), f"likely {one.likely}: {one.why}")
        for one in found.outputs
    ]
    parts = [
        Part(title=title, tables=[listing(("name", "type", "shape", head), rows, wrapping=(2, 3))])
        for title, head, rows in (("Inputs", "holds", reads), ("Outputs", "holds", gives))
        if rows
    ]
    return Section(title="Inputs and outputs", brief=parts)


def _chains(found: Inspection) -> Section:
    rows = [(chain.name, _VERDICTS.get(chain.verdict, "yes"), _said(chain)) for chain in found.variants]
    table = listing(("variant", "try it?", "what it does, and where; or why not"), rows, wrapping=(2,))
    return Section(title="Chains", brief=[Part(title="Chains of stages", tables=[table])])


def _said(chain: Chain) -> str:
    if chain.reason is not None:
        return chain.reason
    return f"{chain.about or ', '.join(chain.stages)} On {', '.join(chain.targets)}."


def _targets(found: Inspection) -> Section:
    here = [(one.name, f"{one.backend} on {one.device}") for one in found.targets if one.runs]
    missing = grouped((one.reason, one.name) for one in found.targets if one.reason is not None)
    table = [listing(("target", "runs here"), here, wrapping=(1,))] if here else []
    absent = [Line(word=f"not here: {', '.join(names)}:", text=reason) for reason, names in missing.items()]
    return Section(title="Targets", brief=[Part(title="Targets", tables=table), Part(lines=absent)])
