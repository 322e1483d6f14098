"""A report such as a real run gives, built from figures that need no measuring."""

from __future__ import annotations

import io
import math
from dataclasses import replace

from rich.console import Console

from pipeline.plan import Constraints, MeasureSettings
from pipeline.report import print_report
from pipeline.report.charts.figures import Drawing
from pipeline.report.formats.html import html_text
from pipeline.report.sections.section import Table
from pipeline.results import numbers
from pipeline.results.figures import Accuracy, DeviceTime, Latency, Limits, Reference, Speedup, SpeedVerdict
from pipeline.results.flips import Confusion, Flip, Flips
from pipeline.results.header import Machine, Peaks, TargetRecord
from pipeline.results.intervals import AccuracyVerdict, Quantile
from pipeline.results.record import Energy, StageRecord
from pipeline.results.report import Noise, Recommendation, Report, Result, VariantResult

DIGEST = "3f" * 32
NO_CUDA = "CUDA execution provider is not available: install slimline[gpu]"


def printed(report: Report, width: int = 120) -> str:
    """What the terminal shows."""
    file = io.StringIO()
    print_report(report, Console(file=file, width=width))
    return file.getvalue()


def page_of(report: Report) -> str:
    """The page without its charts, which take seconds to draw."""
    return html_text(report, Drawing(figures=[]))


def plain(table: Table) -> list[list[str]]:
    """A table's rows, a text a cell."""
    return [[" / ".join(cell) if cell else numbers.NONE for cell in row.cells] for row in table.rows]


def latency(p50: float) -> Latency:
    """A skewed distribution around a median."""
    steps = [p50 * (0.97 + 0.03 * math.exp(0.028 * step)) for step in range(1, 100)]
    return Latency(
        p50=Quantile(value=p50, low=p50 * 0.992, high=p50 * 1.009),
        p90=Quantile(value=steps[89], low=steps[87], high=steps[92]),
        p99=Quantile(value=steps[98]),
        mean=p50 * 1.05,
        calls=8124,
        distribution_ms=steps,
    )


def accuracy(value: float, delta: float | None = None, verdict: AccuracyVerdict | None = None) -> Accuracy:
    """An accuracy on 10,000 examples."""
    known = delta is not None
    return Accuracy(
        metric="accuracy",
        value=value,
        low=value - 0.0049,
        high=value + 0.0046,
        n=10000,
        delta=delta,
        delta_low=delta - 0.0018 if delta is not None else None,
        delta_high=delta + 0.0017 if delta is not None else None,
        flips=112 if known else None,
        p=0.31 if known else None,
        margin=0.0094 if known else None,
        verdict=verdict,
        n_to_decide=42000 if verdict == "UNDECIDED" else None,
    )


def speedup(value: float, verdict: SpeedVerdict, reference: Reference, half_width: float = 0.014) -> Speedup:
    """A speed-up with an interval that is even on the logarithmic scale."""
    return Speedup(
        reference=reference,
        value=value,
        low=value * math.exp(-half_width),
        high=value * math.exp(half_width),
        p=0.0004,
        verdict=verdict,
        blocks=320,
        rounds=7,
        blocks_to_settle=540 if verdict == "INCONCLUSIVE" else None,
        minimum_detectable_effect=math.expm1(1.4 * half_width),
    )


def result(
    p50: float,
    *,
    found: Accuracy | None,
    speed: Speedup | None = None,
    target: str = "ort_cpu",
    batch_size: int = 1,
    pareto: bool = False,
) -> Result:
    """A measured row."""
    return Result(
        target=target,
        device="cpu",
        batch_size=batch_size,
        status="ok",
        reason=None,
        load_ms=41.3,
        first_inference_ms=3.7,
        peak_memory_bytes=96_400_000,
        peak_device_memory_bytes=612_000_000,
        accuracy=found,
        latency_ms=latency(p50),
        device_ms=DeviceTime(value=0.7 * p50, low=0.69 * p50, high=0.71 * p50, enqueue_share=0.9, launch_bound=True),
        throughput=1000 * batch_size / p50,
        speedup=speed,
        energy=Energy(joules_per_inference=0.0123, watts=31.2, seconds=5.0, calls=2031, source="RAPL, whole package"),
        pareto=pareto,
        limits=limits(),
    )


