"""Why isn't it faster? Causes from evidence that is known exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from pipeline.analyse.assemble import analyse
from pipeline.analyse.explain.causes import CAUSES
from pipeline.analyse.explain.evidence import Evidence, Node, Profile, Sibling
from pipeline.analyse.explain.explain import explain
from pipeline.plan import MeasureSettings
from pipeline.results.explanation import Cause, Outcome
from pipeline.results.figures import DeviceTime, Limits, Reference, Speedup
from pipeline.results.header import Peaks
from pipeline.results.reading import ROLES_BEFORE
from pipeline.results.record import Record, StageRecord, Trial, VariantRecord
from tests.analyse.synthetic import Made, make_record

AVX2 = frozenset({"avx", "avx2"})
VNNI = AVX2 | {"avx512f", "avx512_vnni"}
INT8 = {"int8": 1}


def nodes(*entries: tuple[str, float] | tuple[str, float, str]) -> list[Node]:
    """Each of an operator, its milliseconds, and its type where that isn't float."""
    return [
        Node(
            name=f"{entry[0].lower()}_{number}",
            op=entry[0],
            provider="CPUExecutionProvider",
            type=entry[2] if len(entry) > 2 else "float",
            ms=entry[1],
        )
        for number, entry in enumerate(entries)
    ]


def profile(found: Sequence[Node], between_ms: float = 0.0, channels: Sequence[int] = ()) -> Profile:
    return Profile(call_ms=sum(node.ms for node in found) + between_ms, nodes=found, channels=channels)


PLAIN = profile(nodes(("Conv", 0.8), ("Conv", 0.6), ("Gemm", 0.1)))


NOTES: dict[str, dict[str, Any]] = {
    "QuantizeStatic": {"calibration_examples": 8},
    "QuantizeMixed": {"calibration_examples": 8},
    "Fuse": {"fused": {"Attention": 1}},
    "Prune": {"round_to": 1},
}


def stage(name: str, kind: str, **fields: Any) -> StageRecord:
    return StageRecord(
        name=name, kind=kind, fields=fields, key="k", digest="d", seconds=1.0, reused=False, notes=NOTES.get(kind, {}),
        role=ROLES_BEFORE[kind],
    )  # fmt: skip


def evidence(
    found: Profile,
    *stages: StageRecord,
    device: str = "cpu",
    isa: frozenset[str] = VNNI,
    limits: Limits | None = None,
    peaks: Peaks | None = None,
    reference: Profile | None = PLAIN,
    backend: str = "onnxruntime",
    same_model: bool = False,
    threads: int = 1,
    siblings: Sequence[Sibling] = (),
    macs_by_type: dict[str, int] | None = None,
) -> Evidence:
    variant = VariantRecord(
        name="mine",
        status="ok",
        reason=None,
        stages=list(stages),
        format="onnx",
        digest="d",
        path="p",
        size_bytes=1,
        parameters=1,
        macs=1,
        macs_by_type=macs_by_type or {},
    )
    return Evidence(
        variant=variant,
        target="ort_cpu",
        backend=backend,
        device=device,
        batch_size=1,
        profile=found,
        reference=reference,
        same_model=same_model,
        limits=limits,
        peaks=peaks,
        isa=isa,
        threads=threads,
        siblings=siblings,
    )


def sibling(name: str, value: float, *stages: StageRecord) -> Sibling:
    against = Reference(variant="baseline", target="ort_cpu", batch_size=1)
    speedup = Speedup(
        reference=against, value=value, low=value - 0.01, high=value + 0.01, p=0.01, verdict="FASTER", blocks=99
    )
    return Sibling(variant=replace(evidence(PLAIN, *stages).variant, name=name), speedup=speedup)


def causes(row: Evidence) -> list[Cause]:
    return explain(row).causes


