"""emu/net/user.py and what it is made of, by frames: ARP, DHCP, pings, UDP, TCP to servers on this host, boot files; and that no frame raises anything."""
import contextlib
import os
import socket
import struct
import threading
import time
from pathlib import Path
from typing import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.hw.clock import Clock
from emu.net import PLENTY, QUEUE, Wire, packets
from emu.net.options import Netdev, parse_netdev
from emu.net.packets import ACK, FIN, ICMP, PSH, RST, SYN, TCP, UDP, Segment
from emu.net.user import CONNECTIONS, FLOWS, User, mac
from emu.server.loop import Loop
from tests.conftest import ALL

MAC = bytes.fromhex('525400123456')
ME, GATEWAY, DNS, OUTSIDE = bytes((10, 0, 2, 15)), bytes((10, 0, 2, 2)), bytes((10, 0, 2, 3)), bytes((192, 0, 2, 1))


class Guest:
    """A card and what drives it; guest time stands still unless told."""

    def __init__(self, spec: str = '', settings: Netdev | None = None):
        self.time, self.frames, self.free, self.tcp = 0, [], True, {}
        self.clock, self.loop, self.wire = Clock(lambda: self.time), Loop(), Wire()
        self.wire.card = self
        self.user = User(self.wire, self.loop, self.clock, settings or parse_netdev('user,id=n,' + spec))
        self.wire.network = self.user
        self.arp(1, ME, GATEWAY)
        self.frames.clear()

    def room(self, size: int) -> bool: return self.free
    def receive(self, frame: bytes) -> None: self.frames.append(frame)

    def send(self, kind: int, payload: bytes, to: bytes = mac(GATEWAY)) -> None:
        self.wire.transmit(packets.ethernet(to, MAC, kind, payload))

    def arp(self, operation: int, source: bytes, target: bytes) -> None:
        self.send(packets.ARP, packets.Arp(operation, MAC, source, bytes(6), target).build(), b'\xff' * 6)

    def ip(self, to: bytes, protocol: int, payload: bytes, source: bytes = ME) -> None:
        self.send(packets.IP, packets.build_ip(source, to, protocol, payload))
        self.loop.poll(0)

    def udp(self, to: bytes, port: int, data: bytes, source_port: int = 5000) -> None:
        self.ip(to, UDP, packets.build_udp(ME, to, source_port, port, data))

    def seg(self, to: bytes, port: int, flags: int, seq: int, ack: int, data: bytes = b'', ours: int = 6000) -> None:
        self.ip(to, TCP, packets.build_tcp(ME, to, Segment(ours, port, seq, ack, flags, 60000, data, 1460 if flags & SYN else None)))

    def wait(self, found: Callable[[], object], seconds: float = 10) -> None:
        """Serves the loop until something is there."""
        end = time.monotonic() + seconds
        while not found() and time.monotonic() < end: self.loop.poll(0.02)
        assert found()

    def packets(self) -> list[packets.Packet]:
        return [packet for frame in self.frames if (packet := packets.parse_ip(frame[14:])) and frame[12:14] == b'\x08\0']

    def datagrams(self) -> list[tuple[bytes, int, int, bytes]]:
        return [(packet.source, *parsed) for packet in self.packets() if packet.protocol == UDP and (parsed := packets.parse_udp(packet))]

    def segments(self) -> list[Segment]:
        return [segment for packet in self.packets() if packet.protocol == TCP and (segment := packets.parse_tcp(packet))]

    def icmp(self) -> list[tuple[bytes, bytes]]:
        return [(packet.source, packet.payload) for packet in self.packets() if packet.protocol == ICMP]

    def call(self, to: bytes, port: int, ours: int = 6000) -> int:
        """Opens a connection; the next number of theirs."""
        self.seg(to, port, SYN, 99, 0, ours=ours)
        self.wait(self.segments)
        answer = self.segments()[-1]
        assert answer.flags == SYN | ACK
        self.seg(to, port, ACK, 100, answer.seq + 1, ours=ours)
        self.frames.clear()
        return answer.seq + 1


