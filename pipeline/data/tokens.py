"""Texts as token numbers of one length, by the tokenizer that comes with a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.sizes import check_file
from pipeline.errors import UserError, first_line
from pipeline.libraries.muted import errors_only

_FILLING = ("[PAD]", "<pad>")
"""The usual names of the token that short texts are filled with."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """The numbers of each text's tokens, and 1 for each token or 0 for filling; both [N, length] int64."""

    numbers: NDArray[np.int64]
    mask: NDArray[np.int64]


def tokens_of(texts: Sequence[str], tokenizer: Path, length: int) -> Tokens:
    """The tokens of texts, cut or filled to ``length``.

    ``tokenizer`` is a ``tokenizer.json`` (package tokenizers), or a folder with a vocabulary that transformers reads.
    Raises UserError where it can't be read.
    """
    return _by_transformers(texts, tokenizer, length) if tokenizer.is_dir() else _by_file(texts, tokenizer, length)


def _by_file(texts: Sequence[str], file: Path, length: int) -> Tokens:
    encoded = _encoder(file, length).encode_batch(list(texts))
    return Tokens(
        np.array([text.ids for text in encoded], np.int64),
        np.array([text.attention_mask for text in encoded], np.int64),
    )


@lru_cache(maxsize=2)
def _encoder(file: Path, length: int) -> Any:
    """The tokenizer, which cuts and fills every text to ``length`` tokens."""
    encoder = _tokenizer(file)
    encoder.enable_truncation(length)
    encoder.enable_padding(**_filling(encoder), length=length)
    return encoder


def _filling(encoder: Any) -> dict[str, Any]:
    """The token that texts are filled with: what the file says, or else a token of the usual name; 0 without one."""
    if encoder.padding is not None:
        return {key: encoder.padding[key] for key in ("pad_id", "pad_token")}
    known = {name: encoder.token_to_id(name) for name in _FILLING}
    return next(({"pad_id": number, "pad_token": name} for name, number in known.items() if number is not None), {})


def _tokenizer(path: Path) -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise UserError("texts need the package tokenizers: pip install tokenizers") from error
    check_file(path, "give the tokenizer.json that comes with the model (data.tokenizer)")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise UserError(f"data.tokenizer={path} can't be read as a tokenizer: {error}") from error


def _by_transformers(texts: Sequence[str], folder: Path, length: int) -> Tokens:
    tokenizer = _vocabulary(folder)
    try:
        encoded = tokenizer(list(texts), padding="max_length", truncation=True, max_length=length)
    except ValueError as error:
        raise UserError(f"data.tokenizer={folder} can't fill texts to one length: {first_line(error)}") from error
    return Tokens(np.array(encoded["input_ids"], np.int64), np.array(encoded["attention_mask"], np.int64))


@lru_cache(maxsize=2)
def _vocabulary(folder: Path) -> Any:
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise UserError(
            f"data.tokenizer={folder} is a folder, and reading it needs the extra 'transformers': pip install "
            "'slimline[transformers]'; without it give a tokenizer.json"
        ) from error
    with errors_only("transformers"):
        try:
            return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except Exception as error:  # each kind of tokenizer raises errors of its own
            raise UserError(f"data.tokenizer={folder} can't be read as a tokenizer: {first_line(error)}") from error
