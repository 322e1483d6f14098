import pytest

from pipeline.measure.schedule import Room, blocks_per_round, expect, groups
from pipeline.plan import MeasureSettings

SETTINGS = MeasureSettings()


def test_fast_models_get_all_blocks() -> None:
    assert blocks_per_round([0.1, 0.5, 4.0], SETTINGS) == 32


def test_slow_models_get_fewer_blocks_for_the_same_timed_share() -> None:
    # 3 calls of 8 ms are 24 ms, twice the usual cell.
    assert blocks_per_round([8.0, 8.0], SETTINGS) == 16


def test_very_slow_models_keep_a_third_of_the_blocks() -> None:
    assert blocks_per_round([500.0], SETTINGS) == 10
    assert blocks_per_round([500.0], MeasureSettings(blocks=8)) == 4


def test_what_is_expected_grows_with_rounds_and_subjects() -> None:
    one, two = (expect(dict.fromkeys(names, 1.0), 1.0, SETTINGS) for names in ("a", "ab"))
    assert one.rounds == (7, 20)
    assert one.seconds[1] == pytest.approx(one.seconds[0] * 20 / 7)
    # 4 ms untimed and 12 ms timed, each with half a call of overshoot, half a millisecond for the visit; 1 s to start.
    assert one.seconds[0] == pytest.approx(7 * (1 + 32 * 0.0175))
    assert two.seconds[0] == pytest.approx(7 * (1 + 32 * 2 * 0.0175))


def test_a_long_call_is_timed_alone() -> None:
    # Three calls and an untimed one below the limit; one call from it on.
    assert blocks_per_round([19.0], SETTINGS) == 10
    below, above = (expect({"a": call}, 1.0, SETTINGS).seconds[0] for call in (19.0, 21.0))
    assert below == pytest.approx(7 * (1 + 10 * (4 * 0.019 + 0.0005)))
    assert above == pytest.approx(7 * (1 + 18 * 0.0215))


def test_a_budget_makes_rounds_shorter_then_fewer() -> None:
    calls = {"a": 1.0}
    assert expect(calls, 1.0, SETTINGS, budget_s=9.0).blocks == 16
    shortest = expect(calls, 0.2, SETTINGS, budget_s=1.0)
    assert shortest.blocks == 4
    assert shortest.rounds == (4, 4)
    assert expect(calls, 0.2, SETTINGS, budget_s=0.1).rounds == (2, 2)


def test_blocks_that_cost_little_beside_the_start_of_a_round_are_not_cut() -> None:
    """Nine rows of BERT-Base on an H200: 24 s to start and load them, and 0.16 s a block."""
    calls = dict.fromkeys("abcdefghi", 1.0)
    full = expect(calls, 24.0, SETTINGS)
    cut = expect(calls, 24.0, SETTINGS, budget_s=90.0)
    assert cut.blocks == full.blocks
    assert cut.rounds == (4, 4)
    assert expect(calls, 4.0, SETTINGS, budget_s=20.0).blocks == 6, "a quarter of the start of a round"


def test_an_expectation_reads_as_a_sentence() -> None:
    assert str(expect({"a": 1.0}, 1.0, SETTINGS)) == "1 models x 32 blocks x 7 to 20 rounds: about 11 to 31 s"
    once = MeasureSettings(looks=(10,))
    assert str(expect({"a": 1.0}, 1.0, once)) == "1 models x 32 blocks x 10 rounds: about 16 s"


def test_a_small_set_is_one_group_in_its_own_order() -> None:
    keys = ["b", "base", "a"]
    assert groups(keys, {"a": "base", "b": "base"}, ["base"]) == [keys]


def test_a_large_set_is_split_and_each_group_has_its_references() -> None:
    keys = ["base/1", "base/8", *(f"v{index}/{size}" for size in (1, 8) for index in range(30))]
    references = {key: f"base/{key[-1]}" for key in keys if key.startswith("v")}
    found = groups(keys, references, ["base/1"])
    assert len(found) == 2
    assert sorted(key for group in found for key in group if key.startswith("v")) == sorted(references)
    for group in found:
        assert "base/1" in group
        assert all(references[key] in group for key in group if key in references)
        sizes = {name: sum(key.startswith(f"{name}/") for key in group) for name in ("v0", "v29")}
        assert set(sizes.values()) == {0, 2}, "a variant's batch sizes stay together"


def test_a_ladder_that_does_not_fit_is_split() -> None:
    keys = ["base/1", "base/8", "a/1", "a/8"]
    references = {"a/1": "base/1", "a/8": "base/8"}
    room = Room(free_bytes=100, needed_bytes={"base/1": 10, "base/8": 30, "a/1": 30, "a/8": 45})
    assert groups(keys, references, ["base/1"], room) == [["base/1", "a/1"], ["base/1", "base/8", "a/8"]]
    assert groups(keys, references, ["base/1"], Room(free_bytes=125, needed_bytes=room.needed_bytes)) == [keys]


def test_what_does_not_fit_even_alone_is_tried_all_the_same() -> None:
    room = Room(free_bytes=10, needed_bytes={"base/1": 5, "a/1": 50, "b/1": 50})
    references = {"a/1": "base/1", "b/1": "base/1"}
    assert groups(["base/1", "a/1", "b/1"], references, ["base/1"], room) == [["base/1", "a/1"], ["base/1", "b/1"]]
