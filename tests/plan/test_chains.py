"""The beginnings of chains as variants."""

from __future__ import annotations

from pipeline.plan import Stage, Variant
from pipeline.plan.chains import with_beginnings
from pipeline.stages.export import ExportOnnx
from pipeline.stages.finetune import Finetune
from pipeline.stages.prune import Prune
from pipeline.stages.quantize_aware import QuantizeAware
from pipeline.stages.quantize_static import QuantizeStatic

BASELINE = Variant(name="baseline", stages={"export": ExportOnnx()})


def expanded(*variants: Variant, wanted: str) -> dict[str, list[Stage]]:
    found = with_beginnings({variant.name: variant for variant in (BASELINE, *variants)}, [wanted])
    assert all(variant.name == name for name, variant in found.items())
    return {name: list(variant.stages.values()) for name, variant in found.items()}


def test_every_beginning_of_a_chain_is_a_variant_exported_as_the_chain_does_it() -> None:
    export = ExportOnnx(exporter="torchscript")
    chain = Variant(
        name="small",
        stages={"prune": Prune(), "finetune": Finetune(), "export": export, "quantize": QuantizeStatic()},
        devices=("cpu",),
    )
    found = with_beginnings({"baseline": BASELINE, "small": chain}, ["small"])
    assert {name: list(variant.stages.values()) for name, variant in found.items()} == {
        "baseline": [ExportOnnx()],
        "small.prune": [Prune(), export],
        "small.finetune": [Prune(), Finetune(), export],
        "small": [Prune(), Finetune(), export, QuantizeStatic()],
    }
    assert found["small.prune"].devices == ("cpu",)


def test_a_chain_that_exports_by_quantizing_borrows_the_baselines_export() -> None:
    chain = Variant(name="small", stages={"prune": Prune(), "quantize": QuantizeAware()})
    assert expanded(chain, wanted="small") == {
        "baseline": [ExportOnnx()],
        "small.prune": [Prune(), ExportOnnx()],
        "small": [Prune(), QuantizeAware()],
    }


def test_what_is_a_variant_already_is_not_added() -> None:
    pruned = Variant(name="pruned", stages={"prune": Prune(), "export": ExportOnnx()})
    int8 = Variant(name="int8", stages={**pruned.stages, "quantize": QuantizeStatic()})
    assert list(expanded(pruned, int8, wanted="int8")) == ["baseline", "pruned", "int8"]
    assert list(expanded(int8, pruned, wanted="int8")) == ["baseline", "int8", "pruned"]


def test_nothing_is_added_unless_it_is_asked_for() -> None:
    chain = Variant(name="small", stages={"prune": Prune(), "export": ExportOnnx()})
    assert list(expanded(chain, wanted="other")) == ["baseline", "small"]
