"""The outcome of a run in one to three sentences."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.analyse import phrases
from pipeline.plan import BASELINE
from pipeline.results import numbers as show
from pipeline.results.header import Header
from pipeline.results.report import Noise, Recommendation, VariantResult

_SMALLER = 0.95
"""A size is worth a word below this share of the baseline's."""


def summarise(
    variants: Sequence[VariantResult],
    recommendation: Recommendation | None,
    why_none: str | None,
    noise: Noise,
    run: Header,
) -> str:
    """The sentence for a place that has one line: the winner's figures, or that there is no winner and why."""
    sentences = [
        _nothing(variants, why_none, run) if recommendation is None else _winner(variants, recommendation, run),
        _noise(noise),
        _failed(variants),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _winner(variants: Sequence[VariantResult], recommendation: Recommendation, run: Header) -> str:
    variant = next(variant for variant in variants if variant.name == recommendation.variant)
    result = next(
        result
        for result in variant.results
        if (result.target, result.batch_size) == (recommendation.target, recommendation.batch_size)
    )
    if result.speedup is None:
        return " ".join(part for part in (recommendation.why, recommendation.next_best) if part)
    return f"{phrases.outcome(variant.name, result, run)}{_size(variants, variant)}."


def _size(variants: Sequence[VariantResult], winner: VariantResult) -> str:
    baseline = next((variant.size_bytes for variant in variants if variant.name == BASELINE), None)
    if not baseline or winner.size_bytes is None or winner.size_bytes > _SMALLER * baseline:
        return ""
    return f", at {show.share(winner.size_bytes / baseline)} of the baseline's size"


def _name(variant: str, target: str, searched: bool) -> str:
    return f"{variant} on {target}" if searched else variant


def _nothing(variants: Sequence[VariantResult], why_none: str | None, run: Header) -> str:
    """Every row's own reasons are in ``why_none``; they are repeated here only where they are all the same."""
    fastest = _fastest(variants, run.search is not None)
    if fastest is None or run.measure.screening:
        found = "" if fastest is None else f" The fastest measured: {fastest}."
        return f"Nothing is recommended.{found} {why_none or ''}".strip()
    return f"Nothing is recommended: no measured row qualifies. The fastest: {fastest}."


def _fastest(variants: Sequence[VariantResult], searched: bool) -> str | None:
    speedups = [
        (result.speedup, _name(variant.name, result.target, searched))
        for variant in variants
        for result in variant.results
        if result.speedup is not None
    ]
    if not speedups:
        return None
    speedup, name = max(speedups, key=lambda pair: pair[0].low)
    said = phrases.interval(speedup)  # which says that it is not confirmed, where it isn't
    verdict = "" if "not confirmed" in said else f"; {speedup.verdict}"
    return f"{name}, {phrases.times(speedup)} ({said}{verdict})"


def _noise(noise: Noise) -> str:
    return f"The run is NOISY: {'; '.join(noise.reasons)}." if noise.noisy else ""


def _failed(variants: Sequence[VariantResult]) -> str:
    failed = [
        variant.name
        for variant in variants
        if variant.status == "failed" or any(result.status == "failed" for result in variant.results)
    ]
    return f"Failed: {', '.join(failed)}." if failed else ""
