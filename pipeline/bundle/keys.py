"""The keys that sign a bundle and check its signature: PEM files of an elliptic curve, read offline.

Their problems are the user's, so they are told before any work, with what makes such a key.
"""

from __future__ import annotations

import hashlib
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UserError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

MAKE_PRIVATE = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out private.pem"
PASSWORD_ENV = "--password-env"
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_NEEDED = ("model_signing", "cryptography", "OpenSSL")
"""OpenSSL: model-signing 1.1 imports it and does not ask for it."""
_SHOWN = 12
_MOST_BYTES = 2**16


def require_extra() -> None:
    """Raise UserError, with what to install, where the packages of the extra ``sign`` are missing."""
    if any(find_spec(name) is None for name in _NEEDED):
        raise UserError("signatures need the extra 'sign': pip install 'slimline[sign]'")


def check_private_key(path: Path, password: bytes | None) -> None:
    """Raise UserError, with what to type, unless the file holds a key that can sign."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = _content(path, f"a private key is made so: {MAKE_PRIVATE}")
    if b"PUBLIC KEY" in content:
        raise UserError(f"{path} is a public key, which checks signatures: sign with the private one of the pair")
    try:
        key = load_pem_private_key(content, password)
    except TypeError as error:
        raise UserError(_password_problem(path, password)) from error
    except ValueError as error:
        if password is not None and b"ENCRYPTED" in content:
            raise UserError(f"the password does not open {path}") from error
        raise UserError(f"{path} is no private key in PEM form: make one with {MAKE_PRIVATE}") from error
    _require_curve(path, key, f"make one with {MAKE_PRIVATE}")


def check_public_key(path: Path) -> None:
    """Raise UserError, with what to type, unless the file holds a key that can check signatures."""
    public_key(path)


def public_key(path: Path) -> EllipticCurvePublicKey:
    """The public key in a file; raises UserError, with what to type, where it holds none of an elliptic curve."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    content = _content(path, "type the public key of whoever signed the bundle")
    if b"PRIVATE KEY" in content:
        raise UserError(
            f"{path} is a private key, and a signature is checked with the public one: "
            f"openssl pkey -in {shlex.quote(str(path))} -pubout -out public.pem"
        )
    try:
        key = load_pem_public_key(content)
    except ValueError as error:
        raise UserError(
            f"{path} is no public key in PEM form: openssl pkey -in private.pem -pubout -out public.pem makes one"
        ) from error
    return _require_curve(path, key, "type the public key that belongs to the one that signed")


def key_id(key: EllipticCurvePublicKey) -> str:
    """The name that model.sig has for a key: the sha256 of its PEM form."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def short(identity: str) -> str:
    """As much of a key's name as a person compares."""
    return identity[:_SHOWN]


def _content(path: Path, advice: str) -> bytes:
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "is no plain file" if path.exists() else "does not exist"
        raise UserError(f"the key {path} {what}: {advice}")
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES)
    except OSError as error:
        raise UserError(f"the key {path} can't be read: {error.strerror}") from error


def _password_problem(path: Path, password: bytes | None) -> str:
    if password is None:
        return f"{path} is encrypted: name the environment variable with its password, {PASSWORD_ENV} NAME"
    return f"{path} is not encrypted: leave {PASSWORD_ENV} out"


def _require_curve(path: Path, key: object, advice: str) -> EllipticCurvePublicKey:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

    public = key.public_key() if isinstance(key, EllipticCurvePrivateKey) else key
    if isinstance(public, EllipticCurvePublicKey) and public.curve.name in _CURVES:
        return public
    kind = public.curve.name if isinstance(public, EllipticCurvePublicKey) else type(key).__name__.removeprefix("_")
    raise UserError(f"{path} holds a key of another kind ({kind}), and P-256, P-384 or P-521 is needed: {advice}")
