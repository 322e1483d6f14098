"""The report's sentences, shared by the terminal, report.md and report.html."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

from pipeline.report.rows import Row, row_status
from pipeline.report.verdicts import STOP_MEANINGS
from pipeline.results import numbers as show
from pipeline.results.header import Machine
from pipeline.results.report import Noise, Report, Result, VariantResult

_DEFAULT_MARGIN = {
    "labels": "1 % of the baseline's, as constraints.max_accuracy_drop is not set",
    "baseline": "the default, as constraints.max_accuracy_drop is not set",
}
"""The origin of a margin that nobody set, by what the figure is compared with."""


def machine_line(machine: Machine) -> str:
    """The machine in a line: processor, cores, accelerator, operating system, as far as they were recorded."""
    cores = None if machine.cores is None else "1 core" if machine.cores == 1 else f"{machine.cores} cores"
    parts = [machine.cpu, cores, ", ".join(machine.gpu), machine.os]
    return ", ".join(part for part in parts if part) or "machine not recorded"


def busy_lines(noise: Noise) -> list[str]:
    """Lines on what else the machine did while latency was measured."""
    return [sentence(text) for text in (*noise.busy, *noise.warmer)]


def margin_lines(report: Report) -> list[str]:
    """The drop of the metric's figure that is allowed, and where it comes from; a line for each size of it."""
    judged = [result.accuracy for variant in report.variants for result in variant.results if result.accuracy]
    if not judged:
        return []
    one = judged[0]
    places: dict[str, list[str]] = {}
    for target, margin in report.margins.items():
        places.setdefault(show.size(margin, one.unit), []).append(target)
    best = f" below {show.figure(1, one.unit)}" if one.against == "baseline" else ""
    given = report.constraints.max_accuracy_drop is not None
    loss = show.loss_word(one.unit)
    key = "constraints.max_accuracy_drop"
    of_baseline = f"{show.percent(report.constraints.max_accuracy_drop or 0)} of the baseline's, {key}"
    why = (of_baseline if loss == "rise" else key) if given else _DEFAULT_MARGIN[one.against]
    less = "; less is better, so a rise counts as a drop" if loss == "rise" else ""
    return [
        f"On {', '.join(targets)}, {one.metric} may {loss}{best} by {size} at most ({why}){less}."
        for size, targets in places.items()
    ]


def remark_lines(report: Report) -> list[str]:
    """The notes on the run and the remarks on rows' figures; a line for each note, and for each remark with its
    rows."""
    places: dict[str, dict[tuple[str, int], list[str]]] = {}
    for variant in report.variants:
        for result in variant.results:
            for remark in dict.fromkeys(result.remarks):
                where = places.setdefault(remark, {}).setdefault((result.target, result.batch_size), [])
                where.append(variant.name)
    notes = [ended(note[:1].upper() + note[1:]) for note in report.notes]
    return notes + [f"{_rows_named(where)}: {ended(remark)}" for remark, where in places.items()]


def _rows_named(where: Mapping[tuple[str, int], Sequence[str]]) -> str:
    """``baseline, pruned on ort_cpu, batch 1; baseline on torch_cpu, batch 1``, from the names by target and batch."""
    return "; ".join(f"{', '.join(names)} on {target}, batch {size}" for (target, size), names in where.items())


def digest_lines(variant: VariantResult) -> list[str]:
    """The digests of a variant's model, each under its own name."""
    lines = [f"model.onnx: sha256 {variant.model_sha256}"] if variant.model_sha256 else []
    return [*lines, *([f"artifact in the store: digest {variant.digest}"] if variant.digest else [])]


def model_warnings(report: Report) -> list[str]:
    """Oddities of the model when it came in, a sentence each."""
    return [ended(f"The model: {text}") for text in report.model_notes.get("warnings", [])]


def model_lines(report: Report) -> list[str]:
    """The changes to the model when it came in, and its oddities."""
    return [
        ended(f"{name}: {text}")
        for name, notes in report.model_notes.items()
        for text in ([notes] if isinstance(notes, str) else notes)
    ]


def recommendation_lines(report: Report) -> list[str]:
    """The row to deploy and why, then why the next best lost; or why nothing is recommended."""
    chosen = report.recommendation
    if chosen is None:
        return [f"Recommended: none. {ended(report.why_none or 'no reason was recorded')}"]
    lines = [f"Recommended: {chosen.variant} on {chosen.target}, batch {chosen.batch_size}: {ended(chosen.why)}"]
    if chosen.next_best:
        lines.append(f"Next best: {ended(chosen.next_best)}")
    return lines


def noise_lines(noise: Noise) -> list[str]:
    """Whether the run's own checks passed, how much was measured, and what each clone showed."""
    if noise.noisy:
        lines = [f"NOISY: {'; '.join(noise.reasons) or 'no reason was recorded'}."]
    elif noise.blocks:
        lines = [f"The run's own checks {'of the ratios passed, on a busy machine' if noise.busy else 'passed'}."]
    else:
        lines = ["Nothing was timed."]
    if noise.blocks:
        lines[0] += (
            f" {noise.rounds} rounds, {show.count(noise.blocks)} blocks in {show.duration(noise.seconds)}"
            f" ({show.share(noise.timed_share)} of it inside timed calls);"
            f" stopped because {STOP_MEANINGS.get(noise.stopped, noise.stopped)}."
        )
    lines.extend(ended(text) for text in noise.cut)
    lines.extend(sentence(text) for text in noise.beside)
    lines.extend(clone_line(clone) for clone in noise.clones)
    return lines


