"""Everything that is known of a row that is to be explained: its profile beside its reference's, its chain, its
machine."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.plan.roles import Role
from pipeline.results.change import StageField
from pipeline.results.figures import DeviceTime, Limits, Speedup
from pipeline.results.header import Peaks
from pipeline.results.record import StageRecord, VariantRecord

ATTENTION = frozenset({"Attention", "MultiHeadAttention"})
MATRIX_PRODUCTS = ATTENTION | {"Gemm", "FusedGemm", "MatMul", "FusedMatMul", "FusedMatMulActivation"}
FLOAT_PRODUCTS = (
    MATRIX_PRODUCTS
    | {"Conv", "FusedConv", "NhwcFusedConv", "ConvTranspose"}
    | {"Convolution", "GroupConvolution", "Deconvolution", "FullyConnected"}
)
"""The operators that compute products in floating point. The last line has OpenVINO's names; no name means two
things."""
INTEGER_CONVOLUTIONS = frozenset({"ConvInteger"})
INTEGER_PRODUCTS = INTEGER_CONVOLUTIONS | {"MatMulInteger", "QGemm", "QLinearConv", "QLinearMatMul"}
QUANTIZE = frozenset({"QuantizeLinear", "DequantizeLinear", "FakeQuantize"})
DYNAMIC = frozenset({"DynamicQuantizeLinear"})
ON_CPU = "CPUExecutionProvider"
ONNX_RUNTIME = "onnxruntime"
TORCH = "torch"
COPIES = frozenset({"MemcpyToHost", "MemcpyFromHost"})
LAYOUT = frozenset({"ReorderInput", "ReorderOutput", "Transpose", "Reorder"})
LAYOUT_KERNELS = ("nchwToNhwc", "nhwcToNchw")
"""Parts of the names that cuDNN gives to its kernels of that kind."""
CASTS = frozenset({"Cast", "Convert"})
CALIBRATED = "calibration_examples"
"""The note of a stage that takes the activations' ranges from calibration data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """An operator as it ran, once a call."""

    name: str
    op: str
    provider: str
    type: str
    """The type of its first input, such as ``float`` and ``uint8``; "" where it is not known."""
    ms: float
    kernel: str = ""
    """The runtime's name for the kernel that carried it out; "" where the runtime does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Where a call's time goes."""

    call_ms: float
    nodes: Sequence[Node]
    channels: Sequence[int]
    """The number of output channels of each convolution."""

    @staticmethod
    def of(plain: Mapping[str, Any]) -> Profile:
        """A profile as it was recorded."""
        return Profile(
            call_ms=plain["call_ms"],
            nodes=[Node(**node) for node in plain["nodes"]],
            channels=plain.get("channels", []),
        )

    def scaled_to(self, call_ms: float | None) -> Profile:
        """The same shares of another call's time: a timed call takes less than a profiled one, and at other moments."""
        if not call_ms or not self.call_ms:
            return self
        factor = call_ms / self.call_ms
        nodes = [replace(node, ms=node.ms * factor) for node in self.nodes]
        return Profile(call_ms=call_ms, nodes=nodes, channels=self.channels)

    def select(self, ops: Collection[str], kind: str | None = None) -> list[Node]:
        """The nodes of these types, with a first input of type ``kind`` if one is given."""
        return [node for node in self.nodes if node.op in ops and (kind is None or node.type == kind)]

    @property
    def layouts(self) -> list[Node]:
        """The nodes that only lay a tensor out anew."""
        return [node for node in self.nodes if node.op in LAYOUT or any(part in node.op for part in LAYOUT_KERNELS)]

    def share(self, nodes: Sequence[Node]) -> float:
        """The share of the call that these nodes take."""
        return sum(node.ms for node in nodes) / self.call_ms if self.call_ms else 0.0

    def ms(self, ops: Collection[str]) -> float:
        """The time of a call in operators of these types."""
        return sum((node.ms for node in self.select(ops)), 0.0)

    @property
    def between_ms(self) -> float:
        """The time of a call that passes beside its operators."""
        return max(0.0, self.call_ms - sum(node.ms for node in self.nodes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sibling:
    """Another row of the same target and batch size."""

    variant: VariantRecord
    speedup: Speedup

    def kinds_but(self, note: str) -> list[str | None]:
        """The classes of its stages, with None in place of a stage that has this note."""
        return [None if note in stage.notes else stage.kind for stage in self.variant.stages]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of one row."""

    variant: VariantRecord
    target: str
    backend: str
    device: str
    batch_size: int
    profile: Profile
    reference: Profile | None
    """The reference's profile; None where it has none, or ran on another runtime, whose operators have other names."""
    same_model: bool
    """Whether the reference is the same model on another target."""
    limits: Limits | None
    peaks: Peaks | None
    isa: frozenset[str]
    threads: int = 1
    session: Mapping[str, Any] = field(default_factory=dict)
    """The settings of the target's session."""
    call_ms: float | None = None
    """The median call; None where the row was not timed."""
    device_time: DeviceTime | None = None
    siblings: Sequence[Sibling] = ()
    has_gpu: bool = True
    """Whether the machine has a graphics card, so that one may be proposed."""

    @property
    def ran_on_cpu(self) -> list[Node]:
        """An accelerator's operators that fell back to the CPU."""
        return [] if self.device == "cpu" else [node for node in self.profile.nodes if node.provider == ON_CPU]

    @property
    def _by_asking(self) -> bool:
        """Whether the profile has the time that the host takes to ask for operators, not that of their kernels."""
        return self.device != "cpu" and self.backend == ONNX_RUNTIME

    @property
    def of_a_call(self) -> str:
        """What the shares of the profile are shares of."""
        if not self._by_asking:
            return "of a call"
        asks = "would ask" if self._in_a_graph else "asks"
        return f"of the time in which the host {asks} for a call's operators"

    @property
    def _in_a_graph(self) -> bool:
        """Whether a CUDA graph asks for all operators at once; the profile is that of a session without."""
        return bool(self.session.get("cuda_graph", False))

    def share(self, nodes: Sequence[Node]) -> float:
        """The share (``of_a_call``) that these nodes take; 0 where a CUDA graph leaves nothing to ask for."""
        return 0.0 if self._by_asking and self._in_a_graph else self.profile.share(nodes)

    def calibrated_instead_of(self, stage: StageRecord) -> Sibling | None:
        """The fastest sibling whose chain calibrates where this one has the stage, and is otherwise the same."""
        chain = [None if other is stage else other.kind for other in self.variant.stages]
        alike = [sibling for sibling in self.siblings if sibling.kinds_but(CALIBRATED) == chain]
        return max(alike, key=lambda sibling: sibling.speedup.value, default=None)

    def fastest_in(self, type: str) -> Sibling | None:
        """The fastest sibling that has products of this type."""
        found = [sibling for sibling in self.siblings if type in sibling.variant.macs_by_type]
        return max(found, key=lambda sibling: sibling.speedup.value, default=None)

    def reference_share(self, ops: Collection[str]) -> float:
        """The share of the reference's call in operators of these types; 0 where its profile says nothing about
        them."""
        return 0.0 if self.reference is None else self.reference.share(self.reference.select(ops))

    def has(self, ops: Collection[str]) -> bool:
        """Whether an operator of these types ran, in the row or in its reference."""
        return bool(self.profile.select(ops) or (self.reference is not None and self.reference.select(ops)))

    def computes(self, type: str) -> bool:
        """Whether the model has products whose factors are of this type (``VariantRecord.macs_by_type``)."""
        return type in self.variant.macs_by_type

    def stage(self, role: Role) -> StageRecord | None:
        """The chain's last stage of this role."""
        return next((stage for stage in reversed(self.variant.stages) if stage.role == role), None)

    def noting(self, note: str) -> StageRecord | None:
        """The chain's last stage that has this note."""
        return next((stage for stage in reversed(self.variant.stages) if note in stage.notes), None)

    def with_field(self, stage: StageRecord, field: str, value: Any) -> StageField:
        """The change that sets a field of one of the chain's stages."""
        return StageField(variant=self.variant.name, stage=stage.name, field=field, value=value)
