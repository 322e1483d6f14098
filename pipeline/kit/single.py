"""A kit as a single file, which Python runs: it unpacks itself into a temporary folder."""

from __future__ import annotations

import shutil
import zipapp
from pathlib import Path

from pipeline.folders.writing import whole

SUFFIX = ".pyz"
_MAIN = '''\
"""Unpack the kit into a temporary folder and run its kit.py there; the folder goes when it ends."""
import os
import runpy
import sys
import tempfile
import zipfile

with tempfile.TemporaryDirectory(prefix="slimline-kit-") as folder:
    with zipfile.ZipFile(sys.argv[0]) as archive:
        archive.extractall(folder)
    sys.argv[0] = os.path.join(folder, "kit.py")
    runpy.run_path(sys.argv[0], run_name="__main__")
'''


def write_single(folder: Path, out: Path) -> None:
    """Put a kit's folder into the file ``out``; the folder is used up."""
    (folder / "__main__.py").write_text(_MAIN)
    with whole(out) as temporary:
        zipapp.create_archive(folder, temporary, interpreter="/usr/bin/env python3", compressed=True)
    shutil.rmtree(folder)
