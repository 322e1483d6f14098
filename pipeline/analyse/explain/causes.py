"""The causes that hold a row back. Each cause is a function of the evidence, and gives a sentence with figures and what
to try.

A new cause is a function here and its name in ``CAUSES``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from pipeline.analyse.explain.evidence import (
    ATTENTION,
    CALIBRATED,
    CASTS,
    COPIES,
    FLOAT_PRODUCTS,
    INTEGER_PRODUCTS,
    ONNX_RUNTIME,
    QUANTIZE,
    TORCH,
    Evidence,
)
from pipeline.analyse.explain.quantized import (
    dynamic_convolutions,
    left_in_float,
    no_dot_products,
    outcome_of,
    ranges_in_every_call,
)
from pipeline.analyse.explain.telling import (
    MEMORY_BOUND,
    MOSTLY_BETWEEN,
    PRODUCTS,
    WORTH_TELLING,
    count_of,
    kinds_of,
    names_of,
)
from pipeline.analyse.limits import MOSTLY
from pipeline.backends.torch.backend import OWN_GRAPHS
from pipeline.machine.instruction_sets import vector_floats
from pipeline.results import numbers as show
from pipeline.results.change import BatchSizes, Change, SessionSetting, StageDropped, Targets, Threads
from pipeline.results.explanation import Cause

_SHOWN = 5
_CHANNELS_LAST = "channels_last"
_IO_TYPES = "keep_io_types"
"""A stage's field: whether inputs and outputs stay in fp32, which is twice the bytes of float16."""


def fused_away(row: Evidence) -> Iterator[Cause]:
    """Attention that was fused before static quantization, which then finds none of its products."""
    stage, fuse = row.noting(CALIBRATED), row.noting("fused")
    nodes = row.profile.select(ATTENTION, "float")
    share = row.share(nodes)
    if stage is None or fuse is None or share < WORTH_TELLING:
        return
    yield Cause(
        what=f"{show.share(share)} {row.of_a_call} goes into {kinds_of(nodes)} in fp32: fused as one operator, its "
        "products are none that static quantization knows",
        share=share,
        change=StageDropped(variant=row.variant.name, stage=fuse.name),
        nodes=names_of(nodes),
    )


def unfused_pairs(row: Evidence) -> Iterator[Cause]:
    """Q/DQ operators that found no integer kernel to become part of."""
    stage = row.stage("precision")
    nodes = row.profile.select(QUANTIZE)
    share = row.profile.share(nodes)
    # The model's own input and output are quantized and restored in any case.
    if stage is None or share < WORTH_TELLING or len(nodes) <= 2:
        return
    what = f"{show.share(share)} {row.of_a_call} goes into {kinds_of(nodes)} that no integer kernel took in"
    ran = row.profile.select(FLOAT_PRODUCTS | INTEGER_PRODUCTS)
    if row.device == "cuda" and ran and all(node.op in FLOAT_PRODUCTS and node.type == "float" for node in ran):
        half = row.fastest_in("fp16")
        yield Cause(
            what=f"{what}: none of its products ran in integers on this card, whose fast precision here is float16 "
            "(the variant fp16)",
            share=share,
            outcome=None if half is None else outcome_of(half),
            nodes=names_of(nodes),
        )
        return
    products = [kind for kind in PRODUCTS if row.has(PRODUCTS[kind])]
    only = bool(products) and stage is row.noting(CALIBRATED) and stage.fields.get("op_types", "") is None
    change = row.with_field(stage, "op_types", tuple(products)) if only else None
    yield Cause(what=what, share=share, change=change, nodes=names_of(nodes))


def other_providers(row: Evidence) -> Iterator[Cause]:
    """Operators that fell back to another execution provider, and the copies that this takes."""
    if row.device == "cpu":
        return
    away, copies = row.ran_on_cpu, row.profile.select(COPIES)
    if not away and not copies:
        return
    share = row.share([*away, *(node for node in copies if node not in away)])
    yield Cause(
        what=f"{count_of(away, 'operator')} ran on the CPU ({kinds_of(away) or 'none'}), with "
        f"{count_of(copies, 'copy', 'copies')} between host and device: {show.share(share)} {row.of_a_call}",
        share=share,
        nodes=names_of(away),
    )


def launch_bound(row: Evidence) -> Iterator[Cause]:
    """A device that waits for the host to ask for the next kernel."""
    time = row.device_time
    if time is None or not time.launch_bound:
        return
    graphed = row.session.get("cuda_graph", False) or row.session.get("compile", False) in OWN_GRAPHS
    fits = not graphed and not row.ran_on_cpu  # a graph takes only what runs on the device from end to end
    yield Cause(
        what=f"launch-bound: the host takes {show.share(min(time.enqueue_share, 1.0))} of the device's time to ask for "
        "the runs, so the device waits for it and faster kernels don't help",
        change=SessionSetting(target=row.target, setting="cuda_graph", value=True) if fits else None,
    )


