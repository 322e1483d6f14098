from dataclasses import replace

import numpy as np
import pytest

from pipeline.plan import MeasureSettings
from pipeline.selftest.replay import LEVELS, RULES, Outcome, replay
from tests.selftest.test_judge import SAME

SETTINGS = MeasureSettings()


def simulated(ratio: float, between: float, trials: int = 60) -> list[Outcome]:
    """Outcomes on made-up blocks: 2 % between blocks, and so much between rounds."""
    rng = np.random.default_rng(7)
    made = []
    for _ in range(trials):
        shifts = rng.normal(np.log(ratio), between, 20)
        made.append(replace(SAME, differences=[rng.normal(shift, 0.02, 32).tolist() for shift in shifts]))
    return replay(made, ratio, SETTINGS)


def pick(outcomes: list[Outcome], rule: str, alpha: float = 0.03) -> Outcome:
    return next(found for found in outcomes if (found.rule, found.alpha) == (rule, alpha))


def test_every_rule_is_tried_at_every_level() -> None:
    assert len(simulated(1.0, 0.0, trials=2)) == len(RULES) * len(LEVELS)


def test_blocks_alone_are_too_sure_where_rounds_differ() -> None:
    outcomes = simulated(1.0, 0.01)
    alone, hull = pick(outcomes, "blocks alone"), pick(outcomes, "hull with t")
    assert alone.excludes_one > 0.15 * alone.trials
    assert hull.excludes_one <= 0.08 * hull.trials
    assert hull.rounds > alone.rounds


def test_quiet_rounds_stop_at_the_first_look() -> None:
    assert pick(simulated(0.97, 0.0), "hull with t").rounds == 7


def test_a_true_difference_is_covered() -> None:
    found = pick(simulated(0.97, 0.003), "hull with t")
    assert found.covers >= 0.9 * found.trials
    assert found.excludes_one == found.trials


def test_trials_without_their_blocks_cannot_be_replayed() -> None:
    with pytest.raises(ValueError, match="kept its blocks"):
        replay([SAME], 1.0, SETTINGS)
