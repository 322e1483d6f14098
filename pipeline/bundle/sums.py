"""``SHA256SUMS``: the digests of a bundle's files, as ``sha256sum -c`` reads them.

The manifest lists every file but itself and this one, and this one lists those files and the manifest. So the last file
is derived from the manifest too, and a change of either shows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from pipeline.bundle.manifest import MANIFEST_FILE

SUMS_FILE = "SHA256SUMS"
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}


def sums(manifest: Mapping[str, Any], content: bytes, itself: str = MANIFEST_FILE) -> str:
    """The text: a line for each file of the manifest, and one for the manifest with this content, whose file is
    ``itself``."""
    digests = {name: entry["sha256"] for name, entry in manifest["files"].items()}
    digests[itself] = hashlib.sha256(content).hexdigest()
    return "".join(_line(name, digest) for name, digest in sorted(digests.items()))


def _line(name: str, digest: str) -> str:
    """A backslash before the digest tells that the name is escaped, as coreutils does it."""
    escaped = "".join(_ESCAPES.get(character, character) for character in name)
    return f"{'' if escaped == name else chr(92)}{digest}  {escaped}\n"
