from pathlib import Path

from pipeline.machine.cgroup import cpu_quota, throttled_periods


def group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text + "\n")


def membership(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "membership"
    path.write_text(text + "\n")
    return path


def test_version_2_has_its_quota_in_cpu_max(tmp_path: Path) -> None:
    group(tmp_path / "fs" / "a", cpu__max="150000 100000", cpu__stat="usage_usec 1\nnr_throttled 7")
    member = membership(tmp_path, "0::/a")
    assert cpu_quota(member, tmp_path / "fs") == 1.5
    assert throttled_periods(member, tmp_path / "fs") == 7


def test_version_1_has_its_quota_in_two_files(tmp_path: Path) -> None:
    cpu = {"cpu__cfs_quota_us": "50000", "cpu__cfs_period_us": "100000", "cpu__stat": "nr_periods 9\nnr_throttled 2"}
    group(tmp_path / "fs" / "cpu" / "a" / "b", **cpu)
    member = membership(tmp_path, "3:cpu,cpuacct:/a/b\n2:memory:/elsewhere")
    assert cpu_quota(member, tmp_path / "fs") == 0.5
    assert throttled_periods(member, tmp_path / "fs") == 2


def test_the_tightest_limit_above_holds_too(tmp_path: Path) -> None:
    group(tmp_path / "fs" / "a", cpu__max="100000 100000")
    group(tmp_path / "fs" / "a" / "b", cpu__max="400000 100000")
    assert cpu_quota(membership(tmp_path, "0::/a/b"), tmp_path / "fs") == 1.0


def test_a_container_sees_its_group_as_the_root(tmp_path: Path) -> None:
    group(tmp_path / "fs", cpu__max="200000 100000")
    assert cpu_quota(membership(tmp_path, "0::/docker/not-visible-here"), tmp_path / "fs") == 2.0


def test_no_limit_is_none(tmp_path: Path) -> None:
    group(tmp_path / "fs", cpu__max="max 100000")
    assert cpu_quota(membership(tmp_path, "0::/"), tmp_path / "fs") is None


def test_without_control_groups_nothing_is_known(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path / "nothing", tmp_path / "fs") is None
    assert throttled_periods(tmp_path / "nothing", tmp_path / "fs") is None
