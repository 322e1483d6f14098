"""Passes that repeat nothing: what they come to, and what they leave out."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pipeline.stages.pruning.passes import captured
from pipeline.stages.pruning.replay import Replay

BATCHES = [torch.randn(size, 6, generator=torch.Generator().manual_seed(size)) for size in (4, 4, 3)]


def batches() -> Iterator[list[Tensor]]:
    """Three, the last one smaller."""
    yield from ([batch] for batch in BATCHES)


class Block(nn.Module):
    """A residual block that writes into what it makes."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.act, self.down = nn.Linear(6, 8), nn.ReLU(inplace=True), nn.Linear(8, 6)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.down(self.act(self.up(x)))
        made += x
        return made


class Deep(nn.Module):
    """Blocks, one after the other, and the first one's output once more at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block() for _ in range(6)])
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        early = x = self.blocks[0](x)
        for block in list(self.blocks)[1:]:
            x = block(x)
        result: Tensor = self.head(x + early)
        return result


class Hidden(Deep):
    """What is kept of the first block does not show in a gradient."""

    def forward(self, x: Tensor) -> Tensor:
        early = self.blocks[0](x).detach()
        x = self.blocks[1](x)
        result: Tensor = self.head(x + early)
        return result


class Pairs(nn.Module):
    """A part that makes two tensors, one that makes a dict, and one that runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.two, self.named, self.twice, self.head = Two(), Named(), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        one, other = self.two(self.twice(self.twice(x)))
        result: Tensor = self.head(self.named(one)["x"] * other)
        return result


class Two(nn.Linear):
    """Makes a tuple."""

    def __init__(self) -> None:
        super().__init__(6, 12)

    def forward(self, x: Tensor) -> Any:
        return super().forward(x).chunk(2, -1)


class Named(nn.Module):
    """Makes a dict, of what a part of it makes."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"x": self.inner(x)}


def kept_in(folder: Path) -> set[str]:
    """The parts that are kept, in a file for each batch."""
    assert len(list(folder.iterdir())) == len(BATCHES)
    return set(load_file(next(folder.glob("*_0.safetensors"))))


def runs_of(module: nn.Module) -> Counter[str]:
    """How often each part runs, from now on."""
    found: Counter[str] = Counter()
    for name, part in module.named_modules():
        own = part.forward

        def counted(*given: Any, _name: str = name, _own: Any = own) -> Any:
            found[_name] += 1
            return _own(*given)

        part.forward = counted
    return found


@pytest.fixture(autouse=True)
def _as_the_stage_runs() -> Iterator[None]:
    torch.manual_seed(0)
    with torch.no_grad():
        yield


@pytest.mark.parametrize("kind", [Deep, Hidden, Pairs])
def test_each_layer_reads_and_makes_what_it_does_in_a_whole_pass(kind: type[nn.Module], tmp_path: Path) -> None:
    module = kind().eval()
    replay = Replay(module, batches, tmp_path)
    ran = [name for name, part in module.named_modules() if isinstance(part, nn.Linear) and "twice" not in name]
    ran = [name for name in ran if not isinstance(module, Hidden) or name.startswith(("blocks.0", "blocks.1", "head"))]
    for place, name in enumerate(ran):
        replay.settle(ran[place:])
        for number, arguments in enumerate(batches()):
            for outputs in (False, True):
                whole = captured(module, [name], arguments, outputs=outputs)[name]
                torch.testing.assert_close(replay.captured(number, arguments, [name], outputs=outputs)[name], whole)


def test_a_settled_part_runs_no_more(tmp_path: Path) -> None:
    module = Deep().eval()
    replay = Replay(module, batches, tmp_path)
    replay.settle(["blocks.4.up", "blocks.4.down", "head"])
    runs = runs_of(module)
    for number, arguments in enumerate(batches()):
        replay.captured(number, arguments, ["head"])
    assert runs["blocks.4"] == runs["blocks.5"] == 3
    assert runs["blocks.0.up"] == runs["blocks.3.up"] == 0


def test_only_what_the_rest_needs_is_kept(tmp_path: Path) -> None:
    replay = Replay(Deep().eval(), batches, tmp_path)
    for settled in range(2, 6):
        replay.settle([f"blocks.{number}.up" for number in range(settled, 6)] + ["head"])
        assert kept_in(tmp_path) == {"blocks.0", f"blocks.{settled - 1}"}


def _tensors_left_by(number: int, folder: Path) -> int:
    """How many more tensors there are once what ``number`` batches make is settled."""
    many = [torch.randn(4, 6) for _ in range(number)]
    replay = Replay(Deep().eval(), lambda: ([batch] for batch in many), folder)
    gc.collect()
    before = sum(type(each) is Tensor for each in gc.get_objects())
    with torch.no_grad():
        replay.settle(["blocks.4.up", "blocks.4.down", "head"])
    gc.collect()
    assert len(list(folder.iterdir())) == number
    return sum(type(each) is Tensor for each in gc.get_objects()) - before


def test_no_tensor_stays_of_a_batch(tmp_path: Path) -> None:
    for name, number in (("few", 2), ("many", 20)):
        (tmp_path / name).mkdir()
        assert _tensors_left_by(number, tmp_path / name) <= 0


def test_a_wide_place_will_do_only_when_no_narrow_one_comes(tmp_path: Path) -> None:
    replay = Replay(Deep().eval(), batches, tmp_path)
    found = []
    for settled in range(1, 6):
        replay.settle([f"blocks.{number}.up" for number in range(settled, 6)] + ["head"])
        found.append(kept_in(tmp_path))
    assert found == [{"blocks.0"}] * 4 + [{"blocks.0", "blocks.4"}]


def test_no_more_is_written_than_every_so_many_steps(tmp_path: Path) -> None:
    replay = Replay(Deep().eval(), batches, tmp_path, every=3)
    found = []
    for settled in range(2, 6):
        replay.settle([f"blocks.{number}.up" for number in range(settled, 6)] + ["head"])
        found.append(bool(list(tmp_path.iterdir())))
    assert found == [False, False, True, True]


def test_a_module_that_cannot_be_shortened_runs_whole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    module = Hidden().eval()
    replay = Replay(module, batches, tmp_path)
    with caplog.at_level("INFO"):
        replay.settle(["head"])
    assert "passes stay whole" in caplog.text
    runs = runs_of(module)
    replay.captured(0, [BATCHES[0]], ["head"])
    assert runs["blocks.0"] == 1


def test_a_full_disk_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 100})())
    replay = Replay(Deep().eval(), batches, tmp_path)
    replay.settle(["head"])
    assert not list(tmp_path.iterdir())
