"""Signs a bundle: writes ``model.sig`` into it, over all other files."""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.bundle import keys
from pipeline.bundle.integrity import SIGNATURE_FILE, check_files, kind_of, read_manifest
from pipeline.bundle.signature import sign_folder
from pipeline.bundle.slimline_infer.values import printable
from pipeline.bundle.steps import TIMEOUT_S
from pipeline.bundle.verify import require_bundle
from pipeline.errors import VerificationFailed, reporting_disk
from pipeline.folders.writing import write_whole

if TYPE_CHECKING:
    from rich.console import Console


def sign(folder: Path, console: Console, key: Path, password: bytes | None = None) -> int:
    """Sign a bundle with a private key, say how to check it, and return 0. An older signature is replaced.

    A folder whose files are not the manifest's is not signed. Raises UserError for a folder that is no bundle and for a
    key that can't sign, VerificationFailed for a damaged bundle, OutOfSpace.
    """
    require_bundle(folder, f"sign --key {key}")
    keys.require_extra()
    keys.check_private_key(key, password)
    _require_whole(folder)
    again = kind_of(folder / SIGNATURE_FILE) != "missing"
    with tempfile.TemporaryDirectory(prefix="slimline-sign-") as place:
        out = Path(place) / SIGNATURE_FILE
        sign_folder(folder, key, password, out)
        with reporting_disk(folder / SIGNATURE_FILE, "sign a copy in a folder that you may write to"):
            write_whole(folder / SIGNATURE_FILE, out.read_text(encoding="utf-8"))
    for line in _told(folder, key, again=again):
        console.print(printable(line), markup=False, highlight=False, soft_wrap=True)
    return 0


def _require_whole(folder: Path) -> None:
    """Raise VerificationFailed unless every file is the manifest's, so that no damage is signed."""
    manifest, checks = read_manifest(folder)
    if manifest is not None and all(check.passed for check in checks):
        checks = check_files(folder, manifest, TIMEOUT_S)
    problems = [check.detail for check in checks if not check.passed]
    if problems:
        raise VerificationFailed(f"{folder} was not signed: {'; '.join(problems)}")


def _told(folder: Path, key: Path, *, again: bool) -> list[str]:
    verb = "signed anew" if again else "signed"
    check = shlex.join(["python", "-m", "pipeline", "verify", str(folder), "--key", "public.pem"])
    return [
        f"{verb}: {folder / SIGNATURE_FILE}",
        "whoever gets the bundle and the public key checks it: "
        f"{shlex.join(['openssl', 'pkey', '-in', str(key), '-pubout', '-out', 'public.pem'])}, then {check}",
    ]