def handed_over(row: Evidence) -> Iterator[Cause]:
    """A device that is idle while its inputs and outputs are copied from the host and back."""
    time, call_ms = row.device_time, row.call_ms
    if time is None or time.launch_bound or not call_ms or time.share_of(call_ms) >= MOSTLY:
        return
    stage = next((one for one in reversed(row.variant.stages) if one.fields.get(_IO_TYPES)), None)
    yield Cause(
        what=f"the device works for {show.share(time.share_of(call_ms))} of a call: in the rest the host hands inputs "
        "and outputs over",
        share=1 - time.share_of(call_ms),
        change=None if stage is None else row.with_field(stage, _IO_TYPES, False),
    )


def casts(row: Evidence) -> Iterator[Cause]:
    """Half precision on a runtime that computes in fp32."""
    nodes = row.profile.select(CASTS)
    share = row.share(nodes)
    if share < WORTH_TELLING or share <= row.reference_share(CASTS):
        return
    half = row.computes("fp16") and row.device == "cpu" and row.backend == ONNX_RUNTIME
    why = ": ONNX Runtime has few float16 kernels on the CPU, and computes in fp32" if half else ""
    yield Cause(
        what=f"{show.share(share)} {row.of_a_call} goes into {kinds_of(nodes)}{why}",
        share=share,
        change=Targets(names=("ort_cuda",)) if half and row.has_gpu else None,
        nodes=names_of(nodes),
    )


def layouts(row: Evidence) -> Iterator[Cause]:
    """Tensors that are laid out anew between operators."""
    nodes = row.profile.layouts
    share = row.share(nodes)
    before = 0.0 if row.reference is None else row.reference.share(row.reference.layouts)
    if share < WORTH_TELLING or share < 2 * before:
        return
    turned = row.backend == TORCH and not row.session.get(_CHANNELS_LAST, False)
    yield Cause(
        what=f"{show.share(share)} {row.of_a_call} lays tensors out anew between operators: {kinds_of(nodes)}",
        share=share,
        change=SessionSetting(target=row.target, setting=_CHANNELS_LAST, value=True) if turned else None,
        nodes=names_of(nodes),
    )


def too_small(row: Evidence) -> Iterator[Cause]:
    """The time that every call and operator takes, whatever they compute."""
    profile = row.profile
    share = profile.between_ms / profile.call_ms if profile.call_ms else 0.0
    # What an accelerator's call takes beside its operators is the device's own time, for which the host waits.
    if share < MOSTLY_BETWEEN or row.device != "cpu":
        return
    operators = f"{len(profile.nodes)} operators" if len(profile.nodes) != 1 else "only operator"
    what = f"the model is small: {show.share(share)} of a call passes beside its {operators}"
    if row.threads > 1:
        what += f", on {row.threads} threads that wait for each other"
    yield Cause(what=what, share=share, change=_fewer_waits(row))


def odd_channels(row: Evidence) -> Iterator[Cause]:
    """Pruned channels that fill the processor's vectors badly."""
    stage = row.noting("round_to")
    width = vector_floats(row.isa)
    if stage is None or width is None or not row.profile.channels:
        return
    odd = [count for count in row.profile.channels if count % width]
    if odd:
        yield Cause(
            what=f"{len(odd)} of {len(row.profile.channels)} convolutions have a number of channels that is no "
            f"multiple of {width}, the floats in one of this processor's vectors "
            f"({', '.join(map(str, sorted(set(odd))[:_SHOWN]))})",
            change=row.with_field(stage, "round_to", width),
        )


def memory_bound(row: Evidence) -> Iterator[Cause]:
    """Fewer operations don't help a model that waits for memory."""
    limits = row.limits
    if limits is None or limits.verdict != "memory-bound" or (limits.memory_share or 0.0) < MEMORY_BOUND:
        return
    yield Cause(
        what=f"it moves bytes at {show.share(limits.memory_share or 0.0)} of the rate of a plain copy: memory is the "
        "limit, and fewer operations alone don't help",
    )


def same_work(row: Evidence) -> Iterator[Cause]:
    """A rewriting that the runtime does by itself when it loads the model."""
    if row.reference is None or row.same_model:
        return
    ran, before = (
        Counter((node.op, node.kernel) for node in profile.nodes) for profile in (row.profile, row.reference)
    )
    if ran == before:
        yield Cause(
            what=f"the same {ran.total()} operators run as in the reference: what this chain does, the runtime does "
            "by itself when it loads the model",
        )


CAUSES: Sequence[Callable[[Evidence], Iterator[Cause]]] = (
    other_providers,
    launch_bound,
    handed_over,
    dynamic_convolutions,
    ranges_in_every_call,
    fused_away,
    left_in_float,
    unfused_pairs,
    casts,
    layouts,
    too_small,
    odd_channels,
    memory_bound,
    same_work,
    no_dot_products,
)
"""Every cause, in the order in which they are told where their shares do not give the order."""
WITHOUT_PROFILE: Sequence[Callable[[Evidence], Iterator[Cause]]] = (launch_bound, handed_over, memory_bound)
"""The causes that need no profile."""


def _fewer_waits(row: Evidence) -> Change | None:
    """One thread, which waits for no other, unless operators run side by side; or a larger batch, where the model takes
    one."""
    if row.threads > 1 and row.session.get("execution_mode") != "parallel":
        return Threads(target=row.target, threads=1)
    return None if row.variant.fixed_batch else BatchSizes(sizes=(row.batch_size, 8 * row.batch_size))