def measured_lines(report: Report) -> list[str]:
    """How the run was measured: its own checks, and what was counted and what was not."""
    return [
        *noise_lines(report.noise),
        *energy_lines(report),
        *device_lines(report),
        *fault_lines(report),
    ]


def fault_lines(report: Report) -> list[str]:
    """The parts of the report that could not be made, and why."""
    return [sentence(fault) for fault in report.faults]


def sentence(text: str) -> str:
    """The text with a capital and a full stop."""
    return ended(text[:1].upper() + text[1:])


def clone_line(clone: Mapping[str, Any]) -> str:
    """A clone's ratio to the model that it copies: 1 where the run tells no difference from nothing."""
    middle, low, high = clone["ratio"], clone["low"], clone["high"]
    end = show.number(high, 3) if math.isfinite(high) else show.INFINITE
    return (
        f"A second copy of {clone['reference']} ran at {show.number(middle, 3)}x"
        f" [{show.number(low, 3)}, {end}] of the first's speed; no difference is 1."
    )


def energy_lines(report: Report) -> list[str]:
    """The counter, where energy was measured, and the reason where it was not; a line for each."""

    def said(result: Result) -> str | None:
        if result.energy is None:
            return None
        return result.energy.reason or (
            f"{result.energy.source}, over {show.duration(result.energy.seconds or 0.0)} of calls back to back;"
            " with whatever else ran there, and with idle power"
        )

    return [f"Energy on {', '.join(targets)}: {ended(text)}" for text, targets in _by_text(report, said).items()]


def device_lines(report: Report) -> list[str]:
    """The reasons why an accelerator's own time is not known, or not for every round; a line for each."""
    reasons = _by_text(report, lambda result: result.device_reason)
    return [
        f"The device's own time on {', '.join(targets)} is not known of every row and round: {ended(text)}"
        for text, targets in reasons.items()
    ]


def _by_text(report: Report, said: Callable[[Result], str | None]) -> dict[str, list[str]]:
    """What is said of rows, with the targets that it is said of."""
    found: dict[str, list[str]] = {}
    for result in (result for variant in report.variants for result in variant.results):
        text = said(result)
        if text is not None and result.target not in found.setdefault(text, []):
            found[text].append(result.target)
    return found


def reference_line(rows: Sequence[Row]) -> str:
    """The row that the speed-ups compare with; empty where there is none."""
    pairs = [
        (row.result.speedup.reference, row.result)
        for row in rows
        if row.result is not None and row.result.speedup is not None
    ]
    if not pairs:
        return ""
    names = sorted({reference.variant for reference, _ in pairs})
    own = all(
        (reference.target, reference.batch_size) == (result.target, result.batch_size) for reference, result in pairs
    )
    if own:
        return f"Speed-up is over {' or '.join(names)} on the same target and batch size; above 1 is faster."
    full = sorted({f"{item.variant} on {item.target}, batch {item.batch_size}" for item, _ in pairs})
    return f"Speed-up is over {'; '.join(full)}; above 1 is faster."


def verdict_words(rows: Sequence[Row]) -> set[str]:
    """The verdicts that these rows carry."""
    words: set[str] = set()
    for row in rows:
        if row.result is None or row_status(row)[0] != "ok":
            continue
        if row.result.speedup is not None:
            words.add(row.result.speedup.verdict)
        if row.result.accuracy is not None and row.result.accuracy.verdict is not None:
            words.add(row.result.accuracy.verdict)
    return words


def value(item: Any) -> str:
    """Any recorded value in words: lists joined by commas, mappings as ``key: value``."""
    if item is None:
        return "none"
    if isinstance(item, bool):
        return "yes" if item else "no"
    if isinstance(item, float):
        return f"{item:.5g}".replace("-", show.MINUS)
    if isinstance(item, Mapping):
        return ", ".join(f"{key}: {value(part)}" for key, part in item.items()) or "none"
    if isinstance(item, Sequence) and not isinstance(item, str):
        return ", ".join(value(part) for part in item) or "none"
    return str(item) or show.NONE


def facts(recorded: Any) -> list[tuple[str, str]]:
    """The recorded values as pairs of words; a value with parts has lines of their own, ``name.part``."""
    pairs: list[tuple[str, str]] = []
    for name, item in (recorded if isinstance(recorded, Mapping) else asdict(recorded)).items():
        if is_dataclass(item) or (isinstance(item, Mapping) and item):
            pairs.extend((f"{name}.{part}", text) for part, text in facts(item))
        elif name.endswith("_bytes") and isinstance(item, int | float) and not isinstance(item, bool):
            pairs.append((name.removesuffix("_bytes"), f"{show.megabytes(item)} MB"))
        else:
            pairs.append((str(name), value(item)))
    return pairs


def ended(text: str) -> str:
    """A sentence with its full stop; never capitalised, since it may begin with a variant's name."""
    stripped = text.strip()
    return stripped if stripped.endswith((".", "!", "?")) else f"{stripped}."
