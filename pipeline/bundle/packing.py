"""What is made of a bundle beside its folder, and what it is made with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.bundle.archive import write_zip
from pipeline.bundle.oci import require_layout, write_oci
from pipeline.bundle.wheels import Wheels


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """The zip file and the OCI layout of a bundle; None: there is none."""

    zip_file: Path | None = None
    oci: Path | None = None
    wheels: Path | None = None
    """A folder with the wheels whose digests requirements.txt holds."""

    ort_format: bool = False
    """Whether the bundle has the model in ONNX Runtime's own format, too."""

    def check(self) -> None:
        """Raise UserError where a folder is not what it has to be; whether all wheels are there shows later."""
        if self.oci is not None:
            require_layout(self.oci)
        if self.wheels is not None:
            Wheels.of(self.wheels)

    def pack(self, bundle: Path) -> Iterator[Path]:
        """Write them, and yield where each is."""
        if self.zip_file is not None:
            write_zip(bundle, self.zip_file)
            yield self.zip_file
        if self.oci is not None:
            write_oci(bundle, self.oci)
            yield self.oci


NOT_PACKED = Packing()
