"""Which disks other machines may write to as well."""

from __future__ import annotations

from pathlib import Path

_MOUNTS = Path("/proc/self/mounts")
_TYPES = (
    *("afs", "beegfs", "ceph", "cifs", "coda", "fhgfs", "gfs", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs"),
    *("nfs", "nfs4", "ocfs2", "orangefs", "panfs", "pvfs2", "smb3", "smbfs", "wekafs"),
)
_FUSE = ("ceph", "gcsfuse", "glusterfs", "juicefs", "mergerfs", "moosefs", "quobyte", "rclone", "s3fs", "sshfs")
"""File systems of the network that run as a program: their type begins with ``fuse.``."""


def is_network_disk(path: Path, mounts: Path = _MOUNTS) -> bool:
    """Whether a path lies, or would lie, on a file system of the network; False where the system doesn't tell."""
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return False
    place = path.absolute().resolve()
    found = [(mount, kind) for mount, kind in map(_mount, lines) if place.is_relative_to(mount)]
    # The later of two mounts on one folder hides the earlier.
    kind = max(enumerate(found), key=lambda item: (len(item[1][0].parts), item[0]))[1][1] if found else ""
    return kind in _TYPES or (kind.startswith("fuse.") and kind.removeprefix("fuse.").startswith(_FUSE))


def _mount(line: str) -> tuple[Path, str]:
    """The folder and the type of a mount; a blank in a folder's name is written as \\040."""
    _, folder, kind, *_ = [*line.split(), "", "", ""]
    return Path(folder.encode().decode("unicode_escape", errors="replace")), kind
