"""The words of the verdicts: the meaning and the tone of each. The thresholds are the ones in ``pipeline.analyse``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pipeline.results.figures import SpeedVerdict
from pipeline.results.intervals import AccuracyVerdict

Tone = Literal["good", "bad", "caution", "neutral", "quiet"]
SPEED_MEANINGS: Mapping[SpeedVerdict, str] = {
    "FASTER": "the whole interval lies above 1.01, and p, corrected for the number of rows, is below 0.05",
    "SLOWER": "the whole interval lies below 0.99, and p, corrected for the number of rows, is below 0.05",
    "FASTER, not confirmed": "the whole interval lies above 1.01, but the rounds are too few for p, corrected for the "
    "number of rows, to be below 0.05",
    "SLOWER, not confirmed": "the whole interval lies below 0.99, but the rounds are too few for p, corrected for the "
    "number of rows, to be below 0.05",
    "SLIGHTLY FASTER": "the interval lies above 1, but is not clear of the 1 % that counts as FASTER",
    "SLIGHTLY SLOWER": "the interval lies below 1, but is not clear of the 1 % that counts as SLOWER",
    "SAME": "the whole interval lies within 2 % of 1",
    "INCONCLUSIVE": "the interval is too wide for any of the above; more blocks would settle it",
    "SCREENED": "a quick look found a difference of more than 1 %; it never says FASTER or SLOWER",
    "NOISY": "the run's own checks failed: a model differed from itself, or the intervals stayed wide",
}
ACCURACY_MEANINGS: Mapping[AccuracyVerdict, str] = {
    "EQUAL": "every prediction is the baseline's, and so are the outputs, to 0.1 % of their largest value",
    "IMPROVED": "the whole interval of the change is a gain",
    "NO MEANINGFUL DROP": "no part of the interval of the change is a loss beyond the allowed margin, and it reaches 0",
    "SMALL REAL DROP": "the whole interval of the change is a loss, and no part of it is beyond the allowed margin",
    "FAILS MARGIN": "the whole interval of the change is a loss beyond the allowed margin",
    "DROP": "the whole interval of the change is a loss, and part of it is beyond the allowed margin",
    "UNDECIDED": "the interval holds both 0 and the margin; more test examples would decide",
}
TONES: Mapping[str, Tone] = {
    "FASTER": "good",
    "FASTER, not confirmed": "caution",
    "SLOWER, not confirmed": "caution",
    "SLIGHTLY FASTER": "good",
    "EQUAL": "good",
    "IMPROVED": "good",
    "NO MEANINGFUL DROP": "good",
    "SLOWER": "bad",
    "SLIGHTLY SLOWER": "bad",
    "FAILS MARGIN": "bad",
    "DROP": "bad",
    "SMALL REAL DROP": "caution",
    "UNDECIDED": "caution",
    "INCONCLUSIVE": "caution",
    "SCREENED": "caution",
    "NOISY": "caution",
    "SAME": "neutral",
    "VALID": "good",
    "INVALID": "bad",
    "not run": "caution",
    "IN TIME": "good",
    "LATE": "bad",
    "NOT KNOWN": "caution",
    "KEPT": "good",
    "REGRESSION": "bad",
}
"""The tone of each verdict: on speed, on accuracy, LoadGen's on a scenario, on a deadline, and the gate's on a row."""
UNCONFIRMED: frozenset[str] = frozenset({"FASTER, not confirmed", "SLOWER, not confirmed"})
"""The verdicts that are followed by the number of rounds, and by p."""
STOP_MEANINGS: Mapping[str, str] = {
    "width": "every interval was narrow enough",
    "cap": "the largest number of rounds was reached",
    "budget": "the time budget was used up",
    "decided": "every subject of the race was dropped",
}


def meanings_in(words: set[str]) -> dict[str, str]:
    """The meanings of the verdicts that a report uses, speed before accuracy; all of them where it uses none."""
    every: list[tuple[str, str]] = [*SPEED_MEANINGS.items(), *ACCURACY_MEANINGS.items()]
    return {word: text for word, text in every if word in words} or dict(every)
