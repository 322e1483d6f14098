"""The facts about a run that its record and its report begin with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from pipeline.bounds import Counted, Nonempty, Positive
from pipeline.data.noise import Noise
from pipeline.plan import Constraints, MeasureSettings
from pipeline.results.search import SearchFindings


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The machine that a run was measured on (``pipeline.machine.environment``); None where the system doesn't say."""

    cpu: str | None = None
    isa: list[str] = field(default_factory=list)
    """The processor's instruction sets that matter to inference, such as ``avx2`` and ``avx512_vnni``."""
    cores: int | None = None
    """The number of cores that the run could use."""
    memory_bytes: int | None = None
    os: str | None = None
    kernel: str | None = None
    architecture: str | None = None
    virtualized: bool | None = None
    governor: str | None = None
    """The way in which the first core's clock is chosen, such as ``performance``."""
    turbo: bool | None = None
    """Whether cores may run above their base clock."""
    gpu: list[str] = field(default_factory=list)
    """NVIDIA's cards, each with its memory."""
    gpu_driver: str | None = None
    python: str | None = None
    libraries: dict[str, str] = field(default_factory=dict)
    """The versions of the libraries that change what is built, or how fast it runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRecord:
    """A target that variants were timed on."""

    backend: str = ""
    device: str = ""
    threads: int = 1
    session: Mapping[str, Any] = field(default_factory=dict)
    """The runtime's own settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peaks:
    """What a device can do at best with this number of threads, as measured; None where it could not be measured."""

    device: Nonempty
    threads: Counted
    fp32_macs_per_s: Positive | None = None
    tf32_macs_per_s: Positive | None = None
    """MACs a second of fp32 products that may be computed in TF32; only on NVIDIA's cards."""
    fp16_macs_per_s: Positive | None = None
    """MACs a second of fp16 products; only on accelerators, as processors are not asked for it."""
    int8_macs_per_s: Positive | None = None
    int8_types: str | None = None
    """The fastest combination of types: ``u8s8`` is unsigned activations and signed weights."""
    bytes_per_s: Positive | None = None
    """Bytes a second of a copy: bytes read and bytes written."""
    reasons: dict[str, str] = field(default_factory=dict)
    """The reason why a figure is missing, by ``fp32``, ``tf32``, ``fp16``, ``int8`` and ``copy``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The command, model, data, machine and settings of a run."""

    command: str
    created: str
    """The time of the run in ISO 8601, with the zone."""
    model: str
    data: str
    seed: int
    machine: Machine
    constraints: Constraints
    """The limits that a recommended variant must keep; None: no limit."""
    measure: MeasureSettings
    """The settings of the measuring."""
    targets: dict[str, TargetRecord]
    """The targets, by name."""
    peaks: dict[str, Peaks] = field(default_factory=dict)
    """The peaks of each target's device; empty where they were not measured."""
    slimline: dict[str, Any] = field(default_factory=dict)
    """The program that measured: version, commit and changed (whether the checkout differs from the commit; both are
    None where it ran outside a checkout); empty in old records."""
    model_notes: dict[str, Any] = field(default_factory=dict)
    """Notes on the model: what was changed when it came in (``import``), what is odd about it (``warnings``), and the
    like."""
    notes: list[str] = field(default_factory=list)
    """Sentences on how data, metric and model were fitted together."""
    search: SearchFindings | None = None
    """The search that chose the rows; None where all rows were asked for."""

    @property
    def run_id(self) -> str:
        """Twelve hexadecimal digits that tell this run from others; they stay the same when its report is made anew."""
        told = (self.created, self.command, self.model, self.data, repr(self.machine))
        return hashlib.sha256("\n".join(told).encode(errors="surrogatepass")).hexdigest()[:12]

    @property
    def claims_accuracy(self) -> bool:
        """Whether accuracy says something: noise in place of data shows only how far outputs drift."""
        return self.data != Noise.name


def header_of(run: Header) -> dict[str, Any]:
    """The header's fields by name, to begin a report with a record's."""
    return {item.name: getattr(run, item.name) for item in fields(Header)}
