"""Turns texts into the token numbers that an encoder reads, by the tokenizer that comes with a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.rows import Array
from pipeline.data.sizes import check_file
from pipeline.data.spool import Spool
from pipeline.errors import UserError, first_line
from pipeline.libraries.muted import errors_only

Encoder = Callable[[Sequence[str]], tuple[NDArray[np.int64], NDArray[np.int64]]]
"""Gives the numbers of each text's tokens, and 1 for each token or 0 for filling; both [N, length]."""
LENGTH = 64
"""The tokens of a text where nobody tells how many."""
_FILE, _VOCABULARY = "tokenizer.json", "tokenizer_config.json"
"""The file with a whole tokenizer; and one that transformers reads together with a vocabulary."""
_TEXTS_AT_ONCE = 1000
_FILLING = ("[PAD]", "<pad>")
"""The usual names of the token that short texts are filled with."""


def folders_beside(folder: Path | None) -> Sequence[Path]:
    """Where a model's tokenizer may lie: in the model's folder, or the one above, since many keep an onnx/ of their
    own."""
    return () if folder is None else (folder, folder.parent)


def tokenizer_in(*folders: Path) -> Path:
    """The first tokenizer of these folders: its tokenizer.json, or the folder where there is only a vocabulary that
    transformers reads. Raises UserError, with what to type, where none has it."""
    for folder in folders:
        if (folder / _FILE).is_file():
            return folder / _FILE
        if (folder / _VOCABULARY).is_file():
            return folder
    looked = ", ".join(dict.fromkeys(str(folder.resolve()) for folder in folders))
    raise UserError(
        f"texts need the model's {_FILE}, or {_VOCABULARY} beside its vocabulary, and neither lies in {looked}: type "
        "data.tokenizer=PATH"
    )


@dataclass(slots=True)
class Tokens:
    """The token numbers of texts and their masks, as the texts come in."""

    encode: Encoder
    ids: Spool = field(default_factory=Spool)
    mask: Spool = field(default_factory=Spool)

    def add(self, texts: Sequence[str]) -> None:
        """Put the tokens of texts behind the others."""
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            ids, mask = self.encode(texts[start : start + _TEXTS_AT_ONCE])
            self.ids.add(ids)
            self.mask.add(mask)

    def arrays(self) -> tuple[Array, Array]:
        """The numbers and the masks [N, length], both int64."""
        return self.ids.array(), self.mask.array()


@lru_cache(maxsize=2)
def encoder_of(tokenizer: Path, length: int) -> Encoder:
    """What cuts or fills every text to ``length`` tokens.

    ``tokenizer`` is a ``tokenizer.json`` (package tokenizers), or a folder with a vocabulary that transformers reads.
    Raises UserError where it can't be read.
    """
    if tokenizer.is_dir():
        return partial(_by_transformers, _vocabulary(tokenizer), tokenizer, length)
    encoder = _tokenizer(tokenizer)
    encoder.enable_truncation(length)
    encoder.enable_padding(**_filling(encoder), length=length)
    return partial(_by_file, encoder)


def _by_file(encoder: Any, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    encoded = encoder.encode_batch(list(texts))
    ids, masks = ([getattr(text, name) for text in encoded] for name in ("ids", "attention_mask"))
    return np.array(ids, np.int64), np.array(masks, np.int64)


def _by_transformers(
    encoder: Any, folder: Path, length: int, texts: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    try:
        encoded = encoder(list(texts), padding="max_length", truncation=True, max_length=length)
    except ValueError as error:
        raise UserError(f"data.tokenizer={folder} can't fill texts to one length: {first_line(error)}") from error
    return np.array(encoded["input_ids"], np.int64), np.array(encoded["attention_mask"], np.int64)


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
