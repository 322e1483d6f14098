"""Networks for telephones, whose channels differ much in spread, keep their outputs in 8 bits."""

from __future__ import annotations

from typing import get_args

import pytest

from pipeline.artifact.proof import check_output
from pipeline.stages.export import ExportOnnx
from pipeline.stages.quantize_static import Compensation, QuantizeStatic
from tests.stages.models import Workplace, mobile, mobile_spec

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("gated", [False, True], ids=["MobileNetV2", "squeeze and excite"])
def test_a_mobile_network_keeps_its_outputs(workplace: Workplace, gated: bool) -> None:
    source = workplace.build(ExportOnnx(), workplace.torch(mobile(gated), mobile_spec(gated)), "onnx")
    feed = workplace.context().feed("validation")
    found = {}
    for compensation in get_args(Compensation):
        built = workplace.build(QuantizeStatic(compensation=compensation), source, compensation)
        found[compensation] = check_output(source, built, None, feed)
    assert min(found["bias"]["cosine_min"], found["full"]["cosine_min"]) >= 0.995
    decibels = {compensation: drift["sqnr_db"] for compensation, drift in found.items()}
    assert decibels["bias"] > decibels["none"] + 3
    assert decibels["full"] > decibels["bias"] + 1
