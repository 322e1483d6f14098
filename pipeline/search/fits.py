"""The reasons why a candidate can't be built or run here, told before it is tried."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipeline.artifact import Format
from pipeline.errors import Skipped
from pipeline.plan import Stage, is_export, role_of
from pipeline.plan.chains import misfit, place_run
from pipeline.plan.hints import least_training, needs_labels, requires
from pipeline.results.change import unasked
from pipeline.search.facts import Facts
from pipeline.search.space import Candidate

Rule = Callable[[Candidate, Facts], str | None]
"""A function that gives the reason why a candidate is left out; None where it is not."""
_FORMATS = {"torch": "a PyTorch model", "onnx": "an ONNX model", "openvino": "a model in OpenVINO's format"}


def first_stage(candidate: Candidate, about: Callable[[Stage], bool]) -> str | None:
    """The name of the first stage of a candidate that something holds of."""
    return next((name for name, stage in candidate.variant.stages.items() if about(stage)), None)


def does_not_fit_the_model(candidate: Candidate, facts: Facts) -> str | None:
    """A stage takes the output of the one before it, and the first one takes the model."""
    stage = misfit(candidate.variant, facts.source)
    if stage is None:
        return None
    needed = " or ".join(_FORMATS[format] for format in sorted(candidate.variant.stages[stage].accepts))
    return f"{stage} needs {needed}, and gets none here"


def is_not_asked_for_on_the_device(candidate: Candidate, _: Facts) -> str | None:
    """A variant names the devices that it is measured on."""
    return unasked(candidate.variant, candidate.target)


def can_not_run_here(candidate: Candidate, facts: Facts) -> str | None:
    """A runtime says what it lacks: a package, a provider, a card, a compiler for torch.compile."""
    return facts.unavailable.get(candidate.target.name)


def makes_a_model_that_the_runtime_does_not_run(candidate: Candidate, facts: Facts) -> str | None:
    """A runtime runs some formats: PyTorch no ONNX file, ONNX Runtime no model in OpenVINO's format."""
    formats: list[Format] = [facts.source, *(stage.produces for stage in candidate.variant.stages.values())]
    try:
        place_run(candidate.variant, formats, candidate.target.backend)
    except Skipped as error:
        return str(error)
    return None


def lacks_a_package(candidate: Candidate, facts: Facts) -> str | None:
    """A stage that calls a package which is not installed would be skipped when it is built."""
    for name, stage in candidate.variant.stages.items():
        lacking = [package for package in requires(stage) if package in facts.missing]
        if lacking:
            return f"{name} needs {lacking[0]}, which is not installed: pip install {lacking[0]}"
    return None


def lacks_examples(candidate: Candidate, facts: Facts) -> str | None:
    """A stage that calibrates, judges or trains needs examples to do so; one that trains, a batch of them."""
    for name, stage in candidate.variant.stages.items():
        lacking = sorted(stage.reads - facts.splits.keys())
        if lacking:
            return f"{name} reads {' and '.join(lacking)} examples, and the data has none"
        count = facts.splits.get("train", 0)
        if least_training(stage) > count:
            return (
                f"{name} trains in batches of {least_training(stage)}, and the data has {count} training examples: set "
                f"its batch_size to {count} or less"
            )
    return None


def lacks_labels(candidate: Candidate, facts: Facts) -> str | None:
    """Training that was asked to learn from labels, or can learn from nothing else, needs them."""
    name = None if facts.labels else first_stage(candidate, needs_labels)
    return None if name is None else f"{name} learns from labels, and the data has none"


def is_quantized_already(candidate: Candidate, facts: Facts) -> str | None:
    """Every stage of precision skips a model that is quantized: quantizing twice loses twice and saves nothing."""
    quantized = facts.graph is not None and facts.graph.quantized
    name = first_stage(candidate, lambda stage: role_of(stage) == "precision") if quantized else None
    return None if name is None else f"the model is quantized already, and {name} takes only models in floating point"


def has_its_shapes_already(candidate: Candidate, facts: Facts) -> str | None:
    """A chain that only fixes shapes is the baseline where all are fixed; one that does more goes on from there."""
    only = all(_fixes_batch(stage) or is_export(stage) for stage in candidate.variant.stages.values())
    name = first_stage(candidate, _fixes_batch) if only and _has_fixed_shapes(facts) else None
    return None if name is None else f"the model's shapes are fixed already, so {name} changes nothing"


def fixes_a_batch_that_is_not_timed(candidate: Candidate, facts: Facts) -> str | None:
    """A model of a fixed batch runs at that batch only. An ONNX file whose shapes are fixed already keeps its own, and
    nothing is known of one that was not looked at."""
    if _has_fixed_shapes(facts) or (facts.source == "onnx" and facts.graph is None):
        return None
    for name, stage in candidate.variant.stages.items():
        size = getattr(stage, "batch_size", None)
        if _fixes_batch(stage) and size is not None and size not in facts.batch_sizes:
            sizes = ", ".join(map(str, facts.batch_sizes))
            return f"{name} fixes the batch at {size}, and the batch sizes are {sizes}"
    return None


BUILDS: Sequence[Rule] = (
    lacks_a_package,
    lacks_examples,
    lacks_labels,
    is_quantized_already,
    has_its_shapes_already,
)
"""What could not be built, whatever the target."""
FITS: Sequence[Rule] = (
    does_not_fit_the_model,
    is_not_asked_for_on_the_device,
    can_not_run_here,
    makes_a_model_that_the_runtime_does_not_run,
    *BUILDS,
    fixes_a_batch_that_is_not_timed,
)
"""What could not be built or run: a row of it would be skipped."""


def _has_fixed_shapes(facts: Facts) -> bool:
    return facts.graph is not None and not facts.graph.free


def _fixes_batch(stage: Stage) -> bool:
    return bool(getattr(stage, "fixes_batch", False))