def limits() -> Limits:
    """Half of what the processor can do, and far from what its memory can."""
    return Limits(
        macs_per_s=30e9,
        compute_share=0.5,
        compute_peak="fp32",
        bytes_per_s=1.5e9,
        memory_share=0.075,
        intensity=20.0,
        balance=3.0,
        verdict="compute-bound",
        reason=None,
    )


def skipped(target: str = "ort_cuda", batch_size: int = 1, reason: str = NO_CUDA) -> Result:
    """A row that does not apply here."""
    return Result(target=target, device="cuda", batch_size=batch_size, status="skipped", reason=reason)


def stage(name: str, kind: str, **fields: object) -> StageRecord:
    """One stage's record."""
    return StageRecord(
        name=name,
        kind=kind,
        fields=dict(fields),
        key="ab" * 32,
        digest=DIGEST,
        seconds=2.41,
        reused=name == "export",
        notes={"drift": {"sqnr_db": 31.2, "cosine": 0.9993, "max_abs": 0.41, "worst_example": 812}},
    )


def variant(name: str, results: list[Result], *, size_bytes: int = 312_000) -> VariantResult:
    """A variant that was built."""
    return VariantResult(
        name=name,
        status="ok",
        reason=None,
        stages=[
            stage("export", "Export", opset=20, exporter="dynamo"),
            stage("quantize", "QuantizeStatic", calibration="minmax", per_channel=True, ignored=[]),
        ],
        format="onnx",
        digest=DIGEST,
        size_bytes=size_bytes,
        parameters=78_042,
        macs=12_300_000,
        results=results,
        weight_bytes=270_000,
        activation_bytes=345_000,
        model_sha256="5c" * 32,
    )


def failed(name: str, reason: str) -> VariantResult:
    """A variant whose stage failed, with the rows that it would have had."""
    row = Result(target="ort_cpu", device="cpu", batch_size=1, status="failed", reason=reason)
    return VariantResult(
        name=name,
        status="failed",
        reason=reason,
        stages=[stage("prune", "Prune", pruning_ratio=0.5)],
        format=None,
        digest=None,
        size_bytes=None,
        parameters=None,
        macs=None,
        results=[row],
    )


def peaks() -> Peaks:
    """What a core of the machine can do at best."""
    return Peaks(
        device="cpu",
        threads=1,
        fp32_macs_per_s=60e9,
        int8_macs_per_s=240e9,
        int8_types="u8s8",
        bytes_per_s=20e9,
    )


def noise(*, noisy: bool = False) -> Noise:
    """The checks of a run on one device."""
    return Noise(
        noisy=noisy,
        reasons=["baseline@ort_cpu/1 differs from its clone by 2.1 % [1.3, 2.9]"] if noisy else [],
        clones=[{"reference": "baseline@ort_cpu/1", "ratio": 1.002, "low": 0.996, "high": 1.008}],
        telemetry={"blocks": 320, "dropped": 0, "steal_share": 0.004, "run_delay_share": 0.013, "load": 1.1},
        rounds=10,
        blocks=320,
        stopped="width",
        seconds=71.4,
        timed_share=0.61,
    )


def report(
    variants: list[VariantResult], *, recommendation: Recommendation | None = None, noisy: bool = False
) -> Report:
    """A report on these variants."""
    return Report(
        command="python -m pipeline target=[ort_cpu,ort_cuda]",
        created="2026-03-01T10:22:31+00:00",
        model="fashion_resnet",
        data="fashion_mnist",
        seed=0,
        machine=Machine(
            cpu="Intel Xeon Processor (Sapphire Rapids)",
            isa=["avx2", "avx512_vnni", "amx_int8"],
            cores=2,
            gpu=[],
            memory_bytes=8_300_000_000,
            os="Linux 6.1 x86_64",
            libraries={"onnx": "1.23.0", "onnxruntime": "1.32.0", "torch": "2.13.0+cpu"},
        ),
        constraints=Constraints(max_size_mb=1.0),
        measure=MeasureSettings(),
        targets={"ort_cpu": TargetRecord(backend="onnxruntime", device="cpu")},
        summary="static_int8 is 1.86 times as fast as the baseline on ort_cpu at batch 1, with no meaningful drop.",
        recommendation=recommendation,
        why_none=None if recommendation is not None else "no variant was faster within the allowed drop",
        noise=noise(noisy=noisy),
        variants=variants,
        peaks={"ort_cpu": peaks()},
    )


