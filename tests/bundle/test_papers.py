"""What a bundle says about itself: the model card, the list of components, the sums, the pins and the licences."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pipeline.bundle import verify_bundle
from pipeline.bundle.card import card
from pipeline.bundle.papers import check_papers
from pipeline.bundle.requirements import requirements
from pipeline.bundle.sbom import sbom
from pipeline.bundle.sums import sums
from tests.bundle.forgery import forge, manifest_of, refresh, seal


def failing(folder: Path) -> str:
    """What the checks of the papers say that did not pass."""
    return "; ".join(check.detail for check in check_papers(folder, manifest_of(folder)) if not check.passed)


def component(document: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (one for one in document["components"] if one["name"] == name)
    return dict(found)


def test_the_card_tells_the_steps_the_figures_the_verdicts_and_the_licences(written: Path) -> None:
    text = (written / "MODEL_CARD.md").read_text()
    for expected in (
        "1. `quantize` (QuantizeStatic): `per_channel=true`",
        "| accuracy (10000 examples) | 93.00% | 92.50% to 93.50% |",
        "- Accuracy: NO MEANINGFUL DROP",
        "- Speed: FASTER",
        "`max_accuracy_drop=0.01`",
        "| model `example` | Apache-2.0 | `licenses/model/LICENSE` |",
        "| data `random` | not stated | - |",
        "It did not measure robustness",
    ):
        assert expected in text


def test_a_card_of_a_model_as_it_was_given_without_a_metric_says_so(written: Path) -> None:
    manifest = manifest_of(written)
    manifest["provenance"]["stages"] = []
    manifest["measured"].update(accuracy=None, speedup=None)
    text = card(manifest)
    for expected in ("Nothing: the model is as it was given.", "No metric was measured.", "- Speed: no verdict"):
        assert expected in text


def test_names_in_a_card_are_no_markup(written: Path) -> None:
    manifest = manifest_of(written)
    manifest["provenance"]["stages"][0].update(kind="<b>", fields={"a": "`|\n# head"})
    manifest["licences"]["data"]["name"] = "[free](http://evil)\n# head"
    text = card(manifest)
    assert not any(line.startswith("# head") for line in text.splitlines())
    assert "<b>" not in text.replace("\\<b\\>", "")
    assert "[free](http" not in text


def test_the_list_of_components_follows_the_schema_of_cyclonedx(written: Path) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str((written / "sbom.cdx.json").read_text()) is None


def test_the_list_has_the_model_the_data_and_all_that_the_runtime_needs(written: Path) -> None:
    document, manifest = json.loads((written / "sbom.cdx.json").read_text()), manifest_of(written)
    model, runtime = component(document, "model.onnx"), component(document, "onnxruntime")
    assert model["type"] == "machine-learning-model"
    assert model["hashes"] == [{"alg": "SHA-256", "content": manifest["sha256"]}]
    assert model["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert component(document, "golden.npz")["type"] == "data"
    assert component(document, "random")["scope"] == "excluded"
    assert component(document, "weights.bin")["type"] == "file"
    assert runtime["purl"] == f"pkg:pypi/onnxruntime@{runtime['version']}"
    needs = {entry["ref"]: entry.get("dependsOn", []) for entry in document["dependencies"]}
    assert {"library:numpy", "library:protobuf"} <= set(needs["library:onnxruntime"])


def test_the_same_manifest_gives_the_same_list_again(written: Path) -> None:
    manifest = manifest_of(written)
    assert sbom(manifest, manifest["files"]) == (written / "sbom.cdx.json").read_text()
    other = json.loads(sbom({**manifest, "batch_size": 7}, manifest["files"]))
    assert other["serialNumber"] != json.loads((written / "sbom.cdx.json").read_text())["serialNumber"]


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="coreutils are not installed")
def test_sha256sum_finds_each_file_and_a_changed_one(bundle: Path) -> None:
    command = ["sha256sum", "-c", "--strict", "--quiet", "SHA256SUMS"]
    assert subprocess.run(command, cwd=bundle, check=True, capture_output=True).stdout == b""
    listed = {line.split("  ", 1)[1] for line in (bundle / "SHA256SUMS").read_text().splitlines()}
    there = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    assert there - listed == {"SHA256SUMS"}
    (bundle / "licenses/model/LICENSE").write_text("Mine")
    done = subprocess.run(command, cwd=bundle, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "licenses/model/LICENSE: FAILED\n")


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="coreutils are not installed")
def test_a_name_with_a_line_end_is_written_as_sha256sum_reads_it(tmp_path: Path) -> None:
    name = "a\\b\nc.bin"
    (tmp_path / name).write_bytes(b"")
    (tmp_path / "manifest.json").write_bytes(b"{}")
    (empty,) = {line[:64] for line in subprocess.check_output(["sha256sum", "/dev/null"], text=True).splitlines()}
    (tmp_path / "SHA256SUMS").write_text(sums({"files": {name: {"sha256": empty}}}, b"{}"))
    subprocess.run(["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=tmp_path, check=True, capture_output=True)


def test_all_that_the_runtime_needs_is_pinned(written: Path) -> None:
    lines = (written / "requirements.txt").read_text().splitlines()
    pinned = {line.partition("==")[0] for line in lines if not line.startswith("#")}
    assert {"numpy", "onnxruntime", "protobuf", "flatbuffers", "packaging"} <= pinned
    assert lines[0].startswith("# What the figures were taken with: ")
    assert any(line.startswith("# These versions need Python >=3.") for line in lines)


def test_digests_of_wheels_follow_their_pin(written: Path) -> None:
    manifest = manifest_of(written)
    (numpy,) = (package for package in manifest["packages"] if package["name"] == "numpy")
    numpy["sha256"] = ["a" * 64, "b" * 64]
    pin = f"numpy=={numpy['version']} \\\n    --hash=sha256:{'a' * 64} \\\n    --hash=sha256:{'b' * 64}\n"
    assert pin in requirements(manifest)


def test_what_is_not_pinned_is_told(written: Path) -> None:
    manifest = manifest_of(written)
    (runtime,) = (package for package in manifest["packages"] if package["name"] == "onnxruntime")
    manifest["packages"] = [package for package in manifest["packages"] if package["name"] != "protobuf"]
    assert "# Not pinned, as they were not installed where this was written, or are new: protobuf.\n" in requirements(
        manifest
    )
    runtime.update(requires=None, version="1.2+cpu")
    text = requirements(manifest)
    assert "# What onnxruntime needs is not pinned: " in text
    assert "# onnxruntime was 1.2+cpu, a build that the index of packages does not have.\nflatb" in text
    assert "\nonnxruntime==1.2\n" in text


def test_a_package_that_no_runtime_needs_is_not_installed_whoever_names_it(bundle: Path) -> None:
    evil: dict[str, Any] = {
        "name": "evil",
        "version": "1.0",
        "licence": None,
        "licence_files": [],
        "requires": [],
        "sha256": [],
    }
    forge(bundle, lambda manifest: manifest["packages"].append(evil))
    assert failing(bundle) == ""
    lines = (bundle / "requirements.txt").read_text().splitlines()
    assert [line for line in lines if "evil" in line and not line.startswith("#")] == []


def test_other_versions_than_the_measured_ones_are_refused(bundle: Path) -> None:
    forge(bundle, lambda manifest: manifest["packages"][1].update(version="1.0.0"))
    assert failing(bundle) == "the manifest pins no version of numpy"


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("components", 0, "hashes", 0, "content"), "0" * 64),
        (("components", 0, "name"), "other.npz"),
        (("components", 0, "type"), "file"),
        (("specVersion",), "1.5"),
        (("components",), []),
        (("components",), None),
    ],
)
def test_a_list_that_says_something_else_than_the_manifest_is_refused(
    bundle: Path, place: tuple[str | int, ...], value: object
) -> None:
    document = node = json.loads((bundle / "sbom.cdx.json").read_text())
    for step in place[:-1]:
        node = node[step]
    node[place[-1]] = value
    (bundle / "sbom.cdx.json").write_text(json.dumps(document))
    seal(bundle, manifest_of(bundle))
    assert failing(bundle).startswith(("sbom.cdx.json and the manifest", "sbom.cdx.json is no CycloneDX 1.6"))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"components": [1]}', "[" * 100_000])
def test_a_list_that_is_none_is_refused(bundle: Path, text: str) -> None:
    (bundle / "sbom.cdx.json").write_text(text)
    seal(bundle, manifest_of(bundle))
    assert "sbom.cdx.json is no CycloneDX 1.6 document" in failing(bundle)


@pytest.mark.parametrize("name", ["MODEL_CARD.md", "SHA256SUMS"])
def test_a_paper_of_somebodys_own_is_refused(bundle: Path, name: str) -> None:
    (bundle / name).write_text("The best model there is.\n")
    manifest = manifest_of(bundle)
    refresh(bundle, manifest)
    sums_text = (bundle / "SHA256SUMS").read_text()
    seal(bundle, manifest)
    if name == "SHA256SUMS":
        (bundle / name).write_text(sums_text)
    assert failing(bundle) == f"{name} is not what the manifest calls for"


def test_sums_that_are_a_link_are_refused_before_they_are_read(bundle: Path) -> None:
    (bundle / "SHA256SUMS").unlink()
    (bundle / "SHA256SUMS").symlink_to("/dev/zero")
    assert "SHA256SUMS is a link" in verify_bundle(bundle)[-2].detail


def test_a_licence_file_that_is_told_of_and_not_there_is_named(bundle: Path) -> None:
    forge(bundle, lambda manifest: manifest["licences"]["data"]["files"].append("licenses/data/LICENSE"))
    assert failing(bundle) == "the manifest tells of licenses/data/LICENSE, which is none of its files"
