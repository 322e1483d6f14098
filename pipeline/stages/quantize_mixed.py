"""Mixed precision: static quantization that leaves in float the layers that cost the accuracy."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.artifact import ONNX_FILE, Artifact, Format
from pipeline.artifact.run import session_at
from pipeline.bounds import Count, ShareBelowOne
from pipeline.data.dataset import SplitName
from pipeline.errors import Skipped, StageFailed, Unchanged
from pipeline.plan import Context, Speed
from pipeline.plan.roles import Role
from pipeline.stages.graphs.library import is_large
from pipeline.stages.quantization.alone import Alone
from pipeline.stages.quantization.calibrated import Calibrated
from pipeline.stages.quantization.sensitivity import Judge, Loss, sensitivities
from pipeline.stages.quantization.simulated import Simulated
from pipeline.stages.quantization.static_graph import share_of
from pipeline.stages.quantize_static import QuantizeStatic

if TYPE_CHECKING:
    import onnx
    import onnxruntime

_MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizeMixed:
    """Quantize as ``static`` says, but for the layers that lose most.

    First each product with weights is quantized by itself, and the layers are ordered by the noise that this gives the
    output. Of the choices to leave the most sensitive 0, 1, 2, 3, 4, 6, 8, 12 ... in float, the first that keeps the
    accuracy is searched for by halves: none in float, then the most, then the middle of what is left. It is timed
    beside the next ones, ``measured`` together: more layers in float may be faster. The fastest that keeps the accuracy
    is written. The test split has no part in it.

    Where examples are few, a single one that flips is a large drop. So a choice also keeps the accuracy where the mean
    probability of what is right falls by no more, unless the examples show for certain that the accuracy falls further.
    """

    max_accuracy_drop: ShareBelowOne = 0.005
    """The largest drop that keeps the accuracy, a fraction, on the validation split."""
    examples: Count = 1000
    """How many examples of the validation split judge, from the first on."""
    measured: Count = 3
    """How many choices are timed: the first that keeps the accuracy, and those with more layers in float."""
    static: QuantizeStatic = field(default_factory=QuantizeStatic)
    """Fields of ``QuantizeStatic``, such as ``{calibration: entropy}``."""

    role: ClassVar[Role] = "precision"
    accepts: ClassVar[frozenset[Format]] = frozenset({"onnx"})
    produces: ClassVar[Format] = "onnx"
    version: ClassVar[int] = 8
    reads: ClassVar[frozenset[SplitName]] = frozenset({"calibration", "validation"})
    libraries: ClassVar[tuple[str, ...]] = QuantizeStatic.libraries
    tolerance: ClassVar[float | None] = None
    measures: ClassVar[bool] = True
    repeats: ClassVar[tuple[str, int]] = (QuantizeStatic.__name__, 6)
    """The halving of some fifty layers. Seen with EfficientNet-Lite0: 27 to 49 s for each choice, and 33 s for
    ``QuantizeStatic``."""
    floor_field: ClassVar[str] = "static.min_sqnr_db"

    def machine_key(self, isa: frozenset[str]) -> Mapping[str, Any]:
        """The part of the cache key that depends on this machine."""
        return self.static.machine_key(isa)

    def __call__(self, source: Artifact, out: Path, context: Context) -> None:
        """Write the fastest choice that keeps the accuracy; raises StageFailed where none does, Unchanged where nothing
        can be quantized."""
        import onnx

        if is_large(source):
            raise Skipped("mixed precision tries many models, and this one is too large for that")
        # How much the whole loses is what the choices are about: no floor yet.
        alone = replace(self.static, compensation="none")
        calibrated = alone.settled(source, out, context.part(0.0, 0.3), floor=None)
        fixed = (*calibrated.choice.excluded, *calibrated.way.kept)
        judge = Judge.of(source, context, self.examples)
        layers = sensitivities(self._one_at_a_time(calibrated, context), judge, context.part(0.3, 0.7).progress)
        context.note("sensitivity", layers)
        if not layers:
            raise Unchanged("no product has constant float weights")
        order = [layer["node"] for layer in layers if layer["node"] not in fixed]
        trials = _Trials(static=self.static, calibrated=calibrated, judge=judge, context=context)
        choices = {choice.name: choice for choice in self._choices(trials, order, context)}
        speeds = _speeds(choices.values(), source, context)
        chosen = self._chosen(choices, speeds, trials)
        context.note("choices", [choice.told(speeds.get(name)) for name, choice in choices.items()])
        context.note("kept_in_float", list(chosen.kept))
        shutil.copytree(chosen.artifact.path, out, dirs_exist_ok=True)
        for name, value in chosen.notes.items():
            context.note(name, value)
        context.note("quantized", share_of(calibrated.model, onnx.load(out / ONNX_FILE)))

    def _one_at_a_time(self, calibrated: Calibrated, context: Context) -> Alone:
        """The model, and the same one quantized in the format of which single layers can be taken."""
        folder = context.work / "alone"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        quiet = replace(context, progress=lambda *_: None)
        quantized = replace(self.static, compensation="none", format="qdq").write(calibrated, (), folder, quiet)

        def session(part: onnx.ModelProto) -> onnxruntime.InferenceSession:
            import onnx

            onnx.save(part, folder / "part.onnx")
            return session_at(folder / "part.onnx", integers=False)

        return Alone(
            model=calibrated.model,
            simulated=Simulated(quantized),
            session=session,
            size=calibrated.ranges.filled or calibrated.ranges.size,
            most_bytes=self.static.max_memory_mb * _MIB,
        )

    def _choices(self, trials: _Trials, order: Sequence[str], context: Context) -> list[_Choice]:
        """The one with most layers quantized that keeps the accuracy, and the next ones after it."""
        counts = list(_ladder(len(order)))
        found, place = self._first_kept(trials, order, counts, context)
        behind = counts[place + 1 : place + self.measured]
        return [found, *(trials.plain(order[:count]) for count in behind)]

    def _first_kept(
        self, trials: _Trials, order: Sequence[str], counts: Sequence[int], context: Context
    ) -> tuple[_Choice, int]:
        """The first choice that keeps the accuracy, and its place; raises StageFailed where none does. All in integers
        comes first, then most in float: what follows lies between them, and is halved."""
        drops: list[float] = []

        def judged(place: int) -> _Choice | None:
            count = counts[place]
            context.progress(0.7 + 0.02 * min(len(drops), 9), f"the {count} most sensitive layers in float")
            choice, loss = trials.judged(order[:count])
            drops.append(loss.least_drop)
            return choice if loss.within(self.max_accuracy_drop) else None

        found, lost, place = judged(0), 0, 0
        if found is None and len(counts) > 1:
            place = len(counts) - 1
            found = judged(place)
        if found is None:
            raise StageFailed(
                f"with the {counts[place]} most sensitive of {len(order)} layers in float, the accuracy on the "
                f"validation split does not stay within {self.max_accuracy_drop:g} (it drops {min(drops):.4f} at "
                f"best): try another {context.override}.static.calibration, or a higher "
                f"{context.override}.max_accuracy_drop"
            )
        while place - lost > 1:
            middle = (lost + place) // 2
            choice = judged(middle)
            if choice is None:
                lost = middle
            else:
                found, place = choice, middle
        return found, place

    def _chosen(self, choices: dict[str, _Choice], speeds: Mapping[str, Speed], trials: _Trials) -> _Choice:
        """The fastest that keeps the accuracy; those that had to be judged for it are judged in ``choices``, too."""
        first = next(iter(choices))
        for name in sorted(choices, key=lambda name: speeds[name].low if name in speeds else 0.0, reverse=True):
            if name == first:
                break
            choices[name], loss = trials.judged(choices[name].kept)
            if loss.within(self.max_accuracy_drop):
                return choices[name]
        return choices[first]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choice:
    kept: Sequence[str]
    """The layers that stay in float."""
    artifact: Artifact
    loss: Loss | None = None
    """None where it was not judged."""
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{len(self.kept)} in float"

    def told(self, speed: Speed | None) -> dict[str, Any]:
        """The choice as it is noted."""
        times = None if speed is None else {"value": speed.value, "low": speed.low, "high": speed.high}
        loss = {name: getattr(self.loss, name, None) for name in ("drop", "expected_drop", "sqnr_db")}
        return {"kept_in_float": len(self.kept), **loss, "times_as_fast": times}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trials:
    """Makes one model after the other, below the stage's work folder."""

    static: QuantizeStatic
    calibrated: Calibrated
    judge: Judge
    context: Context

    def judged(self, kept: Sequence[str]) -> tuple[_Choice, Loss]:
        """The model with all but these nodes quantized, and what it loses."""
        choice = self._made(self.static, kept)
        loss = self.judge(choice.artifact)
        return replace(choice, loss=loss), loss

    def plain(self, kept: Sequence[str]) -> _Choice:
        """The same to be timed only: layers that make up for rounding have other numbers, and take the same time."""
        return self._made(replace(self.static, compensation="none"), kept)

    def _made(self, static: QuantizeStatic, kept: Sequence[str]) -> _Choice:
        folder = self.context.work / f"{len(kept)}-in-float"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        notes: dict[str, Any] = {}
        quiet = replace(self.context, progress=lambda *_: None, note=notes.__setitem__)
        static.write(self.calibrated, kept, folder, quiet)
        return _Choice(kept=kept, artifact=Artifact(path=folder, format="onnx", digest=""), notes=notes)


def _ladder(most: int) -> Iterator[int]:
    """0, 1, 2, 3, 4, 6, 8, 12, 16 ... below ``most``: all in float is no quantization."""
    count = 0
    while count < most:
        yield count
        step = 1 if count < 4 else 2 ** (count.bit_length() - 2)
        count += step


def _speeds(choices: Iterable[_Choice], source: Artifact, context: Context) -> dict[str, Speed]:
    """The speeds; None where there is nothing to choose, or nothing to measure on."""
    artifacts = {choice.name: choice.artifact for choice in choices}
    if len(artifacts) < 2:
        return {}
    context.progress(0.9, "timing the choices that keep the accuracy")
    try:
        return context.compare(artifacts, source)
    except Skipped as error:
        context.note("not_timed", str(error))
        return {}