def test_dynamically_quantized_convolutions_are_named_with_the_way_out() -> None:
    found = profile(nodes(("ConvInteger", 8.0), ("ConvInteger", 1.0), ("MatMulInteger", 1.0)))
    half = profile(nodes(("Conv", 0.5), ("MatMul", 0.5)))
    (cause,) = causes(evidence(found, stage("quantize", "QuantizeDynamic", op_types=None), reference=half))
    assert cause.what.startswith("90 % of a call goes into 2 dynamically quantized convolutions (ConvInteger)")
    assert str(cause.change) == "variants.mine.stages.quantize.op_types=[MatMul]"


def test_a_model_of_convolutions_is_sent_to_static_quantization_though_it_has_a_product_too() -> None:
    found = profile(nodes(("ConvInteger", 9.0), ("MatMulInteger", 1.0)))
    (cause,) = causes(evidence(found, stage("quantize", "QuantizeDynamic")))
    assert (str(cause.change), cause.outcome) == ("stage@variants.mine.stages.quantize=quantize_static", None)


def test_a_run_that_has_the_static_variant_says_how_it_did() -> None:
    found = profile(nodes(("ConvInteger", 9.0), ("Relu", 1.0)))
    others = [
        sibling("static_int8", 1.65, stage("export", "ExportOnnx"), stage("quantize", "QuantizeStatic")),
        sibling("entropy_int8", 1.60, stage("export", "ExportOnnx"), stage("quantize", "QuantizeStatic")),
        sibling("pruned_int8", 2.5, stage("prune", "Prune"), stage("quantize", "QuantizeStatic")),
    ]
    row = evidence(found, stage("export", "ExportOnnx"), stage("quantize", "QuantizeDynamic"), siblings=others)
    (cause,) = causes(row)
    assert cause.change is None
    assert cause.outcome == Outcome(variant="static_int8", against="baseline", value=1.65, low=1.64, high=1.66)


def test_a_small_model_on_several_threads_is_sent_to_one() -> None:
    (cause,) = causes(evidence(profile(nodes(("Conv", 0.01)), between_ms=0.01), threads=4))
    assert cause.what.endswith("beside its only operator, on 4 threads that wait for each other")
    assert str(cause.change) == "target.ort_cpu.threads=1"


def test_operators_side_by_side_keep_their_threads() -> None:
    found = profile(nodes(("Conv", 0.01)), between_ms=0.01)
    (cause,) = causes(replace(evidence(found, threads=4), session={"execution_mode": "parallel"}))
    assert str(cause.change) == "batch_sizes=[1,8]"


def test_ranges_taken_in_every_call_are_counted() -> None:
    found = profile(nodes(("DynamicQuantizeLinear", 0.2), ("MatMulInteger", 0.8)))
    (cause,) = causes(evidence(found, stage("quantize", "QuantizeDynamic")))
    assert "20 % of a call goes into taking the activations' ranges anew (1 DynamicQuantizeLinear)" in cause.what


@pytest.mark.parametrize("kind", ["QuantizeMixed", "QuantizeAware", "QuantizeWeights"])
def test_every_stage_of_precision_is_told_what_it_left_in_float(kind: str) -> None:
    found = profile(nodes(("QLinearConv", 0.5, "uint8"), ("Conv", 0.4), ("Gemm", 0.1)))
    (cause,) = causes(evidence(found, stage("quantize", kind)))
    assert cause.what == "50 % of a call is products that still run in fp32: 1 Conv, 1 Gemm"


def test_mixed_precision_in_place_of_dynamic_is_static_quantization_too() -> None:
    found = profile(nodes(("ConvInteger", 9.0), ("Relu", 1.0)))
    mixed = sibling("mixed_int8", 1.65, stage("export", "ExportOnnx"), stage("quantize", "QuantizeMixed"))
    row = evidence(found, stage("export", "ExportOnnx"), stage("quantize", "QuantizeDynamic"), siblings=[mixed])
    (cause,) = causes(row)
    assert cause.outcome is not None
    assert cause.outcome.variant == "mixed_int8"


