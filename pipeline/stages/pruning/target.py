"""Finds the pruning ratio that reaches a target: a number of MACs, parameters or megabytes, or a share of the time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from pipeline.artifact import Artifact
from pipeline.artifact.count import count_module
from pipeline.artifact.torch_module import WEIGHTS_FILE, ModelSpec, save_module, spec_of_pruned
from pipeline.errors import StageFailed
from pipeline.plan import Context, Speed
from pipeline.results import numbers as show
from pipeline.stages.export import ExportOnnx

if TYPE_CHECKING:
    from torch import nn

Goal = Literal["macs", "parameters", "size_mb", "latency"]
MOST = 0.99
"""The largest ratio that is tried; ``round_to`` decides what it leaves of a layer."""
HALVINGS = 7
LATENCY_STEPS = (1.0, 0.8, 0.6, 0.4)
"""Candidates for a latency target have its share of the work, times these: time seldom shrinks more than work does."""
LATENCY_BETWEEN = (0.25, 0.5, 0.75)
"""The places of further candidates, between the last that is too slow and the first that is fast enough."""


def check_target(target: Mapping[str, float]) -> None:
    """Raise ValueError where this is no valid target."""
    goals = get_args(Goal)
    if len(target) != 1 or next(iter(target)) not in goals:
        raise ValueError(f"target must name exactly one of {', '.join(goals)} (got {dict(target)})")
    ((goal, value),) = target.items()
    if goal == "size_mb" and value <= 0:
        raise ValueError(f"target.size_mb must be above 0 (got {value})")
    if goal != "size_mb" and not 0 < value < 1:
        raise ValueError(
            f"target.{goal} is a share of the whole model's and must lie between 0 and 1: 0.5 is half (got {value})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The size of a module."""

    macs: int | None
    parameters: int
    size_mb: float
    """The size of its weights on disk, in millions of bytes."""


