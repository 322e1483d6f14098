"""Pruning until a target is reached."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from pipeline.artifact import Artifact
from pipeline.artifact.torch_module import WEIGHTS_FILE
from pipeline.errors import Skipped, StageFailed
from pipeline.stages.export import ExportOnnx
from pipeline.stages.prune import Prune
from pipeline.stages.pruning import target
from pipeline.stages.pruning.target import MOST, Search
from tests.stages.models import Workplace, resnet, resnet_spec
from tests.stages.pruning.pruned_models import SPECS, varied


@pytest.fixture
def wide(workplace: Workplace) -> Artifact:
    spec = resnet_spec((16, 32))
    return workplace.torch(resnet(spec), spec, "wide")


@pytest.fixture
def small(workplace: Workplace) -> Artifact:
    """Soon exported."""
    spec = SPECS["plain"]()
    return workplace.torch(varied(spec), spec, "small")


@pytest.fixture
def not_exported(monkeypatch: pytest.MonkeyPatch, small: Artifact) -> None:
    """An export takes three seconds; where the timing is not real, there need be none."""
    monkeypatch.setattr(Search, "_export", lambda search, ratio: small)


def prune(**fields: Any) -> Prune:
    return Prune(pruning_ratio=None, round_to=fields.pop("round_to", 1), **fields)


@pytest.mark.parametrize("goal", ["macs", "parameters"])
@pytest.mark.parametrize("wanted", [0.75, 0.5, 0.2])
def test_the_mildest_ratio_is_taken_that_reaches_a_share(
    workplace: Workplace, wide: Artifact, goal: str, wanted: float
) -> None:
    workplace.build(prune(target={goal: wanted}), wide)
    notes = workplace.notes
    reached = notes[goal]["after"] / notes[goal]["before"]
    assert notes["target"] == {"goal": goal, "wanted": wanted, "reached": pytest.approx(reached)}
    assert wanted - 0.08 < reached <= wanted
    milder = notes["pruning_ratio"] - 0.05
    workplace.build(Prune(pruning_ratio=milder, round_to=1), wide, "milder")
    assert notes[goal]["after"] > wanted * notes[goal]["before"]


def test_a_size_is_that_of_the_weights_on_disk(workplace: Workplace, wide: Artifact) -> None:
    assert (wide.path / WEIGHTS_FILE).stat().st_size > 80_000
    pruned = workplace.build(prune(target={"size_mb": 0.05}), wide)
    assert 42_000 < (pruned.path / WEIGHTS_FILE).stat().st_size <= 50_000
    assert workplace.progress == sorted(workplace.progress)


@pytest.mark.parametrize("scope", ["global", "isomorphic", "macs"])
def test_a_target_is_reached_with_layers_ranked_together(workplace: Workplace, wide: Artifact, scope: Any) -> None:
    workplace.build(prune(target={"macs": 0.5}, scope=scope), wide)
    assert 0.4 < workplace.notes["target"]["reached"] <= 0.5


def test_a_target_below_the_least_is_refused_with_the_least(workplace: Workplace, wide: Artifact) -> None:
    message = r"target macs=0.1 can't be reached: the least is 0\.183 \(round_to and the layers left alone"
    with pytest.raises(StageFailed, match=message):
        workplace.build(prune(target={"macs": 0.1}, round_to=8), wide)


def test_a_target_that_is_reached_already_is_refused(workplace: Workplace, wide: Artifact) -> None:
    with pytest.raises(StageFailed, match=r"target size_mb=4 is reached without pruning: the model has 0\.0\d+"):
        workplace.build(prune(target={"size_mb": 4}), wide)


def test_macs_that_can_not_be_counted_are_refused(workplace: Workplace) -> None:
    spec = SPECS["lstm"]()
    source = workplace.torch(varied(spec), spec)
    with pytest.raises(StageFailed, match=r"MACs of this model can't be counted.*target=\{parameters"):
        workplace.build(prune(target={"macs": 0.5}), source)


@pytest.mark.slow
def test_for_a_latency_the_mildest_candidate_is_taken_that_surely_reaches_it(
    workplace: Workplace, small: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interval's lower end counts: here it is the value itself, and the third candidate's is the first above. The
    one between it and the second is fast enough too."""
    seen: list[list[float]] = []

    def speeds(candidates: Any, reference: Artifact) -> Any:
        shares = [float(name.split()[1]) for name in candidates]
        seen.append(shares)
        given = (1.3, 1.6, 1.8, 1.9, 3.0) if len(seen) == 1 else (1.7,)
        workplace.speeds = dict(zip(candidates, given, strict=True))
        assert all((artifact.onnx_path).is_file() for artifact in (*candidates.values(), reference))
        return original(candidates, reference)

    original = workplace.compare
    monkeypatch.setattr(workplace, "compare", speeds)
    monkeypatch.setattr(target, "ExportOnnx", partial(ExportOnnx, exporter="torchscript"))  # seven exports, and sooner
    workplace.build(prune(target={"latency": 0.6}), small)
    first, between = seen
    assert first == sorted(first, reverse=True)
    assert [share <= 0.6 * step for share, step in zip(first, (1, 0.8, 0.6, 0.4, 0.1), strict=True)] == [True] * 5
    assert first[2] < between[0] < first[1]
    told = workplace.notes["target"]
    assert told["wanted"] == 0.6
    assert (told["reached"], told["low"], told["high"]) == (1 / 1.7, 0.5, 1 / 1.7)
    assert len(told["tried"]) == 6
    ratios = [entry["pruning_ratio"] for entry in told["tried"]]
    assert ratios == sorted(ratios)
    assert told["tried"][2]["pruning_ratio"] == workplace.notes["pruning_ratio"]
    assert ratios[-1] == MOST


