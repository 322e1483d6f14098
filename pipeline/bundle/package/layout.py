"""A package's own files: what ONNX Runtime reads of it, what infer.py reads, and its README, all derived from the
variants' manifests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.artifact import file_digest
from pipeline.bundle import derived
from pipeline.bundle import manifest as manifests
from pipeline.bundle.dockerfile import DOCKERFILE, dockerfile
from pipeline.bundle.fence import code, prose
from pipeline.bundle.package.kinds import MACHINES, Kind
from pipeline.bundle.readme import README_FILE
from pipeline.bundle.requirements import REQUIREMENTS_FILE, requirements
from pipeline.bundle.slimline_infer.choice import PACKAGE_FILE, READS, WEIGHTS_FOLDER

COMPONENT = "model"
ASSETS = "shared_assets"
ORDER: tuple[Kind, ...] = ("cuda", "avx2", "any", "vnni")
"""ONNX Runtime takes the first variant for its provider, so what is right on every processor comes before what is right
with a session option only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A variant of a package."""

    kind: Kind
    manifest: Mapping[str, Any]
    """The variant's manifest, as of a bundle of its own."""
    asset: str | None
    """The name of the folder with the weights that it shares; None where it shares none."""

    @property
    def name(self) -> str:
        """The variant's name."""
        return str(self.manifest["name"])

    @property
    def folder(self) -> str:
        """The folder with the variant's own files."""
        return f"{COMPONENT}/{self.name}"


def ordered(members: Sequence[Member]) -> list[Member]:
    """The variants in the order of the package."""
    return sorted(members, key=lambda member: ORDER.index(member.kind))


def own_files(members: Sequence[Member]) -> dict[str, bytes]:
    """The files of a package that hold no model, by name, without package.json."""
    texts = {
        manifests.MANIFEST_FILE: _render(_package(members)),
        f"{COMPONENT}/component.json": _render({"variants": {member.name: _variant(member) for member in members}}),
        README_FILE: readme(members),
        REQUIREMENTS_FILE: requirements(_on_cpu(members).manifest),
        DOCKERFILE: dockerfile(_on_cpu(members).manifest),
    }
    return {**derived.program("onnxruntime"), **{name: text.encode() for name, text in texts.items()}}


def entries(members: Sequence[Member]) -> dict[str, Any]:
    """The content of package.json, without its files and its digest."""
    first = members[0].manifest
    return {
        "schema_version": READS,
        "slimline": first["slimline"],
        "created": first["created"],
        "variants": [
            {
                "name": member.name,
                "kind": member.kind,
                "folder": member.folder,
                "shared_weights": f"{ASSETS}/{member.asset}" if member.asset else None,
            }
            for member in members
        ],
    }


def asset_name(folder: Path) -> str:
    """The name of a shared folder, by ONNX Runtime's rule: a digest over the digests and the names of its files."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    lines = "".join(f"{file_digest(folder / name)}  {name}\n" for name in names)
    return f"sha256-{hashlib.sha256(lines.encode()).hexdigest()}"


def readme(members: Sequence[Member]) -> str:
    """The package's README: which variant runs where, and what was measured."""
    rows = "\n".join(_row(member) for member in members)
    return f"""# {prose(members[0].manifest["provenance"]["model"])}, for several machines

An ONNX Runtime model package. `python infer.py` takes the variant that suits the machine and says which one in a line.

```
python -m pip install -r requirements.txt
python infer.py                     # the golden inputs: are the golden outputs reproduced?
python infer.py --variant NAME      # this variant, whatever the machine is
```

| variant | runs on | bytes | measured on | p50 |
| --- | --- | --- | --- | --- |
{rows}

`{PACKAGE_FILE}` lists the variants for infer.py. `{manifests.MANIFEST_FILE}` and `{COMPONENT}/component.json` are for
ONNX Runtime's ModelPackageContext, which chooses by provider and by the order, not by instruction set. A variant's
manifest, README, golden outputs and requirements are in `{COMPONENT}/NAME/`. The variant for VNNI sets
`session.x64quantprecision`, so that its products don't saturate on a processor without VNNI either.
"""


def _row(member: Member) -> str:
    measured = member.manifest["measured"]
    latency = measured["latency_ms"]
    p50 = "not measured" if latency is None else f"{latency['p50']['value']:.4g} ms"
    where = f"{measured['machine']['cpu']} ({measured['target']})"
    return f"| {code(member.name)} | {MACHINES[member.kind]} | {measured['size_bytes']} | {prose(where)} | {p50} |"


def _on_cpu(members: Sequence[Member]) -> Member:
    """The variant whose runtime most machines install."""
    return next((member for member in members if member.kind != "cuda"), members[0])


def _package(members: Sequence[Member]) -> dict[str, Any]:
    return {
        "schema_version": "1.0",
        "package_name": members[0].manifest["provenance"]["model"],
        "description": f"Variants for several machines; {PACKAGE_FILE} says which runs where.",
        "layout": "portable",
        "components": {COMPONENT: COMPONENT},
    }


def _variant(member: Member) -> dict[str, Any]:
    session = member.manifest["session"]
    provider = session["providers"][0]
    options = {name: str(value) for name, value in session["config_entries"].items()}
    if member.asset:
        options[WEIGHTS_FOLDER] = member.asset.replace("-", ":", 1)
    executor = {
        "model_file": member.manifest["model"],
        "session_options": options,
        "provider_options": {name: str(value) for name, value in provider["options"].items()},
    }
    told = {"kind": member.kind, "runs_on": MACHINES[member.kind]}
    return {"ep": provider["name"], "executor_info": {"ort": executor}, "additional_metadata": {"slimline": told}}


def _render(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
