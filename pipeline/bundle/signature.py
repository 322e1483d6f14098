"""``model.sig``: who made a bundle, as OpenSSF's model-signing writes it (a Sigstore bundle over an in-toto statement).

The statement lists the sha256 of every file of the folder, the manifest too; model.sig is beside them. The library
checks the signature and the files. What it refuses is named here, out of the statement: it tells one sentence for all.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.bundle import keys
from pipeline.bundle import manifest as manifests
from pipeline.bundle.check import Check, from_problems
from pipeline.bundle.integrity import MOST_ENTRIES, SIGNATURE_FILE, content_of, entries_below, kind_of
from pipeline.bundle.slimline_infer.values import printable
from pipeline.errors import first_line

NAME = "signature"
MOST_BYTES = 2**24
"""The most bytes of a signature: a larger one is not read."""
UNSIGNED = f"there is no {SIGNATURE_FILE}: the bundle was not signed, or its signature was taken away"
UNCHECKED = f"{SIGNATURE_FILE} is there and was not checked: --key PUBLIC.pem, the signer's public key, checks it"
_METHOD = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": [SIGNATURE_FILE]}
_OF_THE_BUNDLE = ("model", "golden", "manifest")
"""What the names of the files begin with that no two bundles share."""
_FORGED = f"{SIGNATURE_FILE} was forged or changed: it was not made with this key over what it says"
_SHOWN = 5


class Unreadable(ValueError):
    """Raised for a file that is no signature; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What a signature says, before anything has checked it."""

    key_id: str | None
    """The name of the key that it says it was made with."""
    folder: str
    """The folder's name when it was signed."""
    digests: Mapping[str, str]
    """The sha256 of each file, by name."""
    method: Mapping[str, Any]
    """How the files were read."""


def sign_folder(folder: Path, key: Path, password: bytes | None, out: Path) -> None:
    """Write the signature of all files of a folder but ``model.sig`` to ``out``. The key must have been checked."""
    from model_signing import signing

    config: Any = signing.Config
    # The library hands the password on as it is, and what reads the key takes bytes only.
    signer = config().use_elliptic_key_signer(private_key=key, password=password)
    signer.set_hashing_config(_hashing()).sign(folder, out)


def check_signature(folder: Path, key: Path) -> list[Check]:
    """Check a folder's ``model.sig`` with a public key, which must have been checked. It reads every file, and foreign
    ones: call it in a process of its own."""
    return [from_problems(NAME, list(_problems(folder, key)), _passed(folder, key))]


def statement(folder: Path) -> Statement:
    """What a folder's ``model.sig`` says; raises Unreadable, with the reason, where it is no signature."""
    try:
        content = content_of(folder / SIGNATURE_FILE, MOST_BYTES)
    except OSError as error:
        raise Unreadable(f"{SIGNATURE_FILE} can't be read: {error.strerror}") from error
    except manifests.Unreadable as error:
        raise Unreadable(str(error)) from error
    try:
        found = json.loads(content)
        envelope = found["dsseEnvelope"]
        (_,) = envelope["signatures"]
        payload = json.loads(base64.b64decode(envelope["payload"], validate=True))
        (subject,) = payload["subject"]
        predicate = payload["predicate"]
        resources = [(entry["name"], entry["digest"]) for entry in predicate["resources"]]
        hint = found["verificationMaterial"]["publicKey"].get("hint")
        method = dict(predicate["serialization"])
        folder_name = str(subject["name"])
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, binascii.Error) as error:
        raise Unreadable(f"{SIGNATURE_FILE} holds no signature as model-signing writes it with a key") from error
    digests = {str(name): str(digest) for name, digest in resources}
    return Statement(key_id=hint, folder=folder_name, digests=digests, method=method)


def _passed(folder: Path, key: Path) -> str:
    """What a good signature shows; not asked for where there are problems."""
    return (
        f"{SIGNATURE_FILE} is by the key {keys.short(keys.key_id(keys.public_key(key)))} ({key.name}), over all files"
    )