def test_products_left_in_float_are_named_with_what_excludes_them() -> None:
    found = profile(nodes(("QLinearConv", 0.5, "uint8"), ("Conv", 0.4), ("Gemm", 0.1)))
    row = evidence(found, stage("quantize", "QuantizeStatic", exclude_nodes=["conv_1"], exclude_op_types=[]))
    (cause,) = causes(row)
    assert cause.what == "50 % of a call is products that still run in fp32: 1 Conv, 1 Gemm"
    assert str(cause.change) == "variants.mine.stages.quantize.exclude_nodes=[]"


def test_attention_fused_before_static_quantization_is_sent_back_unfused() -> None:
    found = profile(nodes(("QGemm", 0.5, "uint8"), ("Attention", 0.4), ("Gemm", 0.1)))
    fused, left = causes(evidence(found, stage("fuse", "Fuse"), stage("quantize", "QuantizeStatic")))
    assert fused.what.startswith("40 % of a call goes into 1 Attention in fp32")
    assert str(fused.change) == "~variants.mine.stages.fuse"
    assert left.what == "10 % of a call is products that still run in fp32: 1 Gemm"


def test_integer_operators_of_the_same_name_are_not_taken_for_float() -> None:
    found = profile(nodes(("MatMul", 1.0, "int64")))
    assert causes(evidence(found, stage("quantize", "QuantizeStatic"))) == []


def test_pairs_that_were_not_fused_are_counted() -> None:
    found = profile(
        nodes(
            ("QLinearConv", 0.6, "uint8"),
            ("DequantizeLinear", 0.2, "uint8"),
            ("QuantizeLinear", 0.1),
            ("QuantizeLinear", 0.1),
        )
    )
    (cause,) = causes(evidence(found, stage("quantize", "QuantizeStatic", op_types=None)))
    assert (
        cause.what == "40 % of a call goes into 2 QuantizeLinear, 1 DequantizeLinear that no integer kernel took in"
        or (
            cause.what == "40 % of a call goes into 1 DequantizeLinear, 2 QuantizeLinear that no integer kernel took in"
        )
    )
    assert str(cause.change) == "variants.mine.stages.quantize.op_types=[Conv,Gemm]", "only types that the model has"


def test_the_pair_at_the_models_ends_is_no_cause() -> None:
    found = profile(nodes(("QuantizeLinear", 0.1), ("QLinearConv", 0.1, "uint8"), ("DequantizeLinear", 0.1, "uint8")))
    assert causes(evidence(found, stage("quantize", "QuantizeStatic"))) == []


@pytest.mark.parametrize(("isa", "told"), [(AVX2, True), (VNNI, False), (frozenset({"asimd"}), False)])
@pytest.mark.parametrize("kind", ["QuantizeStatic", "QuantizeMixed", "QuantizeAware"])
def test_missing_dot_products_are_told_with_the_measured_peaks(kind: str, isa: frozenset[str], told: bool) -> None:
    peaks = Peaks(device="cpu", threads=1, fp32_macs_per_s=40e9, int8_macs_per_s=76e9)
    found = profile(nodes(("QLinearConv", 1.0, "uint8")))
    said = [cause.what for cause in causes(evidence(found, stage("q", kind), isa=isa, peaks=peaks, macs_by_type=INT8))]
    expected = (
        "this processor has neither VNNI nor AMX: large int8 products run at 1.9 times the rate of fp32 here (measured)"
    )
    assert said == ([expected] if told else [])


def test_operators_on_another_provider_are_named_with_their_copies() -> None:
    away = nodes(("QLinearConv", 0.3, "uint8"))
    near = [replace(node, provider="CUDAExecutionProvider") for node in nodes(("Conv", 0.5), ("MemcpyToHost", 0.2))]
    (cause,) = causes(evidence(profile([*away, *near]), device="cuda"))
    assert (
        cause.what
        == "1 operator ran on the CPU (1 QLinearConv), with 1 copy between host and device: 50 % of the time in "
        "which the host asks for a call's operators"
    )


