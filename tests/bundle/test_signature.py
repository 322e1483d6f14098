"""Whatever is done to a signed bundle by somebody without the key, ``verify --key`` refuses it and says what was done.

Who tampers knows how bundles are made: digests, README and requirements are made to agree again. The signature's check
is called in this process; one bundle is verified in earnest.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from rich.console import Console

from pipeline.bundle import Check, Options, keys, verify_bundle
from pipeline.bundle.sign import sign
from pipeline.errors import UserError, VerificationFailed
from pipeline.isolated import Limits
from pipeline.isolated.run import Starter
from tests.bundle.forgery import change_golden, change_model, forge, manifest_of
from tests.bundle.signing import PASSWORD, Pair, curve, pair

SIG = "model.sig"


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs apart runs in this process; the model is not loaded."""

    def called(function: Callable[..., list[Check]], *arguments: Any, limits: Limits, start: Starter) -> list[Check]:
        assert function.__name__ == "check_signature", "the signature comes first"
        return function(*arguments)

    monkeypatch.setattr("pipeline.bundle.steps.run", called)


def refused(bundle: Path, key: Path) -> str:
    """What the first check says, which must have failed, in one line."""
    (check,) = verify_bundle(bundle, Options(key=key))
    assert (check.name, check.passed) == ("signature", False)
    assert "\n" not in check.detail
    assert "Traceback" not in check.detail
    return check.detail


def said(bundle: Path) -> dict[str, Any]:
    """The signature's file."""
    found: dict[str, Any] = json.loads((bundle / SIG).read_text())
    return found


