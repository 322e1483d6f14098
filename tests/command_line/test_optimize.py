"""MODEL and DATA become the settings of a search, which can be typed."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import yaml
from onnx import TensorProto, helper
from PIL import Image

from pipeline.cli import main
from pipeline.command_line import optimize
from pipeline.command_line.optimize import search
from pipeline.errors import UserError
from tests.data.sounds import write_wav
from tests.importing.graphs import model, value, weight
from tests.zoo.hub_folders import PROCESSOR, bert, described
from tests.zoo.test_exported import Both, program, script

BEST = "experiment=best"
RANDOM = ("data=random", "data.examples.calibration=0", "data.examples.train=0")
EXAMPLES = np.zeros((12, 3, 32, 32), np.float32)


@pytest.fixture(autouse=True)
def _at_home(elsewhere: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))


def words(*typed: str) -> list[str]:
    first, *others = search(typed).words
    assert first == BEST
    return others


def write_model(path: str, name: str = "image", shape: tuple[Any, ...] = ("n", 3, 32, 32), kind: int = 1) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    node = helper.make_node("Gather" if kind != 1 else "Identity", ["table", name] if kind != 1 else [name], ["y"])
    onnx.save(model([node], [value(name, shape, kind)], [value("y", None)], [weight("table", 9, 2)]), path)
    return path


def write_images(folder: str, *names: str) -> str:
    for name in names:
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)
    return folder


def write_text(path: str, text: str = "") -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
    return path


@pytest.mark.parametrize("path", ["m.onnx", "models/date=1/m.onnx", "a b/my model (2).onnx", "model", "it's/m.onnx"])
def test_an_onnx_file_is_one_whatever_its_name(path: str) -> None:
    write_model(path)
    assert words(path) == ["model=onnx", f"model.path={path}", *RANDOM, "metric=cosine"]
    absolute = str(Path(path).resolve())
    assert words(absolute)[1] == f"model.path={absolute}"
    assert words(f"~/{path}")[1] == f"model.path={absolute}"


def test_a_shipped_model_goes_by_its_name_and_the_default_one_has_its_data() -> None:
    assert words("fashion_resnet") == ["model=fashion_resnet"]
    assert words("resnet50") == ["model=resnet50", *RANDOM, "metric=cosine"]
    assert words("minilm", "reviews") == ["model=minilm", "data=reviews"]
    assert words("resnet50", "photographs") == ["model=resnet50", "data=photographs", "metric=cosine"]


def test_a_name_that_ships_is_taken_before_a_folder_or_a_file_of_that_name_and_a_note_says_so() -> None:
    described(Path("bert_base"), bert(), tokenizer={})
    write_text("reviews", "text\ngood\n")
    found = search(["bert_base", "reviews"])
    assert found.words[1:3] == ("model=bert_base", "data=reviews")
    assert list(found.notes[:2]) == [
        "bert_base is taken as the model that ships: for the folder of that name type ./bert_base",
        "reviews is taken as the data that ships: for the file of that name type ./reviews",
    ]
    write_text("t.csv", "text\ngood\n")
    assert words("./bert_base", "t.csv")[:2] == ["model=transformers", "model.path=bert_base"]
    assert search(["./bert_base", "t.csv"]).notes[0].startswith("t.csv has no labels")


def test_a_mistake_about_a_model_that_ships_reminds_of_the_folder_of_its_name() -> None:
    described(Path("bert_base"), bert(), tokenizer={})
    write_text("t.csv", "text\ngood\n")
    with pytest.raises(UserError, match=r"data\.tokenizer=PATH\nnote: bert_base is taken .* type \./bert_base$"):
        search(["bert_base", "t.csv"])


def test_texts_find_the_tokenizer_beside_the_weights_of_a_model_that_ships(monkeypatch: pytest.MonkeyPatch) -> None:
    write_text("own_weights/__init__.py")
    write_text("own_weights/model/tokenizer.json", "{}")
    write_text("t.csv", "text\ngood\n")
    write_text("conf/model/mine.yaml", "_target_: a.B\nweights: ${package:own_weights}/model/w.safetensors\n")
    monkeypatch.syspath_prepend(Path().resolve())
    folder = Path("own_weights/model/tokenizer.json").resolve()
    assert f"data.tokenizer={folder}" in search(["mine", "t.csv", "--config-dir", "conf"]).words


def test_a_model_of_the_users_own_folder_of_configurations_goes_by_its_name() -> None:
    write_text("conf/model/mine.yaml", "_target_: a.B\ninputs: {x: {shape: [3, 48, 48]}}\n")
    photos = write_images("photos", "a.png", "b.png")
    found = search(["mine", photos, "--config-dir", "conf"])
    assert found.words[:4] == ("--config-dir", "conf", BEST, "model=mine")
    assert "data.size=48" in found.words


def test_a_pytorch_class_reads_what_its_data_has() -> None:
    np.savez("d.npz", image=np.zeros((9, 3, 4), np.uint8), ids=np.zeros((9, 5), np.int64), labels=np.zeros(9, int))
    assert words("a.b:Net", "d.npz", "model.weights=w.pth") == [
        "model=torch",
        "model.factory=a.b.Net",
        "model.name=Net",
        'model.inputs={"image": {shape: [3, 4], dtype: float32}, "ids": {shape: [5], dtype: int64}}',
        "data=npz",
        "data.path=d.npz",
        "model.weights=w.pth",
    ]
    shape = "model.inputs={x: {shape: [3], dtype: float32}}"
    assert words("a:Net", "model.weights=null", shape)[-2:] == ["model.weights=null", shape]


def test_an_npz_file_is_judged_by_its_labels_or_beside_the_baseline() -> None:
    write_model("m.onnx")
    np.savez("d=1.npz", image=EXAMPLES, labels=np.zeros(12, int))
    np.savez("bare.npz", image=EXAMPLES)
    assert words("m.onnx", "d=1.npz")[2:] == ["data=npz", "data.path=d=1.npz"]
    assert words("m.onnx", "bare.npz")[2:] == ["data=npz", "data.path=bare.npz", "metric=cosine"]
    [note] = search(["m.onnx", "bare.npz"]).notes
    assert note.startswith("bare.npz has no labels")


def test_a_pytorch_class_reads_pictures_of_the_size_that_is_typed() -> None:
    photos = write_images("photos", "a.png", "b.png")
    for typed, side in (("data.size=96", 96), ("data.size=96,128", 224), ("data.size=x", 224)):
        found = words("a:Net", photos, "model.weights=null", typed)
        assert f'model.inputs={{"image": {{shape: [3, {side}, {side}], dtype: float32}}}}' in found


def test_a_folder_of_splits_is_one() -> None:
    write_model("m.onnx")
    Path("splits").mkdir()
    np.savez("splits/test.npz", image=EXAMPLES, labels=np.zeros(12, int))
    assert words("m.onnx", "splits")[2:] == ["data=folder", "data.path=splits"]


def test_images_get_the_models_size_and_input_and_the_labels_of_their_folders() -> None:
    write_model("m.onnx", "pixels", ("n", 3, 40, 40))
    write_model("free.onnx", "image", ("n", 3, "h", "w"))
    write_model("last.onnx", "image", (1, 20, 20, 3))
    flat = write_images("flat", "a.png", "b.png")
    sorted_ = write_images("sorted", "cat/a.png", "dog/b.png")
    inside = write_images("inside", "all/a.png", "all/b.png")
    assert words("m.onnx", flat)[2:] == [
        "data=images", "data.path=flat", "data.size=40", "data.input=pixels", "metric=cosine",
    ]  # fmt: skip
    assert words("free.onnx", sorted_)[2:] == ["data=images", "data.path=sorted", "data.labelled=true"]
    assert words("last.onnx", inside)[2:] == ["data=images", "data.path=inside", "data.size=20", "metric=cosine"]
    assert words("free.onnx", sorted_, "data.labelled=false")[2:] == [
        "data=images", "data.path=sorted", "metric=cosine", "data.labelled=false",
    ]  # fmt: skip


def write_sounds(folder: str, *names: str) -> str:
    for name in names:
        write_wav(Path(folder, name), np.ones(9))
    return folder


def test_audio_gets_the_models_length_and_input_and_the_labels_of_its_folders() -> None:
    write_model("m.onnx", "waveform", ("n", 15600))
    write_model("free.onnx", "audio", ("n", "samples"))
    write_model("one.onnx", "audio", ("n", 1, 8000))
    flat = write_sounds("flat", "a.wav", "b.WAV")
    sorted_ = write_sounds("sorted", "no/a.wav", "yes/b.wav")
    write_text("sorted/labels.csv", "file,label\n")
    assert words("m.onnx", flat)[2:] == [
        "data=audio", "data.path=flat", "data.seconds=0.975", "data.input=waveform", "metric=cosine",
    ]  # fmt: skip
    assert words("free.onnx", sorted_)[2:] == ["data=audio", "data.path=sorted", "data.labelled=true"]
    assert words("one.onnx", flat, "data.sample_rate=8000")[2:] == [
        "data=audio", "data.path=flat", "data.seconds=1.0", "data.channel=true", "metric=cosine",
        "data.sample_rate=8000",
    ]  # fmt: skip


def test_a_pytorch_class_reads_audio_of_the_length_that_is_typed() -> None:
    flat = write_sounds("flat", "a.wav", "b.wav")
    for typed, shape in (("data.seconds=0.5", [8000]), ("data.channel=true", [1, 16000]), ("data.seconds=x", [16000])):
        found = words("a:Net", flat, "model.weights=null", typed)
        assert f'model.inputs={{"audio": {{shape: {shape}, dtype: float32}}}}' in found


def test_a_folder_of_images_and_audio_is_what_is_typed() -> None:
    write_model("sound.onnx", "audio", ("n", 800))
    write_model("image.onnx")
    both = write_images(write_sounds("both", "a.wav"), "cover.png")
    assert words("sound.onnx", both, "data=audio")[2:] == [
        "data.path=both", "data.seconds=0.05", "metric=cosine", "data=audio",
    ]  # fmt: skip
    assert words("image.onnx", both, "data=images")[2:4] == ["data.path=both", "data.size=32"]


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".JSONL", ".parquet"])
def test_every_table_holds_texts(suffix: str) -> None:
    write_model("m.onnx", "input_ids", ("n", 32), TensorProto.INT64)
    write_text("tokenizer.json", "{}")
    path = Path(f"t{suffix}")
    if suffix == ".parquet":
        pyarrow = pytest.importorskip("pyarrow")
        pytest.importorskip("pyarrow.parquet").write_table(pyarrow.table({"text": ["good"], "label": [1]}), path)
    else:
        path.write_text('{"text": "good", "label": 1}\n')
    expected = ["data=texts", f"data.path={path}", "data.tokenizer=tokenizer.json", "data.length=32"]
    assert words("m.onnx", str(path))[2:] == expected
    assert words("m.onnx", str(path), "data.label_column=null")[2:] == [
        *expected, "metric=cosine", "data.label_column=null",
    ]  # fmt: skip


@pytest.mark.parametrize("place", ["models/onnx/tokenizer.json", "models/tokenizer.json", "texts/tokenizer.json"])
def test_texts_find_the_tokenizer_beside_the_model_or_the_texts(place: str) -> None:
    write_model("models/onnx/m.onnx", "input_ids", ("n", 32), TensorProto.INT64)
    write_text("texts/t.csv", "text,label\ngood,1\n")
    write_text(place, "{}")
    assert words("models/onnx/m.onnx", "texts/t.csv")[2:] == [
        "data=texts", "data.path=texts/t.csv", f"data.tokenizer={place}", "data.length=32",
    ]  # fmt: skip


def test_texts_without_labels_go_to_the_models_only_input() -> None:
    write_model("m.onnx", "ids", ("n", "tokens"), TensorProto.INT64)
    write_text("t.csv", "text\ngood\n")
    assert words("m.onnx", "t.csv", "data.tokenizer=t.json")[2:] == [
        "data=texts", "data.path=t.csv", "data.input_ids=ids", "metric=cosine", "data.tokenizer=t.json",
    ]  # fmt: skip


def test_what_is_typed_wins_and_flags_are_passed_on() -> None:
    write_model("m.onnx")
    photos = write_images("photos", "a.png", "b.png")
    typed = ["experiment=stages", "metric=f1", "search.budget_s=300", "data.size=192"]
    assert search(["m.onnx", "--cfg", "job", photos, *typed]).words == (
        "--cfg", "job", "model=onnx", "model.path=m.onnx", "data=images", "data.path=photos", *typed,
    )  # fmt: skip
    assert words("m.onnx", "data=npz", "data.path=d.npz")[2:] == ["data=npz", "data.path=d.npz"]
    assert words("resnet50", "~data.fixed")[-1] == "~data.fixed"
    long = f"variant=[{','.join(['baseline'] * 99)}]"
    assert words("resnet50", long)[-1] == long


def test_a_package_that_is_missing_is_said_and_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimize, "find_spec", lambda name: None)
    [note] = search(["fashion_resnet"]).notes
    assert note == (
        "not installed: openvino and nncf, so models on OpenVINO and NNCF's int8 can't take part: "
        "pip install 'slimline[openvino]'"
    )
    assert search(["fashion_resnet", "target=[ort_cpu]"]).notes == []


def printed(capsys: pytest.CaptureFixture[str], *typed: str) -> tuple[str, Any]:
    """The command that is printed, and the configuration that it is run with."""
    with pytest.raises(SystemExit) as caught:
        main([*typed, "--cfg", "job"])
    assert caught.value.code == 0
    line, _, config = capsys.readouterr().out.partition("\n")
    return line, yaml.safe_load(config if typed[0] == "optimize" else f"{line}\n{config}")


def test_the_line_that_is_printed_composes_to_the_same_when_it_is_typed(capsys: pytest.CaptureFixture[str]) -> None:
    path = write_model("a b/it's=1 [x].onnx", "input.1")
    np.savez("d,1.npz", **{"input.1": EXAMPLES, "labels": np.zeros(12, int)})  # type: ignore[arg-type]
    line, config = printed(capsys, "optimize", path, "d,1.npz", "model.preprocessing.input.1.scale=0.5")
    python, dash, package, *behind = shlex.split(line)
    assert (python, dash, package) == ("python", "-m", "pipeline")
    again, same = printed(capsys, *[word for word in behind if word not in ("--cfg", "job")])
    assert again == "model:"
    assert same == config
    assert (config["model"]["path"], config["data"]["path"]) == (path, "d,1.npz")
    assert config["search"]["budget_s"] > 0


def test_a_pytorch_models_inputs_compose_whatever_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("d.npz", **{"input.1": EXAMPLES, "a b": EXAMPLES})  # type: ignore[arg-type]
    _, config = printed(capsys, "optimize", "a:Net", "d.npz", "model.weights=null")
    shape = {"shape": [3, 32, 32], "dtype": "float32"}
    assert config["model"]["inputs"] == {"input.1": shape, "a b": shape}


def _texts() -> None:
    write_model("m.onnx", "input_ids", ("n", 32), TensorProto.INT64)
    write_text("t.csv", "text\ngood\n")


def _both() -> None:
    write_images(write_sounds("d", "a.wav", "b/c.wav"), "cover.png")


def _wide() -> None:
    write_model("m.onnx", shape=("n", 3, 32, 64))
    write_images("photos", "a.png")


def test_files_of_pytorch_are_known_by_their_content() -> None:
    program(Path("step.pt2"))
    script(Path("both.pth"), Both())
    np.savez("d.npz", first=np.zeros((9, 1), np.float32), second=np.zeros((9, 3), np.float32))
    assert words("step.pt2", "d.npz")[:3] == ["model=program", "model.path=step.pt2", "data=npz"]
    inputs = 'model.inputs={"first": {shape: [1], dtype: float32}, "second": {shape: [3], dtype: float32}}'
    assert words("both.pth", "d.npz")[:3] == ["model=torchscript", "model.path=both.pth", inputs]


def _trained() -> None:
    write_model("m.onnx")
    Path("d").mkdir()
    np.savez("d/train.npz", image=EXAMPLES)


def test_a_folder_of_transformers_brings_its_tokenizer_its_classes_and_its_most_tokens() -> None:
    folder = str(described(Path("bert"), bert(id2label={"0": "no way", "1": "yes"}), tokenizer={}))
    write_text("t.csv", "text,label\ngood,yes\n")
    assert words(folder, "t.csv") == [
        "model=transformers", "model.path=bert", "data=texts", "data.path=t.csv",
        "data.tokenizer=bert/tokenizer.json", "data.length=48", "data.class_names=['no way',yes]",
    ]  # fmt: skip
    write_text("t.csv", "text,label\ngood,1\n")
    assert words(folder, "t.csv")[-1] == "data.length=48"
    Path("bert", "tokenizer.json").rename("bert/tokenizer_config.json")
    assert "data.tokenizer=bert" in words(folder, "t.csv")


def test_a_folder_of_transformers_brings_the_way_its_pictures_are_cut() -> None:
    config = {"model_type": "vit", "architectures": ["ViTForImageClassification"], "id2label": {"0": "b", "1": "a"}}
    described(Path("vit"), config, preprocessor_config=PROCESSOR)
    photos = write_images("photos", "a/1.png", "b/2.png")
    assert words("vit", photos) == [
        "model=transformers", "model.path=vit", "data=images", "data.path=photos", "data.labelled=true",
        "data.central=null", "data.interpolation=bilinear", "data.size=16", "data.input=pixel_values",
        "data.classes=[b,a]",
    ]  # fmt: skip


MISTAKES: list[tuple[Callable[[], object], str, str]] = [
    (lambda: write_model("model.onnx"), "modle.onnx", "modle.onnx does not exist: did you mean model.onnx? MODEL is"),
    (
        lambda: write_model("a.onnx"),
        "zzzz",
        "zzzz does not exist: . holds a.onnx. MODEL is an .onnx file, a .pt2 or .pt",
    ),
    (lambda: None, "fashion_resne", "fashion_resne does not exist: did you mean fashion_resnet? MODEL is"),
    (lambda: None, "~nobody/m.onnx", "~nobody/m.onnx does not exist: looked in "),
    (lambda: None, "onnx", "onnx does not exist: looked in "),
    (lambda: write_model("d/m.onnx"), "d", "d is a folder: type the file that is meant: d/m.onnx"),
    (lambda: Path("d").mkdir(), "d", "d is a folder without .onnx files: MODEL is"),
    (
        lambda: torch.save({"w": torch.zeros(1)}, "net.pth"),
        "net.pth",
        "net.pth holds weights, and no graph: type package.module:Class model.w",
    ),
    (
        lambda: torch.save(torch.nn.Linear(1, 1), "net.pt"),
        "net.pt",
        "net.pt holds a whole pickled torch.nn.modules.linear.Linear, and reading that would run code from the file",
    ),
    (
        lambda: write_text("net.pt2"),
        "net.pt2",
        "net.pt2 is damaged, or no file of PyTorch's: MODEL is an .onnx file, a",
    ),
    (lambda: write_text("net.py"), "net.py", "net.py is Python code: type net:Class"),
    (lambda: write_text("net.tflite"), "net.tflite", "net.tflite is no ONNX file: export the model to ONNX"),
    (lambda: write_text("net.xml"), "net.xml", "net.xml is OpenVINO's own format"),
    (lambda: write_text("m.onnx", "x"), "m.onnx", "model.path=m.onnx is not a whole ONNX file"),
    (lambda: None, "a:Net", "a:Net needs its weights: type model.weights=FILE"),
    (lambda: None, "a:Net model.weights=null", "a:Net does not tell its inputs: type 'model.inputs={image: {shape: ["),
    (
        lambda: np.savez("data.npz", x=EXAMPLES),
        "resnet50 date.npz",
        "date.npz does not exist: did you mean data.npz? D",
    ),
    (lambda: write_images("p", "a.png"), "resnet50 p/a.png", "p/a.png: one image is no data: type its folder, p"),
    (
        lambda: np.save("a.npy", EXAMPLES),
        "resnet50 a.npy",
        "a.npy: an .npy file is one input: name it as the model does, NAME.npy",
    ),
    (lambda: write_text("a.txt"), "resnet50 a.txt", "a.txt: texts are read from a table (.csv, .tsv, .jsonl, .ndj"),
    (lambda: write_text("d/t.csv"), "resnet50 d", "d is a folder: type the file that is meant: d/t.csv"),
    (lambda: write_text("d/t.parquet"), "resnet50 d", "d is a folder: type the file that is meant: d/t.parquet"),
    (lambda: Path("d").mkdir(), "resnet50 d", "d holds no images (.jpg, .jpeg, .png, .webp, .bmp, .tif, .tiff, .gif) "),
    (lambda: write_sounds("p", "a.wav"), "resnet50 p/a.wav", "p/a.wav: one audio file is no data: type its folder, p"),
    (lambda: write_sounds("p", "a.wav"), "resnet50 p", "the model reads image, and none of these takes [N, samples]"),
    (_both, "resnet50 d", "d holds images (1) and audio files (2): type data=images or data=audio behind it"),
    (
        lambda: write_text("t.jsonl", '{"text": "a"}\n{"text": \n'),
        "minilm t.jsonl",
        "data.path=t.jsonl, line 2 is no JSON (Expecting value at character 10): write one JSON object a line",
    ),
    (
        lambda: write_text("t.ndjson", '{"sentence": "a"}\n'),
        "minilm t.ndjson",
        "data.path=t.ndjson has no column 'text'; it has sentence: name the column of the texts with data.text_column",
    ),
    (lambda: write_text("t.parquet", "x"), "minilm t.parquet", "data.path=t.parquet can't be read as Parquet: "),
    (lambda: write_text("t.csv", "body\nx\n"), "minilm t.csv", "data.path=t.csv has no column 'text'; it has body"),
    (_texts, "m.onnx t.csv", "texts need the model's tokenizer.json, or tokenizer_config.json beside its "),
    (_wide, "m.onnx photos", "the model reads 'image' as [N, 3, 32, 64], and a folder of images gives squares in red"),
    (_trained, "m.onnx d", "d holds train.npz and no test.npz: type d/train.npz, which is split by hash, or name"),
    (lambda: None, "resnet50 random more", "'more' is one too many behind MODEL and DATA"),
    (lambda: write_model("m.onnx", shape=()), "m.onnx x.npz seed=1", "x.npz does not exist: looked in "),
]


@pytest.mark.parametrize(("prepare", "typed", "says"), MISTAKES, ids=[typed for _, typed, _ in MISTAKES])
def test_a_mistake_gets_one_line_with_what_to_type_and_exit_code_2(
    prepare: Callable[[], object], typed: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare()
    with pytest.raises(SystemExit) as caught:
        main(["optimize", *typed.split()])
    captured = capsys.readouterr()
    assert caught.value.code == 2
    assert captured.err.startswith(f"slimline: {says}")
    assert captured.err.count("\n") == 1
    assert not captured.out
    assert not Path("outputs").exists()


def test_a_shape_that_the_model_does_not_declare_is_asked_for_before_any_work(
    capsys: pytest.CaptureFixture[str],
) -> None:
    onnx.save(model([helper.make_node("Identity", ["x"], ["y"])], [value("x", None)], [value("y", None)]), "m.onnx")
    with pytest.raises(SystemExit) as caught:
        main(["optimize", "m.onnx"])
    assert caught.value.code == 2
    assert "no shape of 'x'" in capsys.readouterr().err
    assert words("m.onnx", "data.inputs.x.shape=[3]")[-1] == "data.inputs.x.shape=[3]"


def test_help_and_a_missing_model_are_argparses(capsys: pytest.CaptureFixture[str]) -> None:
    for typed, code in (["optimize", "--help"], 0), (["optimize"], 2):
        with pytest.raises(SystemExit) as caught:
            main(typed)
        assert caught.value.code == code
        assert "slimline optimize [-h] MODEL [DATA] [KEY=VALUE ...]" in "".join(capsys.readouterr())


def test_a_folder_with_boxes_is_judged_by_them_and_shown_as_a_whole() -> None:
    photos = write_images("photos", "a.png", "b.png")
    write_text("photos/metadata.jsonl", '{"file_name": "a.png", "objects": {"bbox": [], "categories": []}}')
    model = write_model("m.onnx")
    read = ["model=onnx", "model.path=m.onnx", "data=images", "data.path=photos"]
    assert words(model, photos) == [
        *read, "data.label_kind=boxes", "data.central=null", "data.size=32", "metric=mean_average_precision",
    ]  # fmt: skip
    assert words(model, photos, "data.label_kind=classes")[:5] == [*read, "data.size=32"]
    elsewhere = words(model, photos, "data.labels=other.json")
    assert "data.label_kind=boxes" in elsewhere


def test_a_folder_with_transcripts_is_judged_by_them() -> None:
    sounds = write_sounds("sounds", "a.wav", "b.wav")
    write_text("sounds/a.txt", "yes")
    model = write_model("m.onnx", "audio", ("n", 16000))
    assert words(model, sounds) == [
        "model=onnx", "model.path=m.onnx", "data=audio", "data.path=sounds", "data.label_kind=texts",
        "data.seconds=1.0", "metric=word_error_rate",
    ]  # fmt: skip
    assert words(model, sounds, "metric=character_error_rate")[-1] == "metric=character_error_rate"


def test_a_table_that_describes_files_is_answered_with_their_folder() -> None:
    write_text("photos/metadata.jsonl", '{"file_name": "a.png", "objects": {}}')
    with pytest.raises(UserError, match=r"it describes files, so type their folder, photos"):
        search([write_model("m.onnx", "input_ids", ("n", 8), 7), "photos/metadata.jsonl"])