def test_what_the_host_asks_for_is_no_share_of_a_card_s_call_and_nothing_is_left_of_it_in_a_graph() -> None:
    """BERT-Base on an H200: 48 Transpose take 8 % of the host's time, and a graph was told the same."""
    found = [replace(node, provider="CUDAExecutionProvider") for node in nodes(("MatMul", 0.92), ("Transpose", 0.08))]
    row = evidence(profile(found), device="cuda")
    (cause,) = causes(row)
    assert cause.what == (
        "8 % of the time in which the host asks for a call's operators lays tensors out anew between operators: "
        "1 Transpose"
    )
    assert causes(replace(row, session={"cuda_graph": True})) == []
    ran = nodes(("MatMul", 0.9), ("QLinearConv", 0.1, "uint8"))
    on_card = profile([replace(node, provider="CUDAExecutionProvider") for node in ran])
    quantized = evidence(on_card, stage("q", "QuantizeStatic"), device="cuda")
    quantized = replace(quantized, session={"cuda_graph": True})
    assert [cause.what.split(":")[0] for cause in causes(quantized)] == [
        "90 % of the time in which the host would ask for a call's operators is products that still run in fp32"
    ], "which operators ran is certain all the same"
    torch = replace(row, backend="torch")
    assert [cause.what.split(" lays")[0] for cause in causes(torch)] == ["8 % of a call"], "kernels have their own time"


WAITING = DeviceTime(value=0.4, low=0.39, high=0.41, enqueue_share=0.93, launch_bound=True)


def on_device(time: DeviceTime, **session: Any) -> Evidence:
    found = [replace(node, provider="CUDAExecutionProvider") for node in nodes(("Conv", 0.1))]
    row = evidence(profile(found, between_ms=0.5), device="cuda")
    return replace(row, target="ort_cuda", device_time=time, session=session)


def test_a_device_that_waits_for_the_host_is_sent_to_a_cuda_graph() -> None:
    (cause,) = causes(on_device(WAITING))
    assert cause.what.startswith("launch-bound: the host takes 93 % of the device's time to ask for the runs")
    assert str(cause.change) == "target.ort_cuda.session.cuda_graph=true"


@pytest.mark.parametrize("session", [{"cuda_graph": True}, {"compile": "reduce-overhead"}])
def test_one_that_has_a_graph_already_is_told_and_not_sent_there_again(session: dict[str, Any]) -> None:
    (cause,) = causes(on_device(WAITING, **session))
    assert cause.change is None


def test_a_device_that_is_busy_is_no_cause_and_its_time_is_not_taken_for_the_runtimes() -> None:
    assert causes(on_device(replace(WAITING, enqueue_share=0.3, launch_bound=False))) == []


def test_a_graph_is_not_proposed_to_a_row_whose_operators_run_on_the_cpu_too() -> None:
    """ResNet-50 in int8 on an H200: 54 DequantizeLinear ran on the CPU, and ONNX Runtime refuses a graph of that."""
    on_card = [replace(node, provider="CUDAExecutionProvider") for node in nodes(("Conv", 0.9))]
    row = evidence(profile([*on_card, *nodes(("DequantizeLinear", 0.1))]), device="cuda")
    told = causes(replace(row, device_time=WAITING))
    assert [cause.what.split(":")[0].split(" (")[0] for cause in told] == ["1 operator ran on the CPU", "launch-bound"]
    assert [cause.change for cause in told] == [None, None]


