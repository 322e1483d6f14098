"""The comparison as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from candidates import SLIMLINE, Candidate, Failed
from judge import Judgement

from pipeline.statistics.latency import Estimate, holm, speed_verdict

_BYTES_PER_MB = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is known of one candidate."""

    candidate: Candidate
    screened: float
    """Speed-up in the short look."""
    judgement: Judgement | None
    """None: its tool had its finalists already, all of them faster."""
    speedup: Estimate | None
    """Over the baseline, in the final rounds; None: no finalist."""
    p50_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All that the table is made of."""

    model: str
    machine: Mapping[str, Any]
    examples: int
    size_bytes: int
    """Of the fp32 ONNX file."""
    found: Sequence[Found]
    slimline_over: Mapping[str, Estimate]
    """By peer: slimline's best over the peer's best."""
    failed: Sequence[Failed]
    doubts: Sequence[str]
    screening: bool
    """Whether the final rounds were a quick look too: then nothing is called FASTER or SLOWER."""
    rounds: int
    seconds: float


def to_markdown(comparison: Comparison) -> str:
    """The best of each tool, then everything that was tried, then what could not be made or run."""
    parts = [
        f"## {comparison.model}",
        _measured(comparison),
        *(f"**Doubt:** {doubt}." for doubt in comparison.doubts),
        _table(
            ("tool", "its best", "on", "speed-up over fp32 ONNX", "p50 (ms)", "accuracy or cosine", "size (MB)",
             "slimline's best is … as fast"),
            [_best_row(tool, comparison) for tool in _tools(comparison)],
        ),
        "### All candidates",
        _table(
            ("tool", "candidate", "on", "short look", "final rounds", "accuracy or cosine", "size (MB)", "made in (s)"),
            [_row(found) for found in sorted(comparison.found, key=lambda item: -item.screened)],
        ),
    ]  # fmt: skip
    if comparison.failed:
        parts += ["### Not made, or not run", "\n".join(_failure(item) for item in comparison.failed)]
    return "\n\n".join(parts) + "\n"


def best_of(tool: str, comparison: Comparison) -> Found | None:
    """The fastest finalist of a tool; None where nothing that it made is accurate enough."""
    finalists = [item for item in comparison.found if item.candidate.tool == tool and item.speedup is not None]
    return max(finalists, key=lambda item: item.speedup.value if item.speedup else 0.0, default=None)


def _tools(comparison: Comparison) -> list[str]:
    named = [item.candidate.tool for item in comparison.found] + [item.tool for item in comparison.failed]
    return list(dict.fromkeys([SLIMLINE, *named]))


def _measured(comparison: Comparison) -> str:
    machine = comparison.machine
    return (
        f"{machine['cpu']}, {machine['cores']} cores. One thread, one example a call, {comparison.rounds} rounds in "
        f"{comparison.seconds:.0f} s, all rows in the same rounds; accuracy on {comparison.examples} examples. "
        f"The fp32 ONNX file on ONNX Runtime is 1.00; it has {comparison.size_bytes / _BYTES_PER_MB:.2f} MB."
    )


def _best_row(tool: str, comparison: Comparison) -> list[str]:
    best = best_of(tool, comparison)
    if best is None or best.speedup is None or best.judgement is None:
        return [tool, "nothing that is accurate enough", *["–"] * 6]
    duel = comparison.slimline_over.get(tool)
    return [
        tool,
        best.candidate.name,
        best.candidate.target.name,
        _ratio(best.speedup),
        "–" if best.p50_ms is None else f"{best.p50_ms:.3f}",
        best.judgement.text,
        _megabytes(best.candidate),
        "–" if duel is None else f"{_ratio(duel)} {duel_verdict(tool, comparison)}",
    ]


def duel_verdict(tool: str, comparison: Comparison) -> str:
    """Slimline's verdict on its best against a peer's best; p is corrected over the peers (Holm)."""
    duels = comparison.slimline_over
    corrected = dict(zip(duels, holm([found.p for found in duels.values()]), strict=True))
    return speed_verdict(duels[tool], corrected[tool], screening=comparison.screening)


def _row(found: Found) -> list[str]:
    candidate = found.candidate
    judgement = found.judgement
    text = "not judged: slower than the finalists" if judgement is None else judgement.text
    return [
        candidate.tool,
        candidate.name,
        candidate.target.name,
        f"{found.screened:.2f}x",
        "–" if found.speedup is None else _ratio(found.speedup),
        text,
        _megabytes(candidate),
        "–" if candidate.made_s is None else f"{candidate.made_s:.1f}",
    ]


def _ratio(estimate: Estimate) -> str:
    return f"{estimate.value:.2f}x [{estimate.low:.2f}, {estimate.high:.2f}]"


def _megabytes(candidate: Candidate) -> str:
    return f"{candidate.artifact.size_bytes / _BYTES_PER_MB:.2f}"


def _failure(item: Failed) -> str:
    return f"- {item.tool}, {item.name}: {item.reason}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
