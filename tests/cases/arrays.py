"""Small ONNX models with data, names and paths as people have them."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

from tests.cases.making import WORDS, Make, constant, node, value


def ascii_locale(make: Make) -> None:
    """A terminal whose encoding is ASCII (PYTHONUTF8=0, LC_ALL=C, no coercion) and Latin-1."""
    make.vector_model()
    x = make.noise(200, 64)

    make.data(x=x, labels=make.rng.integers(0, 10, 200))


def latin1_output(make: Make) -> None:
    """Output piped to a file in a Latin-1 or cp1252 environment."""
    f = T.FLOAT
    make.save(
        [node("MatMul", ["x", "w0"], ["a"]), node("Relu", ["a"], ["ar"]), node("MatMul", ["ar", "w1"], ["y"])],
        [value("x", f, ["n", 64])],
        [value("y", f, ["n", 10])],
        [make.weight("w0", 64, 128), make.weight("w1", 128, 10)],
    )
    make.data(x=make.noise(200, 64), labels=make.rng.integers(0, 10, 200))


def two_at_once(make: Make) -> None:
    """Two runs at once on one store."""
    make.vector_model()
    x = make.noise(200, 64)

    make.data(x=x, labels=make.rng.integers(0, 10, 200))


def no_home(make: Make) -> None:
    """No HOME, a read-only current folder with a folder called pipeline of the user's own."""
    make.vector_model()
    x = make.noise(200, 64)

    make.data(x=x, labels=make.rng.integers(0, 10, 200))
    d = make.out / "project"
    (d / "conf").mkdir(parents=True, exist_ok=True)
    (d / "conf" / "config.yaml").write_text("lr: 0.1\n")
    (d / "pipeline.py").write_text("STEPS = ['load', 'train']\n")


def equal_examples(make: Make) -> None:
    """A file with few different examples (upsampled): 30 different ones, 200 rows."""
    make.vector_model()
    x = make.noise(200, 64)

    make.data(x=x[make.rng.integers(0, 30, 200)], labels=make.rng.integers(0, 10, 200))


def few_calibration(make: Make) -> None:
    """200 examples in one file, split as by default: 20 to calibrate on."""
    make.vector_model()
    x = make.noise(200, 64)

    make.data(x=x, labels=make.rng.integers(0, 10, 200))


def float64_data(make: Make) -> None:
    """float64 arrays, as NumPy makes them, for a float32 model; labels as float."""
    make.vector_model()
    x = make.noise(200, 64)

    make.data(x=x.astype(np.float64), labels=make.rng.integers(0, 10, 200).astype(np.float64))


def object_array(make: Make) -> None:
    """An array of objects (rows of different length) in the .npz."""
    make.vector_model()
    x = make.noise(200, 64)

    ragged = np.empty(200, object)
    ragged[:] = list(x)
    make.data(x=ragged, labels=make.rng.integers(0, 10, 200))


def labels_from_one(make: Make) -> None:
    """Labels counted from 1: the model is right about all, if they were counted from 0."""
    make.vector_model()
    x = make.noise(200, 64)

    m = onnx.load(make.out / "model.onnx")
    a, b = (nh.to_array(t) for t in m.graph.initializer)
    make.data(x=x, labels=(np.maximum(x @ a, 0) @ b).argmax(1) + 1)


def one_logit(make: Make) -> None:
    """A binary classifier with one logit [N, 1] and labels 0 and 1."""
    f = T.FLOAT
    nodes = [
        node("MatMul", ["x", "w0"], ["a"]),
        node("Relu", ["a"], ["ar"]),
        node("MatMul", ["ar", "w1"], ["l"]),
        node("Sigmoid", ["l"], ["y"]),
    ]
    w0, w1 = make.weight("w0", 20, 32), make.weight("w1", 32, 1)
    make.save(nodes, [value("x", f, ["n", 20])], [value("y", f, ["n", 1])], [w0, w1])
    x = make.noise(400, 20)
    logit = np.maximum(x @ nh.to_array(w0), 0) @ nh.to_array(w1)
    labels = (logit[:, 0] > 0).astype(np.int64)  # the model is right about all of them
    make.data(x=x, labels=labels)


def sequence_logits(make: Make) -> None:
    """A tagger: scores [N, T, C] with class labels [N, T]."""
    f = T.FLOAT
    make.save(
        [node("MatMul", ["x", "w0"], ["y"])],
        [value("x", f, ["n", 12, 16])],
        [value("y", f, ["n", 12, 5])],
        [make.weight("w0", 16, 5)],
    )
    make.data(x=make.noise(200, 12, 16), labels=make.rng.integers(0, 5, (200, 12)))


def scalar_input(make: Make) -> None:
    """An input that is a scalar beside the batch (a sampling rate)."""
    f = T.FLOAT
    nodes = [
        node("Cast", ["sr"], ["srf"], to=f),
        node("Div", ["srf", "k"], ["g"]),
        node("Mul", ["x", "g"], ["xs"]),
        node("MatMul", ["xs", "w0"], ["a"]),
        node("Relu", ["a"], ["ar"]),
        node("MatMul", ["ar", "w1"], ["y"]),
    ]
    make.save(
        nodes,
        [value("x", f, ["n", 64]), value("sr", T.INT64, [])],
        [value("y", f, ["n", 10])],
        [make.weight("w0", 64, 32), make.weight("w1", 32, 10), constant("k", 16000, np.float32)],
    )
    make.data(x=make.noise(200, 64), sr=np.full(200, 16000))


