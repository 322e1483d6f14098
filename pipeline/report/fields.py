"""The fields of a row: where each is read and how it is written, for every format alike.

A field is a column of the tables. It holds one or more raw values (SI inside, the unit in the name), which it turns
into a cell's lines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from pipeline.report.field import Field, Lines, read
from pipeline.report.rows import Row
from pipeline.report.verdicts import UNCONFIRMED
from pipeline.results import numbers as show


def _device_time(value: float, low: float | None, high: float | None, *rest: Any) -> Lines:
    _share, launch_bound = rest
    ends = "" if low is None or high is None else f" [{show.short(low)}, {show.short(high)}]"
    return (show.short(value) + ends, *(("launch-bound",) if launch_bound else ()))


def _text(value: object) -> Lines:
    return (str(value),)


def _accuracy(value: float, low: float, high: float, *rest: Any) -> Lines:
    _metric, _n, delta, delta_low, delta_high, verdict, n_to_decide, unit, against, labels_to_decide, _labelled = rest
    figure = f"{show.figure(value, unit)} {show.figure_interval(low, high, unit)}"
    lines = [figure]
    if delta is not None and not (against == "baseline" and unit == "number"):
        change = f"{show.change(delta, unit)} {show.change_interval(delta_low, delta_high, unit)}"
        lines = [change, f"to {figure}"]
    if verdict is not None:
        lines.insert(1, verdict)
    if verdict == "UNDECIDED" and n_to_decide is not None:
        lines.append(f"about {show.count(n_to_decide)} examples would decide")
    if labels_to_decide is not None:
        lines.append(f"about {show.count(labels_to_decide)} labels would decide")
    return tuple(lines)


def _brief_accuracy(value: float, _low: float, _high: float, *rest: Any) -> Lines:
    _metric, _n, delta, _delta_low, _delta_high, verdict, _n_to_decide, unit, against, _labels, labelled = rest
    alone = delta is None or (against == "baseline" and labelled is None)
    first = show.figure(value, unit) if alone else f"{show.figure(value, unit)} {show.change(delta, unit)}"
    return (first,) if verdict is None else (first, verdict)


def _quantile(value: float, low: float | None, high: float | None) -> Lines:
    if low is None or high is None:
        return (show.number(value),)
    return (show.number(value), show.interval(low, high, show.decimals_for(value)))


def _brief_quantile(value: float, _low: float | None, _high: float | None) -> Lines:
    return (show.number(value),)


def _share(value: float, low: float | None, high: float | None) -> Lines:
    if low is None or high is None:
        return (show.percent(value),)
    return (show.percent(value), show.percent_interval(low, high))


def _speedup(
    value: float, low: float, high: float | None, verdict: str, blocks_to_settle: int | None, *rest: Any
) -> Lines:
    lines = _brief_speedup(value, low, high, verdict, None, *rest)
    if verdict == "INCONCLUSIVE" and blocks_to_settle is not None:
        return (*lines, f"about {show.count(blocks_to_settle)} blocks would settle it")
    return lines


def _brief_speedup(
    value: float, low: float, high: float | None, verdict: str, _blocks: int | None, rounds: int | None, p: float | None
) -> Lines:
    lines = (show.ratio(value, low, high), verdict)
    return (*lines, show.evidence(rounds, p)) if verdict in UNCONFIRMED and rounds and p is not None else lines


def _limits(compute: float, memory: float | None, verdict: str | None) -> Lines:
    if memory is None or verdict is None:
        return (show.percent(compute),)
    return (show.percent(compute), f"{show.percent(memory)} of a copy", verdict)


def _yes(value: bool) -> Lines:
    return ("yes",) if value else ()


def _latency(
    title: str,
    *,
    shown: Literal["terminal", "page"],
    brief: Callable[..., Lines] | None = None,
    decides: bool = False,
    hint: str = "",
) -> Field:
    path = f"result.latency_ms.{title}"
    columns = {f"{title}_ms": f"{path}.value", f"{title}_ms_low": f"{path}.low", f"{title}_ms_high": f"{path}.high"}
    return Field(
        title=title,
        unit="ms",
        columns=columns,
        lines=_quantile,
        brief=brief,
        shown=shown,
        decides=decides,
        hint=hint,
    )


def _single(
    title: str,
    column: str,
    path: str,
    write: Callable[[float], str],
    *,
    unit: str = "",
    shown: Literal["terminal", "page"] = "page",
    decides: bool = False,
    hint: str = "",
) -> Field:
    """A field of one figure on one line."""
    return Field(
        title=title,
        unit=unit,
        columns={column: path},
        lines=lambda value: (write(value),),
        shown=shown,
        decides=decides,
        hint=hint,
    )


VARIANT = Field(
    title="variant",
    columns={"variant": "variant.name"},
    lines=_text,
    shown="terminal",
    align="left",
    decides=True,
)
TARGET = Field(title="target", columns={"target": "result.target"}, lines=_text, align="left")
BATCH = Field(title="batch", columns={"batch_size": "result.batch_size"}, lines=_text)
PLACES = (TARGET, BATCH)
"""Where a row was measured: told with its name where rows differ in it."""
ACCURACY = Field(
    title="accuracy",
    columns={
        "accuracy": "result.accuracy.value",
        "accuracy_low": "result.accuracy.low",
        "accuracy_high": "result.accuracy.high",
        "metric": "result.accuracy.metric",
        "accuracy_n": "result.accuracy.n",
        "accuracy_delta": "result.accuracy.delta",
        "accuracy_delta_low": "result.accuracy.delta_low",
        "accuracy_delta_high": "result.accuracy.delta_high",
        "accuracy_delta_verdict": "result.accuracy.verdict",
        "accuracy_n_to_decide": "result.accuracy.n_to_decide",
        "accuracy_unit": "result.accuracy.unit",
        "accuracy_against": "result.accuracy.against",
        "accuracy_labels_to_decide": "result.accuracy.labels_to_decide",
        "accuracy_labelled_flips": "result.accuracy.labelled_flips",
    },
    lines=_accuracy,
    brief=_brief_accuracy,
    shown="terminal",
    align="left",
    decides=True,
    hint="its change against the baseline, and the figure itself",
)
SPEEDUP = Field(
    title="speed-up",
    columns={
        "speedup": "result.speedup.value",
        "speedup_low": "result.speedup.low",
        "speedup_high": "result.speedup.high",
        "speedup_verdict": "result.speedup.verdict",
        "speedup_blocks_to_settle": "result.speedup.blocks_to_settle",
        "speedup_rounds": "result.speedup.rounds",
        "speedup_p": "result.speedup.p",
    },
    lines=_speedup,
    brief=_brief_speedup,
    shown="terminal",
    align="left",
    decides=True,
)


def _data(**columns: str) -> list[Field]:
    """Values that no table shows, as they are."""
    return [Field(title=header, columns={header: path}, lines=_text, shown="data") for header, path in columns.items()]


FIELDS: tuple[Field, ...] = (
    VARIANT,
    TARGET,
    *_data(device="result.device"),
    BATCH,
    *_data(
        status="result.status",
        reason="result.reason",
        variant_status="variant.status",
        variant_reason="variant.reason",
    ),
    ACCURACY,
    SPEEDUP,
    *_data(
        speedup_with_dropped="result.speedup.with_dropped.value",
        speedup_blocks="result.speedup.blocks",
        reference_variant="result.speedup.reference.variant",
        reference_target="result.speedup.reference.target",
        reference_batch_size="result.speedup.reference.batch_size",
    ),
    _single(
        "detectable difference",
        "minimum_detectable_effect",
        "result.speedup.minimum_detectable_effect",
        show.percent,
        hint="a smaller change of speed than this would probably have gone unnoticed in this run",
    ),
    _latency("p50", shown="terminal", decides=True, hint="half of the calls take no longer than this"),
    _latency("p90", shown="page", hint="nine of ten calls take no longer than this"),
    _latency(
        "p99",
        shown="terminal",
        brief=_brief_quantile,
        decides=True,
        hint="99 of 100 calls take no longer than this",
    ),
    *_data(mean_ms="result.latency_ms.mean", timed_calls="result.latency_ms.calls"),
    Field(
        title="device time",
        unit="ms",
        columns={
            "device_ms": "result.device_ms.value",
            "device_ms_low": "result.device_ms.low",
            "device_ms_high": "result.device_ms.high",
            "enqueue_share": "result.device_ms.enqueue_share",
            "launch_bound": "result.device_ms.launch_bound",
        },
        lines=_device_time,
    ),
    *_data(device_reason="result.device_reason"),
    _single(
        "throughput",
        "throughput_per_s",
        "result.throughput",
        show.short,
        unit="1/s",
        shown="terminal",
        hint="examples a second, one call after the other",
    ),
    _single("size", "size_bytes", "variant.size_bytes", show.megabytes, unit="MB", shown="terminal", decides=True),
    _single(
        "memory",
        "peak_memory_bytes",
        "result.peak_memory_bytes",
        show.megabytes,
        unit="MB",
        shown="terminal",
        hint="the most that a fresh process took to load the model and run it",
    ),
    _single("card's memory", "peak_device_memory_bytes", "result.peak_device_memory_bytes", show.megabytes, unit="MB"),
    Field(
        title="of the peak",
        columns={
            "compute_share": "result.limits.compute_share",
            "memory_share": "result.limits.memory_share",
            "compute_share_verdict": "result.limits.verdict",
        },
        lines=_limits,
        hint="how much of the machine's best speed the row reaches: 100 % would be all that the machine can do",
    ),
    *_data(
        macs_per_s="result.limits.macs_per_s",
        bytes_per_s="result.limits.bytes_per_s",
        compute_peak="result.limits.compute_peak",
        intensity="result.limits.intensity",
        balance="result.limits.balance",
        limit_reason="result.limits.reason",
    ),
    _single("load", "load_ms", "result.load_ms", show.short, unit="ms"),
    _single("first inference", "first_inference_ms", "result.first_inference_ms", show.short, unit="ms"),
    Field(
        title="deadline misses",
        columns={
            "deadline_misses": "result.latency_ms.deadline_misses.value",
            "deadline_misses_low": "result.latency_ms.deadline_misses.low",
            "deadline_misses_high": "result.latency_ms.deadline_misses.high",
        },
        lines=_share,
    ),
    *_data(
        deadline_verdict="result.latency_ms.deadline.verdict",
        longest_call_ms="result.latency_ms.deadline.longest_ms",
        calls_to_settle_deadline="result.latency_ms.deadline.calls_to_settle",
    ),
    _single("cost per million", "cost_per_million", "result.cost_per_million", show.number),
    _single(
        "energy",
        "joules_per_inference",
        "result.energy.joules_per_inference",
        lambda joules: show.short(1e3 * joules),
        unit="mJ",
    ),
    *_data(watts="result.energy.watts", energy_source="result.energy.source", energy_reason="result.energy.reason"),
    Field(
        title="Pareto front",
        columns={"pareto": "result.pareto"},
        lines=_yes,
        align="left",
        hint="no other row is both faster and more accurate for sure",
    ),
    _single(
        "flips",
        "flips",
        "result.accuracy.flips",
        show.count,
        hint="test examples that were right before and are wrong now, or the other way round",
    ),
    *_data(accuracy_p="result.accuracy.p", accuracy_margin="result.accuracy.margin"),
    _single("parameters", "parameters", "variant.parameters", show.magnitude),
    _single("MACs", "macs", "variant.macs", show.magnitude),
    *_data(
        weight_bytes="variant.weight_bytes",
        activation_bytes="variant.activation_bytes",
        format="variant.format",
        digest="variant.digest",
        model_sha256="variant.model_sha256",
    ),
    Field(title="remarks", columns={"remarks": "result.remarks"}, lines=lambda remarks: tuple(remarks), shown="data"),
)


def values_of(row: Row) -> dict[str, Any]:
    """All raw values of a row, by their names."""
    return {name: value for field in FIELDS for name, value in zip(field.columns, field.values(row), strict=True)}


def used(rows: Sequence[Row], where: Literal["terminal", "page"]) -> list[Field]:
    """The fields that a table of these rows shows: the place's fields that have a value in some row. A terminal's table
    names the target where rows of several stand in it."""
    levels = {"terminal"} if where == "terminal" else {"terminal", "page"}
    shown = [field for field in FIELDS if field.shown in levels or (field is TARGET and _mixed(rows))]
    return [field for field in shown if any(field.cell(row) for row in rows)]


def _mixed(rows: Sequence[Row]) -> bool:
    return any(row.beside_others for row in rows)


def header(field: Field, rows: Sequence[Row]) -> str:
    """A field's heading; accuracy is called by its metric's name where all rows have the same."""
    metrics = {read(row, "result.accuracy.metric") for row in rows} - {None}
    if field is ACCURACY and len(metrics) == 1:
        return str(metrics.pop())
    return field.header
