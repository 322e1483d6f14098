"""A disk of the network is told from a disk of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.folders.network_disk import is_network_disk


@pytest.mark.parametrize(
    ("path", "is_network"),
    [
        ("/home/me/models/store", False),
        ("/mnt/share/store", True),
        ("/mnt/share", True),
        ("/mnt/shared", False),
        ("/mnt/two words/store", True),
        ("/mnt/share/local/store", False),
        ("/mnt/bucket/store", True),
        ("/mnt/disk/store", False),
        ("/mnt/hidden/store", True),
    ],
)
def test_the_deepest_mount_decides(path: str, is_network: bool, tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/sda1 / ext4 rw 0 0\n"
        "nas:/share /mnt/share nfs4 rw 0 0\n"
        "//nas/words /mnt/two\\040words cifs rw 0 0\n"
        "/dev/sdb1 /mnt/share/local xfs rw 0 0\n"
        "bucket /mnt/bucket fuse.s3fs rw 0 0\n"
        "/dev/sdc1 /mnt/disk fuse.ntfs-3g rw 0 0\n"
        "/dev/sdd1 /mnt/hidden ext4 rw 0 0\n"
        "nas:/hidden /mnt/hidden nfs rw 0 0\n"
        "broken\n"
    )
    assert is_network_disk(Path(path), mounts) is is_network


def test_where_the_system_does_not_tell_a_disk_counts_as_this_machines(tmp_path: Path) -> None:
    assert is_network_disk(tmp_path, tmp_path / "none") is False
