"""IPv6: the answer that there is none. A router advertisement (RFC 4861, 4.2) without prefixes and with a lifetime of 0 says so to those who would wait: iPXE, 13 seconds."""
import struct

from emu.net.packets import checksum, ethernet

IPV6, ICMPV6, SOLICITATION, ADVERTISEMENT = 0x86dd, 58, 133, 134
ALL_NODES, ALL_NODES_MAC = bytes.fromhex('ff020000000000000000000000000001'), bytes.fromhex('333300000001')


def answer(payload: bytes, hardware: bytes) -> bytes | None:
    """The frame that answers a router solicitation; `hardware` is the gateway's address."""
    if len(payload) < 48 or payload[0] >> 4 != 6 or payload[6] != ICMPV6 or payload[40] != SOLICITATION: return None
    source = bytes.fromhex('fe80') + bytes(6) + bytes((hardware[0] ^ 2,)) + hardware[1:3] + b'\xff\xfe' + hardware[3:]  # RFC 4291, appendix A
    message = struct.pack('!BBHBBHII', ADVERTISEMENT, 0, 0, 64, 0, 0, 0, 0)
    total = checksum(source, ALL_NODES, struct.pack('!II', len(message), ICMPV6), message)
    message = message[:2] + total.to_bytes(2, 'big') + message[4:]
    return ethernet(ALL_NODES_MAC, hardware, IPV6, struct.pack('!IHBB', 6 << 28, len(message), ICMPV6, 255) + source + ALL_NODES + message)
