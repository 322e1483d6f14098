"""What looking at a model found, as types. Their docstrings are the descriptions in the JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from pipeline.artifact import Format
from pipeline.bounds import Counted, Nonempty, Whole
from pipeline.plan import Device

SCHEMA_VERSION: Final = 1
"""The version of the document: raised when a field changes its meaning or goes."""
ABOUT = "What a model is and what could be done with it on this machine: python -m pipeline inspect MODEL --json."

Likely = Literal[
    "class scores",
    "one score",
    "embedding",
    "token scores",
    "pixel scores",
    "boxes",
    "sequence",
    "unknown",
]
"""What an output likely holds.

- ``class scores``: a number for each class.
- ``one score``: a single number an example.
- ``embedding``: a vector for the whole example.
- ``token scores``: a number for each class of each token.
- ``pixel scores``: a number for each class of each pixel.
- ``boxes``: corners or sides of rectangles.
- ``sequence``: a vector or a number for each place of a sequence.
- ``unknown``: nothing tells.
"""
Verdict = Literal["try", "cannot pay", "cannot"]
"""Whether a chain is worth a try: ``cannot pay`` where a rule of the search leaves it out, ``cannot`` where it can't be
built or run here."""
Sizes = list[int | str | None]
"""The sizes of a tensor: a number, the name of a free axis, or None for a free axis without a name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalFile:
    """A file beside an ONNX file that holds some of its tensors."""

    name: Nonempty
    """Its path, relative to the ONNX file's folder."""
    size_bytes: Whole | None
    """None where it is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """Where the model comes from."""

    format: Format
    """The format that it comes in: ``onnx``, or ``torch`` for a PyTorch class with weights and for PyTorch's files."""
    path: str | None
    """The file of the model, or of its weights; None where the weights are random."""
    factory: str | None = None
    """The PyTorch class or function that makes the model; None for a file."""
    size_bytes: Whole | None
    """The bytes of the file and of those beside it; None where there is no file."""
    producer: str | None = None
    """The program that wrote the ONNX file, with its version; None where the file does not say."""
    opset: Whole | None = None
    """The version of ONNX's own operators that the file uses; None for a PyTorch model."""
    ir_version: Whole | None = None
    """The version of ONNX's file format; None for a PyTorch model."""
    domains: dict[str, int] = field(default_factory=dict)
    """Other sets of operators that the file uses, with their versions."""
    external: list[ExternalFile] = field(default_factory=list)
    """The files that hold its tensors beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInput:
    """One input of the model, in its order."""

    name: Nonempty
    dtype: Nonempty
    """NumPy's name of the type that is fed."""
    shape: Sizes | None
    """None where the model declares no shape."""
    batch_axis: Whole | None
    """The axis that counts the examples; None where one value serves a whole call."""
    below: Counted | None
    """The number that whole numbers must be below, which are rows of a table; None where no table tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOutput:
    """One output of the model, in its order."""

    name: Nonempty
    dtype: str | None
    """NumPy's name of its type; None where it is not known."""
    shape: Sizes | None
    """None where nothing tells it."""
    likely: Likely
    why: Nonempty
    """What speaks for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A variant: a chain of stages."""

    name: Nonempty
    about: str
    """What it does, as its YAML says; empty where that says nothing."""
    stages: list[str]
    """The stages in their order."""
    verdict: Verdict
    targets: list[str]
    """The targets that it is worth a try on."""
    reason: str | None
    """Why it is not tried; None where it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """A target: a runtime on a device."""

    name: Nonempty
    backend: Nonempty
    device: Device
    threads: Counted
    runs: bool
    """Whether it can run on this machine."""
    reason: str | None
    """Why it can't; None where it can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """What to type next; None where a problem stands before it."""

    optimize: str | None
    """The search for the best."""
    run: str | None
    """A plain run of some chains that are worth a try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What looking at a model found."""

    schema_version: Literal[1] = SCHEMA_VERSION
    model: Nonempty
    """The model's name."""
    data: Nonempty
    """The data's name; ``random`` where none was given."""
    file: ModelFile
    inputs: list[ModelInput]
    outputs: list[ModelOutput]
    parameters: Whole | None
    """The elements of the weights; None where they can't be told."""
    macs: Whole | None
    """The multiply-accumulates for one example of the data's sizes; None where they can't be told."""
    macs_at: dict[str, Whole]
    """The sizes that the MACs are told at, by the names of the free axes; without the axes of the examples."""
    weights: dict[str, int]
    """The elements of the weights by the type that they are stored in."""
    operators: dict[str, int]
    """How many nodes of each operator the imported or exported graph has, the most frequent first; empty where there is
    no graph."""
    graph_opset: Whole | None
    """The version of ONNX's own operators that this graph uses."""
    quantized: str | None
    """What tells that the model is quantized already; None where it is not."""
    cleaned: list[str]
    """What importing the file changes."""
    warnings: list[str]
    """What is odd about the model or the data."""
    problems: list[str]
    """What a run would refuse, a sentence each."""
    variants: list[Chain]
    targets: list[Runtime]
    next: Next


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggested:
    """The commands that may be typed next, before it is known which variants they name."""

    optimize: str
    run: list[str]
    """The words of a plain run, without its variants; with them, where the user has typed them."""
    chosen: bool
    """Whether the user has typed the variants."""
    usual: list[str]
    """The variants that a run takes where none is typed."""
    about: Mapping[str, str]
    """What each variant does, by name."""
