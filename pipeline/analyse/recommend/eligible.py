"""The reasons why a row may not be recommended."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.analyse import phrases
from pipeline.plan import BASELINE, Constraints
from pipeline.results import numbers as show
from pipeline.results.figures import Accuracy, Reference
from pipeline.results.report import Result

_BYTES_PER_MB = 1e6
KEEPS_MARGIN = frozenset({"EQUAL", "IMPROVED", "NO MEANINGFUL DROP", "SMALL REAL DROP"})
"""The verdicts whose interval of the difference lies above the margin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A measured row with what its variant adds."""

    variant: str
    size_bytes: int | None
    result: Result
    lossy_stages: int = 0
    """How many stages of the chain may give another output than their source's."""
    stages: int = 0

    @property
    def reference(self) -> Reference:
        """The row's own name."""
        return Reference(variant=self.variant, target=self.result.target, batch_size=self.result.batch_size)

    @property
    def name(self) -> str:
        """The row's name in words, such as ``static_int8 on ort_cpu at batch size 1``."""
        return row_name(self.reference)

    @property
    def sure_speedup(self) -> float:
        """The lower end of the speed-up's interval; 1 where the row is the reference itself."""
        return 1.0 if self.result.speedup is None else self.result.speedup.low

    @property
    def possible_speedup(self) -> float:
        """The upper end of the interval; 1 where the row is the reference itself."""
        return 1.0 if self.result.speedup is None else self.result.speedup.high

    @property
    def plainness(self) -> tuple[int, int]:
        """How much was done to the model: the lossy stages first, then all of them; the smallest is the plainest."""
        return self.lossy_stages, self.stages


def row_name(row: Reference) -> str:
    """A row's name in words, such as ``static_int8 on ort_cpu at batch size 1``."""
    return f"{row.variant} on {row.target} at batch size {row.batch_size}"


def obstacles(row: Row, constraints: Constraints, *, is_reference: bool, noisy: bool) -> list[str]:
    """Every reason against recommending the row; empty where it qualifies.

    ``noisy`` says that the check of the row's device failed, so that no row on it can be judged.
    """
    found = []
    speedup = row.result.speedup
    if noisy or (speedup is not None and speedup.verdict == "NOISY"):
        found.append("its speed is NOISY: the run can't judge it")
    elif speedup is None and not is_reference:
        found.append("its speed-up is not known: the row it is compared with was not measured")
    elif speedup is not None and constraints.min_speedup is not None and speedup.low < constraints.min_speedup:
        found.append(
            f"its speed-up ({phrases.short(speedup)}) may be below constraints.min_speedup={constraints.min_speedup:g}"
        )
    accuracy = row.result.accuracy
    if row.variant != BASELINE or (accuracy is not None and accuracy.delta is not None):
        found.extend(accuracy_obstacles(accuracy))
    return found + limit_obstacles(row, constraints)


def accuracy_obstacles(accuracy: Accuracy | None) -> list[str]:
    """Every reason why the accuracy is not known to keep the limit; empty where it is."""
    if accuracy is None:
        return ["its accuracy was not measured"]
    if accuracy.verdict is None or accuracy.delta is None or accuracy.delta_low is None or accuracy.margin is None:
        return ["its accuracy can't be compared: the baseline has none on this target"]
    if accuracy.verdict in KEEPS_MARGIN:
        return []
    unit, limit, loss = accuracy.unit, "(constraints.max_accuracy_drop)", show.loss_word(accuracy.unit)
    needs = accuracy.n_to_decide
    enough = "" if needs is None else f"; about {show.count(needs)} test examples would decide"
    now, worst = show.figure(accuracy.value, unit), show.size(-accuracy.delta_low, unit)
    if accuracy.sentence is not None and accuracy.labelled_flips is None:
        needed = show.figure(1 - accuracy.margin, unit)
        return [
            f"it has {accuracy.sentence.format(now)} (at worst {show.figure(accuracy.low, unit)}), and more than "
            f"{needed} is needed {limit}{enough}"
        ]
    allowed = f"{show.size(accuracy.margin, unit)} are allowed {limit}"
    metric = accuracy.metric if accuracy.labelled_flips is None else "accuracy"
    if accuracy.verdict == "UNDECIDED":
        return [f"its {metric} is UNDECIDED: the {loss} may be as large as {worst}, and {allowed}{enough}"]
    figures = "" if accuracy.before is None else f"{show.figure(accuracy.before, unit)} to {now}; "
    return [f"its {metric} {loss}s by {show.size(-accuracy.delta, unit)} ({figures}at worst {worst}), and {allowed}"]


def limit_obstacles(row: Row, constraints: Constraints) -> list[str]:
    """The limits in ``constraints`` on time, size and memory that the row breaks, or may break."""
    latency = row.result.latency_ms
    memory = row.result.peak_memory_bytes
    limits = [
        ("p50", "max_latency_ms", None if latency is None else latency.p50.value, "ms"),
        ("p99", "max_p99_ms", None if latency is None else latency.p99.value, "ms"),
        ("size", "max_size_mb", None if row.size_bytes is None else row.size_bytes / _BYTES_PER_MB, "MB"),
        ("peak memory", "max_memory_mb", None if memory is None else memory / _BYTES_PER_MB, "MB"),
    ]
    found = []
    for what, key, value, unit in limits:
        limit: float | None = getattr(constraints, key)
        written = show.number if unit == "ms" else show.short
        if limit is None:
            continue
        if value is None:
            found.append(f"its {what} is not known, and constraints.{key} is {limit:g}")
        elif value > limit:
            found.append(f"its {what} is {written(value)} {unit}, over constraints.{key}={limit:g}")
    return found
