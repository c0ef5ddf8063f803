"""Packets: Ethernet II (RFC 894), ARP (RFC 826), IPv4 (RFC 791), ICMP (RFC 792), UDP (RFC 768) and TCP (RFC 9293) as bytes, made and taken apart.

Addresses are bytes, as on the wire. What is taken apart comes from the guest: functions that do return None for whatever is malformed.
"""
import struct
from typing import NamedTuple

IP, ARP = 0x0800, 0x0806  # EtherTypes
ICMP, TCP, UDP = 1, 6, 17  # protocols
BROADCAST = b'\xff' * 6
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16  # TCP's flags
MTU = 1500
MORE = 0x2000  # fragments


def checksum(*parts: bytes) -> int:
    """The Internet checksum (RFC 1071) of parts, all but the last of even length: as a number modulo FFFFh, which adds up 16-bit words with end-around carry."""
    total = 0
    for part in parts:
        number = int.from_bytes(part, 'big')
        total += number << 8 if len(part) & 1 else number
    return -total % 0xffff


def intact(*parts: bytes) -> bool:
    """Whether data that contains its checksum is right."""
    return checksum(*parts) == 0


def ethernet(destination: bytes, source: bytes, kind: int, payload: bytes) -> bytes:
    """A frame, padded to the shortest."""
    return (destination + source + kind.to_bytes(2, 'big') + payload).ljust(60, b'\0')


ARP_HEAD = struct.Struct('!HHBBH6s4s6s4s')


class Arp(NamedTuple):
    """RFC 826 for Ethernet and IPv4; operation 1 asks, 2 answers."""

    operation: int
    mac: bytes
    ip: bytes
    target_mac: bytes
    target: bytes

    def build(self) -> bytes:
        """The packet."""
        return ARP_HEAD.pack(1, IP, 6, 4, *self)


def parse_arp(data: bytes) -> Arp | None:
    """An ARP packet."""
    if len(data) < ARP_HEAD.size: return None
    *head, operation, mac, ip, target_mac, target = ARP_HEAD.unpack_from(data)
    return Arp(operation, mac, ip, target_mac, target) if head == [1, IP, 6, 4] else None


IP_HEAD = struct.Struct('!BBHHHBBH4s4s')


class Packet(NamedTuple):
    """An IPv4 packet without its options; `fragment` has the flags and the offset as in the header, `head` the header itself."""

    source: bytes
    destination: bytes
    protocol: int
    payload: bytes
    ident: int
    fragment: int
    ttl: int
    head: bytes


def parse_ip(data: bytes) -> Packet | None:
    """An IPv4 packet; what pads the frame is cut off."""
    if len(data) < 20: return None
    first, _, total, ident, fragment, ttl, protocol, _, source, destination = IP_HEAD.unpack_from(data)
    size = (first & 15) * 4
    if first >> 4 != 4 or size < 20 or not size <= total <= len(data) or not intact(data[:size]): return None
    return Packet(source, destination, protocol, data[size:total], ident, fragment, ttl, data[:size])


def build_ip(source: bytes, destination: bytes, protocol: int, payload: bytes, ident: int = 0, fragment: int = 0) -> bytes:
    """An IPv4 packet."""
    head = IP_HEAD.pack(0x45, 0, 20 + len(payload), ident, fragment, 64, protocol, 0, source, destination)
    return head[:10] + checksum(head).to_bytes(2, 'big') + head[12:] + payload


def pseudo(source: bytes, destination: bytes, protocol: int, length: int) -> bytes:
    """What the checksums of UDP and TCP cover besides."""
    return source + destination + struct.pack('!HH', protocol, length)


def parse_udp(packet: Packet) -> tuple[int, int, bytes] | None:
    """Ports and data of a datagram."""
    if len(packet.payload) < 8: return None
    source, destination, length, total = struct.unpack_from('!HHHH', packet.payload)
    if not 8 <= length <= len(packet.payload): return None
    data = packet.payload[:length]
    if total and not intact(pseudo(packet.source, packet.destination, UDP, length), data): return None
    return source, destination, data[8:]


def build_udp(source: bytes, destination: bytes, source_port: int, destination_port: int, data: bytes) -> bytes:
    """A datagram."""
    length = 8 + len(data)
    head = struct.pack('!HHH', source_port, destination_port, length)
    total = checksum(pseudo(source, destination, UDP, length), head, b'\0\0', data) or 0xffff
    return head + total.to_bytes(2, 'big') + data


TCP_HEAD = struct.Struct('!HHIIHHHH')


class Segment(NamedTuple):
    """A TCP segment; `mss` and `shift` are the options of a SYN (RFC 9293, 3.7.1; RFC 7323, 2), None where it has none."""

    source: int
    destination: int
    seq: int
    ack: int
    flags: int
    window: int
    data: bytes
    mss: int | None = None
    shift: int | None = None


def parse_tcp(packet: Packet) -> Segment | None:
    """A segment."""
    payload = packet.payload
    if len(payload) < 20 or not intact(pseudo(packet.source, packet.destination, TCP, len(payload)), payload): return None
    source, destination, seq, ack, bits, window, _, _ = TCP_HEAD.unpack_from(payload)
    size = (bits >> 12) * 4
    if not 20 <= size <= len(payload): return None
    mss = shift = None
    if bits & SYN: mss, shift = parse_options(payload[20:size])
    return Segment(source, destination, seq, ack, bits & 0x3f, window, payload[size:], mss, shift)


def parse_options(data: bytes) -> tuple[int | None, int | None]:
    """Maximum segment size and window scale."""
    mss = shift = None
    while data and data[0]:
        if data[0] == 1:
            data = data[1:]
            continue
        size = data[1] if len(data) > 1 else 0
        if not 2 <= size <= len(data): break
        if data[0] == 2 and size == 4: mss = int.from_bytes(data[2:4], 'big')
        elif data[0] == 3 and size == 3: shift = min(data[2], 14)
        data = data[size:]
    return mss, shift


def build_tcp(source: bytes, destination: bytes, segment: Segment) -> bytes:
    """A segment, with its options if it is a SYN."""
    options = b''
    if segment.mss is not None: options += struct.pack('!BBH', 2, 4, segment.mss)
    if segment.shift is not None: options += struct.pack('!BBBB', 1, 3, 3, segment.shift)
    size, length = 20 + len(options), 20 + len(options) + len(segment.data)
    head = TCP_HEAD.pack(segment.source, segment.destination, segment.seq & 0xffffffff, segment.ack & 0xffffffff, size << 10 | segment.flags, segment.window, 0, 0)
    total = checksum(pseudo(source, destination, TCP, length), head, options, segment.data)
    return head[:16] + total.to_bytes(2, 'big') + head[18:] + options + segment.data


def build_icmp(kind: int, code: int, rest: bytes) -> bytes:
    """An ICMP message: type, code, checksum, and what comes after these."""
    total = checksum(bytes((kind, code, 0, 0)), rest)
    return bytes((kind, code)) + total.to_bytes(2, 'big') + rest


def unreachable(code: int, packet: Packet) -> bytes:
    """Destination unreachable (RFC 792): the header of what could not be sent, and its first 8 bytes."""
    return build_icmp(3, code, bytes(4) + packet.head + packet.payload[:8])
