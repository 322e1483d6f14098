"""Judges whether the trials went as the method promises, by exact binomial tests of how often it was wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import numpy as np

from pipeline.selftest.copies import COPIES, SearchTrial
from pipeline.selftest.simple_rules import RULES
from pipeline.selftest.trials import SLOWED, SPIN_CERTAINTY, TRUE_RATIOS, Trial

Kind = Literal["aa", "power"]
FALSE_ALARMS = 0.05
"""The share of trials in which identical models may be called different."""
FOUND = 0.9
"""The share of trials in which a known difference must be found, and its true value lie within the interval."""
FEWEST_USABLE = 0.6
_LEVEL = 0.05
T = TypeVar("T", Trial, SearchTrial)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Whether a self-test passed, and what was counted."""

    passed: bool
    lines: list[str] = field(default_factory=list)


def judge(kind: Kind, trials: Sequence[Trial]) -> Judgement:
    """Judge the usable trials, those that were not NOISY; too few of them fail the test, so noise can't pass it.

    ``aa``: fails when more intervals exclude 1 than a rate of 5 % explains. ``power``: fails when the known difference
    is found, or its true value covered, less often than a rate of 90 % explains. Each uses a one-sided exact binomial
    test at 5 %. Raises ValueError without trials.
    """
    if not trials:
        raise ValueError("there is no trial to judge")
    usable, lines, enough = _usable(trials)
    if not enough:
        return Judgement(passed=False, lines=lines)
    checks = _false_alarms(usable, trials) if kind == "aa" else _power(usable, trials)
    lines += [_widths(usable), *(line for _, line in checks)]
    return Judgement(passed=all(passed for passed, _ in checks), lines=lines)


def judge_search(trials: Sequence[SearchTrial]) -> Judgement:
    """Judge searches among copies: fails when the usable ones recommend a copy more often than a rate of 5 % explains.

    As ``judge`` otherwise. The simple rules are counted beside it, over all runs, and judged by nothing.
    """
    if not trials:
        raise ValueError("there is no trial to judge")
    usable, lines, enough = _usable(trials)
    if enough:
        wrong = sum(trial.recommended is not None for trial in usable)
        p = _binomial(wrong, len(usable), FALSE_ALARMS, "greater")
        _, line = verdict = _verdict(
            p >= _LEVEL,
            f"one of {COPIES} copies recommended as faster: {wrong} of {len(usable)}; more than "
            f"{100 * FALSE_ALARMS:.0f} %: p = {p:.3f}",
        )
        lines += [_luck(usable), line]
        enough = verdict[0]
    lines.append("the same copies one after another, for as long inside calls; by simple rules a copy is chosen:")
    lines += [f"  {name}: {_chosen([trial.simple[name] for trial in trials])}" for name in RULES]
    return Judgement(passed=enough, lines=lines)


def _usable(trials: Sequence[T]) -> tuple[list[T], list[str], bool]:
    """The trials that were not NOISY, what is said of their number, and whether they are enough."""
    usable = [trial for trial in trials if not trial.noisy]
    share = len(usable) / len(trials)
    lines = [f"{len(trials)} runs, {len(trials) - len(usable)} of them NOISY"]
    if share < FEWEST_USABLE:
        lines.append(f"failed: {100 * share:.0f} % usable runs, and {100 * FEWEST_USABLE:.0f} % are needed")
    return usable, lines, share >= FEWEST_USABLE


def _luck(trials: Sequence[SearchTrial]) -> str:
    """How much faster the best of the looks seemed, and how fast it was in fresh rounds."""
    seen = [(trial.looked, trial.proven) for trial in trials if trial.looked is not None and trial.proven is not None]
    looked, proven = (float(np.median(values)) for values in zip(*seen, strict=True)) if seen else (1.0, 1.0)
    return (
        f"the best copy of the looks: {looked:.3f}x there, {proven:.3f}x in fresh rounds (medians); "
        f"median {np.median([trial.seconds for trial in trials]):.0f} s a search"
    )


def _chosen(claims: Sequence[float | None]) -> str:
    ratios = [claim for claim in claims if claim is not None]
    told = f"; {np.median(ratios):.2f}x at the median, {max(ratios):.2f}x at most" if ratios else ""
    return f"{len(ratios)} of {len(claims)}{told}"


def _false_alarms(usable: Sequence[Trial], trials: Sequence[Trial]) -> list[tuple[bool, str]]:
    wrong = sum(trial.excludes_one for trial in usable)
    p = _binomial(wrong, len(usable), FALSE_ALARMS, "greater")
    everywhere = sum(trial.excludes_one for trial in trials)
    line = (
        f"identical models called different: {wrong} of {len(usable)} (with the NOISY runs {everywhere} of "
        f"{len(trials)}); more than {100 * FALSE_ALARMS:.0f} %: p = {p:.3f}"
    )
    return [_verdict(p >= _LEVEL, line)]


def _power(usable: Sequence[Trial], trials: Sequence[Trial]) -> list[tuple[bool, str]]:
    ratio = TRUE_RATIOS[SLOWED]
    counts = {
        f"a difference of {100 * (1 / ratio - 1):.0f} % found": [
            trial.excludes_one and trial.high < 1 for trial in usable
        ],
        f"its true ratio {ratio:.4f} ± {SPIN_CERTAINTY:.4f} covered": [
            trial.covers(ratio, SPIN_CERTAINTY) for trial in usable
        ],
    }
    checks = []
    for what, outcomes in counts.items():
        p = _binomial(sum(outcomes), len(outcomes), FOUND, "less")
        line = f"{what}: {sum(outcomes)} of {len(outcomes)}; less than {100 * FOUND:.0f} %: p = {p:.3f}"
        checks.append(_verdict(p >= _LEVEL, line))
    return checks


def _verdict(passed: bool, line: str) -> tuple[bool, str]:
    return passed, f"{'passed' if passed else 'failed'}: {line}"


def _widths(trials: Sequence[Trial]) -> str:
    widths = 100 * np.array([trial.half_width for trial in trials])
    seconds = np.array([trial.seconds for trial in trials])
    timed = float(np.mean([trial.timed_share for trial in trials]))
    return (
        f"half-width: median ±{np.median(widths):.2f} %, largest ±{widths.max():.2f} %; "
        f"median {np.median(seconds):.0f} s a run, {100 * timed:.0f} % of it inside timed calls"
    )


def _binomial(count: int, of: int, rate: float, alternative: Literal["greater", "less"]) -> float:
    from scipy.stats import binomtest

    return float(binomtest(count, of, rate, alternative=alternative).pvalue)