def test_a_device_that_is_idle_while_the_host_copies_is_told_so_and_sent_to_smaller_inputs() -> None:
    """ResNet-50 in float16 at batch 256 on an H200: 17.5 of 40.2 ms, and the copy of its inputs was not told."""
    busy = DeviceTime(value=17.5, low=17.4, high=17.6, enqueue_share=0.01, launch_bound=False)
    convert = stage("convert", "ConvertFp16", keep_io_types=True)
    converted = evidence(PLAIN, convert, macs_by_type={"fp16": 1}).variant
    row = replace(on_device(busy), call_ms=40.2, variant=converted)
    (cause,) = causes(row)
    assert cause.what == "the device works for 44 % of a call: in the rest the host hands inputs and outputs over"
    assert cause.share == pytest.approx(1 - 17.5 / 40.2)
    assert str(cause.change) == "variants.mine.stages.convert.keep_io_types=false"
    assert causes(replace(row, call_ms=25.0)) == [], "it works for more than half of such a call"


def test_a_model_whose_integer_products_no_card_s_kernel_took_is_sent_to_float16() -> None:
    """ResNet-50 in int8 on an H200: every product ran in fp32, and other op_types were proposed."""
    ran = nodes(("Conv", 0.5), ("DequantizeLinear", 0.2), ("QuantizeLinear", 0.2), ("DequantizeLinear", 0.1))
    found = profile([replace(node, provider="CUDAExecutionProvider") for node in ran])
    half = sibling("fp16", 5.6)
    half = replace(half, variant=replace(half.variant, macs_by_type={"fp16": 1}))
    quantized = stage("q", "QuantizeStatic", op_types=None)
    row = replace(evidence(found, quantized, device="cuda"), siblings=[half, sibling("other", 9.0)])
    told = next(cause for cause in causes(row) if "no integer kernel took in" in cause.what)
    assert "took in: none of its products ran in integers on this card" in told.what
    assert told.change is None
    assert told.outcome is not None
    assert (told.outcome.variant, told.outcome.against, told.outcome.value) == ("fp16", "baseline", 5.6)
    for name, took in {
        "one did": [*ran, *nodes(("QLinearConv", 0.1, "uint8"))],
        "one did, under its own name": [*ran, *nodes(("MatMul", 0.1, "uint8"))],
        "the provider took the whole model": ran[1:],
    }.items():
        other = replace(row, profile=profile([replace(node, provider="CUDAExecutionProvider") for node in took]))
        told = next(cause for cause in causes(other) if "no integer" in cause.what)
        assert "none of its products" not in told.what, name


def test_a_row_without_a_profile_is_told_that_it_is_launch_bound() -> None:
    record = on_cuda("all", "CUDAExecutionProvider")
    subjects = [
        replace(subject, profile={"reason": "no profile"}, device_ms=[0.4, 0.4], enqueue_share=[0.9, 0.95])
        for subject in record.subjects
    ]
    report = analyse(replace(record, subjects=subjects))
    found = next(variant for variant in report.variants if variant.name == "fast").results[0].explanation
    assert found is not None
    assert found.reason == "no profile"
    assert [cause.what.split(":")[0] for cause in found.causes] == ["launch-bound"]


def test_half_precision_on_a_cpu_is_told_from_its_casts() -> None:
    found = profile(nodes(("Conv", 0.7), ("Cast", 0.2), ("Cast", 0.1)))
    (cause,) = causes(evidence(found, stage("convert", "ConvertFp16"), macs_by_type={"fp16": 1}))
    assert cause.what.startswith("30 % of a call goes into 2 Cast: ONNX Runtime has few float16 kernels on the CPU")


def test_a_small_model_is_told_from_what_passes_beside_its_operators() -> None:
    (cause,) = causes(evidence(profile(nodes(("Conv", 0.01)), between_ms=0.01), reference=PLAIN))
    assert cause.what == "the model is small: 50 % of a call passes beside its only operator"
    assert str(cause.change) == "batch_sizes=[1,8]"