@pytest.mark.usefixtures("not_exported")
def test_a_latency_that_nothing_reaches_is_refused_with_the_fastest(workplace: Workplace, small: Artifact) -> None:
    message = r"target latency=0.6 can't be reached: the fastest, with pruning_ratio .*, takes 1.00 \[0.50, 1.00\]"
    with pytest.raises(StageFailed, match=message):
        workplace.build(prune(target={"latency": 0.6}), small)


@pytest.mark.usefixtures("not_exported")
def test_where_nothing_can_be_timed_a_latency_is_skipped(
    workplace: Workplace, small: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(candidates: Any, reference: Artifact) -> Any:
        raise Skipped("nothing here can be timed")

    monkeypatch.setattr(workplace, "compare", nothing)
    with pytest.raises(Skipped, match="nothing here can be timed"):
        workplace.build(prune(target={"latency": 0.6}), small)


def test_only_a_latency_belongs_to_the_machine() -> None:
    assert prune(target={"latency": 0.6}).measures is True
    assert prune(target={"macs": 0.6}).measures is False
    assert Prune().measures is False


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"target": {"macs": 0.5}}, r"exclude each other: .* \(got pruning_ratio 0.5 and target \{'macs': 0.5\}\)"),
        ({"pruning_ratio": None}, r"set one of them, .* \(got pruning_ratio None and target None\)"),
        (
            {"pruning_ratio": None, "target": {"flops": 0.5}},
            r"macs, parameters, size_mb, latency \(got \{'flops'",
        ),
        ({"pruning_ratio": None, "target": {"macs": 0.5, "latency": 0.5}}, "target must name exactly one of"),
        ({"pruning_ratio": None, "target": {}}, "target must name exactly one of"),
        ({"pruning_ratio": None, "target": {"latency": 1.5}}, r"target.latency is a share .* \(got 1.5\)"),
        ({"pruning_ratio": None, "target": {"size_mb": 0}}, r"target.size_mb must be above 0 \(got 0\)"),
    ],
)
def test_a_target_that_makes_no_sense_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Prune(**fields)
