from types import SimpleNamespace

import pynvml
import pytest


class FakeNvml:
    """An NVIDIA driver with some cards, in place of the real one's functions."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cards: int = 1, divided: bool = False) -> None:
        self.millijoules = 5000
        self.closed = 0
        self.divided = divided
        self.cards = cards
        self.reasons = 0
        self.clocks = [1980]
        """The readings to come; the last one stays."""
        self.processes: int | None = 1
        self.used = [0]
        """Bytes of its memory at each reading to come."""
        self.memory = 80 * 2**30
        for name in (
            "Init", "Shutdown", "DeviceGetCount", "DeviceGetHandleByIndex", "DeviceGetHandleByUUID", "DeviceGetName",
            "DeviceGetMigMode", "DeviceGetTotalEnergyConsumption", "DeviceGetCurrentClocksEventReasons",
            "DeviceGetClockInfo", "DeviceGetComputeRunningProcesses", "DeviceGetMemoryInfo",
        ):  # fmt: skip
            monkeypatch.setattr(pynvml, f"nvml{name}", getattr(self, name))

    def Init(self) -> None:  # noqa: N802
        pass

    def Shutdown(self) -> None:  # noqa: N802
        self.closed += 1

    def DeviceGetCount(self) -> int:  # noqa: N802
        return self.cards

    def DeviceGetHandleByIndex(self, index: int) -> str:  # noqa: N802
        return f"card {index}"

    def DeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        return f"card {uuid}"

    def DeviceGetName(self, handle: str) -> str:  # noqa: N802
        return f"NVIDIA {handle}"

    def DeviceGetMigMode(self, handle: str) -> list[int]:  # noqa: N802
        if not self.divided:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return [pynvml.NVML_DEVICE_MIG_ENABLE, pynvml.NVML_DEVICE_MIG_ENABLE]

    def DeviceGetTotalEnergyConsumption(self, handle: str) -> int:  # noqa: N802
        if self.millijoules < 0:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        self.millijoules += 1500
        return self.millijoules

    def DeviceGetCurrentClocksEventReasons(self, handle: str) -> int:  # noqa: N802
        return self.reasons

    def DeviceGetClockInfo(self, handle: str, kind: int) -> int:  # noqa: N802
        return self.clocks.pop(0) if len(self.clocks) > 1 else self.clocks[0]

    def DeviceGetComputeRunningProcesses(self, handle: str) -> list[object]:  # noqa: N802
        if self.processes is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return [object()] * self.processes

    def DeviceGetMemoryInfo(self, handle: str) -> SimpleNamespace:  # noqa: N802
        used = self.used.pop(0) if len(self.used) > 1 else self.used[0]
        return SimpleNamespace(used=used, free=self.memory - used)