def strings(make: Make) -> None:
    """A text classifier that takes strings."""
    f = T.FLOAT
    nodes = [
        node(
            "TfIdfVectorizer",
            ["text"],
            ["tf"],
            mode="TF",
            min_gram_length=1,
            max_gram_length=1,
            max_skip_count=0,
            ngram_counts=[0],
            ngram_indexes=list(range(6)),
            pool_strings=WORDS[2:8],
        ),
        node("MatMul", ["tf", "w0"], ["y"]),
    ]
    make.save(nodes, [value("text", T.STRING, ["n", 8])], [value("y", f, ["n", 2])], [make.weight("w0", 6, 2)])
    make.data(text=make.rng.choice(WORDS[2:], (200, 8)), labels=make.rng.integers(0, 2, 200))


def path_equals(make: Make) -> None:
    """A folder named as Hydra and Spark name theirs: lr=0.1,bs=32, with brackets and a space."""
    make.vector_model()
    x = make.noise(200, 64)

    d = make.out / "run_lr=0.1,bs=32 (copy) [v2]"
    d.mkdir(exist_ok=True)
    np.savez(d / "data.npz", x=x, labels=make.rng.integers(0, 10, 200))
    (make.out / "model.onnx").rename(d / "model.onnx")


def path_only_equals(make: Make) -> None:
    """A folder with an equals sign, as Spark and Hive partitions have."""
    make.vector_model()
    x = make.noise(200, 64)

    d = make.out / "date=2024-05-01"
    d.mkdir(exist_ok=True)
    np.savez(d / "data.npz", x=x, labels=make.rng.integers(0, 10, 200))
    (make.out / "model.onnx").rename(d / "model.onnx")


def external_plain(make: Make) -> None:
    """Weights in an external file in a subfolder; a folder with a space and an accent, quoted for Hydra."""
    f = T.FLOAT
    nodes = [node("MatMul", ["x", "w0"], ["a"]), node("Relu", ["a"], ["ar"]), node("MatMul", ["ar", "w1"], ["y"])]
    model = make.save(
        nodes,
        [value("x", f, ["n", 64])],
        [value("y", f, ["n", 10])],
        [make.weight("w0", 64, 512), make.weight("w1", 512, 10)],
    )
    (make.out / "model.onnx").unlink()
    d = make.out / "modèle 1" / "weights"
    d.mkdir(parents=True, exist_ok=True)
    (d / "all.bin").unlink(missing_ok=True)
    onnx.save(
        model,
        make.out / "modèle 1" / "model.onnx",
        save_as_external_data=True,
        location="weights/all.bin",
        size_threshold=0,
    )
    make.data(x=make.noise(200, 64), labels=make.rng.integers(0, 10, 200))


def external_subfolder(make: Make) -> None:
    """Weights in an external file in a subfolder, the folder's name with a space."""
    f = T.FLOAT
    nodes = [node("MatMul", ["x", "w0"], ["a"]), node("Relu", ["a"], ["ar"]), node("MatMul", ["ar", "w1"], ["y"])]
    model = make.save(
        nodes,
        [value("x", f, ["n", 64])],
        [value("y", f, ["n", 10])],
        [make.weight("w0", 64, 512), make.weight("w1", 512, 10)],
    )
    (make.out / "model.onnx").unlink()
    d = make.out / "my models (final)" / "weights"
    d.mkdir(parents=True, exist_ok=True)
    (d / "all.bin").unlink(missing_ok=True)
    onnx.save(
        model,
        make.out / "my models (final)" / "modèle 1.onnx",
        save_as_external_data=True,
        location="weights/all.bin",
        size_threshold=0,
    )
    make.data(x=make.noise(200, 64), labels=make.rng.integers(0, 10, 200))


def dotted_input(make: Make) -> None:
    """An input named input.1, as PyTorch's older exporter names it, with raw pixels, as the refusal advises."""
    f = T.FLOAT
    nodes = [node("MatMul", ["input.1", "w0"], ["y"])]
    make.save(nodes, [value("input.1", f, ["n", 16])], [value("y", f, ["n", 10])], [make.weight("w0", 16, 10)])
    make.data(
        **{"input.1": make.rng.integers(0, 256, (200, 16)).astype(np.uint8), "labels": make.rng.integers(0, 10, 200)}
    )