def test_channels_that_do_not_fill_a_vector_are_counted_for_pruned_models_only() -> None:
    found = profile(nodes(("Conv", 1.0)), channels=[16, 13, 24])
    (cause,) = causes(evidence(found, stage("prune", "Prune"), isa=AVX2))
    assert cause.what.startswith("1 of 3 convolutions have a number of channels that is no multiple of 8")
    assert str(cause.change) == "variants.mine.stages.prune.round_to=8"
    assert causes(evidence(found, isa=AVX2)) == []


def test_a_memory_bound_row_is_told_so() -> None:
    limits = Limits(
        macs_per_s=1e9,
        compute_share=0.1,
        compute_peak="fp32",
        bytes_per_s=8e9,
        memory_share=0.8,
        intensity=1.0,
        balance=3.0,
        verdict="memory-bound",
        reason=None,
    )
    (cause,) = causes(evidence(profile(nodes(("Conv", 1.0))), limits=limits))
    assert "80 % of the rate of a plain copy" in cause.what


def test_the_same_operators_mean_that_the_runtime_does_it_by_itself() -> None:
    (cause,) = causes(evidence(PLAIN))
    assert cause.what.startswith("the same 3 operators run as in the reference")


def test_the_same_model_on_another_target_has_the_same_operators_and_that_is_no_cause() -> None:
    assert causes(evidence(PLAIN, same_model=True)) == []


def test_the_same_operators_in_another_precision_are_another_work() -> None:
    faster = profile([replace(node, kernel="brgconv_avx512_amx_BF16") for node in PLAIN.nodes])
    assert causes(evidence(faster, backend="openvino")) == []


def test_a_reference_of_another_runtime_leaves_its_column_empty() -> None:
    found = explain(evidence(profile(nodes(("Convolution", 0.9), ("Reorder", 0.2))), reference=None))
    assert [(entry.op, entry.ms, entry.reference_ms) for entry in found.operators] == [
        ("Convolution", 0.9, None),
        ("Reorder", 0.2, None),
    ]
    assert [node.reference_ms for node in found.nodes] == [None, None]
    assert found.reference_between_ms is None
    assert [cause.what for cause in found.causes] == [
        "18 % of a call lays tensors out anew between operators: 1 Reorder"
    ]


def test_products_that_openvino_left_in_float_are_told_from_its_kernels() -> None:
    found = profile(nodes(("Convolution", 0.5, "int8"), ("FullyConnected", 0.5, "float")))
    (cause,) = causes(evidence(found, stage("quantize", "QuantizeStatic"), backend="openvino"))
    assert cause.what == "50 % of a call is products that still run in fp32: 1 FullyConnected"


def test_tensors_laid_out_anew_are_told() -> None:
    found = profile(nodes(("Conv", 0.7), ("ReorderInput", 0.2), ("Transpose", 0.1)))
    (cause,) = causes(evidence(found))
    assert cause.what == "30 % of a call lays tensors out anew between operators: 1 ReorderInput, 1 Transpose"


def test_kernels_that_turn_tensors_on_a_card_are_told_and_channels_last_is_proposed() -> None:
    """ResNet-50 as a CUDA graph on an H200: 54 such kernels took 9 % of a call, and no cause was told."""
    turning = nodes(("cudnn::engines_precompiled::nchwToNhwcKernel", 0.1), ("cudnn::ops::nhwcToNchwKernel<f>", 0.1))
    found = profile([*nodes(("cutlass::Kernel2", 0.8)), *turning])
    row = replace(evidence(found, device="cuda", backend="torch", reference=None), target="torch_cuda_graph")
    row = replace(row, profile=profile([replace(node, provider="cuda") for node in found.nodes]))
    (cause,) = causes(row)
    assert cause.what.startswith("20 % of a call lays tensors out anew between operators: 1 cudnn::")
    assert str(cause.change) == "target.torch_cuda_graph.session.channels_last=true"
    (cause,) = causes(replace(row, session={"channels_last": True}))
    assert cause.change is None


