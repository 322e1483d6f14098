"""Whatever is changed in a bundle by somebody who makes its digests agree again, ``verify`` ends with a failed check.

Each forgery is one of the kinds below, at places that a seed chooses. What only reads the folder is called in this
process; a few that need a session, or a limit, are made in earnest.
"""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pipeline.bundle import Check, Options, verify_bundle
from pipeline.bundle import manifest as manifests
from pipeline.bundle.fence import code, prose
from pipeline.isolated import Limits
from pipeline.isolated.run import Starter
from tests.bundle.forgery import Manifest, change_golden, change_model, forge, manifest_of, rewrite

SEED = 20261126
WRONG: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1e999,
    10**400,
    1.5,
    "x",
    "\x1b[31m",
    "",
    [],
    {},
    [[]],
    {"a": {}},
    ["\ud800"],
)
"""Values of a wrong type, too large, negative or empty; which are right at a place is decided by what is there."""


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """What reads the folder runs in this process, without its limits; the model is not loaded."""

    def called(function: Callable[..., list[Check]], *arguments: Any, limits: Limits, start: Starter) -> list[Check]:
        if function.__name__ == "run_model":
            names = ("runtime", "inputs and outputs", "golden outputs", "preprocessing")
            return [Check(name, True, "") for name in names]
        return function(*arguments)

    monkeypatch.setattr("pipeline.bundle.steps.run", called)


def refused(bundle: Path) -> str:
    """What the failed checks say, in one line of what a terminal shows."""
    failed = [check for check in verify_bundle(bundle) if not check.passed]
    assert failed, "every check passed"
    text = "; ".join(check.detail for check in failed)
    assert text
    assert "Traceback" not in text
    return text


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each value in a manifest."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield (*path, key)
        yield from places(entry, (*path, key))


