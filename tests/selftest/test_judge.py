from dataclasses import replace

import pytest

from pipeline.selftest.copies import SearchTrial
from pipeline.selftest.judge import judge, judge_search
from pipeline.selftest.simple_rules import RULES
from pipeline.selftest.trials import Trial

SAME = Trial(seed=0, value=1.0, low=0.99, high=1.01, noisy=False, rounds=7, seconds=9.0, timed_share=0.6)
DIFFERENT = replace(SAME, value=1.02, low=1.01, high=1.03)
SLOWER = replace(SAME, value=0.97, low=0.96, high=0.98)
MISSED = replace(SAME, value=0.985, low=0.965, high=1.005)
NOISY = replace(DIFFERENT, noisy=True)
KEPT = SearchTrial(
    seed=0, recommended=None, noisy=False, looked=1.02, proven=1.0, finalists=3, rounds=7, seconds=30.0,
    simple={**dict.fromkeys(RULES, 1.1), next(iter(RULES)): None},
)  # fmt: skip
FOOLED = replace(KEPT, recommended="copy_07")


def test_identical_models_may_be_called_different_in_five_of_a_hundred() -> None:
    assert judge("aa", [SAME] * 95 + [DIFFERENT] * 5).passed
    assert not judge("aa", [SAME] * 88 + [DIFFERENT] * 12).passed


def test_noisy_runs_do_not_count_against_the_method_but_are_shown() -> None:
    judgement = judge("aa", [SAME] * 80 + [NOISY] * 20)
    assert judgement.passed
    assert judgement.lines[0] == "100 runs, 20 of them NOISY"
    assert "0 of 80 (with the NOISY runs 20 of 100)" in judgement.lines[-1]


@pytest.mark.parametrize("kind", ["aa", "power"])
def test_too_few_usable_runs_are_a_failure_of_their_own(kind: str) -> None:
    judgement = judge(kind, [SLOWER if kind == "power" else SAME] * 59 + [NOISY] * 41)  # type: ignore[arg-type]
    assert not judgement.passed
    assert "59 % usable runs, and 60 % are needed" in judgement.lines[-1]


def test_a_known_difference_must_be_found_and_covered() -> None:
    assert judge("power", [SLOWER] * 92 + [MISSED] * 8).passed
    missed = judge("power", [SLOWER] * 80 + [MISSED] * 20)
    assert not missed.passed
    assert missed.lines[-2].startswith("failed: a difference of 3 % found: 80 of 100")
    assert missed.lines[-1].startswith("passed: its true ratio 0.9709 ± 0.0015 covered: 100 of 100")


def test_an_interval_beside_the_true_ratio_does_not_cover_it() -> None:
    beside = replace(SLOWER, value=0.95, low=0.94, high=0.96)
    judgement = judge("power", [beside] * 20)
    assert not judgement.passed
    assert judgement.lines[-2].startswith("passed")
    assert judgement.lines[-1].startswith("failed: its true ratio 0.9709 ± 0.0015 covered: 0 of 20")


def test_a_difference_the_wrong_way_round_is_not_found() -> None:
    assert not judge("power", [DIFFERENT] * 20).passed


def test_without_trials_there_is_nothing_to_judge() -> None:
    with pytest.raises(ValueError, match="no trial"):
        judge("aa", [])


def test_an_interval_beside_the_ratio_counts_only_as_far_as_the_ratio_is_uncertain() -> None:
    near, far = (replace(SLOWER, low=0.9709 + gap, high=0.975) for gap in (0.0014, 0.0016))
    assert judge("power", [near] * 30).passed
    assert not judge("power", [far] * 30).passed


def test_a_search_may_recommend_a_copy_in_five_of_a_hundred() -> None:
    assert judge_search([KEPT] * 95 + [FOOLED] * 5).passed
    judgement = judge_search([KEPT] * 88 + [FOOLED] * 12)
    assert not judgement.passed
    assert any(line.startswith("failed: one of 20 copies recommended as faster: 12 of 100") for line in judgement.lines)


def test_a_search_that_is_noisy_does_not_count_and_too_many_of_them_fail() -> None:
    assert not judge_search([KEPT] * 10 + [FOOLED] * 3 + [replace(KEPT, noisy=True)] * 8).passed
    judgement = judge_search([KEPT] * 5 + [replace(KEPT, noisy=True)] * 5)
    assert not judgement.passed
    assert "50 % usable runs" in judgement.lines[1]


def test_the_simple_rules_stand_beside_the_search() -> None:
    first, *others = judge_search([KEPT] * 20).lines[-len(RULES) :]
    assert first.endswith(": 0 of 20")
    assert all(line.endswith(": 20 of 20; 1.10x at the median, 1.10x at most") for line in others)


def test_searches_that_dropped_every_copy_can_be_judged() -> None:
    assert judge_search([replace(KEPT, looked=None, proven=None, finalists=0)] * 20).passed
