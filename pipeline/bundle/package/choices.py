"""The variants that ONNX Runtime and infer.py take here, and whether the package runs by ONNX Runtime's own API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.bundle.check import Check, from_problems
from pipeline.bundle.package.layout import COMPONENT

if TYPE_CHECKING:
    from pipeline.bundle.slimline_infer.model import Model


def here(folder: Path) -> Path | None:
    """The folder of the variant that infer.py takes on this machine; None where it takes none.

    It may import onnxruntime: call it in a process of its own.
    """
    from pipeline.bundle.slimline_infer import InputError
    from pipeline.bundle.slimline_infer.choice import place

    try:
        return place(folder).folder
    except InputError:
        return None


def check(folder: Path) -> list[Check]:
    """Let infer.py and ONNX Runtime choose, and run what ONNX Runtime has chosen as its own API loads it.

    Makes sessions: call it in a process of its own.
    """
    return list(_checks(folder))


def _checks(folder: Path) -> Iterator[Check]:
    import onnxruntime

    from pipeline.bundle.slimline_infer import InputError
    from pipeline.bundle.slimline_infer.choice import place

    try:
        yield Check("this machine", True, f"infer.py takes {place(folder).why}")
    except InputError as error:
        yield Check("this machine", True, f"infer.py takes no variant: {error}")
    if not hasattr(onnxruntime, "ModelPackageContext"):
        yield Check(
            "ONNX Runtime",
            False,
            f"onnxruntime {onnxruntime.__version__} reads no model packages; 1.32 does: install it",
        )
        return
    yield from _by_onnxruntime(folder, onnxruntime)


def _by_onnxruntime(folder: Path, onnxruntime: Any) -> Iterator[Check]:
    from pipeline.bundle.slimline_infer.model import Model

    context = onnxruntime.ModelPackageContext(str(folder))
    names = ", ".join(context.get_variant_names(COMPONENT))
    try:
        options = onnxruntime.ModelPackageOptions(onnxruntime.SessionOptions())
        selected = context.select_component(COMPONENT, options)
    except RuntimeError:
        yield Check("ONNX Runtime", True, f"it reads the package ({names}), and on a CPU it takes no variant")
        return
    name = selected.get_selected_variant_name()
    model = Model(folder, variant=name)
    model.session.session, model.session.bound = selected.create_session(), None
    yield from_problems(
        "ONNX Runtime",
        _differences(model),
        f"it reads the package ({names}), takes '{name}', and reproduces its golden outputs",
    )


def _differences(model: Model) -> list[str]:
    from pipeline.bundle.slimline_infer.compare import compare

    inputs, expected, _ = model.golden()
    problems, _ = compare(expected, model(inputs), model.manifest["golden"])
    return problems
