"""Tries the next gentler way of calling a library that fails on a model, and notes which way was taken."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pipeline.artifact import Artifact, Format
from pipeline.artifact.proof import KEEP, Floor, compare
from pipeline.artifact.run import ran
from pipeline.errors import DISK_FULL, Misnamed, Skipped, StageFailed, reason_of
from pipeline.stages.quantization.nodes import PRODUCTS

if TYPE_CHECKING:
    import onnx

    from pipeline.plan import Context

logger = logging.getLogger(__name__)

EXAMPLES = 8
"""How many examples a way must get right before it is taken."""
MOST_NAMED = 8
"""The most nodes that are left in float because errors name them, one error after the other."""
DONE_INSTEAD = "done_instead"
"""The note that tells which way was taken, and why the one asked for was not."""
_ADDED = re.compile(r"_(?:quant|quantized|QuantizeLinear|DequantizeLinear)(?:_Input|_Output)?$")
"""What ONNX Runtime's quantizers add to the names of nodes and values."""
T = TypeVar("T")


class Worded(Protocol):
    """A way of calling a library, with its words."""

    @property
    def words(self) -> str:
        """A few words that describe the way."""
        ...


W = TypeVar("W", bound=Worded)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a quantizer is called: as asked, or more gently."""

    per_channel: bool = True
    """Whether channels get scales of their own, where that was asked."""
    optimized: bool = True
    """Whether the library prepares the model first."""
    kept: tuple[str, ...] = ()
    """The nodes that stay in float beside the excluded ones."""
    words: str = "as asked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The settings that a gentler way may relax."""

    nodes: Sequence[onnx.NodeProto]
    per_channel: bool
    optimized: bool = True


def quantized_gently(
    asked: Callable[[], Asked], attempt: Callable[[Way], T], out: Path, note: Callable[[str, Any], None]
) -> T:
    """Quantize a model in the first of the ways that works (``first_that_works``); ``asked`` is called only after the
    first failure."""
    failures: list[StageFailed] = []
    return first_that_works(_ways(asked, failures), attempt, out, note, failures)


def first_that_works(
    ways: Iterable[W],
    attempt: Callable[[W], T],
    out: Path,
    note: Callable[[str, Any], None],
    failures: list[StageFailed] | None = None,
) -> T:
    """The result of the first way that does not fail; raises the first failure where all fail.

    Each way finds ``out`` empty, and the failures so far in ``failures``. A stage that does not apply, or a field that
    names something that the model does not have, is no failure of a library: it is raised at once.
    """
    failures = [] if failures is None else failures
    for way in ways:
        try:
            found = attempt(way)
        except Misnamed:
            raise
        except Exception as error:
            if isinstance(error, Skipped) and not failures:
                raise
            if isinstance(error, OSError) and error.errno in DISK_FULL:
                raise
            failures.append(error if isinstance(error, StageFailed) else StageFailed(reason_of(error)))
            logger.info("%s: %s", way.words, failures[-1], exc_info=True)
            _empty(out)
            continue
        if failures:
            reason = str(failures[0]).partition(KEEP)[0]
            note(DONE_INSTEAD, f"{way.words}, since otherwise: {reason}")
        return found
    raise failures[0]


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def proof(source: Artifact, context: Context, floor: Floor | None, written: Format = "onnx") -> Callable[[Path], None]:
    """A function that raises StageFailed where the model in a folder, of the format ``written``, is broken; raises it
    itself where the source can't be run."""
    feed = context.sample(EXAMPLES)
    expected = ran(source, feed)

    def prove(folder: Path) -> None:
        compare(source, expected, Artifact(folder, written, ""), None, feed, floor)

    return prove


def _ways(asked: Callable[[], Asked], failures: Sequence[StageFailed]) -> Iterator[Way]:
    yield Way()
    given = asked()
    kept: tuple[str, ...] = ()
    while len(kept) < MOST_NAMED and (named := _named(str(failures[-1]), given.nodes, kept)):
        kept += named
        yield Way(kept=kept, words=f"{', '.join(kept)} in float")
    if given.per_channel:
        yield Way(per_channel=False, words="one scale per tensor")
    if given.optimized:
        yield Way(optimized=False, words="without ONNX Runtime's preparation")
    if given.optimized and given.per_channel:
        yield Way(optimized=False, per_channel=False, words="without ONNX Runtime's preparation, one scale per tensor")
    others = tuple(node.name for node in given.nodes if node.op_type not in PRODUCTS)
    yield Way(kept=others, words=f"only {', '.join(PRODUCTS)}")
    for kind in _kinds(given.nodes):
        yield Way(kept=tuple(node.name for node in given.nodes if node.op_type == kind), words=f"every {kind} in float")


def _kinds(nodes: Sequence[onnx.NodeProto]) -> list[str]:
    """The types of products, where leaving one out leaves others."""
    kinds = [kind for kind in PRODUCTS if any(node.op_type == kind for node in nodes)]
    return kinds if len(kinds) > 1 else []


def _named(text: str, nodes: Sequence[onnx.NodeProto], kept: Sequence[str]) -> tuple[str, ...]:
    """The nodes that an error names, else those that make a value that it names, else the products that read one."""
    quoted = {word for pair in re.findall(r"'([^']+)'|\"([^\"]+)\"", text) for word in pair}
    # Outside quotes, a word of letters only is prose.
    plain = {word for word in re.findall(r"[^\s'\"(){}\[\],;=]+", text) if not word.rstrip(".:").isalpha()}
    words = {_ADDED.sub("", word.rstrip(".:")) for word in quoted | plain} | quoted
    free = [node for node in nodes if node.name not in kept]
    named = (
        [node.name for node in free if node.name in words]
        or [node.name for node in free if words & set(node.output)]
        or [node.name for node in free if node.op_type in PRODUCTS and words & set(node.input)]
    )
    return tuple(named[:MOST_NAMED]) if len(named) < len(free) else ()