def _problems(folder: Path, key: Path) -> Iterator[str]:
    """One problem, or none."""
    kind = kind_of(folder / SIGNATURE_FILE)
    if kind != "a file":
        yield UNSIGNED if kind == "missing" else f"{SIGNATURE_FILE} is {kind}, not a plain file"
        return
    if odd := next(_odd(folder), None):
        yield odd
        return
    try:
        said = statement(folder)
    except Unreadable as error:
        yield str(error)
        return
    wanted = keys.key_id(keys.public_key(key))
    if said.key_id is not None and said.key_id != wanted:
        yield (
            f"{SIGNATURE_FILE} was made with another key than {key.name}: it names "
            f"{keys.short(printable(said.key_id))}, and {key.name} is {keys.short(wanted)}"
        )
        return
    refused = _refused(folder, key)
    different = _differences(folder, said) if refused != _FORGED else None
    if refused or different:
        yield different or refused or ""


def _odd(folder: Path) -> Iterator[str]:
    """What the library would wait for, or follow."""
    entries = list(entries_below(folder))
    if len(entries) > MOST_ENTRIES:
        yield f"the folder holds more than {MOST_ENTRIES} files and folders"
    for path, kind in entries:
        if kind not in ("a file", "a folder"):
            yield f"{printable(path.relative_to(folder).as_posix())} is {kind}, which no signature covers"


def _refused(folder: Path, key: Path) -> str:
    """Why the library refuses the signature; empty where it does not."""
    from cryptography.exceptions import InvalidSignature
    from model_signing import verifying

    config: Any = verifying.Config
    verifier = config().use_elliptic_key_verifier(public_key=key).set_hashing_config(_hashing())
    try:
        verifier.verify(folder, folder / SIGNATURE_FILE)
    except InvalidSignature:
        return _FORGED
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        return f"{SIGNATURE_FILE} does not hold: {printable(first_line(error))}"
    return ""


def _hashing() -> Any:
    """Every file counts but the signature itself; a file of Git's, too, which the library would pass over."""
    from model_signing import hashing

    config: Any = hashing.Config
    return config().set_ignored_paths(paths=[SIGNATURE_FILE], ignore_git_paths=False)


def _differences(folder: Path, said: Statement) -> str:
    """What of the folder is not what was signed, in one sentence; empty where all is. Whoever signs may leave files
    out, and the library then passes them over: here every file counts."""
    if said.method != _METHOD:
        return f"{SIGNATURE_FILE} does not cover every file by its sha256: sign the bundle with python -m pipeline sign"
    found = dict(_digests(folder))
    changed = [name for name in said.digests if name in found and found[name] != said.digests[name]]
    missing = [name for name in said.digests if name not in found]
    added = [name for name in found if name not in said.digests]
    if not changed + missing + added:
        return ""
    if _is_another(said.digests, [*changed, *missing]):
        return (
            f"{SIGNATURE_FILE} is of another bundle, or of earlier files of this one: {_listed(changed + missing)} are "
            f"not what was signed (as '{printable(said.folder)}')"
        )
    parts = ((changed, "changed after"), (missing, "taken away after"), (added, "added after"))
    return "; ".join(f"{_listed(names)} {_was(names)} {how} it was signed" for names, how in parts if names)


def _is_another(signed: Mapping[str, str], different: list[str]) -> bool:
    """Whether the manifest, the model and the golden examples are all others."""
    return all(
        any(name.startswith(kind) for name in different)
        for kind in _OF_THE_BUNDLE
        if any(name.startswith(kind) for name in signed)
    )


def _digests(folder: Path) -> Iterator[tuple[str, str]]:
    for path, kind in entries_below(folder):
        name = path.relative_to(folder).as_posix()
        if kind == "a file" and name != SIGNATURE_FILE:
            with path.open("rb") as file:
                yield name, hashlib.file_digest(file, "sha256").hexdigest()


def _listed(names: list[str]) -> str:
    shown = [printable(name) for name in sorted(names)]
    more = [f"{len(shown) - _SHOWN} more"] if len(shown) > _SHOWN else []
    return ", ".join([*shown[:_SHOWN], *more])


def _was(names: list[str]) -> str:
    return "was" if len(names) == 1 else "were"