@pytest.fixture
def guest() -> Iterator[Callable[..., Guest]]:
    made: list[Guest] = []

    def make(spec: str = '') -> Guest:
        made.append(Guest(spec))
        return made[-1]
    yield make
    for one in made:
        one.wire.close()
        one.loop.close()


@pytest.fixture
def echo() -> Iterator[int]:
    """A server on the loopback: TCP sends back what it gets; the same port for UDP too."""
    with socket.create_server(('127.0.0.1', 0)) as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(server.getsockname())

        def serve() -> None:
            while True:
                try:
                    one, _ = server.accept()
                except OSError: return
                with one, contextlib.suppress(ConnectionError):
                    while data := one.recv(65536): one.sendall(data)

        def serve_datagrams() -> None:
            while (got := datagrams.recvfrom(65535))[0] != b'END': datagrams.sendto(*got)
        threads = [threading.Thread(target=target, daemon=True) for target in (serve, serve_datagrams)]
        for thread in threads: thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        datagrams.sendto(b'END', datagrams.getsockname())
        for thread in threads: thread.join(10)


def test_arp(guest) -> None:
    """RFC 826: the gateway's addresses answer, others do not; a guestfwd address does."""
    g = guest('guestfwd=tcp:10.0.2.100:80-tcp:127.0.0.1:1')
    for target in (GATEWAY, DNS, bytes((10, 0, 2, 100)), ME, bytes((10, 0, 2, 50))): g.arp(1, ME, target)
    answers = [packets.parse_arp(frame[14:]) for frame in g.frames]
    assert [(one.operation, one.ip, one.mac) for one in answers] == [(2, ip, mac(ip)) for ip in (GATEWAY, DNS, bytes((10, 0, 2, 100)))]


def dhcp(kind: int, *options: tuple[int, bytes], chaddr: bytes = MAC, ciaddr: bytes = bytes(4)) -> bytes:
    head = struct.pack('!BBBBIHH4s4s4s4s16s64s128s', 1, 1, 6, 0, 0x1234, 0, 0, ciaddr, bytes(4), bytes(4), bytes(4), chaddr, b'', b'')
    return head + b'\x63\x82\x53\x63' + b''.join(bytes((n, len(v))) + v for n, v in ((53, bytes((kind,))), *options)) + b'\xff'


def answered(g: Guest, data: bytes) -> tuple[int, bytes, bytes] | None:
    """The kind of the answer, the address in it, and all of it."""
    g.frames.clear()
    g.ip(b'\xff' * 4, UDP, packets.build_udp(bytes(4), b'\xff' * 4, 68, 67, data), bytes(4))
    if not g.frames: return None
    (_, source, to, reply), = g.datagrams()
    assert (source, to) == (67, 68) and reply[4:8] == b'\0\0\x12\x34' and reply[240:243] == b'\x35\x01' + reply[242:243]
    return reply[242], reply[16:20], reply


def test_dhcp(guest) -> None:
    """RFC 2131: an offer, the acknowledgement, a refusal of an address that is not the guest's; each card has its own; a lease is given back."""
    g = guest('bootfile=b.ipxe,hostname=box')
    kind, address, reply = answered(g, dhcp(1))
    assert (kind, address) == (2, ME) and reply[20:24] == GATEWAY and reply[108:].startswith(b'b.ipxe\0') and b'\x0c\x03box' in reply
    assert b'\x01\x04\xff\xff\xff\0' in reply and b'\x03\x04' + GATEWAY in reply and b'\x06\x04' + DNS in reply
    assert answered(g, dhcp(3, (50, ME), (54, GATEWAY)))[:2] == (5, ME)
    assert answered(g, dhcp(3, (50, bytes((10, 0, 2, 99)))))[:2] == (6, bytes(4))
    assert answered(g, dhcp(1, chaddr=b'\x02\0\0\0\0\x01'))[1] == bytes((10, 0, 2, 16))
    assert answered(g, dhcp(3, (50, ME), (54, OUTSIDE))) is None  # he has chosen another server
    assert answered(g, dhcp(8, ciaddr=ME))[0] == 5
    for n in range(40): assert answered(g, dhcp(1, chaddr=b'\x02\0\0\0\1' + bytes((n,))))[1][3] in range(15, 31)


