"""A bundle in one zip file. The same bundle gives the same bytes again.

Names are sorted, times and modes are fixed, and nothing is compressed, so that no version of zlib shows.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

from pipeline.artifact import model_files
from pipeline.bundle.manifest import MANIFEST_FILE
from pipeline.folders.writing import whole

_EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip file can hold."""
_PLAIN_FILE = 0o100644
_UNIX = 3


def write_zip(bundle: Path, out: Path) -> None:
    """Write a bundle into a zip file, in a folder of its variant's name, whatever its own folder is called. A file of
    that name is replaced."""
    name = json.loads((bundle / MANIFEST_FILE).read_text(encoding="utf-8"))["name"]
    out.parent.mkdir(parents=True, exist_ok=True)
    with whole(out) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for path in model_files(bundle):
            entry = zipfile.ZipInfo(f"{name}/{path.relative_to(bundle).as_posix()}", _EARLIEST)
            entry.create_system, entry.external_attr = _UNIX, _PLAIN_FILE << 16
            entry.file_size = path.stat().st_size  # a file of over 2 GiB is announced as one
            with path.open("rb") as source, archive.open(entry, "w") as copy:
                shutil.copyfileobj(source, copy)
