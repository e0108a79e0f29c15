"""A device and the CPU beside it: kernels that the device's backend does not support run here, in the same program.

For each piece of the device's memory the host has one of the same size, a mirror, made when it is first asked for. The
program names a place in it by the device's address + MIRROR, copies between the two where they differ, and passes such
addresses to the kernels that run on the CPU. The mirror of the weights is the host's own array of them. Of a unified
device both are the same memory.
"""

from __future__ import annotations

import threading
from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import EngineError
from .artifact import Artifact, Bytes, address_of, aligned_empty
from .device import MIRROR, Code, Device, open_device

CPU, HOST = "cpu", "host"


def open_for(artifact: Artifact, code: Code, threads: int) -> Device:
    """The device of an artifact; with the CPU beside it where some kernels run there."""
    device = open_device(artifact, code, threads)
    if artifact.backend == CPU or all(kernel.on != HOST for kernel in artifact.kernels):
        return device
    return Mirrored(artifact, device, open_device(artifact, code, threads, CPU))


@dataclass
class _Piece:
    """A piece of the device's memory and its mirror."""

    address: int
    size: int
    mirror: Bytes | None = None
    constant: bool = False  # the mirror holds what the device's memory does, for good, and may not be written


class Mirrored(Device):
    """Launches each kernel where it runs."""

    def __init__(self, artifact: Artifact, device: Device, cpu: Device) -> None:
        self.device, self.cpu = device, cpu
        self.unified = device.unified
        self.on_host = [kernel.on == HOST for kernel in artifact.kernels]
        self._lock = threading.Lock()
        self._starts: list[int] = []  # sorted
        self._pieces: dict[int, _Piece] = {}

    def alloc(self, size: int) -> int:
        address = self.device.alloc(size)
        with self._lock:
            insort(self._starts, address)
            self._pieces[address] = _Piece(address, size)
        return address

    def free(self, address: int) -> None:
        self.device.wait()  # nothing may be on its way out of the mirror
        with self._lock:
            self._starts.remove(address)
            del self._pieces[address]
        self.device.free(address)

    def host(self, address: int) -> int:
        """The host's address of a place that the program names: in a mirror, or the host's own."""
        if address < MIRROR:
            return address
        place = address - MIRROR
        if self.unified:
            return place
        with self._lock:
            piece = self._piece(place)
            if piece is None:
                return address  # an address of the device's own
            if piece.mirror is None:
                try:
                    piece.mirror = aligned_empty((max(piece.size, 1),), np.dtype(np.uint8))
                except MemoryError:
                    raise EngineError(f"no memory for {piece.size} bytes beside those of the device") from None
            return address_of(piece.mirror) + place - piece.address

    def mirror(self, address: int, array: Bytes) -> None:
        """A piece of the device's memory holds what `array` does, and neither changes any more."""
        with self._lock:
            piece = self._pieces[address]
            piece.mirror, piece.constant = array, True

    def copy(self, to: int, source: int, size: int) -> None:
        there, source = self.host(to), self.host(source)
        if there != source and not self.constant(to):
            self.device.copy(there, source, size)

    def constant(self, address: int) -> bool:
        """Whether a place that the program names is in a mirror that is right already."""
        if address < MIRROR or self.unified:
            return False
        with self._lock:
            piece = self._piece(address - MIRROR)
            return piece is not None and piece.constant

    def _piece(self, place: int) -> _Piece | None:
        """The piece of the device's memory that an address is in. Under the lock."""
        at = bisect_right(self._starts, place)
        piece = self._pieces[self._starts[at - 1]] if at else None
        return piece if piece is not None and place <= piece.address + piece.size else None

    def launch(self, kernel: int, args: Sequence[int]) -> None:
        if self.on_host[kernel]:
            self.device.wait()  # for what it reads
            self.cpu.launch(kernel, [self.host(a) if a >= MIRROR else a for a in args])
        else:
            self.device.launch(kernel, args)

    def wait(self) -> None:
        self.device.wait()

    def stop(self) -> None:
        self.device.stop()
        self.cpu.stop()