def test_pings(guest) -> None:
    """RFC 792: our addresses echo, in fragments if need be; what is not allowed is told."""
    g = guest('restrict=on')
    g.ip(GATEWAY, ICMP, packets.build_icmp(8, 0, b'\0\1\0\2hello'))
    assert g.icmp() == [(GATEWAY, packets.build_icmp(0, 0, b'\0\1\0\2hello'))]
    g.frames.clear()
    g.ip(OUTSIDE, ICMP, packets.build_icmp(8, 0, b'\0\1\0\2hello'))
    assert [message[:2] for _, message in g.icmp()] == [b'\3\x0d']
    g.frames.clear()
    message = packets.build_icmp(8, 0, bytes(4) + os.urandom(3000))
    for at in (1480, 0, 2960): g.send(packets.IP, packets.build_ip(ME, GATEWAY, ICMP, message[at:at + 1480], 7, (0x2000 if at < 2960 else 0) | at >> 3))
    parts = sorted(((packet.fragment & 0x1fff) * 8, packet.payload) for packet in g.packets())
    assert len(parts) == 3 and b''.join(data for _, data in parts)[4:] == message[4:]


def test_there_is_no_ipv6(guest) -> None:
    """RFC 4861: a router solicitation is answered by an advertisement with a lifetime of 0 and no prefix."""
    g = guest()
    head = struct.pack('!IHBB', 6 << 28, 8, 58, 255) + bytes(16) + bytes.fromhex('ff020000000000000000000000000002')
    g.send(0x86dd, head + bytes((133, 0)) + bytes(6), bytes.fromhex('333300000002'))
    (frame,) = g.frames
    assert frame[:6] == bytes.fromhex('333300000001') and frame[54] == 134 and frame[60:62] == b'\0\0' and len(frame) == 70
    g.send(0x86dd, head[:-1])
    assert len(g.frames) == 1


def test_udp(guest, echo) -> None:
    """Datagrams go out and come back, long ones in fragments."""
    g = guest('allow-loopback=on')
    g.udp(GATEWAY, echo, b'hello')
    g.wait(g.datagrams)
    assert g.datagrams() == [(GATEWAY, echo, 5000, b'hello')]


def test_udp_that_nobody_hears(guest) -> None:
    """Port unreachable, with the beginning of what was sent (RFC 1122, 3.2.2.1)."""
    g = guest('allow-loopback=on')
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    g.udp(GATEWAY, port, b'x')
    g.wait(g.icmp)
    assert g.icmp()[0][1][:2] == b'\3\3' and g.icmp()[0][1][8 + 12:8 + 16] == ME


