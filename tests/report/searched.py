"""A report of a run with a search, built from figures that need no measuring."""

from __future__ import annotations

from dataclasses import replace

from pipeline.results.answers import Answer
from pipeline.results.figures import Reference
from pipeline.results.intervals import Ratio
from pipeline.results.report import Recommendation, Report
from pipeline.results.search import LeftOut, SearchFindings, SearchTrial
from tests.analyse.searched import drift, trial
from tests.report import example

REFERENCE = Reference(variant="baseline", target="ort_cpu", batch_size=1)
SLOWER = "it has at most 1.32x, and can't reach static_int8@openvino_cpu_bf16, which has at least 2.10x"


def trials() -> list[SearchTrial]:
    """A trial for each ending."""
    kept = drift(-0.001)
    return [
        trial("bf16", "openvino_cpu_bf16", 1.98, "finalist", found=kept, build_s=0.4, look_s=4.2),
        trial("static_int8", "openvino_cpu_bf16", 2.31, "finalist", found=drift(-0.004), build_s=31.0, look_s=5.1),
        trial("static_int8-symmetric-true", "openvino_cpu_bf16", 2.26, found=drift(-0.0043), build_s=28.1, look_s=4.9),
        trial("fused", "ort_cpu", 1.26, "slower", reason=SLOWER, build_s=3.1, look_s=2.0),
        trial(
            "quantize_4bit", "ort_cpu", 2.9, "drifts", found=drift(-0.06), reason="it drops by 6 points", build_s=2.1
        ),
        trial("nncf", "openvino_cpu", None, "failed", reason="stage 'quantize': no such operation", build_s=12.0),
        trial("mixed", "ort_cpu", None, "not needed", reason="static_int8@ort_cpu keeps the accuracy already"),
        trial("low_rank", "torch_cpu_compile", None, "no time", reason="the budget ended"),
    ]


def findings() -> SearchFindings:
    """A search of eight candidates; rules left out twelve."""
    return SearchFindings(
        budget_s=600.0,
        rules=True,
        trials=trials(),
        left_out=[
            LeftOut(variant=f"dynamic_{number}", target="ort_cpu", reason="dynamic int8 of convolutions is slower")
            for number in range(11)
        ]
        + [LeftOut(variant="fp16", target="ort_cpu", reason="the processor computes fp16 in fp32")],
        first_answer_s=71.0,
        building_s=76.7,
        timing_s=21.3,
        judging_s=18.9,
        seconds=124.0,
    )


def answers() -> list[Answer]:
    """The fastest, and one that is likely."""
    return [
        Answer(
            kind="fastest",
            variant="bf16",
            target="openvino_cpu_bf16",
            batch_size=1,
            speedup=Ratio(value=1.98, low=1.95, high=2.01),
            sentence="bf16 on openvino_cpu_bf16 is 1.98x [1.95, 2.01], with no meaningful drop of accuracy.",
        ),
        Answer(
            kind="likely",
            variant="static_int8",
            target="openvino_cpu_bf16",
            batch_size=1,
            speedup=Ratio(value=2.31, low=2.28, high=2.34),
            sentence="static_int8 on openvino_cpu_bf16 would be 2.31x [2.28, 2.34]; about 400 more labelled examples "
            "would decide.",
            examples=400,
        ),
    ]


def report() -> Report:
    """The proof of two finalists on one target, beside the baseline on another."""
    base = 0.9385
    rows = [
        example.variant("baseline", [example.result(0.412, found=example.accuracy(base), pareto=True)]),
        example.variant(
            "bf16",
            [
                example.result(
                    0.208,
                    found=example.accuracy(base - 0.0002, -0.0002, "NO MEANINGFUL DROP"),
                    speed=example.speedup(1.98, "FASTER", REFERENCE),
                    target="openvino_cpu_bf16",
                    pareto=True,
                )
            ],
        ),
        example.variant(
            "static_int8",
            [
                example.result(
                    0.178,
                    found=example.accuracy(base - 0.0081, -0.0081, "UNDECIDED"),
                    speed=example.speedup(2.31, "FASTER", REFERENCE),
                    target="openvino_cpu_bf16",
                    pareto=True,
                )
            ],
        ),
    ]
    chosen = Recommendation(
        variant="bf16", target="openvino_cpu_bf16", batch_size=1, why="the fastest that is proven", next_best=None
    )
    return replace(example.report(rows, recommendation=chosen), search=findings(), answers=answers())
