"""The cases: what is typed about each input, and what is right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.cases import arrays, graphs, networks, operators, pictures, texts
from tests.cases.case import Case, Check, Expected, Outcome

QUICK = ("measure=quick", "measure.budget_s=4", "measure.peaks=false", "measure.exclusive=false", "target=[ort_cpu]")
SPLIT = ("data.fractions.test=0.4", "data.fractions.calibration=0.2")
FILE = ("model=onnx", "model.path={case}/model.onnx")
NPZ = ("data=npz", "data.path={case}/data.npz")
ARRAYS = (*FILE, *NPZ, *SPLIT, *QUICK)
PHOTOS = (*FILE, "data=images", "data.path={case}/photos", "data.size=16", "data.labelled=true", *SPLIT, *QUICK)
REVIEWS = (
    *FILE, "data=texts", "data.path={case}/reviews.csv", "data.tokenizer={case}/tokenizer.json", "data.length=16",
    *SPLIT, *QUICK,
)  # fmt: skip
ON_CPU = "variants.fp16.devices=[cuda,cpu]"
DYNAMIC, STATIC = "variant=[baseline,dynamic_int8]", "variant=[baseline,static_int8]"
IMAGE = "+model.inputs={image: {shape: [3, 16, 16], dtype: float32}}"
VECTOR = "+model.inputs={x: {shape: [16], dtype: float32}}"
SOUND = "+model.inputs={image: {shape: [4, 64], dtype: float32}}"
TOKENS = "+model.inputs={input_ids: {shape: [12], dtype: int64}, attention_mask: {shape: [12], dtype: int64}}"
SWAPPED = "+model.inputs={attention_mask: {shape: [12], dtype: int64}, input_ids: {shape: [12], dtype: int64}}"
SIDES = "+model.inputs={left: {shape: [16], dtype: float32}, right: {shape: [8], dtype: float32}}"
IDS = "+model.inputs={ids: {shape: [12], dtype: int64}}"
REFUSED = Expected(code=2)


def network(inputs: str, *typed: str, weights: str = "w.safetensors") -> tuple[str, ...]:
    """What is typed for a network of ``model.py``."""
    source = ("model=torch", "model.factory=model.Net", f"model.weights={{case}}/{weights}", inputs)
    return (*source, *NPZ, *SPLIT, *QUICK, *typed)


def pruned(batch_size: int) -> tuple[str, str]:
    """One epoch of fine-tuning."""
    stage = "variants.pruned.stages.finetune"
    return f"{stage}.epochs=1", f"{stage}.batch_size={batch_size}"


def refused(*says: str) -> Expected:
    """One clear line, and exit code 2."""
    return Expected(code=2, says=says)


def accuracy(low: float, high: float = 1.0, variant: str = "baseline") -> Check:
    """The variant's accuracy lies between two shares."""

    def check(outcome: Outcome) -> str | None:
        found = (outcome.row(variant).get("accuracy") or {}).get("value")
        right = found is not None and low <= found <= high
        return None if right else f"the accuracy of {variant} is {found}, not {low} to {high}"

    return check


def cosine(variant: str, low: float) -> Check:
    """What the last stage handed on agrees with its source, or the variant was refused."""

    def check(outcome: Outcome) -> str | None:
        row = outcome.row(variant)
        if row.get("status") != "ok":
            return None
        found = (row.get("accuracy") or {}).get("value")
        return None if found is not None and found >= low else f"{variant} is ok with a cosine of {found}"

    return check


def has_tanh(outcome: Outcome) -> str | None:
    """The second run's models come from the changed code."""
    import onnx

    if outcome.out.name != "again":
        return None
    models = [onnx.load(path) for path in (outcome.folder / "store").rglob("model.onnx")]
    found = any(node.op_type == "Tanh" for model in models for node in model.graph.node)
    return None if found else "the second run used the first model: no Tanh in any ONNX file of the store"