def test_hostfwd_of_datagrams(guest) -> None:
    """Somebody on the host sends to the guest, which answers him."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    g = guest(f'hostfwd=udp:127.0.0.1:{port}-:9')
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as host:
        host.settimeout(10)
        host.connect(('127.0.0.1', port))
        host.send(b'ask')
        g.wait(g.datagrams)
        (source, source_port, to, data), = g.datagrams()
        assert (source, to, data) == (GATEWAY, 9, b'ask')
        g.udp(GATEWAY, source_port, b'answer', 9)
        assert host.recv(100) == b'answer'


def test_tcp(guest, echo) -> None:
    """The guest calls a server on the loopback (allowed), sends, gets it back, closes; a port where nobody is refuses."""
    g = guest('allow-loopback=on')
    ack = g.call(GATEWAY, echo)
    g.seg(GATEWAY, echo, ACK | PSH, 100, ack, b'hello')
    g.wait(lambda: b''.join(one.data for one in g.segments()) == b'hello')
    g.seg(GATEWAY, echo, ACK | FIN, 105, ack + 5)
    g.wait(lambda: any(one.flags & FIN for one in g.segments()))
    g.frames.clear()
    with socket.create_server(('127.0.0.1', 0)) as probe: port = probe.getsockname()[1]
    g.seg(GATEWAY, port, SYN, 99, 0)
    g.wait(g.segments)
    assert [(one.flags, one.ack) for one in g.segments()] == [(RST | ACK, 100)]


@pytest.mark.parametrize('to', [socket.inet_aton(text) for text in '10.0.2.2 10.0.2.3 127.0.0.1 127.9.9.9 0.0.0.0 10.0.2.77 10.0.2.255 255.255.255.255 224.0.0.1'.split()])
@pytest.mark.parametrize('spec', ['', 'restrict=on', 'restrict=on,allow-loopback=on', 'allow-loopback=on'])
def test_the_loopback_is_out_of_reach(guest, echo, to: bytes, spec: str) -> None:
    """By no address and no protocol, unless allow-loopback says so, and then by the gateway's only."""
    if spec == 'allow-loopback=on' and to == GATEWAY: return
    g = guest(spec)
    g.seg(to, echo, SYN, 99, 0)
    g.udp(to, echo, b'hello')
    for _ in range(5): g.loop.poll(0.01)
    assert all(one.flags & RST for one in g.segments()) and not g.datagrams() and not g.user.flows and not g.user.connections


def test_guestfwd(guest, echo, tmp_path: Path) -> None:
    """One address and port leads to a service, also with restrict; a Unix socket as well."""
    path = str(tmp_path / 's')
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        g = guest(f'restrict=on,guestfwd=tcp:10.0.2.100:80-tcp:127.0.0.1:{echo},guestfwd=:10.0.2.101:1-unix:{path}')
        there = bytes((10, 0, 2, 100))
        ack = g.call(there, 80)
        g.seg(there, 80, ACK | PSH, 100, ack, b'hello')
        g.wait(lambda: b''.join(one.data for one in g.segments()) == b'hello')
        g.frames.clear()
        g.call(bytes((10, 0, 2, 101)), 1, 6001)
        server.accept()[0].close()
        g.wait(lambda: any(one.flags & FIN for one in g.segments()))


def test_hostfwd(guest) -> None:
    """The host calls the guest, which does not answer for want of its address until ARP has found it; then bytes go both ways."""
    with socket.create_server(('127.0.0.1', 0)) as probe: port = probe.getsockname()[1]
    g = guest(f'hostfwd=tcp:127.0.0.1:{port}-:22')
    g.user.neighbours.clear()
    with socket.create_connection(('127.0.0.1', port)) as host:
        host.settimeout(10)
        g.wait(lambda: g.frames)
        question = packets.parse_arp(g.frames[0][14:])
        assert question.target == ME and question.operation == 1
        g.arp(2, ME, GATEWAY)
        g.wait(g.segments)
        hello = g.segments()[-1]
        assert hello.flags == SYN and hello.destination == 22
        g.seg(GATEWAY, hello.source, SYN | ACK, 7, hello.seq + 1, ours=22)
        g.seg(GATEWAY, hello.source, ACK | PSH, 8, hello.seq + 1, b'SSH', ours=22)
        assert host.recv(10) == b'SSH'
        host.sendall(b'bye')
        host.shutdown(socket.SHUT_WR)
        g.wait(lambda: any(one.flags & FIN for one in g.segments()))
        assert b'bye' in b''.join(one.data for one in g.segments())
        g.seg(GATEWAY, hello.source, RST, 11, 0, ours=22)
        with pytest.raises(ConnectionError): host.recv(10)