def test_the_largest_share_comes_first_and_what_has_none_last() -> None:
    found = profile(nodes(("ConvInteger", 0.6), ("DynamicQuantizeLinear", 0.3), ("MatMulInteger", 0.1)))
    shares = [
        cause.share for cause in causes(evidence(found, stage("q", "QuantizeDynamic"), isa=AVX2, macs_by_type=INT8))
    ]
    assert shares == [pytest.approx(0.6), pytest.approx(0.3), None]


def test_operators_and_nodes_are_held_against_the_reference() -> None:
    found = explain(evidence(profile(nodes(("Conv", 0.9), ("Relu", 0.4)), between_ms=0.2)))
    assert [(entry.op, entry.nodes) for entry in found.operators] == [("Relu", 1), ("Gemm", 0), ("Conv", 1)]
    assert (found.nodes[0].name, found.nodes[0].reference_ms) == ("relu_1", None)
    assert (found.nodes[1].name, found.nodes[1].reference_ms) == ("conv_0", 0.8)
    assert found.between_ms == pytest.approx(0.2)
    assert found.reference_between_ms == 0.0
    assert found.providers == {"CPUExecutionProvider": 2}


def test_every_cause_is_silent_about_a_row_that_is_sound() -> None:
    sound = evidence(profile(nodes(("QLinearConv", 1.0, "uint8"))), stage("q", "QuantizeStatic"))
    assert [cause for find in CAUSES for cause in find(sound)] == []


def recorded(explain_which: str, **profiles: Any) -> Record:
    record = make_record(
        Made(name="slow", times_as_fast=0.5),
        Made(name="fast", times_as_fast=2.0),
        measure=MeasureSettings(explain=explain_which),  # type: ignore[arg-type]
    )
    plain = {"calls": 9, "call_ms": 1.0, "nodes": [], "channels": []}
    subjects = [replace(subject, profile=profiles.get(subject.variant, plain)) for subject in record.subjects]
    return replace(record, subjects=subjects)


@pytest.mark.parametrize(("which", "expected"), [("not_faster", {"slow"}), ("all", {"slow", "fast"}), ("none", set())])
def test_what_is_explained_is_for_the_user_to_say(which: str, expected: set[str]) -> None:
    report = analyse(recorded(which))
    assert {variant.name for variant in report.variants for row in variant.results if row.explanation} == expected


def on_cuda(explain_which: str, *providers: str) -> Record:
    """Every row ran an operator on each of these providers."""
    record = make_record(
        Made(name="fast", times_as_fast=2.0),
        targets={"ort_cuda": "cuda"},
        measure=MeasureSettings(explain=explain_which),  # type: ignore[arg-type]
    )
    ran = [
        {"name": f"conv_{number}", "op": "QLinearConv", "provider": provider, "type": "uint8", "ms": 0.5}
        for number, provider in enumerate(providers)
    ]
    plain = {"calls": 9, "call_ms": 1.0, "nodes": ran, "channels": []}
    return replace(record, subjects=[replace(subject, profile=plain) for subject in record.subjects])


def test_a_row_whose_operators_fell_back_is_told_so_however_fast_it_is() -> None:
    report = analyse(on_cuda("not_faster", "CUDAExecutionProvider", "CPUExecutionProvider"))
    for variant in report.variants:
        explanation = variant.results[0].explanation
        assert explanation is not None, "the reference itself, too"
        assert explanation.providers == {"CUDAExecutionProvider": 1, "CPUExecutionProvider": 1}
        assert "1 operator ran on the CPU (1 QLinearConv)" in explanation.causes[0].what


def test_a_fast_row_that_stayed_on_its_device_needs_no_word() -> None:
    report = analyse(on_cuda("not_faster", "CUDAExecutionProvider", "CUDAExecutionProvider"))
    assert [variant.results[0].explanation for variant in report.variants] == [None, None]
    silent = analyse(on_cuda("none", "CUDAExecutionProvider", "CPUExecutionProvider"))
    assert [variant.results[0].explanation for variant in silent.variants] == [None, None]


