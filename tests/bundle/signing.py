"""Keys of elliptic curves, and bundles signed with them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from rich.console import Console

from pipeline.bundle.sign import sign

PASSWORD = b"open sesame"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The files of a key."""

    private: Path
    public: Path


def pair(folder: Path, name: str, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: bytes = b"") -> Pair:
    """Write both halves of a key."""
    hidden: KeySerializationEncryption = BestAvailableEncryption(password) if password else NoEncryption()
    private, public = folder / f"{name}.pem", folder / f"{name}_public.pem"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, hidden))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return Pair(private=private, public=public)


def curve() -> ec.EllipticCurvePrivateKey:
    """A new key."""
    return ec.generate_private_key(ec.SECP256R1())


def signed_copy(bundle: Path, to: Path, key: Pair) -> Path:
    """A copy of a bundle with a signature."""
    shutil.copytree(bundle, to)
    sign(to, Console(quiet=True), key.private)
    return to