def test_limits(guest, echo) -> None:
    """More connections are refused, more flows push out the oldest; the descriptors come back."""
    before = len(os.listdir('/proc/self/fd'))
    g = guest('allow-loopback=on')
    for n in range(CONNECTIONS + 10): g.seg(GATEWAY, echo, SYN, 99, 0, ours=10000 + n)
    assert len(g.user.connections) <= CONNECTIONS and sum(one.flags & RST != 0 for one in g.segments()) >= 10
    for n in range(FLOWS + 10): g.udp(GATEWAY, echo, b'x', 10000 + n)
    assert len(g.user.flows) <= FLOWS
    g.user.reset()
    assert not g.user.connections and not g.user.flows and len(os.listdir('/proc/self/fd')) <= before + 4
    g.time = 10 ** 12
    g.clock.run_due()


def test_flows_are_forgotten(guest, echo) -> None:
    """After a minute without use."""
    g = guest('allow-loopback=on')
    g.udp(GATEWAY, echo, b'x')
    g.time += 61 * 10 ** 9
    g.clock.run_due()
    assert not g.user.flows


def test_a_card_without_room(guest, echo) -> None:
    """TCP waits, others queue up to a bound and are lost beyond it; when there is room, it goes on."""
    g = guest('allow-loopback=on')
    ack = g.call(GATEWAY, echo)
    g.free = False
    for n in range(60): g.seg(GATEWAY, echo, ACK | PSH, 100 + n * 1000, ack, bytes(1000))
    for _ in range(20): g.loop.poll(0.01)
    for _ in range(QUEUE + 50): g.ip(GATEWAY, ICMP, packets.build_icmp(8, 0, bytes(4)))
    assert len(g.wire.queue) == QUEUE and PLENTY < QUEUE and not g.frames
    g.free = True
    g.wire.flush()
    def went_on() -> bool:
        g.wire.flush()
        return sum(len(one.data) for one in g.segments()) >= 40_000
    g.wait(went_on)


# --- boot files --------------------------------------------------------------------------------------------------------------------------

