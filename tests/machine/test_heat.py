"""Temperatures and clocks as the system shows them."""

from __future__ import annotations

from pathlib import Path

from pipeline.machine.heat import celsius, clock_mhz


def test_the_warmest_zone_that_can_be_believed_counts(tmp_path: Path) -> None:
    for number, temperature in enumerate(("41000", "63500", "-274000", "broken")):
        (tmp_path / f"thermal_zone{number}").mkdir()
        (tmp_path / f"thermal_zone{number}" / "temp").write_text(f"{temperature}\n")
    (tmp_path / "thermal_zone9").mkdir()
    assert celsius(tmp_path) == 63.5


def test_the_clock_is_the_mean_of_all_cores(tmp_path: Path) -> None:
    for core, khz in enumerate((2_400_000, 1_800_000)):
        folder = tmp_path / f"cpu{core}" / "cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_cur_freq").write_text(f"{khz}\n")
    (tmp_path / "cpufreq").mkdir()
    assert clock_mhz(tmp_path) == 2100.0
    assert clock_mhz(tmp_path, cores=[1]) == 1800.0, "only the cores that are timed on are asked"
    assert clock_mhz(tmp_path, cores=[7]) is None


def test_what_the_system_does_not_tell_is_not_known(tmp_path: Path) -> None:
    assert (celsius(tmp_path / "none"), clock_mhz(tmp_path / "none")) == (None, None)
