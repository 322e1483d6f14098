"""Chains and targets are judged by the search's own rules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.inspection.inspection import Chain
from pipeline.inspection.verdicts import chains, runtimes
from pipeline.plan import Target
from pipeline.search.facts import Facts
from pipeline.search.rules import left_out
from pipeline.search.space import plain_candidate
from pipeline.stages.optimize_graph import OptimizeGraph
from pipeline.stages.quantize_dynamic import QuantizeDynamic
from pipeline.stages.quantize_static import QuantizeStatic
from tests.example import plan
from tests.search.test_rules import FACTS, NETWORK

CUDA = Target(name="ort_cuda", backend=OnnxRuntime(), device="cuda")
NO_CARD = {"ort_cuda": "there is no card"}
STAGES: dict[str, Any] = {
    "baseline": {},
    "static": {"quantize": QuantizeStatic()},
    "dynamic": {"quantize": QuantizeDynamic()},
    "optimized": {"optimize": OptimizeGraph()},
}


def judged(folder: Path, facts: Facts) -> dict[str, Chain]:
    chosen = plan(folder, STAGES)
    both = replace(chosen, targets={**chosen.targets, "ort_cuda": CUDA})
    return {chain.name: chain for chain in chains(both, facts, {"static": "It quantizes."})}


ONNX = replace(FACTS, source="onnx", graph=NETWORK, unavailable=NO_CARD)


def test_a_chain_is_worth_a_try_on_the_targets_that_no_rule_leaves_out(tmp_path: Path) -> None:
    found = judged(tmp_path, ONNX)["static"]
    assert (found.verdict, found.targets, found.reason) == ("try", ["ort_cpu"], None)
    assert (found.about, found.stages) == ("It quantizes.", ["quantize"])


def test_what_can_not_pay_is_told_with_the_rules_own_words(tmp_path: Path) -> None:
    found = judged(tmp_path, ONNX)["dynamic"]
    chosen = plan(tmp_path, STAGES)
    reason = left_out(plain_candidate(chosen.variants["dynamic"], chosen.targets["ort_cpu"]), ONNX)
    assert (found.verdict, found.targets) == ("cannot pay", [])
    assert found.reason == reason
    assert reason is not None


def test_what_can_not_be_built_is_told_before_what_can_not_pay(tmp_path: Path) -> None:
    found = judged(tmp_path, replace(ONNX, splits={"test": 500}))["static"]
    assert (found.verdict, found.reason) == (
        "cannot",
        "quantize reads calibration examples, and the data has none",
    )


def test_the_reason_is_of_a_target_that_runs_here(tmp_path: Path) -> None:
    assert judged(tmp_path, ONNX)["optimized"].reason == "onnxruntime does the same whenever it loads the model"


def test_a_target_tells_why_it_does_not_run_here(tmp_path: Path) -> None:
    chosen = plan(tmp_path, STAGES)
    both = replace(chosen, targets={**chosen.targets, "ort_cuda": CUDA})
    here, cuda = runtimes(both, ONNX)
    assert (here.name, here.runs, here.reason) == ("ort_cpu", True, None)
    assert (cuda.device, cuda.runs, cuda.reason) == ("cuda", False, "there is no card")