@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory to serve, and a secret beside it."""
    served = tmp_path / 'served'
    (served / 'sub').mkdir(parents=True)
    (served / 'sub' / 'b').write_bytes(bytes(range(256)) * 100)
    (served / 'empty').write_bytes(b'')
    (tmp_path / 'secret').write_text('secret')
    (served / 'link').symlink_to(tmp_path / 'secret')
    os.mkfifo(served / 'fifo')
    return served


def fetch(g: Guest, name: str, *options: str) -> tuple[bytes, list[bytes]]:
    """A file by TFTP, and all that was sent."""
    g.frames.clear()
    g.udp(GATEWAY, 69, b'\0\1' + b''.join(word.encode() + b'\0' for word in (name, 'octet', *options)))
    data, seen = b'', []
    while (found := g.datagrams()):
        g.frames.clear()
        port = found[0][1]
        for *_, packet in found:
            seen.append(packet)
            if packet[1] == 3: data += packet[4:]
            if packet[1] == 5: return data, seen
        g.udp(GATEWAY, port, b'\0\4' + (packet[2:4] if packet[1] == 3 else b'\0\0'))
    return data, seen


def test_tftp(guest, files: Path) -> None:
    """RFC 1350, 2347 to 2349, 7440."""
    g = guest(f'tftp={files}')
    content = (files / 'sub' / 'b').read_bytes()
    data, seen = fetch(g, 'sub/b')
    assert data == content and len(seen) == 51 and len(seen[-1]) == 4
    data, seen = fetch(g, '/sub/b', 'blksize', '1432', 'tsize', '0', 'windowsize', '4', 'colour', 'red')
    assert data == content and seen[0] == b'\0\6blksize\x001432\0tsize\x0025600\0windowsize\x004\0'
    assert fetch(g, 'empty') == (b'', [b'\0\3\0\1'])
    assert not g.user.tftp.transfers


def test_tftp_sends_again(guest, files: Path) -> None:
    """A block without an answer comes again, and is given up in the end."""
    g = guest(f'tftp={files}')
    g.udp(GATEWAY, 69, b'\0\1sub/b\0octet\0')
    for _ in range(20):
        g.time += 10 ** 9
        g.clock.run_due()
    assert [packet[:4] for _, _, _, packet in g.datagrams()] == [b'\0\3\0\1'] * 6 and not g.user.tftp.transfers


@pytest.mark.parametrize('name', ['../secret', '/../secret', 'sub/../../secret', 'link', 'fifo', 'sub', '', '.', 'nothing', '\x01'])
def test_files_outside_are_not_served(guest, files: Path, name: str) -> None:
    """Not above the directory, not through links, and nothing but files."""
    g = guest(f'tftp={files},http={files}')
    assert [packet[:4] for packet in fetch(g, name)[1]] == [b'\0\5\0\1']
    assert request(g, f'GET /{name.replace("/", "%2f")} HTTP/1.1\r\n\r\n').startswith(b'HTTP/1.1 404 ')


def test_tftp_writes_nothing(guest, files: Path) -> None:
    """WRQ is an access violation."""
    g = guest(f'tftp={files}')
    g.udp(GATEWAY, 69, b'\0\2new\0octet\0')
    assert g.datagrams()[0][3][:4] == b'\0\5\0\2' and not (files / 'new').exists()


def request(g: Guest, text: str, ours: int = 7000) -> bytes:
    """What the gateway's HTTP server answers until nothing more comes."""
    g.user.reset()
    g.arp(1, ME, GATEWAY)
    ack, answer = g.call(GATEWAY, 80, ours), b''
    g.seg(GATEWAY, 80, ACK | PSH, 100, ack, text.encode(), ours)
    while any(one.data or one.flags & FIN for one in g.segments()):
        for one in g.segments():
            if one.seq == ack & 0xffffffff:
                answer += one.data
                ack += len(one.data) + (one.flags & FIN)
        g.frames.clear()
        g.seg(GATEWAY, 80, ACK, 100 + len(text), ack, b'', ours)
    return answer


def test_http(guest, files: Path) -> None:
    """RFC 9110: GET, HEAD, ranges, one request after the other, what is not there and what is not done."""
    g = guest(f'http={files}')
    content = (files / 'sub' / 'b').read_bytes()
    assert request(g, 'GET /sub/b HTTP/1.1\r\nHost: x\r\n\r\n').partition(b'\r\n\r\n')[2] == content
    assert request(g, 'GET http://10.0.2.2/sub/b?x HTTP/1.1\r\n\r\n').partition(b'\r\n\r\n')[2] == content
    head = request(g, 'HEAD /sub/b HTTP/1.1\r\n\r\n')
    assert head.startswith(b'HTTP/1.1 200 OK\r\nContent-Length: 25600\r\n') and head.endswith(b'\r\n\r\n')
    for words, part in (('0-9', content[:10]), ('25590-', content[-10:]), ('-10', content[-10:]), ('25590-99999', content[-10:])):
        head, _, body = request(g, f'GET /sub/b HTTP/1.1\r\nRange: bytes={words}\r\n\r\n').partition(b'\r\n\r\n')
        assert head.startswith(b'HTTP/1.1 206 ') and body == part
    assert request(g, 'GET /sub/b HTTP/1.1\r\nRange: bytes=30000-\r\n\r\n').startswith(b'HTTP/1.1 416 ')
    assert request(g, 'GET /empty HTTP/1.1\r\n\r\nGET /nothing HTTP/1.1\r\n\r\nGET /sub/b HTTP/1.0\r\n\r\nGET /empty HTTP/1.1\r\n\r\n').count(b'HTTP/1.1 ') == 3
    assert request(g, 'PUT /new HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc').startswith(b'HTTP/1.1 405 ')
    assert request(g, 'nonsense\r\n\r\n').startswith(b'HTTP/1.1 400 ') and request(g, 'GET /' + 'x' * 20000).startswith(b'HTTP/1.1 431 ')
    assert request(g, 'GET /nothing HTTP/1.1\r\n\r\n' * 1500).count(b'HTTP/1.1 404') == 1500


