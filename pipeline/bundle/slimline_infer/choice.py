"""The variant of a package that this machine runs."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .values import InputError, first_line, printable

PACKAGE_FILE = "package.json"
READS = 1
"""The version of package.json that this program reads."""
VNNI = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})
"""The x86 instruction sets that add products of bytes in 32 bits; the others pass through 16 bits, which saturate."""
EXACT = "session.x64quantprecision"
"""The option by which ONNX Runtime adds int8 products in 32 bits on every x86. With VNNI it changes no output, and took
2.7 times as long (fashion_resnet in static int8 on a Xeon): it is left out there."""
X86 = frozenset({"x86_64", "amd64", "i386", "i686"})
WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"
"""The option by which ONNX Runtime looks for a model's weights in another folder."""
CUDA = "CUDAExecutionProvider"
_CPUINFO = Path("/proc/cpuinfo")
_CARDS = (Path("/dev/nvidiactl"), Path("/dev/dxg"))


@dataclass(frozen=True)
class Place:
    """Where a model's files lie."""

    folder: Path
    """The folder with the model's manifest."""
    weights: Path | None = None
    """The folder of the weights that a package's variants share; None where the model's lie beside it."""
    why: str | None = None
    """The variant and the reason for it, in words; None where there was no choice."""


def place(folder: Path, variant: str | None = None) -> Place:
    """The variant that fits this machine, or the one asked for; a bundle of one model is its own place.

    Raises InputError where there is no such variant, or none for this machine.
    """
    if not (folder / PACKAGE_FILE).is_file():
        if variant is not None:
            raise InputError(f"this bundle holds one model, and no variant '{printable(variant)}': leave it out")
        return Place(folder)
    variants = read_package(folder)
    if variant is not None:
        entry, why = _named(variants, variant), "as asked for"
    else:
        entry, why = choose(variants, flags(), has_cuda())
    shared = entry["shared_weights"]
    return Place(
        folder / entry["folder"], folder / shared if shared else None, f"variant '{printable(entry['name'])}': {why}"
    )


def read_package(folder: Path) -> list[dict[str, Any]]:
    """The package's variants; raises InputError where they can't be read."""
    path = folder / PACKAGE_FILE
    try:
        package: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version, variants = package["schema_version"], list(package["variants"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise InputError(f"{path} can't be read: {first_line(error)}") from error
    if version != READS:
        raise InputError(f"{path} has version {version}, and this infer.py reads version {READS}")
    return variants


def choose(
    variants: Sequence[Mapping[str, Any]], isa: frozenset[str] | None, cuda: bool, machine: str | None = None
) -> tuple[Mapping[str, Any], str]:
    """The first variant of the kinds that suit a machine, best first, and the reason.

    ``isa`` are the processor's instruction sets, None where they can't be read; ``machine`` is its type, by default
    this one's. Raises InputError where no variant runs here.
    """
    by_kind = {entry["kind"]: entry for entry in variants}
    if cuda and "cuda" in by_kind:
        return by_kind["cuda"], "there is an NVIDIA GPU, and onnxruntime runs on it"
    kinds, why = _suitable(isa, machine or platform.machine())
    for kind in kinds:
        if kind in by_kind:
            return by_kind[kind], why
    raise InputError(f"this package's variants need a GPU: {CUDA} is not available, or there is no NVIDIA GPU")


def _suitable(isa: frozenset[str] | None, machine: str) -> tuple[tuple[str, ...], str]:
    """The kinds, best first, and what is known of the processor. Each is right on each."""
    if machine.lower() not in X86:
        return ("vnni", "avx2", "any"), f"a processor of type {printable(machine)} adds int8 products in 32 bits"
    if isa is None:
        return ("avx2", "any", "vnni"), "this processor's instruction sets can't be read"
    if isa & VNNI:
        return ("vnni", "avx2", "any"), f"this processor has {', '.join(sorted(isa & VNNI))}"
    if "avx2" in isa:
        return ("avx2", "any", "vnni"), "this processor has avx2 and no VNNI"
    return ("any", "avx2", "vnni"), "this processor has no avx2"


def needed(entries: Mapping[str, str], isa: frozenset[str] | None) -> dict[str, str]:
    """The entries of a session's configuration that a processor with these instruction sets needs: one with VNNI adds
    int8 products in 32 bits without being told to."""
    exact = isa is not None and bool(isa & VNNI)
    return {key: value for key, value in entries.items() if not (exact and key == EXACT)}


def flags(cpuinfo: Path = _CPUINFO) -> frozenset[str] | None:
    """The processor's instruction sets as Linux tells them; None where it does not."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    found = (line.partition(":") for line in lines)
    told = next((value for name, _, value in found if name.strip() in ("flags", "Features")), None)
    return None if told is None else frozenset(told.split())


def has_cuda() -> bool:
    """Whether onnxruntime is one for CUDA and a card is there; on Linux the card's device tells."""
    try:
        import onnxruntime
    except ImportError:
        return False
    there = not sys.platform.startswith("linux") or any(card.exists() for card in _CARDS)
    return there and CUDA in onnxruntime.get_available_providers()


def _named(variants: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    found = next((entry for entry in variants if entry["name"] == name), None)
    if found is None:
        names = ", ".join(printable(entry["name"]) for entry in variants)
        raise InputError(f"there is no variant '{printable(name)}': the package has {names}")
    return found