def verified(outcome: Outcome) -> str | None:
    """Each bundle of the run proves itself, and its program runs."""
    import subprocess
    import sys

    bundles = sorted((outcome.out / "deploy").glob("*"))
    if not bundles:
        return "there is no bundle"
    for bundle in bundles:
        for command in (["-m", "pipeline", "verify", str(bundle)], [str(bundle / "infer.py")]):
            ended = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
            if ended.returncode:
                return f"{command[-1]} of {bundle.name} ended with {ended.returncode}: {ended.stdout}{ended.stderr}"
    return None


def relu_becomes_tanh(name: str) -> Callable[[Path], None]:
    """An edit of a file in the case's folder."""

    def change(folder: Path) -> None:
        path = folder / name
        path.write_text(path.read_text().replace("relu", "tanh"))

    return change


CASES: tuple[Case, ...] = (
    # Wrong without a word
    Case(
        make=networks.code_changed,
        typed=network(VECTOR, DYNAMIC),
        change=relu_becomes_tanh("model.py"),
        expected=Expected(checks=[has_tanh]),
    ),
    Case(
        make=networks.helper_changed,
        typed=network(VECTOR, DYNAMIC),
        change=relu_becomes_tanh("helpers.py"),
        expected=Expected(checks=[has_tanh]),
    ),
    Case(
        make=operators.relu_read_by_if,
        typed=(*ARRAYS, "metric=cosine", "variant=[baseline,static_int8,smooth_static_int8,mixed_int8]"),
        expected=Expected(
            rows={"mixed_int8": ("ok", "skipped"), "smooth_static_int8": ("ok", "skipped")},
            checks=[cosine(name, 0.95) for name in ("static_int8", "smooth_static_int8", "mixed_int8")],
        ),
    ),
    Case(
        make=operators.special_ops,
        typed=(
            *ARRAYS, "variant=[baseline,static_int8,dynamic_int8,mixed_int8,smooth_static_int8,fp16]", ON_CPU,
        ),
        expected=Expected(rows={"smooth_static_int8": ("ok", "skipped"), "mixed_int8": ("ok", "skipped")}),
    ),
    Case(
        make=graphs.unnamed_exclude,
        typed=(
            *ARRAYS, "variant=[baseline,static_int8,dynamic_int8,mixed_int8]",
            "variants.static_int8.stages.quantize.exclude_op_types=[Gemm]",
            "variants.dynamic_int8.stages.quantize.exclude_op_types=[Gemm]",
        ),
        expected=Expected(rows={"mixed_int8": ("ok", "skipped")}),
    ),
    Case(make=arrays.one_logit, typed=(*ARRAYS, DYNAMIC), expected=Expected(checks=[accuracy(1.0)])),
    Case(
        make=networks.one_logit_training,
        typed=network(VECTOR, "variant=[baseline,pruned]", *pruned(16)),
        expected=Expected(checks=[accuracy(0.9)]),
    ),
    Case(
        make=networks.dict_order,
        typed=network(IMAGE, STATIC, "model.outputs=[logits,embedding]"),
        expected=Expected(checks=[accuracy(1.0)]),
    ),
    Case(make=networks.swapped_inputs, typed=network(SWAPPED, DYNAMIC), expected=Expected(checks=[accuracy(1.0)])),
    Case(make=pictures.gray16, typed=(*PHOTOS, DYNAMIC), expected=Expected(code=0)),
    Case(make=pictures.exif, typed=(*PHOTOS, DYNAMIC)),
    Case(make=pictures.symlink_class, typed=(*PHOTOS, DYNAMIC)),
    Case(make=pictures.stray_image, typed=(*PHOTOS, DYNAMIC), expected=refused(r"cover\.png")),
    Case(
        make=arrays.labels_from_one,
        typed=(*ARRAYS, DYNAMIC),
        expected=refused("labels run from 1 to 10", "label_offset=1"),
    ),
    Case(
        make=networks.labels_out_of_range,
        typed=network(IMAGE, "variant=[baseline,static_int8,pruned]", *pruned(8)),
        expected=refused("labels run from", "label_offset"),
    ),
    # A traceback, or a whole run lost
    Case(make=networks.none_output, typed=network(IMAGE, STATIC)),
    Case(make=arrays.zipmap, typed=(*ARRAYS, DYNAMIC)),
    Case(make=texts.csv_short_row, typed=(*REVIEWS, DYNAMIC), expected=refused(r"reviews\.csv")),
    Case(make=pictures.bomb, typed=(*PHOTOS, DYNAMIC), expected=refused(r"scan\.png")),
    Case(
        make=arrays.ascii_locale,
        typed=(*ARRAYS, DYNAMIC),
        environment={"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ),
    Case(
        make=arrays.latin1_output,
        typed=(*FILE, *NPZ, *QUICK, DYNAMIC),
        environment={"PYTHONIOENCODING": "cp1252"},
    ),
    Case(make=networks.dataclass_output, typed=network(IMAGE, STATIC, "model.outputs=[logits,features]")),
    Case(make=networks.kwonly, typed=network(SIDES, DYNAMIC)),
    Case(make=arrays.no_home, typed=(*ARRAYS, DYNAMIC), environment={"HOME": None}, script=True),
    Case(make=operators.nms, typed=(*ARRAYS, "metric=cosine", STATIC)),
    Case(make=operators.gru_state, typed=(*ARRAYS, "variant=[baseline,dynamic_int8,static_int8,weights_int8]")),
    Case(make=graphs.reshape_one, typed=(*ARRAYS, STATIC, "batch_sizes=[1]")),
    Case(make=graphs.wrong_declared_shape, typed=(*ARRAYS, DYNAMIC)),
    Case(make=graphs.unsorted_nodes, typed=(*ARRAYS, DYNAMIC)),
    Case(make=graphs.no_shape, typed=(*ARRAYS, "variant=[baseline,static_int8,dynamic_int8]")),
    Case(make=arrays.scalar_input, typed=(*ARRAYS, "metric=cosine", DYNAMIC)),
    Case(make=arrays.strings, typed=(*ARRAYS, DYNAMIC)),
    Case(make=operators.bf16_model, typed=(*ARRAYS, DYNAMIC)),
    # A variant lost, or refused without need
    Case(
        make=arrays.few_calibration,
        typed=(*FILE, *NPZ, *QUICK, "variant=[baseline,static_int8,smooth_static_int8]"),
    ),
    Case(
        make=graphs.opset11,
        typed=(*ARRAYS, "variant=[baseline,static_int8,dynamic_int8,weights_int8,fp16,mixed_int8]", ON_CPU),
        expected=Expected(rows={"mixed_int8": ("ok", "skipped"), "weights_int8": ("ok", "skipped")}),
    ),
    Case(
        make=graphs.opset9_inputs,
        typed=(*ARRAYS, "variant=[baseline,static_int8,dynamic_int8,simplified,fp16]", ON_CPU),
        expected=Expected(rows={"simplified": ("ok", "skipped")}),
    ),
    Case(
        make=networks.c2f,
        typed=network(
            IMAGE, "variant=[baseline,pruned]", "variants.pruned.stages.prune.round_to=8", *pruned(8)
        ),
    ),
    Case(
        make=networks.pixelshuffle,
        typed=network(
            IMAGE, "metric=cosine", "variant=[baseline,pruned,static_int8]", *pruned(16),
        ),
    ),
    Case(make=networks.old_weight_norm, typed=network(SOUND, "variant=[baseline,static_int8,pruned]", *pruned(8))),
    Case(make=networks.weight_norm, typed=network(SOUND, "variant=[baseline,pruned,static_int8]", *pruned(16))),
    Case(
        make=operators.convtranspose,
        typed=(*ARRAYS, "metric=cosine", "variant=[baseline,static_int8,dynamic_int8]"),
    ),
    Case(
        make=operators.matmul_3d,
        typed=(*ARRAYS, "variant=[baseline,dynamic_int8,static_int8,weights_int8,smooth_static_int8]"),
        expected=Expected(rows={"weights_int8": ("ok", "skipped"), "smooth_static_int8": ("ok", "skipped")}),
    ),
    Case(
        make=operators.fp16_inputs,
        typed=(*ARRAYS, "variant=[baseline,static_int8,dynamic_int8,fp16,weights_int8]", ON_CPU),
        expected=Expected(
            rows={"fp16": "skipped", "weights_int8": ("ok", "skipped"), "dynamic_int8": ("ok", "skipped")}
        ),
    ),
    Case(
        make=operators.qdq_again,
        typed=(*ARRAYS, "variant=[baseline,static_int8,dynamic_int8,fp16,weights_int8]", ON_CPU),
        expected=Expected(
            rows=dict.fromkeys(["static_int8", "dynamic_int8", "fp16", "weights_int8"], "skipped"),
            says=["already quantized"],
        ),
    ),
    Case(
        make=graphs.constant_nodes,
        typed=(
            *ARRAYS,
            "variant=[baseline,dynamic_int8,static_int8,fp16,weights_int8,weights_int4,smooth_static_int8]", ON_CPU,
        ),
    ),
    Case(
        make=arrays.external_plain,
        typed=(
            "model=onnx", "model.path='{case}/modèle 1/model.onnx'", *NPZ, *SPLIT, *QUICK,
            "variant=[baseline,static_int8,dynamic_int8,fp16,weights_int8,optimized,simplified]", ON_CPU,
        ),
        expected=Expected(rows={"simplified": ("ok", "skipped"), "optimized": ("ok", "skipped")}),
    ),
    Case(
        make=networks.last_batch_of_one,
        typed=network(
            IMAGE, "variant=[baseline,pruned,qat_int8]", *pruned(16), "variants.qat_int8.stages.quantize.batch_size=16"
        ),
    ),
    Case(make=texts.token_type_ids, typed=(*REVIEWS, DYNAMIC)),
    Case(make=texts.csv_bom, typed=(*REVIEWS, DYNAMIC)),
    Case(make=texts.csv_semicolon, typed=(*REVIEWS, DYNAMIC)),
    Case(
        make=networks.tied_safetensors,
        typed=network(IDS, "variant=[baseline,dynamic_int8,pruned]", *pruned(16)),
        expected=Expected(rows={"pruned": "skipped"}),  # its one width is that of the shared embedding
    ),
    Case(make=networks.always_dropout, typed=network(IMAGE, STATIC), expected=refused("random")),
    Case(make=networks.data_parallel, typed=network(IMAGE, STATIC, weights="w.pth")),
    Case(
        make=networks.whole_model_pickle,
        typed=network(IMAGE, STATIC, weights="w.pt"),
        expected=refused("state_dict"),
    ),
    # Misleading words
    Case(
        make=arrays.path_equals,
        typed=(
            "model=onnx", "model.path={case}/run_lr=0.1,bs=32 (copy) [v2]/model.onnx", "data=npz",
            "data.path={case}/run_lr=0.1,bs=32 (copy) [v2]/data.npz", *QUICK, DYNAMIC,
        ),
    ),
    Case(
        make=arrays.path_only_equals,
        typed=(
            "model=onnx", "model.path={case}/date=2024-05-01/model.onnx", "data=npz",
            "data.path={case}/date=2024-05-01/data.npz", *QUICK, DYNAMIC,
        ),
    ),
    Case(
        make=arrays.external_subfolder,
        typed=(
            "model=onnx", "model.path={case}/my models (final)/modèle 1.onnx", *NPZ, *SPLIT, *QUICK,
            "variant=[baseline,static_int8,dynamic_int8,fp16,weights_int8,optimized,simplified]", ON_CPU,
        ),
        expected=Expected(rows={"simplified": ("ok", "skipped"), "optimized": ("ok", "skipped")}),
    ),
    Case(
        make=arrays.dotted_input,
        typed=(*ARRAYS, DYNAMIC, "model.preprocessing.input.1.scale=0.00392156862745098"),
    ),
    Case(
        make=arrays.odd_names_advice,
        typed=(*ARRAYS, DYNAMIC, "model.preprocessing.input_1:0.scale=0.00392156862745098"),
    ),
    # Right, and to stay so
    Case(
        make=operators.fp16_cast_resize_topk,
        typed=(*ARRAYS, "metric=cosine", "variant=[baseline,fp16,static_int8,dynamic_int8]", ON_CPU),
    ),
    Case(make=operators.nhwc_uint8, typed=(*ARRAYS, "variant=[baseline,static_int8,dynamic_int8,fp16]", ON_CPU)),
    Case(
        make=graphs.fixed_batch4,
        typed=(*ARRAYS, "variant=[baseline,static_int8,dynamic_int8]", "batch_sizes=[1,4]"),
        expected=Expected(rows=dict.fromkeys(["baseline", "static_int8", "dynamic_int8"], ("ok", "skipped"))),
    ),
    Case(make=graphs.minus_one_dim, typed=(*ARRAYS, "variant=[baseline,static_int8,dynamic_int8]")),
    Case(
        make=operators.gru_only,
        typed=(*ARRAYS, "variant=[baseline,dynamic_int8,static_int8,weights_int8,fp16]", ON_CPU),
    ),
    Case(
        make=operators.loop_weights,
        typed=(
            *ARRAYS, "variant=[baseline,dynamic_int8,static_int8,fp16,weights_int8,simplified,optimized]", ON_CPU,
        ),
        expected=Expected(rows={"simplified": ("ok", "skipped"), "optimized": ("ok", "skipped")}),
    ),
    Case(
        make=operators.tied_embedding,
        typed=(
            *ARRAYS,
            "variant=[baseline,dynamic_int8,static_int8,weights_int8,weights_int4,fp16,simplified,optimized,"
            "smooth_static_int8]", ON_CPU,
        ),
        expected=Expected(rows={"simplified": ("ok", "skipped"), "optimized": ("ok", "skipped")}),
    ),
    Case(make=networks.masked_sdpa, typed=network(TOKENS, "variant=[baseline,static_int8,dynamic_int8,fp16]", ON_CPU)),
    Case(
        make=operators.concat_qoperator,
        typed=(*ARRAYS, STATIC, "variants.static_int8.stages.quantize.format=qoperator"),
    ),
    Case(make=arrays.two_at_once, typed=(*ARRAYS, DYNAMIC), at_once=2),
    Case(make=pictures.rgba, typed=(*PHOTOS, DYNAMIC)),
    Case(make=pictures.jpeg_cut, typed=(*PHOTOS, DYNAMIC), expected=refused(r"cut\.jpg")),
    Case(make=pictures.png_bad_data, typed=(*PHOTOS, DYNAMIC), expected=refused(r"007\.png")),
    Case(make=pictures.png_broken_chunk, typed=(*PHOTOS, DYNAMIC), expected=refused(r"007\.png")),
    Case(make=pictures.macos_files, typed=(*PHOTOS, DYNAMIC)),
    Case(make=arrays.float64_data, typed=(*ARRAYS, DYNAMIC)),
    Case(make=arrays.object_array, typed=(*ARRAYS, DYNAMIC), expected=REFUSED),
    Case(make=arrays.equal_examples, typed=(*ARRAYS, DYNAMIC)),
    Case(make=arrays.sequence_logits, typed=(*ARRAYS, DYNAMIC)),
    Case(
        make=arrays.odd_names,
        typed=(*ARRAYS, STATIC, '+model.preprocessing={"serving_default_input/x:0": {scale: 0.00392}}'),
    ),
    Case(
        make=arrays.odd_names_escaped,
        typed=(*ARRAYS, STATIC, r"+model.preprocessing={serving_default_input/x\:0: {scale: 0.00392}}"),
    ),
    Case(
        make=arrays.bundle_odd_names,
        typed=(
            *FILE, *NPZ, *SPLIT, "target=[ort_cpu]", DYNAMIC, "measure.budget_s=15", "measure.peaks=false",
            "measure.try_s=null", "constraints.max_accuracy_drop=0.1",
        ),
        expected=Expected(checks=[verified]),
    ),
)  # fmt: skip