@dataclass(slots=True, kw_only=True)
class Search:
    """Finds the mildest pruning ratio that reaches a target. ``make`` gives a fresh copy, pruned by a ratio."""

    make: Callable[[float], nn.Module]
    whole: nn.Module
    spec: ModelSpec
    source: Artifact
    context: Context
    _sizes: dict[float, Sizes] = field(default_factory=dict)
    _trials: int = 0

    def ratio_for(self, target: Mapping[str, float]) -> float:
        """The ratio; raises StageFailed, with the least that can be reached, where the target can't be reached."""
        ((goal, wanted),) = target.items()
        if goal == "latency":
            return self._ratio_for_latency(wanted)
        self._check_countable(goal)
        if self._value(goal, 0.0) <= wanted:
            raise StageFailed(
                f"target {goal}={wanted:g} is reached without pruning: the model has {self._value(goal, 0.0):.3g}"
            )
        least = self._value(goal, MOST)
        if least > wanted:
            raise StageFailed(
                f"target {goal}={wanted:g} can't be reached: the least is {least:.3g} "
                "(round_to and the layers left alone keep the rest)"
            )
        ratio = self._mildest(goal, wanted)
        self.context.note("target", {"goal": goal, "wanted": wanted, "reached": self._value(goal, ratio)})
        return ratio

    def _check_countable(self, goal: str) -> None:
        if goal == "macs" and self._size(0.0).macs is None:
            raise StageFailed("target macs: the MACs of this model can't be counted, as it has recurrent layers; "
                              "set target={parameters: ...} or {latency: ...}")  # fmt: skip

    def _mildest(self, goal: str, wanted: float) -> float:
        """The mildest ratio, by halving between a ratio that is too mild and one that is not."""
        mild, strong = 0.0, MOST
        for _ in range(HALVINGS):
            middle = (mild + strong) / 2
            if self._value(goal, middle) <= wanted:
                strong = middle
            else:
                mild = middle
        return strong

    def _value(self, goal: str, ratio: float) -> float:
        """The value that the target counts: a share of the whole model's, or megabytes."""
        size, whole = self._size(ratio), self._size(0.0)
        if goal == "size_mb":
            return size.size_mb
        if goal == "parameters":
            return size.parameters / whole.parameters
        assert size.macs is not None
        assert whole.macs is not None
        return size.macs / whole.macs

    def _size(self, ratio: float) -> Sizes:
        if ratio not in self._sizes:
            module = self.whole if ratio == 0 else self._pruned(ratio)
            folder = _folder(self.context.work / "size")
            save_module(module, self.spec, folder)
            parameters, macs = count_module(module, self.spec)
            self._sizes[ratio] = Sizes(
                macs=macs,
                parameters=parameters,
                size_mb=(folder / WEIGHTS_FILE).stat().st_size / 1e6,
            )
        return self._sizes[ratio]

    def _pruned(self, ratio: float) -> nn.Module:
        self._trials += 1
        likely = 1 + HALVINGS
        self.context.progress(0.8 * self._trials / (self._trials + likely), f"pruning ratio {ratio:.2f} tried")
        return self.make(ratio)

    def _ratio_for_latency(self, wanted: float) -> float:
        """Candidates with less and less work are timed beside the whole model, in the same rounds; then some between
        the mildest of them that is fast enough and the one before it."""
        goal = "parameters" if self._size(0.0).macs is None else "macs"
        measured: dict[float, Speed] = {}
        whole = self._export(0.0)
        works = [wanted * step for step in LATENCY_STEPS]
        self._time(goal, [*self._ratios(goal, works, measured), MOST], measured, whole)
        reached = self._mildest_of(measured, wanted)
        if reached is not None:
            slower = max((ratio for ratio in measured if ratio < reached), default=0.0)
            from_work, to_work = self._value(goal, slower), self._value(goal, reached)
            works = [from_work + (to_work - from_work) * part for part in LATENCY_BETWEEN]
            self._time(goal, self._ratios(goal, works, measured), measured, whole)
            reached = self._mildest_of(measured, wanted)
        tried = [
            {"pruning_ratio": ratio, goal: self._value(goal, ratio), **_times(measured[ratio])}
            for ratio in sorted(measured)
        ]
        if reached is not None:
            note = {"goal": "latency", "wanted": wanted, **_times(measured[reached]), "tried": tried}
            self.context.note("target", note)
            return reached
        ratio, speed = max(measured.items(), key=lambda entry: entry[1].value)
        share = _times(speed)
        raise StageFailed(
            f"target latency={wanted:g} can't be reached: the fastest, with pruning_ratio {ratio:.2f}, takes "
            f"{show.number(share['reached'], 2)} {show.interval(share['low'], share['high'], 2)} of the time"
        )

    def _mildest_of(self, measured: Mapping[float, Speed], wanted: float) -> float | None:
        return min((ratio for ratio, speed in measured.items() if speed.low >= 1 / wanted), default=None)

    def _ratios(self, goal: str, works: Sequence[float], measured: Mapping[float, Speed]) -> list[float]:
        """The mildest ratios that leave so much work, without those whose models are known or too small to be had."""
        seen = {self._size(ratio) for ratio in (0.0, MOST, *measured)}
        ratios = []
        for work in works:
            if self._value(goal, MOST) < work:
                ratio = self._mildest(goal, work)
                if self._size(ratio) not in seen:
                    seen.add(self._size(ratio))
                    ratios.append(ratio)
        return ratios

    def _time(self, goal: str, ratios: Sequence[float], measured: dict[float, Speed], whole: Artifact) -> None:
        if not ratios:
            return
        artifacts = {f"{goal} {self._value(goal, ratio):.3f}": self._export(ratio) for ratio in ratios}
        self.context.progress(0.9, f"timing {len(ratios)} candidates")
        speeds = self.context.compare(artifacts, whole)
        measured.update(zip(ratios, (speeds[name] for name in artifacts), strict=True))

    def _export(self, ratio: float) -> Artifact:
        quiet = replace(self.context, note=lambda fact, value: None, progress=lambda done, text: None)
        source = self.source
        if ratio:
            module, folder = self._pruned(ratio), _folder(self.context.work / f"torch-{ratio:.4f}")
            save_module(module, spec_of_pruned(module, self.spec), folder)
            source = Artifact(path=folder, format="torch", digest="")
        out = _folder(self.context.work / f"onnx-{ratio:.4f}")
        ExportOnnx()(source, out, quiet)
        return Artifact(path=out, format="onnx", digest="")


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _times(speed: Speed) -> dict[str, Any]:
    """The share of the whole model's time, with its interval."""
    return {"reached": 1 / speed.value, "low": 1 / speed.high, "high": 1 / speed.low}
