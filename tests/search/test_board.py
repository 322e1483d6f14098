"""Where candidates stand: who is dropped, who is rescued, who is proven."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest

from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.backends.torch import Torch
from pipeline.plan import Stage, Target, Variant
from pipeline.results.change import StageField
from pipeline.results.figures import Accuracy
from pipeline.results.search import Drift, ScreenedSpeed
from pipeline.search.board import Board, Standing, drift_of, examples_to_decide
from pipeline.search.space import Candidate
from pipeline.stages.export import ExportOnnx
from pipeline.stages.finetune import Finetune
from pipeline.stages.prune import Prune
from tests.search.test_building import built

ORT = Target(name="ort", backend=OnnxRuntime())


def standing(
    name: str,
    value: float | None = None,
    delta: float | None = None,
    *,
    decidable: bool = True,
    after: str | None = None,
    when: Literal["drifts", "leads"] = "drifts",
) -> Standing:
    candidate = Candidate(variant=Variant(name=name, stages={}), target=ORT, chain=name, after=after, when=when)
    speed = None if value is None else ScreenedSpeed(value=value, low=0.97 * value, high=1.03 * value, rounds=3)
    drift = None if delta is None else drifting(delta, decidable)
    return Standing(candidate=candidate, speed=speed, drift=drift, judged=drift is not None)


def drifting(delta: float, decidable: bool) -> Drift:
    verdict = "NO MEANINGFUL DROP" if decidable else "UNDECIDED"
    return Drift(
        delta=delta,
        low=delta - 0.02,
        high=delta + 0.02,
        n=200,
        flips=4,
        margin=0.01,
        verdict=verdict,  # type: ignore[arg-type]
        decidable=decidable,
    )


def names(standings: list[Standing]) -> list[str]:
    return [one.candidate.variant.name for one in standings]


def test_the_bar_is_the_fastest_for_sure_that_keeps_the_limit() -> None:
    board = Board(standings=[standing("slow", 1.5, 0.0), standing("wrong", 3.0, -0.005, decidable=False)])
    assert board.overtaken(1.45) == "it has at most 1.45x, and can't reach slow@ort, which has at least 1.46x"
    assert board.overtaken(1.46) is None


def test_without_anything_faster_the_baseline_is_the_bar() -> None:
    assert Board(standings=[standing("alike", 1.0, 0.0)]).overtaken(0.99) == (
        "it has at most 0.99x, and can't reach the baseline"
    )


def test_a_rescue_waits_until_its_chain_is_fast_enough_and_drifts() -> None:
    chain, rescue = standing("int8"), standing("int8-mse", after="int8@ort")
    board = Board(standings=[standing("bf16", 1.8, 0.0), chain, rescue])
    assert names(board.waiting()) == ["int8"]
    chain.speed, chain.drift = standing("", 2.5).speed, drifting(-0.004, decidable=False)
    assert names(board.waiting()) == ["int8-mse"]
    chain.drift = drifting(0.0, decidable=True)
    assert board.waiting() == []
    chain.drift, chain.speed = drifting(-0.2, decidable=False), standing("", 1.2).speed
    board.close("time is up")
    assert (rescue.ending, rescue.reason) == ("not needed", "int8@ort is not fast enough, and this one is not faster")


def test_settings_of_a_session_come_last_and_only_for_the_fastest() -> None:
    slow, fast = standing("slow", 1.2, 0.0), standing("fast")
    polished = [standing(f"{one}-io", after=f"{one}@ort", when="leads") for one in ("slow", "fast")]
    board = Board(standings=[slow, fast, *polished])
    assert names(board.waiting()) == ["fast"]
    fast.speed, fast.drift = standing("", 2.0).speed, drifting(0.0, decidable=True)
    assert names(board.waiting()) == ["fast-io"]
    board.close("time is up")
    assert [one.ending for one in polished] == ["not needed", "no time"]


def test_what_needs_no_building_comes_first() -> None:
    """ViT-Base: an export of 37 s came before the baseline on OpenVINO, which was twice as fast and already there."""
    board = Board(standings=[standing("slow-export"), standing("baseline"), standing("int8")], built={"baseline"})
    assert names(board.waiting()) == ["baseline", "slow-export", "int8"]


def test_a_rescue_of_the_fastest_chain_that_drifts_is_built_before_chains_that_nobody_has_seen() -> None:
    """MiniLM on a processor without VNNI: static_int8 drifted too far at 1.55x, and the chain that mends it came after
    three that were slower than the baseline, when the time was over."""
    chains = [standing("fused", 1.15, 0.0), standing("slower", 1.4, -0.1, decidable=False)]
    chains.append(standing("faster", 1.6, -0.1, decidable=False))
    rescues = [standing(f"{name}-{way}", after=f"{name}@ort") for name in ("slower", "faster") for way in ("a", "b")]
    board = Board(standings=[*chains, standing("there"), standing("unseen"), *rescues], built={"there"})
    assert names(board.waiting()) == ["there", "faster-a", "unseen", "slower-a", "slower-b", "faster-b"]


@pytest.mark.parametrize(
    ("fastest", "speed", "drawn", "first"),
    [
        ("int8", 2.25, False, "int8-exporter"),
        ("int8", 1.0, False, "unseen"),  # it may not be faster at all
        ("int8", 2.25, True, "unseen"),  # a sample, which may have to be trained
        ("baseline", 2.25, False, "unseen"),  # on another runtime
    ],
)
def test_a_choice_of_the_fastest_chain_is_built_before_chains_that_nobody_has_seen(
    fastest: str, speed: float, drawn: bool, first: str
) -> None:
    """ViT-Base: dynamic_int8 is faster still by the older exporter, and a search has time for few of its candidates."""
    change = StageField(variant=fastest, stage="export", field="exporter", value="torchscript")
    other = standing(f"{fastest}-exporter")
    other.candidate, other.drawn = replace(other.candidate, chain=fastest, changes=(change,)), drawn
    waiting = Board(standings=[standing(fastest, speed, 0.0), standing("unseen"), other]).waiting()
    assert (names(waiting)[0], len(waiting)) == (first, 2)


def test_what_is_slow_to_build_comes_behind_what_is_not() -> None:
    """fashion_resnet on a Xeon: a rescue that trained for 213 s came before the pruned chain in int8, which shares the
    training that had ended, and was the fastest of all."""
    pruned: dict[str, Stage] = {"prune": Prune(), "train": Finetune(), "export": ExportOnnx()}
    less: dict[str, Stage] = {**pruned, "prune": Prune(pruning_ratio=0.25)}
    chains = {"pruned-less": less, "pruned-other": less, "int8": {}, "pruned_int8": {**pruned, "quantize": Prune()}}
    waiting = [standing(name, after="pruned@ort" if "-" in name else None) for name in chains]
    for one in waiting:
        stages = chains[one.candidate.variant.name]
        one.candidate = replace(one.candidate, variant=replace(one.candidate.variant, stages=stages))
    board = Board(standings=[standing("pruned", 3.0, -0.005, decidable=False), *waiting], built={"pruned"})
    board.times.learn(Variant(name="pruned", stages=pruned), built(pruned, 7.0, 144.0, 7.0))
    assert names(board.waiting()) == ["int8", "pruned_int8", "pruned-less", "pruned-other"]


def test_a_rescue_that_is_built_soon_does_not_wait_for_one_that_is_slow() -> None:
    training: dict[str, Stage] = {"train": Finetune()}
    fast, faster = standing("fast", 1.5, -0.1, decidable=False), standing("faster", 3.0, -0.1, decidable=False)
    quick, slow = standing("fast-a", after="fast@ort"), standing("faster-a", after="faster@ort")
    slow.candidate = replace(slow.candidate, variant=replace(slow.candidate.variant, stages=training))
    board = Board(standings=[fast, faster, standing("unseen"), slow, quick])
    assert names(board.waiting()) == ["fast-a", "unseen", "faster-a"]


def test_finalists_are_the_fastest_decidable_and_the_fastest_of_all() -> None:
    board = Board(
        standings=[
            standing("first", 1.5, 0.0),
            standing("second", 1.4, 0.0),
            standing("third", 1.3, 0.0),
            standing("likely", 3.0, -0.004, decidable=False),
            standing("lost", 4.0, -0.3, decidable=False),
        ]
    )
    assert names(board.finalists(3)) == ["likely", "first", "second"]
    assert names(board.finalists(1)) == ["likely"]
    assert names(board.finalists(9)) == ["likely", "first", "second", "third"]


@pytest.mark.parametrize(
    ("delta", "low", "needed"), [(0.0, -0.02, 800), (-0.005, -0.025, 3200), (-0.01, -0.03, None), (0.01, 0.0, 50)]
)
def test_how_many_examples_decide(delta: float, low: float, needed: int | None) -> None:
    assert examples_to_decide(delta, low, 0.01, 200) == needed


def test_a_drift_is_decidable_where_the_test_split_is_large_enough() -> None:
    accuracy = Accuracy(
        metric="accuracy",
        value=0.9,
        low=0.85,
        high=0.94,
        n=200,
        delta=0.0,
        delta_low=-0.02,
        delta_high=0.02,
        flips=2,
        p=1.0,
        margin=0.01,
        verdict="UNDECIDED",
    )
    large, small = drift_of(accuracy, 800), drift_of(accuracy, 799)
    assert large is not None
    assert small is not None
    assert (large.decidable, small.decidable, small.needed) == (True, False, 800)


OTHER_EXPORTER = StageField(variant="baseline", stage="export", field="exporter", value="torchscript")


def test_other_values_of_fields_wait_for_chains_as_they_are_and_what_compiles_when_loaded_for_all() -> None:
    compiled = Target(name="compiled", backend=Torch(), session={"compile": True})
    eager = Target(name="eager", backend=Torch())
    candidates = [standing(name).candidate for name in ("baseline", "static_int8")]
    board = Board(
        standings=[Standing(candidate=replace(one, target=on)) for one in candidates for on in (compiled, eager)]
    )
    changed = replace(standing("baseline-exporter-torchscript").candidate, target=eager, changes=(OTHER_EXPORTER,))
    board.standings.insert(0, Standing(candidate=changed))
    board.built.add("baseline")
    waiting = [(one.candidate.variant.name, one.candidate.target.name) for one in board.waiting()]
    assert waiting == [
        ("baseline", "eager"),
        ("static_int8", "eager"),
        ("baseline-exporter-torchscript", "eager"),
        ("baseline", "compiled"),
        ("static_int8", "compiled"),
    ]


def test_what_a_stopped_search_has_seen_is_taken_up_as_it_was() -> None:
    kept, slow = standing("kept", 2.0), standing("slow", 1.1)
    kept.reason = "accuracy is not measured: no row for each example"
    slow.end("slower", "it can't reach the best")
    again = [standing("kept"), standing("slow")]
    for one, before in zip(again, (kept, slow), strict=True):
        one.take_up(before.trial())
    assert [one.trial() for one in again] == [one.trial() for one in (kept, slow)]
    assert [one.looked_at() for one in again] == [True, False]
