"""Makes the networks that the options ask for, and plugs the cards in."""
from typing import Callable

from emu.hw.clock import Clock
from emu.hw.ne2000 import Ne2000
from emu.net import Wire
from emu.net.dump import Dump
from emu.net.options import Netdev, Networks, Nic
from emu.net.sockets import Linked
from emu.net.user import User
from emu.server.loop import Loop


def found(card: Nic, networks: Networks) -> Netdev | None:
    """The network of a card."""
    return next((netdev for netdev in networks.netdevs if netdev.name == card.netdev), None)


def make_wire(card: Nic, networks: Networks, now: Callable[[], int], epoch: float) -> Wire:
    """The cable, with its record."""
    netdev = found(card, networks)
    return Wire(Dump(netdev.dump, now, epoch) if netdev and netdev.dump else None, netdev.loss if netdev else 0.0)


def plug_in(card: Nic, networks: Networks, wire: Wire, nic: Ne2000, loop: Loop, clock: Clock) -> None:
    """The network at one end, the card at the other. EmuError: a port, file or partner cannot be had."""
    wire.card, nic.roomy = nic, wire.flush
    if netdev := found(card, networks): wire.network = User(wire, loop, clock, netdev) if netdev.kind == 'user' else Linked(wire, loop, netdev)
