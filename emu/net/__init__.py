"""Networks: what a guest's network card is plugged into. The interface is all here.

A card (emu/hw/ne2000.py) hands its frames to `Wire.transmit` and is offered those for it by `card.receive`; a network is what is at the other end. Frames are Ethernet's, from
the destination address to the end of the data, without preamble and CRC. Networks: user.py (NAT without privileges), sockets.py (two machines linked). Everything runs in the
machine's thread, between two slices or inside the guest's port write, and never waits.
"""
import random
from collections import deque
from typing import Protocol

from emu.net.dump import Dump

QUEUE = 256  # frames that may wait for the card
PLENTY = 32  # frames from which on a network that can wait should


class Card(Protocol):
    """What a wire wants of a card."""

    def room(self, size: int) -> bool:
        """Whether a frame of so many bytes can be stored now, or will be ignored anyway."""

    def receive(self, frame: bytes) -> None:
        """A frame arrives."""


class Network(Protocol):
    """What a wire wants of the other end."""

    def send(self, frame: bytes) -> None:
        """A frame of the guest's: any bytes, 14 to 1514 of them."""

    def ready(self) -> None:
        """The card has taken all that was queued for it."""

    def reset(self) -> None:
        """The machine was reset: nobody is there any more for what the guest had begun."""

    def close(self) -> None:
        """The run is over."""


class Nothing:
    """A card whose cable is not plugged in."""

    def send(self, frame: bytes) -> None: pass
    def ready(self) -> None: pass
    def reset(self) -> None: pass
    def close(self) -> None: pass


class Wire:
    """Between card and network: holds frames while the card has no room (as a switch does), records and, for tests of the guest, loses some.

    `loss` is the probability with which a frame is lost, in both directions.
    """

    def __init__(self, dump: Dump | None = None, loss: float = 0.0):
        self.card: Card | None = None
        self.network: Network = Nothing()
        self.dump, self.loss = dump, loss
        self.queue: deque[bytes] = deque()
        self.random = random.Random(1)
        self.counts = {'frames_in': 0, 'bytes_in': 0, 'frames_out': 0, 'bytes_out': 0, 'lost': 0}  # in: to the guest

    def full(self) -> bool:
        """Whether a network that can wait should."""
        return len(self.queue) >= PLENTY

    def gone(self) -> bool:
        """Whether this frame is one of those to be lost."""
        if not self.loss or self.random.random() >= self.loss: return False
        self.counts['lost'] += 1
        return True

    def transmit(self, frame: bytes) -> None:
        """A frame from the card to the network."""
        self.counts['frames_out'] += 1
        self.counts['bytes_out'] += len(frame)
        if self.dump: self.dump.write(frame)
        if not self.gone(): self.network.send(frame)

    def deliver(self, frame: bytes) -> None:
        """A frame from the network to the card."""
        if self.card is None or self.gone(): return
        self.counts['frames_in'] += 1
        self.counts['bytes_in'] += len(frame)
        if self.dump: self.dump.write(frame)
        if not self.queue and self.card.room(len(frame)): self.card.receive(frame)
        elif len(self.queue) < QUEUE: self.queue.append(frame)
        else: self.counts['lost'] += 1

    def flush(self) -> None:
        """The card may have room."""
        queue, card = self.queue, self.card
        while queue and card and card.room(len(queue[0])): card.receive(queue.popleft())
        if not queue: self.network.ready()

    def reset(self) -> None:
        """The machine was reset."""
        self.queue.clear()
        self.network.reset()

    def close(self) -> None:
        """The run is over."""
        self.network.close()
        if self.dump: self.dump.close()
