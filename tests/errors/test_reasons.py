"""What libraries say, as it was said, and the line that a user reads."""

from __future__ import annotations

import onnx
import pytest
import torch

from pipeline.errors import reason_of
from pipeline.errors.reasons import LONGEST, cause, plain_line

ONNX_RUNTIME = "/onnxruntime_src/onnxruntime/core/"
RESHAPE = (
    "[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running Reshape node. Name:'r' Status "
    f"Message: {ONNX_RUNTIME}providers/cpu/tensor/reshape_helper.h:91 onnxruntime::ReshapeHelper::ReshapeHelper(const "
    "onnxruntime::TensorShape&, onnxruntime::TensorShapeVector&, bool) input_shape_size == requested_shape_size was "
    "false. The input tensor cannot be reshaped to the requested shape. Input shape:{16,4}, requested shape:{1,4}\n"
)
VERSION = (
    f"[ONNXRuntimeError] : 1 : FAIL : {ONNX_RUNTIME}graph/model.cc:256 onnxruntime::Model::Model(onnx::ModelProto&&, "
    "const onnxruntime::PathString&, const onnxruntime::logging::Logger&) Unsupported model IR version: 99, max "
    "supported IR version: 14\n"
)
DIMENSIONS = (
    "[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Got invalid dimensions for input: x for the following indices\n"
    " index: 1 Got: 5 Expected: 4\n Please fix either the inputs/outputs or the model."
)
UNSORTED = (
    "Nodes in a graph must be topologically sorted, however input 'a' of node: \nname: second OpType: Relu\n is not "
    "output of any previous nodes."
)
ATTRIBUTE = "Required attribute 'to' is missing.\n\n==> Context: Bad node spec for node. Name: c OpType: Cast"
STATE = (
    'Error(s) in loading state_dict for Linear:\n\tMissing key(s) in state_dict: "bias". \n\tsize mismatch for weight: '
    "copying a param with shape torch.Size([3, 3]) from checkpoint."
)
EXPORT = (
    "Failed to export the model with torch.export. \x1b[96mThis is step 1/3\x1b[0m of exporting the model to ONNX. "
    "Next steps:\n- Modify the model code for `torch.export.export` to succeed.\n\n## Exception summary\n\n"
    "<class 'torch.fx.experimental.symbolic_shapes.GuardOnDataDependentSymNode'>: Could not guard on data-dependent "
    "expression Eq(u0, 1).\n\nCaused by: (_export/non_strict_utils.py:1205 in __torch_function__)\nFor more "
    'information, run with TORCH_LOGS="dynamic"\n(Refer to the full stack trace above for more information.)'
)
NESTED = 'The worker failed\nTraceback (most recent call last):\n  File "a.py", line 3, in f\nValueError: it is odd\n'


@pytest.mark.parametrize(
    ("said", "read"),
    [
        (
            RESHAPE,
            "Non-zero status code returned while running Reshape node. Name:'r' Status Message: input_shape_size == "
            "requested_shape_size was false. The input tensor cannot be reshaped to the requested shape. Input "
            "shape:{16,4}, requested shape:{1,4}",
        ),
        (VERSION, "Unsupported model IR version: 99, max supported IR version: 14"),
        (DIMENSIONS, "Got invalid dimensions for input: x for the following indices index: 1 Got: 5 Expected: 4"),
        (
            UNSORTED,
            "Nodes in a graph must be topologically sorted, however input 'a' of node: name: second OpType: Relu is "
            "not output of any previous nodes.",
        ),
        (ATTRIBUTE, "Required attribute 'to' is missing. ==> Context: Bad node spec for node. Name: c OpType: Cast"),
        (
            STATE,
            'Error(s) in loading state_dict for Linear: Missing key(s) in state_dict: "bias". size mismatch for '
            "weight: copying a param with shape torch.Size([3, 3]) from checkpoint.",
        ),
        (EXPORT, "GuardOnDataDependentSymNode: Could not guard on data-dependent expression Eq(u0, 1)."),
        (NESTED, "ValueError: it is odd"),
        (
            "Exception from src/inference/src/cpp/core.cpp:84:\nCheck 'false' failed at src/frontends/report.cpp:151:\n"
            "Model wasn't fully converted.\nSummary:\n-- No conversion rule found for operations: ai.onnx.ml.Scaler\n",
            "Model wasn't fully converted. Summary: -- No conversion rule found for operations: ai.onnx.ml.Scaler",
        ),
        ("Exception from src/a.cpp:8:", "Exception from src/a.cpp:8:"),
        ("mat1 and mat2 shapes cannot be multiplied", "mat1 and mat2 shapes cannot be multiplied"),
        ("Load model from /tmp/slimline-x1/a/model.onnx failed", "Load model from model.onnx failed"),
        ("/store/.new/0123-ab/artifact/model.onnx is odd", "model.onnx is odd"),
        ("/home/me/models/model.onnx is odd", "/home/me/models/model.onnx is odd"),
        ("it broke\nand more", "it broke"),
    ],
)  # fmt: skip
def test_the_cause_is_what_is_read(said: str, read: str) -> None:
    assert cause(RuntimeError(said)) == f"RuntimeError: {read}"


def test_an_error_that_a_library_did_not_foresee_names_the_library() -> None:
    with pytest.raises(KeyError) as caught:
        onnx.helper.tensor_dtype_to_np_dtype(-3)
    assert reason_of(caught.value) == "onnx did not foresee this model (KeyError: -3)"
    with pytest.raises(TypeError) as worded:
        onnx.TensorProto.DataType.Name("x")  # type: ignore[arg-type]
    assert reason_of(worded.value).startswith("TypeError: Enum value for DataType must be an int")
    with pytest.raises(KeyError) as own:
        {"a": 1}["x"]
    assert reason_of(own.value) == "KeyError: 'x'"


def test_a_number_without_a_row_in_an_embedding_says_what_to_type() -> None:
    with pytest.raises(IndexError) as caught:
        torch.nn.Embedding(4, 2)(torch.tensor([4]))
    assert reason_of(caught.value).startswith("an embedding of the model has fewer rows than the data's whole numbers")


def test_an_error_without_words_is_its_type() -> None:
    class Dumb(Exception):
        def __str__(self) -> str:
            raise ValueError

    assert [cause(ValueError()), cause(ValueError("\n \n")), cause(Dumb())] == ["ValueError", "ValueError", "Dumb"]


def test_a_reason_is_of_bounded_length() -> None:
    assert len(cause(ValueError("long " * 10_000))) <= LONGEST + len("ValueError: ")


def test_out_of_memory_says_what_helps() -> None:
    said = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to"
    assert reason_of(RuntimeError(said)).startswith("out of memory (smaller batch_sizes need less): RuntimeError: ")


def test_what_a_program_printed_is_told_without_colours() -> None:
    line = f"\x1b[0;93m2026-01-01 [E:onnxruntime:, x.cc:1 Run] {ONNX_RUNTIME}a.cc:7 f(int) it broke\x1b[m"
    assert plain_line(line) == "2026-01-01 [E:onnxruntime:, x.cc:1 Run] it broke"