def test_a_profile_that_could_not_be_taken_is_a_reason() -> None:
    report = analyse(recorded("not_faster", slow={"reason": "its process ended"}))
    slow = next(variant for variant in report.variants if variant.name == "slow").results[0]
    assert slow.explanation is not None
    assert slow.explanation.reason == "its process ended"


def test_a_reference_without_a_profile_leaves_the_rows_own() -> None:
    report = analyse(recorded("not_faster", baseline={"reason": "its process ended"}))
    slow = next(variant for variant in report.variants if variant.name == "slow").results[0]
    assert slow.explanation is not None
    assert (slow.explanation.reason, slow.explanation.reference_between_ms) == (None, None)


def test_a_change_that_could_not_be_carried_out_is_proposed_no_more() -> None:
    node = {"name": "conv", "op": "Conv", "provider": "CPUExecutionProvider", "type": "float", "ms": 0.5}
    before = recorded("not_faster", slow={"calls": 9, "call_ms": 2.0, "nodes": [node], "channels": []})
    outcome = Outcome(variant=None, against="baseline", value=None, low=None, high=None, reason="InvalidArgument: no")
    trials = [Trial(subject="slow@ort_cpu/1", change="batch_sizes=[1,8]", outcome=outcome)]
    report = analyse(replace(before, trials=trials))
    slow = next(variant for variant in report.variants if variant.name == "slow").results[0]
    assert slow.explanation is not None
    assert [(cause.change, cause.outcome) for cause in slow.explanation.causes] == [(None, None)]


@pytest.mark.parametrize(("target", "proposed"), [("gpu", "target.gpu.session.cuda_graph=true"), ("gpu+", None)])
def test_a_change_that_can_not_be_typed_is_not_proposed(target: str, proposed: str | None) -> None:
    record = make_record(
        Made(name="slow", times_as_fast=0.5), targets={target: "cuda"}, measure=MeasureSettings(explain="not_faster")
    )
    plain = {"calls": 9, "call_ms": 1.0, "nodes": [], "channels": []}
    subjects = [
        replace(subject, profile=plain, device_ms=[0.4, 0.4], enqueue_share=[0.9, 0.95]) for subject in record.subjects
    ]
    report = analyse(replace(record, subjects=subjects))
    found = next(variant for variant in report.variants if variant.name == "slow").results[0].explanation
    assert found is not None
    bound = next(cause for cause in found.causes if cause.what.startswith("launch-bound"))
    assert (bound.change if proposed is None else str(bound.change)) == proposed


def test_what_was_tried_stands_beside_the_change_and_changes_nothing_else() -> None:
    node = {"name": "conv", "op": "Conv", "provider": "CPUExecutionProvider", "type": "float", "ms": 0.5}
    profiled = {"calls": 9, "call_ms": 2.0, "nodes": [node], "channels": []}
    before = recorded("not_faster", slow=profiled)
    outcome = Outcome(variant=None, against="baseline at batch 8", value=1.5, low=1.4, high=1.6)
    trials = [Trial(subject="slow@ort_cpu/1", change="batch_sizes=[1,8]", outcome=outcome)]
    without, found = analyse(before), analyse(replace(before, trials=trials))
    slow = next(variant for variant in found.variants if variant.name == "slow").results[0]
    assert slow.explanation is not None
    assert [(str(cause.change), cause.outcome) for cause in slow.explanation.causes] == [("batch_sizes=[1,8]", outcome)]
    assert (found.recommendation, found.summary) == (without.recommendation, without.summary)


def test_a_record_without_profiles_has_no_explanations() -> None:
    report = analyse(make_record(Made(name="slow", times_as_fast=0.5)))
    assert all(row.explanation is None for variant in report.variants for row in variant.results)