def typical() -> Report:
    """Six variants on a CPU target; the CUDA rows are skipped, and one variant failed."""
    reference = Reference(variant="baseline", target="ort_cpu", batch_size=1)
    base = 0.9385
    variants = [
        variant("baseline", [result(0.412, found=accuracy(base), pareto=True), skipped()], size_bytes=785_000),
        variant(
            "dynamic_int8",
            [
                result(
                    1.31,
                    found=accuracy(base - 0.0001, -0.0001, "UNDECIDED"),
                    speed=speedup(0.315, "SLOWER", reference),
                ),
                skipped(),
            ],
        ),
        variant(
            "static_int8",
            [
                result(
                    0.221,
                    found=accuracy(base - 0.0012, -0.0012, "NO MEANINGFUL DROP"),
                    speed=speedup(1.864, "FASTER", reference),
                    pareto=True,
                ),
                skipped(),
            ],
        ),
        variant(
            "pruned",
            [
                result(
                    0.268,
                    found=accuracy(base - 0.0045, -0.0045, "SMALL REAL DROP"),
                    speed=speedup(1.537, "FASTER", reference),
                ),
                skipped(),
            ],
        ),
        variant(
            "pruned_int8",
            [
                result(
                    0.181,
                    found=accuracy(base - 0.0131, -0.0131, "FAILS MARGIN"),
                    speed=speedup(2.276, "FASTER", reference, half_width=0.03),
                    pareto=True,
                ),
                skipped(),
            ],
        ),
        failed("distilled", "stage 'prune': pruning_ratio 0.5 leaves layer 'head' without channels"),
    ]
    why = "the fastest of the variants whose accuracy keeps within the allowed drop"
    chosen = Recommendation(
        variant="static_int8",
        target="ort_cpu",
        batch_size=1,
        why=why,
        next_best="pruned_int8 is faster, but its accuracy falls below the margin",
    )
    return report(variants, recommendation=chosen)


def unlabelled() -> Report:
    """Data without labels: agreement with the baseline in place of accuracy, and none for the baseline itself."""
    reference = Reference(variant="baseline", target="ort_cpu", batch_size=1)
    agreement = replace(accuracy(0.981, -0.019, "FAILS MARGIN"), metric="agreement", against="baseline")
    row = result(0.22, found=agreement, speed=speedup(1.86, "FASTER", reference))
    return report([variant("baseline", [result(0.41, found=None)]), variant("static_int8", [row])])


def unbounded() -> Report:
    """A run that was stopped after its first round: no interval over rounds."""
    reference = Reference(variant="baseline", target="ort_cpu", batch_size=1)
    speed = replace(speedup(1.3, "INCONCLUSIVE", reference), low=0.0, high=math.inf, blocks_to_settle=None)
    row = result(0.31, found=None, speed=speed)
    return report([variant("baseline", [result(0.41, found=None)]), variant("static_int8", [row])])


def flipped(*places: int) -> Report:
    """A report that names these examples as flipped."""
    flips = [Flip(example=place, label="cat", before="cat", after="dog", before_sure=0.61) for place in places]
    row = Flips(
        variant="static_int8",
        target="ort_cpu",
        gained=0,
        lost=len(flips),
        wrong_in_both=0,
        classes=[],
        confusions=[Confusion(label="cat", before="cat", after="dog", count=len(flips))],
        examples=flips,
    )
    return replace(typical(), flips=[row])