# --- any frames --------------------------------------------------------------------------------------------------------------------------

def shaped() -> st.SearchStrategy[bytes]:
    """Frames that are nearly right: a real one with some bytes changed, or cut."""
    tcp = packets.build_tcp(ME, GATEWAY, Segment(6000, 80, 99, 0, SYN, 60000, b'', 1460, 3))
    real = [packets.build_ip(ME, GATEWAY, TCP, tcp), packets.build_ip(ME, GATEWAY, ICMP, packets.build_icmp(8, 0, bytes(8))),
            packets.build_ip(ME, GATEWAY, UDP, packets.build_udp(ME, GATEWAY, 5000, 69, b'\0\1sub/b\0octet\0blksize\x00512\0')),
            packets.build_ip(ME, GATEWAY, UDP, b'x' * 64, 5, 0x2000), packets.build_ip(ME, GATEWAY, UDP, b'x' * 64, 5, 0x2001),
            packets.build_ip(bytes(4), b'\xff' * 4, UDP, packets.build_udp(bytes(4), b'\xff' * 4, 68, 67, dhcp(1, (50, ME), (12, b'name'))))]
    frames = [packets.ethernet(mac(GATEWAY), MAC, packets.IP, one) for one in real]
    frames.append(packets.ethernet(b'\xff' * 6, MAC, packets.ARP, packets.Arp(1, MAC, ME, bytes(6), GATEWAY).build()))

    def spoil(drawn: tuple[bytes, list[tuple[int, int]], int, bool]) -> bytes:
        frame, changes, cut, repair = drawn
        made = bytearray(frame)
        for at, v in changes: made[at % len(made)] = v
        if repair:  # the header's checksum, and the packet's own, or little would get past them
            made[24:26] = b'\0\0'
            made[24:26] = packets.checksum(bytes(made[14:34])).to_bytes(2, 'big')
            if made[23] == UDP: made[40:42] = b'\0\0'
            if made[23] == TCP:
                made[50:52] = b'\0\0'
                size = int.from_bytes(made[16:18], 'big') - 20
                made[50:52] = packets.checksum(packets.pseudo(bytes(made[26:30]), bytes(made[30:34]), TCP, size & 0xffff), bytes(made[34:34 + max(size, 0)])).to_bytes(2, 'big')
        return bytes(made[:max(14, len(made) - cut)])
    return st.tuples(st.sampled_from(frames), st.lists(st.tuples(st.integers(12, 400), st.integers(0, 255)), max_size=6), st.integers(0, 40), st.booleans()).map(spoil)


@settings(max_examples=5000 if ALL else 300, deadline=None)
@given(st.lists(st.one_of(shaped(), st.binary(min_size=14, max_size=120)), max_size=20))
def test_any_frames_of_the_guests(frames: list[bytes]) -> None:
    """Nothing raises; what comes back are frames; tables stay within their bounds."""
    directory = os.path.dirname(__file__)
    g = Guest(settings=Netdev('user', 'n', restrict=True, tftp=directory, http=directory))
    try:
        for frame in frames:
            g.wire.transmit(frame)
            g.loop.poll(0)
            g.time += 10 ** 8
            g.clock.run_due()
        assert all(60 <= len(frame) <= 1514 for frame in g.frames)
        assert len(g.user.connections) <= CONNECTIONS and len(g.user.pieces) <= 16 and len(g.user.unresolved) <= 17
    finally:
        g.wire.close()
        g.loop.close()