def at(manifest: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        manifest = manifest[key]
    return manifest


FREE = re.compile(
    r"created|name|why|constraints.*|labels/\d+|measured/(?!size_bytes|machine/libraries|batch_size).*|provenance.*|"
    r"slimline/(commit|changed)|inputs/\d+/shape/0|outputs/\d+/shape/\d+|session/(intra|inter)_op_num_threads|batch_size|"
    r"golden/(relative_tolerance|agreement)|session/(cpu_mem_arena|io_binding|execution_mode|graph_optimization_level)|"
    r"session/config_entries|session/config_entries/session.force_spinning_stop|session/providers/0/options|program|"
    r"scores|scores/threshold|labels"
)
"""Places whose value nothing in the folder contradicts: another one of the right type makes another true bundle."""


@pytest.mark.usefixtures("here")
def test_a_value_of_a_wrong_kind_at_any_place_of_the_manifest_is_refused(bundle: Path) -> None:
    rng = random.Random(SEED)
    original, text = manifest_of(bundle), (bundle / "manifest.json").read_text()
    sealed = [path for path in places(original) if path != ("digest",)]  # written anew for each
    for path in rng.sample(sorted(sealed, key=str), 60):
        wrong = rng.choice([value for value in WRONG if type(value) is not type(at(original, path))])
        manifest = copy.deepcopy(original)
        at(manifest, path[:-1])[path[-1]] = wrong
        told = "/".join(map(str, path))
        _write(bundle, manifest)
        if FREE.fullmatch(told):
            verify_bundle(bundle)  # another bundle, maybe: it raises nothing
        else:
            assert not all(check.passed for check in verify_bundle(bundle)), f"{told}: {wrong!r}"
        (bundle / "manifest.json").write_text(text)


@pytest.mark.usefixtures("here")
def test_a_missing_or_an_unknown_entry_is_refused(bundle: Path) -> None:
    original = manifest_of(bundle)
    for name in set(original) - {"digest"}:
        _write(bundle, {key: value for key, value in original.items() if key != name})
        refused(bundle)
    _write(bundle, {**original, "command": "rm -r ~"})
    assert "'command' was unexpected" in refused(bundle)


def _write(bundle: Path, manifest: Manifest) -> None:
    """Sealed where that can be done: Python's own JSON spells what no other reader takes."""
    try:
        text = manifests.render(manifests.sealed(manifest))
        (bundle / "manifest.json").write_text(text)
    except ValueError:
        (bundle / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


TEXTS: dict[str, tuple[Callable[[str], str], str]] = {
    "no JSON": (lambda text: text[:-3], "is not JSON"),
    "nothing": (lambda text: "", "is not JSON"),
    "a list": (lambda text: "[]", "holds no object"),
    "nested deep": (lambda text: '{"a":' * 100 + "1" + "}" * 100, "nested too deep"),
    "nested deeper": (lambda text: "[" * 100_000 + "]" * 100_000, "nested too deep"),
    "NaN": (lambda text: text.replace('"batch_size": 4', '"batch_size": NaN', 1), "NaN is no number"),
    "infinity": (lambda text: text.replace('"batch_size": 4', '"batch_size": -Infinity', 1), "is no number"),
    "a float without end": (lambda text: text.replace('"batch_size": 4', '"batch_size": 1e999', 1), "too large"),
    "a huge number": (lambda text: text.replace('"batch_size": 4', '"batch_size": ' + "9" * 99, 1), "too large"),
    "a number of digits": (lambda text: text.replace('"batch_size": 4', '"batch_size": ' + "9" * 9999, 1), "not JSON"),
    "a float for a count": (lambda text: text.replace('"batch_size": 4', '"batch_size": 4.0', 1), "not of type"),
    "a key twice": (
        lambda text: text.replace('"batch_size": 4', '"batch_size": 4, "batch_size": 4', 1),
        "is there twice",
    ),
    "no UTF-8": (lambda text: text.replace("random", "\udcff", 1), "is not JSON"),
    "half a character": (lambda text: text.replace('"random"', '"\\ud800"', 1), "a text that is none"),
    "too large": (lambda text: text + " " * 2**24, "is larger than"),
    "too many values": (lambda text: json.dumps({"a": [0] * 300_000}), "300001 values"),
}


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("kind", TEXTS)
def test_a_manifest_that_is_none_is_refused(bundle: Path, kind: str) -> None:
    change, words = TEXTS[kind]
    path = bundle / "manifest.json"
    path.write_bytes(change(path.read_text()).encode(errors="surrogateescape"))
    assert words in refused(bundle)


MANIFESTS: dict[str, tuple[Callable[[Manifest], object], str]] = {
    "a tolerance for everything": (lambda m: m["golden"].update(relative_tolerance=1e9), "calls for 0.001"),
    "no agreement asked for": (lambda m: m["golden"].update(agreement=0.0), "calls for 0.001 and 0.9"),
    "another rule": (lambda m: m["golden"].update(rule="anything goes"), "rule is not the one"),
    "more golden examples": (lambda m: m["golden"].update(examples=17), "not one row for each of 17"),
    "fewer golden examples": (lambda m: m["golden"].update(examples=1), "not one row for each of 1"),
    "another type of golden inputs": (lambda m: m["inputs"][0].update(raw_dtype="float32"), "holds uint8"),
    "another range": (lambda m: m["inputs"][0].update(range=[0.0, 1.0]), "runs over [0.0, 255.0]"),
    "another input": (lambda m: m["inputs"][0].update(name="picture"), "does not hold the arrays"),
    "one more output": (lambda m: m["outputs"].append({**m["outputs"][0], "name": "b"}), "does not hold the arrays"),
    "an output twice": (lambda m: m["outputs"].append(m["outputs"][0]), "outputs of the same name"),
    "another type of output": (lambda m: m["outputs"][0].update(dtype="int64"), "holds float32"),
    "mean for three channels": (lambda m: m["inputs"][0]["preprocessing"].update(mean=[0.0] * 3), "channels"),
    "std of nothing": (lambda m: m["inputs"][0]["preprocessing"].update(std=[0.0, 1.0]), "std"),
    "an image of another size": (
        lambda m: m["inputs"][0].update(
            image={"mode": "RGB", "height": 9, "width": 9, "central": 1.0, "layout": "chw", "known": True}
        ),
        "not what the manifest makes of an image",
    ),
    "scores of no output": (lambda m: m["scores"].update(output="none"), "which is no output"),
    "a label too few": (lambda m: m["labels"].pop(), "names 2 classes, and the scores are of 3"),
    "labels without end": (lambda m: m["labels"].extend(["x"] * 50_000), "names 50003 classes"),
    "another size": (lambda m: m["measured"].update(size_bytes=1), "tells 1 bytes as the model's size"),
    "a library for operators": (
        lambda m: m["session"]["config_entries"].update({"session.register_custom_ops": "/tmp/evil.so"}),
        "session.register_custom_ops=/tmp/evil.so may name a file, a library or an address",
    ),
    "a file of the optimizer's": (
        lambda m: m["session"]["config_entries"].update({"session.optimized_model_filepath": "x"}),
        "may name a file",
    ),
    "a path as a known option's value": (
        lambda m: m["session"]["config_entries"].update({"session.force_spinning_stop": "../x"}),
        "may name a file",
    ),
    "a library of a provider": (
        lambda m: m["session"].update(
            providers=[{"name": "TensorrtExecutionProvider", "options": {"trt_extra_plugin_lib_paths": "/tmp/evil.so"}}]
        ),
        "trt_extra_plugin_lib_paths=/tmp/evil.so may name a file, a library or an address",
    ),
    "an address of a provider": (
        lambda m: m["session"].update(
            providers=[{"name": "CUDAExecutionProvider", "options": {"user_compute_stream": "140000000"}}]
        ),
        "user_compute_stream=140000000 may name",
    ),
    "a provider of somebody's": (
        lambda m: m["session"].update(providers=[{"name": "EvilExecutionProvider", "options": {}}]),
        "the provider EvilExecutionProvider may name",
    ),
    "100,000 threads": (lambda m: m["session"].update(intra_op_num_threads=100_000), "maximum of 1024"),
    "no thread": (lambda m: m["session"].update(intra_op_num_threads=0), "minimum of 1"),
    "a batch without end": (lambda m: m.update(batch_size=2**40), "maximum"),
    "another runtime": (lambda m: m.update(runtime="torch"), "'program.pt2' was expected"),
    "a runtime of somebody's": (lambda m: m.update(runtime="../x"), "is not one of"),
    "another model's sha256": (lambda m: m.update(sha256="0" * 64), "the manifest's sha256 is not that of model.onnx"),
    "a version that is an option": (
        lambda m: m["measured"]["machine"]["libraries"].update(numpy="1 --index-url http://evil"),
        "does not match",
    ),
    "a version with a line's end": (
        lambda m: m["measured"]["machine"]["libraries"].update(numpy="2.0\n"),
        "does not match",
    ),
    "no versions": (lambda m: m["measured"]["machine"].pop("libraries"), "pins no version"),
    "a path to the root": (lambda m: m["files"].update({"/etc/passwd": m["files"]["infer.py"]}), "outside the folder"),
    "a path upwards": (lambda m: m["files"].update({"a/../../b": m["files"]["infer.py"]}), "outside the folder"),
    "a file that is not there": (lambda m: m["files"].update({"more.bin": m["files"]["infer.py"]}), "missing"),
    "a file forgotten": (
        lambda m: m["files"].pop("slimline_infer/files.py"),
        "files.py (a file) is not in the manifest",
    ),
    "a negative size": (lambda m: m["files"]["infer.py"].update(bytes=-1), "minimum of 0"),
}


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("kind", MANIFESTS)
def test_a_manifest_that_says_what_is_not_so_is_refused(bundle: Path, kind: str) -> None:
    change, words = MANIFESTS[kind]
    if kind in ("another model's sha256", "a negative size"):
        manifest = manifest_of(bundle)
        change(manifest)
        rewrite(bundle, lambda _: json.dumps(manifest))
    else:
        forge(bundle, change, derive=not kind.endswith("somebody's"))
    if kind == "another model's sha256":
        assert "changed after it was written" in refused(bundle)
    else:
        assert words in refused(bundle)


FILES: dict[str, tuple[str, str]] = {
    "another index": ("requirements.txt", "--index-url http://evil\nnumpy\n"),
    "another package": ("requirements.txt", "numpy==2.0.0\nonnxruntime==1.0\nevil\n"),
    "no requirements": ("requirements.txt", ""),
    "markup": ("README.md", "# model\n<script>alert(1)</script>\n"),
    "a link": ("README.md", "[run this](http://evil)\n"),
    "escape codes": ("README.md", "\x1b]0;title\x07"),
}


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("kind", FILES)
def test_a_readme_or_requirements_of_somebodys_own_are_refused(bundle: Path, kind: str) -> None:
    name, text = FILES[kind]
    (bundle / name).write_text(text)
    forge(bundle, derive=False)
    assert f"{name} is not what the manifest calls for" in refused(bundle)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", ["evil.py", "numpy.py", "slimline_infer/on_torch.py", "sub/folder/x.so", ".hidden"])
def test_a_file_that_nothing_reads_is_refused_though_it_is_listed(bundle: Path, name: str) -> None:
    (bundle / name).parent.mkdir(parents=True, exist_ok=True)
    (bundle / name).write_text("print('evil')")
    refused(bundle)
    forge(bundle, lambda manifest: manifest["files"].update({name: {}}))
    assert f"{name} is in the manifest, and nothing reads it" in refused(bundle)


ARRAYS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no output": (lambda a: a.pop("output.logits"), "does not hold the arrays"),
    "one more": (lambda a: a.update(more=np.zeros(3)), "does not hold the arrays"),
    "NaN": (lambda a: a["output.logits"].__setitem__(0, np.nan), "not finite"),
    "infinity": (lambda a: a["output.logits"].__setitem__(0, np.inf), "not finite"),
    "objects": (lambda a: a.update({"output.logits": np.array([{}] * 16)}), "Python objects"),
    "numbers": (lambda a: a.update({"output.logits": np.zeros(())}), "not one row for each"),
    "another width": (lambda a: a.update({"output.logits": np.zeros((16, 4), np.float32)}), "has shape [16, 4]"),
    "doubles": (lambda a: a.update({"output.logits": a["output.logits"].astype(float)}), "holds float64"),
    "labels of no class": (lambda a: a["labels"].__setitem__(0, 3), "there are 3 classes"),
    "negative labels": (lambda a: a["labels"].__setitem__(0, -1), "run from -1"),
    "labels with a fraction": (lambda a: a.update(labels=a["labels"] / 2), "not whole numbers"),
    "labels of a few": (lambda a: a.update(labels=a["labels"][:3]), "not one row for each"),
}


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("kind", ARRAYS)
def test_golden_arrays_that_are_not_the_manifests_are_refused(bundle: Path, kind: str) -> None:
    change, words = ARRAYS[kind]

    def changed(arrays: dict[str, Any]) -> None:
        change(arrays)

    change_golden(bundle, changed)
    assert words in refused(bundle)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("kind", ["no zip", "empty", "promises 32 TiB", "unpacks to 3 GB"])
def test_a_golden_file_that_is_none_or_gets_too_large_is_refused(bundle: Path, kind: str) -> None:
    path = bundle / "golden.npz"
    if kind in ("no zip", "empty"):
        path.write_bytes(b"PK\x03\x04" if kind == "no zip" else b"")
    else:
        _write_zip(path, kind)
    forge(bundle)
    expected = {"promises 32 TiB": "promises", "unpacks to 3 GB": "unpacks to"}
    assert expected.get(kind, "can't be read") in refused(bundle)


def _write_zip(path: Path, kind: str) -> None:
    """An array's header alone, or a file whose directory tells a larger size than there is."""
    import io
    import zipfile

    header = io.BytesIO()
    shape = (16, 2**41)
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w") as file:
        for name in ("input.image.npy", "output.logits.npy", "labels.npy"):
            file.writestr(name, header.getvalue())
        if kind != "promises 32 TiB":
            for member in file.infolist():
                member.file_size = 2**30


def _foreign(model: onnx.ModelProto, domain: str, name: str) -> None:
    model.graph.node.append(helper.make_node(name, ["image"], ["extra"], domain=domain))
    model.opset_import.append(helper.make_opsetid(domain, 1))


OPERATORS = [
    ("evil.domain", "Run"),
    ("com.microsoft", "EPContext"),
    ("com.microsoft", "PyOp"),
    ("ai.onnx.contrib", "PyCustomOp"),
]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(("domain", "name"), OPERATORS)
def test_operators_of_other_libraries_are_refused(bundle: Path, domain: str, name: str) -> None:
    change_model(bundle, lambda model: _foreign(model, domain, name))
    assert f"{domain}::{name} is an operator of another library" in refused(bundle)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("content", [b"", b"\x00", b"hello", b"\x08\x07" * 1000, b"\xff" * 64])
def test_a_model_that_is_none_is_refused(bundle: Path, content: bytes) -> None:
    (bundle / "model.onnx").write_bytes(content)
    forge(bundle, lambda manifest: manifest["measured"].update(size_bytes=len(content) + 384))
    refused(bundle)


# In earnest: in processes of their own, with limits.


def test_another_model_does_not_give_the_golden_outputs(bundle: Path) -> None:
    weights = np.frombuffer((bundle / "weights.bin").read_bytes(), np.float32)
    (bundle / "weights.bin").write_bytes((weights * 1.5).astype(np.float32).tobytes())
    forge(bundle)
    assert "output 'logits' differs by" in refused(bundle)


def test_a_model_whose_outputs_are_not_finite_is_refused(bundle: Path) -> None:
    (bundle / "weights.bin").write_bytes(np.full(96, np.inf, np.float32).tobytes())
    forge(bundle)
    assert "not finite" in refused(bundle)


def test_a_model_that_takes_all_memory_is_ended(bundle: Path) -> None:
    def grow(model: onnx.ModelProto) -> None:
        shape = helper.make_tensor("huge", TensorProto.INT64, [1], [2 * 10**9])
        one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
        model.graph.initializer.append(shape)
        model.graph.node.insert(0, helper.make_node("ConstantOfShape", ["huge"], ["many"], value=one))
        model.graph.node.append(helper.make_node("ReduceSum", ["many"], ["sum"], keepdims=0))
        model.graph.node.append(helper.make_node("Add", ["product", "sum"], ["logits"]))
        next(node for node in model.graph.node if node.op_type == "MatMul").output[0] = "product"

    change_model(bundle, grow)
    failed = [check for check in verify_bundle(bundle, Options(memory_gb=0.5)) if not check.passed]
    assert "memory" in failed[0].detail


def test_a_model_that_never_ends_is_ended(bundle: Path) -> None:
    def loop(model: onnx.ModelProto) -> None:
        body = helper.make_graph(
            [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Mul", ["value", "value"], ["next"])],
            "body",
            [
                helper.make_tensor_value_info("step", TensorProto.INT64, []),
                helper.make_tensor_value_info("go", TensorProto.BOOL, []),
                helper.make_tensor_value_info("value", TensorProto.FLOAT, None),
            ],
            [
                helper.make_tensor_value_info("on", TensorProto.BOOL, []),
                helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
            ],
        )
        next(node for node in model.graph.node if node.op_type == "MatMul").output[0] = "product"
        model.graph.initializer.append(helper.make_tensor("most", TensorProto.INT64, [], [2**62]))
        model.graph.initializer.append(helper.make_tensor("true", TensorProto.BOOL, [], [True]))
        model.graph.node.append(helper.make_node("Loop", ["most", "true", "product"], ["logits"], body=body))

    change_model(bundle, loop)
    failed = [check for check in verify_bundle(bundle, Options(timeout_s=3)) if not check.passed]
    assert "nothing was heard of it for 3 s: --timeout SECONDS allows more" in failed[0].detail


NAMES = [
    "<script>",
    "[a](http://b)",
    "`code`",
    "a|b",
    "**bold**",
    "# title",
    "\x1b[31mred",
    "two\nlines",
    "![x](y)",
    "a`b``c",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_in_a_readme_are_no_markup(name: str) -> None:
    for shown in (code(name), prose(name)):
        assert "\n" not in shown
        assert shown.isprintable()
    assert re.sub(r"\\.", "", prose(name)).translate(str.maketrans("", "", "<>[]`|*#!")) == re.sub(
        r"\\.", "", prose(name)
    )
    fence = re.match("`+", code(name))
    assert fence
    assert code(name)[len(fence.group()) : -len(fence.group())].count(fence.group()) == 0
