"""DHCP (RFC 2131, options of RFC 2132) for the guest's network: an address for each hardware address, from 10.0.2.15 on, and what a boot program asks for.

Left out: leases that end (all last a day and are renewed), BOOTP without DHCP's message type, relays.
"""
import struct

from emu.net.packets import BROADCAST

GATEWAY, DNS, MASK = bytes((10, 0, 2, 2)), bytes((10, 0, 2, 3)), bytes((255, 255, 255, 0))
FIRST, COUNT = 15, 16  # the last byte of the first address, and how many there are
LEASE = 86400
COOKIE = b'\x63\x82\x53\x63'
DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM = range(1, 9)
HEAD = struct.Struct('!BBBBIHH4s4s4s4s16s64s128s')


def parse_options(data: bytes) -> dict[int, bytes]:
    """Options by their numbers, as far as they are whole."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data) and data[at] != 255:
        if data[at] == 0:
            at += 1
            continue
        if at + 1 >= len(data): break
        size = data[at + 1]
        value = data[at + 2:at + 2 + size]
        if len(value) == size: found.setdefault(data[at], value)
        at += 2 + size
    return found


class Dhcp:
    """`answer` takes what came to port 67 and returns what goes to port 68, or None."""

    def __init__(self, bootfile: str, tftp: bool, hostname: str):
        self.bootfile, self.tftp, self.hostname = bootfile.encode(), tftp, hostname.encode()
        self.leases: dict[bytes, bytes] = {}  # addresses by hardware address

    def lease(self, mac: bytes) -> bytes | None:
        """The address for a card; where all are given away, the oldest is taken back."""
        if mac not in self.leases:
            free = [last for last in range(FIRST, FIRST + COUNT) if bytes((10, 0, 2, last)) not in self.leases.values()]
            address = bytes((10, 0, 2, free[0])) if free else self.leases.pop(next(iter(self.leases)))
            self.leases[mac] = address
        return self.leases[mac]

    def answer(self, data: bytes) -> tuple[bytes, bytes, bytes] | None:
        """The reply, and the hardware and IP address it goes to."""
        if len(data) < HEAD.size + 4 or data[HEAD.size:HEAD.size + 4] != COOKIE: return None
        op, htype, hlen, _, xid, _, flags, ciaddr, _, _, giaddr, chaddr, _, _ = HEAD.unpack_from(data)
        options = parse_options(data[HEAD.size + 4:])
        kind = options.get(53, b'\0')[:1].ljust(1, b'\0')[0]
        if op != 1 or (htype, hlen) != (1, 6) or giaddr != bytes(4): return None
        mac = chaddr[:6]
        if kind == RELEASE: self.leases.pop(mac, None)
        if kind not in (DISCOVER, REQUEST, INFORM) or options.get(54, GATEWAY) != GATEWAY: return None
        address = self.lease(mac) if kind != INFORM else bytes(4)
        wanted = options.get(50, ciaddr)
        if kind == REQUEST and wanted != address: message, address, reply = NAK, bytes(4), b''
        else:
            message = OFFER if kind == DISCOVER else ACK
            reply = option(1, MASK) + option(3, GATEWAY) + option(6, DNS)
            if kind != INFORM: reply += option(51, LEASE.to_bytes(4, 'big'))
            if self.hostname: reply += option(12, self.hostname)
            if self.bootfile: reply += option(66, b'10.0.2.2') + option(67, self.bootfile)
        boots = message != NAK and (self.tftp or self.bootfile)
        server, file = (GATEWAY, self.bootfile) if boots else (bytes(4), b'')
        head = HEAD.pack(2, 1, 6, 0, xid, 0, flags, ciaddr if message != NAK else bytes(4), address, server, bytes(4), chaddr, b'', file)
        packet = head + COOKIE + option(53, bytes((message,))) + option(54, GATEWAY) + reply + b'\xff'
        alone = ciaddr != bytes(4) and message != NAK  # it has the address already
        return packet.ljust(300, b'\0'), mac if alone else BROADCAST, ciaddr if alone else b'\xff' * 4


def option(number: int, value: bytes) -> bytes:
    """One option."""
    return bytes((number, len(value))) + value
