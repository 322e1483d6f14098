"""The words behind ``sign``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class SignWords:
    """What is signed, and with what."""

    folder: Path
    key: Path
    password: bytes | None


def sign_words(argv: Sequence[str]) -> SignWords:
    """The bundle, the key and its password; raises UserError where the variable of the password is not set."""
    parser = argparse.ArgumentParser(
        prog="slimline sign",
        description="Sign a deploy bundle: model.sig tells whoever has the public key who made it.",
        epilog="A pair of keys: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out private.pem; "
        "openssl pkey -in private.pem -pubout -out public.pem.",
    )
    parser.add_argument("folder", type=Path, help="a bundle, such as outputs/latest/deploy/static_int8")
    parser.add_argument("--key", type=Path, required=True, metavar="PRIVATE.pem", help="the private key")
    parser.add_argument("--password-env", metavar="NAME", help="the environment variable with the key's password")
    options = parser.parse_args(argv)
    return SignWords(folder=options.folder, key=options.key, password=_password(options.password_env))


def _password(name: str | None) -> bytes | None:
    if name is None:
        return None
    if not os.environ.get(name):
        raise UserError(f"--password-env {name}: there is no environment variable {name}, or it is empty")
    return os.environb[name.encode()] if os.supports_bytes_environ else os.environ[name].encode()
