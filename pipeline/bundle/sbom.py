"""``sbom.cdx.json``: what a bundle consists of and runs on, as CycloneDX 1.6 has it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipeline.bundle.card import CARD_FILE
from pipeline.bundle.dockerfile import DOCKERFILE
from pipeline.bundle.licences import FOLDER
from pipeline.bundle.manifest import sealed
from pipeline.bundle.readme import README_FILE
from pipeline.bundle.requirements import REQUIREMENTS_FILE
from pipeline.bundle.slimline_infer.values import printable

if TYPE_CHECKING:
    from cyclonedx.model.component import Component

SBOM_FILE = "sbom.cdx.json"
_NAMESPACE = uuid.UUID("6f3c0a52-6d1a-5a0f-9b0c-3f1e2a7d4c11")
PAPERS = (README_FILE, CARD_FILE, REQUIREMENTS_FILE, DOCKERFILE, SBOM_FILE)
"""The files that describe what is delivered, and are not part of it."""
_DATA = "data"
_FILE = "file"
_LIBRARY = "library"
_MODEL = "machine-learning-model"


@dataclass(frozen=True, slots=True)
class Part:
    """A component as the manifest knows it."""

    kind: str
    name: str
    version: str | None = None
    sha256: str | None = None
    """The digest of its file; None where the bundle holds no file of it."""
    licence: str | None = None
    about: str | None = None

    @property
    def told(self) -> tuple[str, str, str | None, str | None]:
        """What a document must say of it."""
        return self.kind, self.name, self.version, self.sha256


def sbom(manifest: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]]) -> str:
    """The text, which the same manifest gives again: its serial number and its time come from the manifest.

    ``files`` are the entries of the files beside the papers; the manifest need not have them yet.
    """
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.tool import ToolRepository
    from cyclonedx.output import make_outputter
    from cyclonedx.schema import OutputFormat, SchemaVersion

    facts = {name: value for name, value in manifest.items() if name != "files"}
    maker = Component(name="slimline", version=manifest["slimline"]["version"], type=ComponentType.APPLICATION)
    bundle = Component(name=manifest["name"], type=ComponentType.APPLICATION, bom_ref="bundle")
    components = {(part.kind, part.name): _component(part) for part in parts(manifest, files)}
    bom = Bom(
        serial_number=uuid.uuid5(_NAMESPACE, sealed(facts)["digest"]),
        metadata=BomMetaData(
            timestamp=datetime.fromisoformat(manifest["created"]),
            component=bundle,
            tools=ToolRepository(components=[maker]),
        ),
        components=components.values(),
    )
    bom.register_dependency(bundle, components.values())
    for package in manifest["packages"]:
        needed = (components.get((_LIBRARY, name)) for name in package["requires"] or ())
        bom.register_dependency(components[_LIBRARY, package["name"]], [other for other in needed if other])
    text: str = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2)
    return text + "\n"


def parts(manifest: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]]) -> Iterator[Part]:
    """What a bundle with this manifest consists of and runs on."""
    provenance, golden, licences = manifest["provenance"], manifest["golden"], manifest["licences"]
    for name in filter(None, (manifest["model"], manifest.get("program"))):
        about = f"{manifest['name']}, made from {provenance['model']}"
        yield Part(_MODEL, name, None, _digest(files, name), licences["model"]["name"], about)
    about = f"{golden['examples']} examples of {provenance['data']}, and what the model gives for them"
    yield Part(_DATA, golden["file"], None, _digest(files, golden["file"]), licences["data"]["name"], about)
    about = "what the model was tested on; not part of the bundle"
    yield Part(_DATA, provenance["data"], None, None, licences["data"]["name"], about)
    named = {*PAPERS, manifest["model"], manifest.get("program"), golden["file"]}
    for name in sorted(files.keys() - named):
        if not name.startswith(f"{FOLDER}/"):
            yield Part(_FILE, name, None, _digest(files, name))
    for package in manifest["packages"]:
        yield Part(_LIBRARY, package["name"], package["version"], None, package["licence"])


def sbom_problems(content: bytes, manifest: Mapping[str, Any]) -> list[str]:
    """The components on which a document and the manifest differ.

    The document's bytes depend on the library that wrote them, so they are not derived again.
    """
    try:
        document = json.loads(content)
        found = {_told(component) for component in document["components"]}
        kind = (document["bomFormat"], document["specVersion"])
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        kind, found = None, set()
    if kind != ("CycloneDX", "1.6"):
        return [f"{SBOM_FILE} is no CycloneDX 1.6 document"]
    wanted = {part.told for part in parts(manifest, manifest["files"])}
    names = sorted({f"{kind} {printable(name)}" for kind, name, *_ in found ^ wanted})
    return [f"{SBOM_FILE} and the manifest do not say the same of the {name}" for name in names]


def _told(component: Mapping[str, Any]) -> tuple[str, str, str | None, str | None]:
    digest = next((entry["content"] for entry in component.get("hashes", ()) if entry["alg"] == "SHA-256"), None)
    return component["type"], component["name"], component.get("version"), digest


def _digest(files: Mapping[str, Mapping[str, Any]], name: str) -> str | None:
    found: str | None = files.get(name, {}).get("sha256")
    return found


def _component(part: Part) -> Component:
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentScope, ComponentType
    from packageurl import PackageURL

    inside = part.kind == _LIBRARY or part.sha256 is not None
    return Component(
        type=ComponentType(part.kind),
        name=part.name,
        version=part.version,
        bom_ref=f"{part.kind}:{part.name}",
        scope=ComponentScope.REQUIRED if inside else ComponentScope.EXCLUDED,
        description=part.about,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=part.sha256)] if part.sha256 else (),
        licenses=[LicenseFactory().make_from_string(part.licence)] if part.licence else (),
        purl=PackageURL("pypi", name=part.name, version=part.version) if part.kind == _LIBRARY else None,
    )