def say(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the signature's file."""
    content = said(bundle)
    change(content)
    (bundle / SIG).write_text(json.dumps(content))


def restate(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change what was signed, and leave the signature as it is."""

    def changed(content: dict[str, Any]) -> None:
        statement = json.loads(base64.b64decode(content["dsseEnvelope"]["payload"]))
        change(statement)
        content["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()

    say(bundle, changed)


def flip(bundle: Path) -> None:
    """Another number of the same length in the signature itself."""

    def flipped(content: dict[str, Any]) -> None:
        (entry,) = content["dsseEnvelope"]["signatures"]
        raw = bytearray(base64.b64decode(entry["sig"]))
        raw[-1] ^= 1
        entry["sig"] = base64.b64encode(raw).decode()

    say(bundle, flipped)


def unnamed(bundle: Path) -> None:
    """A signature that does not say by which key it is, of other numbers."""
    flip(bundle)
    say(bundle, lambda content: content["verificationMaterial"].update(publicKey={}))


def figure(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """A figure of the manifest, with all that is derived from it made anew."""
    return lambda bundle: forge(bundle, lambda manifest: change(manifest["measured"]))


def weights_of_another_model(bundle: Path) -> None:
    weights = bytearray((bundle / "weights.bin").read_bytes())
    weights[3] ^= 1
    (bundle / "weights.bin").write_bytes(weights)


def sealed_weights(bundle: Path) -> None:
    weights_of_another_model(bundle)
    forge(bundle)


def linked_golden(bundle: Path) -> None:
    shutil.move(bundle / "golden.npz", bundle.parent / "golden.npz")
    (bundle / "golden.npz").symlink_to(bundle.parent / "golden.npz")


def write(name: str, text: str) -> Callable[[Path], None]:
    def written(bundle: Path) -> None:
        (bundle / name).parent.mkdir(exist_ok=True)
        (bundle / name).write_text(text)

    return written


def piped(name: str) -> Callable[[Path], None]:
    def made(bundle: Path) -> None:
        (bundle / name).unlink(missing_ok=True)
        os.mkfifo(bundle / name)

    return made


def listed(bundle: Path) -> None:
    """One more file, which the manifest and the signature's own list have."""
    (bundle / "extra.py").write_text("")
    forge(bundle, lambda manifest: manifest["files"].update({"extra.py": {}}))
    digest = {"name": "extra.py", "algorithm": "sha256", "digest": manifest_of(bundle)["files"]["extra.py"]["sha256"]}
    restate(bundle, lambda statement: statement["predicate"]["resources"].append(digest))


NO_SIGNATURE = "model.sig holds no signature as model-signing writes it"
FORGED = "model.sig was forged or changed"
FACTS = "MODEL_CARD.md, SHA256SUMS, manifest.json, sbom.cdx.json were changed after it was signed"
FIGURE = "MODEL_CARD.md, README.md, SHA256SUMS, manifest.json, sbom.cdx.json were changed after it was signed"
TAMPERED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a better accuracy": (figure(lambda told: told["accuracy"].update(value=0.99)), FIGURE),
    "a narrower interval": (figure(lambda told: told["accuracy"].update(low=0.929)), FIGURE),
    "a shorter latency": (figure(lambda told: told["latency_ms"]["p50"].update(value=0.1)), FIGURE),
    "a larger speed-up": (figure(lambda told: told["speedup"].update(value=9.0)), FIGURE),
    "a better verdict": (figure(lambda told: told["accuracy"].update(verdict="IMPROVED")), FACTS),
    "another machine": (figure(lambda told: told["machine"].update(cpu="A better one")), FIGURE),
    "another version that was measured": (
        figure(lambda told: told["machine"]["libraries"].update(numpy="1.0")),
        FACTS,
    ),
    "another version to install": (
        lambda bundle: forge(bundle, lambda manifest: manifest["packages"][1].update(version="1.0")),
        "MODEL_CARD.md, SHA256SUMS, manifest.json, requirements.txt, sbom.cdx.json were changed",
    ),
    "another reason": (lambda bundle: forge(bundle, lambda manifest: manifest.update(why="trust me")), FIGURE),
    "another name": (lambda bundle: forge(bundle, lambda manifest: manifest.update(name="baseline")), FIGURE),
    "another tolerance": (
        lambda bundle: forge(bundle, lambda manifest: manifest["golden"].update(relative_tolerance=0.0005)),
        "manifest.json",
    ),
    "a swapped model": (weights_of_another_model, "weights.bin was changed after it was signed"),
    "a swapped model that the manifest knows": (
        sealed_weights,
        "manifest.json, sbom.cdx.json, weights.bin were changed after",
    ),
    "another graph": (
        lambda bundle: change_model(bundle, lambda model: setattr(model, "doc_string", "x")),
        "manifest.json, model.onnx, 1 more were changed after it was signed",
    ),
    "golden outputs of another model": (
        lambda bundle: change_golden(bundle, lambda arrays: {**arrays, "output.logits": arrays["output.logits"] + 1}),
        "golden.npz, manifest.json, sbom.cdx.json were changed after it was signed",
    ),
    "a program that does more": (write("infer.py", "print('evil')"), "infer.py was changed after it was signed"),
    "a part that does more": (write("slimline_infer/values.py", ""), "slimline_infer/values.py was changed after"),
    "a README of somebody's": (write("README.md", "# hi"), "README.md was changed after it was signed"),
    "another index": (write("requirements.txt", "--index-url http://evil"), "requirements.txt was changed after"),
    "a file more": (write("more.py", ""), "more.py was added after it was signed"),
    "a file of Git's": (write(".gitattributes", ""), ".gitattributes was added after it was signed"),
    "a folder of Git's": (write(".git/config", ""), ".git/config was added after it was signed"),
    "a file less": (lambda bundle: (bundle / "README.md").unlink(), "README.md was taken away after it was signed"),
    "a file renamed": (
        lambda bundle: (bundle / "README.md").rename(bundle / "readme.md"),
        "README.md was taken away after it was signed; readme.md was added after",
    ),
    "a link": (linked_golden, "golden.npz is a link, which no signature covers"),
    "a pipe": (piped("golden.npz"), "golden.npz is a pipe, which no signature covers"),
    "a stripped signature": (
        lambda bundle: (bundle / SIG).unlink(),
        "there is no model.sig: the bundle was not signed, or its signature was taken away",
    ),
    "a signature that is a pipe": (piped(SIG), "model.sig is a pipe, not a plain file"),
    "a signature that is empty": (write(SIG, ""), NO_SIGNATURE),
    "a signature that is no JSON": (write(SIG, "trust me"), NO_SIGNATURE),
    "a signature of nothing": (write(SIG, "{}"), NO_SIGNATURE),
    "a list for a signature": (write(SIG, "[]"), NO_SIGNATURE),
    "a signature nested without end": (write(SIG, "[" * 100_000), NO_SIGNATURE),
    "a signature without end": (write(SIG, " " * (2**24 + 1)), "model.sig is larger than 16777216 bytes"),
    "no signer": (lambda bundle: say(bundle, lambda one: one["dsseEnvelope"].update(signatures=[])), NO_SIGNATURE),
    "a second signer": (
        lambda bundle: say(bundle, lambda one: one["dsseEnvelope"]["signatures"].append({"sig": "AA=="})),
        NO_SIGNATURE,
    ),
    "another number in the signature": (flip, FORGED),
    "a key that is not named": (unnamed, FORGED),
    "a file that the signature's list forgets": (
        lambda bundle: restate(bundle, lambda one: one["predicate"]["resources"].pop()),
        FORGED,
    ),
    "a file that the signature is told to pass over": (
        lambda bundle: restate(bundle, lambda one: one["predicate"]["serialization"]["ignore_paths"].append("a.py")),
        FORGED,
    ),
    "a file more in every list": (listed, FORGED),
    "another type of the statement": (
        lambda bundle: restate(bundle, lambda one: one.update(predicateType="https://example.org/anything")),
        FORGED,
    ),
    "another type of the signature": (
        lambda bundle: say(bundle, lambda one: one.update(mediaType="text/plain")),
        "model.sig does not hold",
    ),
}


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("kind", TAMPERED)
def test_what_was_done_to_a_signed_bundle_is_named(signed: Path, signer: Pair, kind: str) -> None:
    change, words = TAMPERED[kind]
    change(signed)
    assert words in refused(signed, signer.public)


@pytest.mark.usefixtures("here")
def test_a_signature_of_another_bundle_is_said_to_be_one(signed: Path, signer: Pair, tmp_path: Path) -> None:
    other = Path(shutil.copytree(signed, tmp_path / "dynamic_int8"))
    change_model(other, lambda model: setattr(model, "doc_string", "another"))
    change_golden(other, lambda arrays: {**arrays, "output.logits": arrays["output.logits"] + 1})
    sign(other, Console(quiet=True), signer.private)
    shutil.copy(other / SIG, signed / SIG)
    text = refused(signed, signer.public)
    assert "model.sig is of another bundle, or of earlier files of this one" in text
    assert "(as 'dynamic_int8')" in text


@pytest.mark.usefixtures("here")
def test_an_old_signature_on_new_files_is_refused(signed: Path, signer: Pair) -> None:
    old = (signed / SIG).read_bytes()
    forge(signed, lambda manifest: manifest["measured"]["accuracy"].update(value=0.5))
    sign(signed, Console(quiet=True), signer.private)
    (signed / SIG).write_bytes(old)
    assert FIGURE in refused(signed, signer.public)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("named", [True, False])
def test_another_key_is_refused(signed: Path, signer: Pair, tmp_path: Path, named: bool) -> None:
    other = pair(tmp_path, "other", curve())
    wanted = keys.key_id(keys.public_key(signer.public))
    sign(signed, Console(quiet=True), other.private)
    if named:
        assert "model.sig was made with another key than signer_public.pem" in refused(signed, signer.public)
        return
    say(signed, lambda one: one["verificationMaterial"]["publicKey"].update(hint=wanted))
    assert FORGED in refused(signed, signer.public)


@pytest.mark.usefixtures("here")
def test_what_a_signer_left_out_is_not_taken_as_signed(signed: Path, signer: Pair) -> None:
    from model_signing import hashing, signing

    hashes: Any = hashing.Config
    config: Any = signing.Config
    leaving = hashes().set_ignored_paths(paths=[SIG, "infer.py"], ignore_git_paths=False)
    config().use_elliptic_key_signer(private_key=signer.private).set_hashing_config(leaving).sign(signed, signed / SIG)
    assert "model.sig does not cover every file by its sha256" in refused(signed, signer.public)


def test_a_signed_bundle_proves_who_made_it_and_then_itself(signed: Path, signer: Pair) -> None:
    checks = verify_bundle(signed, Options(key=signer.public, require_signature=True))
    assert all(check.passed for check in checks)
    assert [check.name for check in checks[:2]] == ["signature", "manifest"]
    assert "(signer_public.pem), over all files" in checks[0].detail
    assert checks[-1].name == "preprocessing"


def test_a_signature_that_nobody_checks_is_said_to_be_unchecked(signed: Path, bundle: Path) -> None:
    first, *others = verify_bundle(signed)
    assert (first.name, first.passed, first.done) == ("signature", True, False)
    assert "--key PUBLIC.pem" in first.detail
    assert others[0].name == "manifest"
    assert all(check.passed for check in others)


def test_requiring_a_signature_refuses_a_bundle_without_one_and_one_that_is_not_checked(
    signed: Path, bundle: Path
) -> None:
    (stripped,) = verify_bundle(bundle, Options(require_signature=True))
    assert (stripped.passed, stripped.detail.split(":")[0]) == (False, "there is no model.sig")
    (unchecked,) = verify_bundle(signed, Options(require_signature=True))
    assert (unchecked.passed, unchecked.done) == (False, False)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("kind", [ec.SECP384R1(), ec.SECP521R1()], ids=lambda kind: str(kind.name))
def test_larger_curves_sign_too_and_a_password_opens_the_key(bundle: Path, tmp_path: Path, kind: Any) -> None:
    key = pair(tmp_path, "key", ec.generate_private_key(kind), PASSWORD)
    assert sign(bundle, Console(quiet=True), key.private, PASSWORD) == 0
    from pipeline.bundle.signature import check_signature

    (check,) = check_signature(bundle, key.public)
    assert check.passed


def test_a_damaged_bundle_is_not_signed(bundle: Path, signer: Pair) -> None:
    (bundle / "README.md").write_text("other")
    with pytest.raises(VerificationFailed, match=r"was not signed: README\.md was changed"):
        sign(bundle, Console(quiet=True), signer.private)
    assert not (bundle / SIG).exists()


def test_a_key_that_can_not_sign_is_the_users_mistake(bundle: Path, signer: Pair, tmp_path: Path) -> None:
    locked = pair(tmp_path, "locked", curve(), PASSWORD)
    other = pair(tmp_path, "rsa", rsa.generate_private_key(65537, 2048))
    text = tmp_path / "text.pem"
    text.write_text("hello")
    wrong: list[tuple[Path, bytes | None, str]] = [
        (tmp_path / "none.pem", None, "does not exist: a private key is made so: openssl genpkey"),
        (tmp_path, None, "is a folder"),
        (text, None, "is no private key in PEM form"),
        (signer.public, None, "is a public key, which checks signatures"),
        (locked.private, None, "is encrypted: name the environment variable with its password, --password-env NAME"),
        (locked.private, b"guess", "the password does not open"),
        (signer.private, b"guess", "is not encrypted: leave --password-env out"),
        (other.private, None, "holds a key of another kind (RSAPrivateKey)"),
    ]
    for key, password, words in wrong:
        with pytest.raises(UserError) as caught:
            sign(bundle, Console(quiet=True), key, password)
        assert words in str(caught.value)


def test_a_key_that_can_not_check_is_the_users_mistake(signed: Path, signer: Pair, tmp_path: Path) -> None:
    other = pair(tmp_path, "rsa", rsa.generate_private_key(65537, 2048))
    wrong = {
        tmp_path / "none.pem": "does not exist: type the public key",
        signer.private: f"openssl pkey -in {signer.private} -pubout -out public.pem",
        other.public: "holds a key of another kind (RSAPublicKey)",
        signed / "README.md": "is no public key in PEM form",
    }
    for key, words in wrong.items():
        with pytest.raises(UserError) as caught:
            verify_bundle(signed, Options(key=key))
        assert words in str(caught.value)


def test_without_the_extra_a_line_says_what_to_install(
    signed: Path, signer: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.bundle.keys.find_spec", lambda name: None)
    for call in (
        lambda: sign(signed, Console(quiet=True), signer.private),
        lambda: verify_bundle(signed, Options(key=signer.public)),
    ):
        with pytest.raises(UserError, match=r"signatures need the extra 'sign': pip install 'slimline\[sign\]'"):
            call()


@pytest.mark.slow
def test_the_command_line_signs_and_verifies(bundle: Path, signer: Pair) -> None:
    """In one process: importing the library takes seconds."""
    program = (
        "import sys, contextlib; from pipeline import cli\n"
        "for words in (['sign', sys.argv[1], '--key', sys.argv[2]], ['verify', sys.argv[1], '--key', sys.argv[3]]):\n"
        "    try: cli.main(words)\n"
        "    except SystemExit as end: print('code', end.code)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(bundle), str(signer.private), str(signer.public)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.count("code 0") == 2, ended.stdout + ended.stderr
    assert f"signed: {bundle / SIG}" in ended.stdout
    assert "ok     signature: model.sig is by the key" in ended.stdout
