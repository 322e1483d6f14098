"""The NVIDIA card that CUDA uses, read through the driver's library (NVML). No setting of the card is changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from pipeline.errors import Skipped

T = TypeVar("T")
_USABLE = 0.9
"""The share of a card's free memory that models may be loaded into."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardState:
    """A card's state at one moment; None where the driver doesn't say."""

    sm_clock_mhz: int | None
    slowdown: str | None
    """The reason why the card runs below its clock to save itself: heat, or the power supply's brake. The limit of its
    power is no such reason: under load a card is always at it."""
    processes: int | None
    """The number of processes that compute on it."""


@dataclass(frozen=True, slots=True)
class Card:
    """An open handle, for as long as ``used_card`` lasts."""

    handle: Any
    name: str

    @property
    def divided(self) -> bool:
        """Whether it is split into instances (MIG)."""
        import pynvml

        modes = _known(lambda: pynvml.nvmlDeviceGetMigMode(self.handle))
        return bool(modes is not None and modes[0] == pynvml.NVML_DEVICE_MIG_ENABLE)

    def state(self) -> CardState:
        """Read the state, which takes some microseconds."""
        import pynvml

        reasons = _known(lambda: pynvml.nvmlDeviceGetCurrentClocksEventReasons(self.handle))
        processes = _known(lambda: pynvml.nvmlDeviceGetComputeRunningProcesses(self.handle))
        return CardState(
            sm_clock_mhz=_known(lambda: int(pynvml.nvmlDeviceGetClockInfo(self.handle, pynvml.NVML_CLOCK_SM))),
            slowdown=None if reasons is None else _slowdown(int(reasons)),
            processes=None if processes is None else len(processes),
        )

    def used_bytes(self) -> int | None:
        """The memory of the card that is in use, by any process."""
        import pynvml

        return _known(lambda: int(pynvml.nvmlDeviceGetMemoryInfo(self.handle).used))

    def free_bytes(self) -> int | None:
        """The memory of the card that nothing uses."""
        import pynvml

        return _known(lambda: int(pynvml.nvmlDeviceGetMemoryInfo(self.handle).free))

    def usable_bytes(self) -> int | None:
        """The memory that models may be loaded into at once. It is less than what is free: memory comes in blocks, and
        a call may need more than it did when it was alone."""
        free = self.free_bytes()
        return None if free is None else round(_USABLE * free)


@contextmanager
def card_of(device: str) -> Iterator[Card | None]:
    """The card that a device stands for; None for the CPU, and where NVML doesn't tell which one that is."""
    with ExitStack() as stack:
        card = None
        if device == "cuda":
            with suppress(Skipped):
                card = stack.enter_context(used_card())
        yield card


@contextmanager
def used_card() -> Iterator[Card]:
    """The card that CUDA uses; raises Skipped without NVML, or where it is not certain which of several cards is
    used."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise Skipped(f"NVML can't be used: {error}") from error
    try:
        yield _used_card()
    finally:
        pynvml.nvmlShutdown()


def _used_card() -> Card:
    import pynvml

    try:
        handle = _used_handle(pynvml.nvmlDeviceGetCount())
        return Card(handle, str(pynvml.nvmlDeviceGetName(handle)))
    except pynvml.NVMLError as error:
        raise Skipped(f"NVML can't be used: {error}") from error


def _used_handle(count: int) -> Any:
    """The handle of the card that CUDA uses. With several cards CUDA's numbers need not be NVML's, so that only some
    settings tell which one is used."""
    import pynvml

    if count == 1:
        return pynvml.nvmlDeviceGetHandleByIndex(0)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    if visible.startswith("GPU-") and "," not in visible:
        return pynvml.nvmlDeviceGetHandleByUUID(visible)
    if visible.isdecimal() and os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID":
        return pynvml.nvmlDeviceGetHandleByIndex(int(visible))
    raise Skipped(
        f"which of {count} graphics cards is used can't be told: set CUDA_VISIBLE_DEVICES to one card's UUID "
        "(nvidia-smi -L lists them)"
    )


def _slowdown(reasons: int) -> str | None:
    import pynvml

    names = {
        pynvml.nvmlClocksEventReasonHwThermalSlowdown: "heat",
        pynvml.nvmlClocksEventReasonSwThermalSlowdown: "heat",
        pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown: "the power brake",
    }
    return next((name for bit, name in names.items() if reasons & bit), None)


def _known(read: Callable[[], T]) -> T | None:
    """What a card tells, or None for a question that it doesn't know."""
    import pynvml

    try:
        return read()
    except pynvml.NVMLError:
        return None