def odd_names(make: Make) -> None:
    """Inputs and outputs named as TensorFlow does (colon, slash), with raw pixels."""
    f = T.FLOAT
    nodes = [
        node(
            "Conv",
            ["serving_default_input/x:0", "w0", "b0"],
            ["a:0"],
            name="model/conv 1/Conv",
            kernel_shape=[3, 3],
            pads=[1, 1, 1, 1],
        ),
        node("Relu", ["a:0"], ["ar"], name="größe/Relu"),
        node("GlobalAveragePool", ["ar"], ["p"]),
        node("Flatten", ["p"], ["q"], axis=1),
        node("Gemm", ["q", "w1", "b1"], ["StatefulPartitionedCall:0"], transB=1),
    ]
    make.save(
        nodes,
        [value("serving_default_input/x:0", f, ["n", 3, 16, 16])],
        [value("StatefulPartitionedCall:0", f, ["n", 10])],
        [make.weight("w0", 16, 3, 3, 3), make.weight("b0", 16), make.weight("w1", 10, 16), make.weight("b1", 10)],
    )
    make.data(
        **{
            "serving_default_input/x:0": make.rng.integers(0, 256, (200, 3, 16, 16)).astype(np.uint8),
            "labels": make.rng.integers(0, 10, 200),
        }
    )


def odd_names_advice(make: Make) -> None:
    """The same, with what the refusal advises to type."""
    f = T.FLOAT
    nodes = [node("MatMul", ["input_1:0", "w0"], ["y:0"])]
    make.save(nodes, [value("input_1:0", f, ["n", 16])], [value("y:0", f, ["n", 10])], [make.weight("w0", 16, 10)])
    make.data(
        **{"input_1:0": make.rng.integers(0, 256, (200, 16)).astype(np.uint8), "labels": make.rng.integers(0, 10, 200)}
    )


def odd_names_escaped(make: Make) -> None:
    """Inputs and outputs named as TensorFlow does (colon, slash), the colon escaped for Hydra."""
    f = T.FLOAT
    nodes = [
        node(
            "Conv",
            ["serving_default_input/x:0", "w0", "b0"],
            ["a:0"],
            name="model/conv 1/Conv",
            kernel_shape=[3, 3],
            pads=[1, 1, 1, 1],
        ),
        node("Relu", ["a:0"], ["ar"], name="größe/Relu"),
        node("GlobalAveragePool", ["ar"], ["p"]),
        node("Flatten", ["p"], ["q"], axis=1),
        node("Gemm", ["q", "w1", "b1"], ["StatefulPartitionedCall:0"], transB=1),
    ]
    make.save(
        nodes,
        [value("serving_default_input/x:0", f, ["n", 3, 16, 16])],
        [value("StatefulPartitionedCall:0", f, ["n", 10])],
        [make.weight("w0", 16, 3, 3, 3), make.weight("b0", 16), make.weight("w1", 10, 16), make.weight("b1", 10)],
    )
    make.data(
        **{
            "serving_default_input/x:0": make.rng.integers(0, 256, (200, 3, 16, 16)).astype(np.uint8),
            "labels": make.rng.integers(0, 10, 200),
        }
    )


def bundle_odd_names(make: Make) -> None:
    """A bundle of a model whose inputs and outputs have slashes and colons in their names, two inputs, int64."""
    f = T.FLOAT
    a, b, y = "serving_default_input/x:0", "ids:0", "StatefulPartitionedCall/out:0"
    nodes = [
        node("MatMul", [a, "w0"], ["h0"], name="m0"),
        node("Relu", ["h0"], ["r0"], name="r0"),
        node("MatMul", ["r0", "w1"], ["h1"], name="m1"),
        node("Relu", ["h1"], ["r1"], name="r1"),
        node("Gather", ["emb", b], ["e"], name="g"),
        node("ReduceMean", ["e"], ["em"], axes=[1], keepdims=0, name="rm"),
        node("Add", ["r1", "em"], ["s"], name="add"),
        node("MatMul", ["s", "w2"], [y], name="m2"),
    ]
    make.save(
        nodes,
        [value(a, f, ["n", 256]), value(b, T.INT64, ["n", 5])],
        [value(y, f, ["n", 10])],
        [
            make.weight("w0", 256, 2048, scale=0.05),
            make.weight("w1", 2048, 2048, scale=0.03),
            make.weight("w2", 2048, 10, scale=0.05),
            make.weight("emb", 50, 2048),
        ],
    )
    make.data(
        **{a: make.noise(300, 256), b: make.rng.integers(0, 50, (300, 5)), "labels": make.rng.integers(0, 10, 300)}
    )


def zipmap(make: Make) -> None:
    """A scikit-learn style classifier: label, and probabilities as a sequence of maps (ZipMap)."""
    f = T.FLOAT
    nodes = [
        node("MatMul", ["x", "w0"], ["a"]),
        node("Add", ["a", "b0"], ["l"]),
        node("Softmax", ["l"], ["p"], axis=1),
        node("ArgMax", ["p"], ["label"], axis=1, keepdims=0),
        node("ZipMap", ["p"], ["probabilities"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2]),
    ]
    seq = h.make_value_info(
        "probabilities", h.make_sequence_type_proto(h.make_map_type_proto(T.INT64, h.make_tensor_type_proto(f, None)))
    )
    make.save(
        nodes,
        [value("x", f, ["n", 20])],
        [value("label", T.INT64, ["n"]), seq],
        [make.weight("w0", 20, 3), make.weight("b0", 3)],
    )
    make.data(x=make.noise(200, 20), labels=make.rng.integers(0, 3, 200))
