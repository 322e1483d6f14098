"""The papers of a bundle: what it says in words and lists about itself, beside the program and the model."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.bundle import licences
from pipeline.bundle.card import CARD_FILE, card
from pipeline.bundle.check import Check, from_problems
from pipeline.bundle.dockerfile import DOCKERFILE, dockerfile
from pipeline.bundle.licences import Licence
from pipeline.bundle.manifest import MANIFEST_FILE, MOST_BYTES
from pipeline.bundle.packages import Package, packages, requires_python
from pipeline.bundle.readme import README_FILE, readme
from pipeline.bundle.requirements import REQUIREMENTS_FILE, requirements, unpinned_roots
from pipeline.bundle.sbom import PAPERS, SBOM_FILE, sbom, sbom_problems
from pipeline.bundle.slimline_infer.values import printable
from pipeline.bundle.sums import SUMS_FILE, sums

DERIVED = {README_FILE: readme, CARD_FILE: card, REQUIREMENTS_FILE: requirements, DOCKERFILE: dockerfile}
"""The papers that the manifest alone gives, and what writes each."""
CHECKS = (*PAPERS, "licences", SUMS_FILE)


@dataclass(frozen=True, slots=True)
class Papers:
    """What the papers of a bundle are written from, beside its manifest."""

    packages: list[Package]
    licences: Mapping[str, Licence]

    @classmethod
    def of(cls, manifest: Mapping[str, Any], known: Mapping[str, Licence], wheels: Path | None = None) -> Papers:
        """Those of a bundle with this manifest, which need not be whole; ``wheels`` is a folder with the packages'
        wheels. Raises UserError where it lacks one."""
        return cls(packages(manifest, wheels), known)

    @property
    def entries(self) -> dict[str, Any]:
        """The manifest's entries about them."""
        return {
            "licences": licences.entries(self.licences),
            "packages": [package.entry for package in self.packages],
            "requires_python": requires_python(self.packages),
        }

    def write(self, folder: Path, manifest: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]]) -> None:
        """Write all papers but the sums; ``files`` are the entries of the files that are there."""
        for name, text in derived_papers(manifest).items():
            (folder / name).write_text(text, encoding="utf-8")
        (folder / SBOM_FILE).write_text(sbom(manifest, files), encoding="utf-8")
        texts = licences.files(self.licences)
        for package in self.packages:
            texts |= package.licence_files
        for name, path in texts.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / name)


def derived_papers(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The papers that the manifest alone gives, by name."""
    return {name: text(manifest) for name, text in DERIVED.items()}


def licence_files(manifest: Mapping[str, Any]) -> set[str]:
    """The licence files that a manifest tells of."""
    entries = [*manifest["licences"].values(), *manifest["packages"]]
    return {name for entry in entries for name in (*entry.get("files", ()), *entry.get("licence_files", ()))}


def write_sums(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write the last file, once the manifest is in the folder."""
    text = sums(manifest, (folder / MANIFEST_FILE).read_bytes())
    (folder / SUMS_FILE).write_text(text, encoding="utf-8", newline="")


def check_papers(folder: Path, manifest: Mapping[str, Any]) -> list[Check]:
    """Check that each paper is what the manifest calls for.

    The files must have been checked before, but for the sums, of which only the kind of file was.
    """
    texts = derived_papers(manifest)
    checks = [_same(folder / name, text.encode(), "written from the manifest") for name, text in texts.items()]
    loose = unpinned_roots(manifest)
    if loose:
        checks.append(Check(REQUIREMENTS_FILE, False, f"the manifest pins no version of {', '.join(loose)}"))
    differing = sbom_problems(_content(folder / SBOM_FILE), manifest)
    checks.append(from_problems(SBOM_FILE, differing, "it lists what the manifest lists"))
    unlisted = sorted(licence_files(manifest) - manifest["files"].keys())
    lacking = [f"the manifest tells of {printable(name)}, which is none of its files" for name in unlisted]
    checks.append(from_problems("licences", lacking, "every licence file that the manifest tells of is there"))
    lines = sums(manifest, _content(folder / MANIFEST_FILE)).encode()
    return [*checks, _same(folder / SUMS_FILE, lines, "it lists the digests of the manifest, and the manifest's own")]


def _same(path: Path, wanted: bytes, otherwise: str) -> Check:
    same = path.stat().st_size == len(wanted) and path.read_bytes() == wanted
    return from_problems(path.name, [] if same else [f"{path.name} is not what the manifest calls for"], otherwise)


def _content(path: Path) -> bytes:
    """A file's content, where it is no larger than any that slimline writes."""
    return path.read_bytes() if path.stat().st_size <= MOST_BYTES else b""
