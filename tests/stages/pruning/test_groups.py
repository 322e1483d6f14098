"""The worked example of docs/pruning.md: which weights one channel of a group takes with it."""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

from pipeline import PACKAGE
from pipeline.stages.pruning.cut import probe_inputs
from pipeline.stages.pruning.groups import Prunable, find_groups
from tests.stages.models import spec_of

PAGE = PACKAGE.parent / "docs" / "pruning.md"


class Tied(nn.Module):
    """The network of the example."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4 * 2 * 2, 10)

    def forward(self, image: Tensor) -> Tensor:
        states = torch.relu(self.norm(self.stem(image)))
        logits: Tensor = self.head((states + self.conv(states)).flatten(1))
        return logits


def group() -> tuple[nn.Module, Prunable]:
    spec = spec_of(Tied, {"image": (3, 2, 2)}, ["logits"])
    module = Tied().eval()
    found = find_groups(module, spec, (), probe_inputs(module, spec))
    assert list(found.reasons) == ["head"]
    (prunable,) = found.prunable
    return module, prunable


def test_a_sum_ties_two_layers_into_one_group_of_channels() -> None:
    _, prunable = group()
    assert set(prunable.layers) == {"stem", "conv"}
    assert prunable.units == [[0], [1], [2], [3]]


def test_a_channel_takes_the_weights_that_the_page_lists() -> None:
    module, prunable = group()
    change = prunable.without(module, [2])
    cuts = {(place.name, place.side, tuple(sorted(gone))) for place, gone in change.cuts.items()}
    rows = re.findall(r"^\| `(\w+)` \| (out|in) \| ([\d, ]+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert cuts == {(name, side, tuple(map(int, gone.split(", ")))) for name, side, gone in rows}
