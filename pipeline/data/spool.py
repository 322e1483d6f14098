"""Collects examples that come one after the other, however many there are."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data import rows
from pipeline.data.rows import Array, Region, Rows
from pipeline.errors import reporting_temporary


def temporary_file() -> tempfile._TemporaryFileWrapper[bytes]:
    """A new file to write to. It goes with the folder of this process's temporary files."""
    return tempfile.NamedTemporaryFile(prefix="slimline-data-", delete=False)


@dataclass(slots=True)
class Spool:
    """Puts arrays [K, ...] of one type and shape one behind the other: in memory while they are small, else in a
    temporary file."""

    _like: NDArray[Any] | None = None
    _held: bytearray = field(default_factory=bytearray)
    _file: Path | None = None
    _count: int = 0

    @property
    def each(self) -> tuple[int, ...] | None:
        """The shape of one example; None before there is any."""
        return None if self._like is None else self._like.shape[1:]

    def add(self, examples: NDArray[Any]) -> None:
        """Put examples [K, ...] behind the others; raises OutOfSpace where the disk is full."""
        self._like = examples[:0] if self._like is None else self._like
        self._held += examples.tobytes()
        self._count += len(examples)
        if len(self._held) > rows.IN_MEMORY:
            self._write()

    def array(self) -> Array:
        """All examples [N, ...]; raises ValueError where there are none."""
        if self._like is None:
            raise ValueError("there are no examples")
        dtype, shape = self._like.dtype, (self._count, *self._like.shape[1:])
        if self._file is None:
            return np.frombuffer(self._held, dtype).reshape(shape)
        self._write()
        return Rows.of(Region(self._file, 0, dtype, shape))

    def _write(self) -> None:
        with reporting_temporary():
            if self._file is None:
                with temporary_file() as made:
                    self._file = Path(made.name)
            with self._file.open("ab") as file:
                file.write(self._held)
        self._held = bytearray()
