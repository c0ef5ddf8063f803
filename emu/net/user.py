"""The user network: NAT without privileges. The guest is in 10.0.2.0/24 with a gateway at .2 and a name server at .3, as users of SLIRP know it; it has .15 by DHCP.

What the guest sends to addresses outside goes through ordinary sockets of the host's (nat.py): TCP, UDP, and pings where the host lets users ping. The gateway itself
answers ARP, DHCP and pings, and has boot files by TFTP and HTTP; the name server hands queries on to the host's. The host's loopback addresses, and so the services of the host
that listen on nothing else, are out of reach unless allow-loopback (then the gateway's ports are theirs) or guestfwd says otherwise.

Bounded: CONNECTIONS TCP connections of at most 2 x 128 KB each, FLOWS flows of datagrams, 16 packets in fragments, 64 hardware addresses.
Left out: IPv6 (but for saying so, ipv6.py), multicast, IGMP, time exceeded (traceroute), path MTU discovery by ICMP, other networks than 10.0.2.0/24.
"""
import os
import socket
from collections import OrderedDict
from typing import Callable, NamedTuple

from emu.errors import EmuError
from emu.hw.clock import Clock, Timer
from emu.net import Wire, ipv6, packets
from emu.net.dhcp import DNS, GATEWAY, Dhcp
from emu.net.http import Http
from emu.net.nat import AGAIN, DATAGRAMS, Flow, Splice, listen, nameserver, ping
from emu.net.options import Forward, Netdev
from emu.net.packets import ACK, BROADCAST, ICMP, MORE, MTU, RST, SYN, TCP, UDP, Packet, Segment
from emu.net.tcp import WAITING, Connection
from emu.net.tftp import Tftp
from emu.server.loop import DESCRIPTORS, Loop

CONNECTIONS, FLOWS, PIECES, NEIGHBOURS, STRANGERS = 256, 128, 16, 64, 128
IDLE = 60_000_000_000  # ns after which a flow of datagrams is forgotten
NETWORK = GATEWAY[:3]
ANYBODY, ALL, EVERYWHERE = bytes(4), NETWORK + b'\xff', b'\xff' * 4
LOOPBACK = '127.0.0.1'
NET_UNREACHABLE, HOST_UNREACHABLE, PORT_UNREACHABLE, PROHIBITED = 0, 1, 3, 13

Key = tuple[bytes, int, bytes, int]  # the guest's address and port, the other one's


class Stranger(NamedTuple):
    """Somebody who sent a datagram to a port that hostfwd opened."""

    listener: socket.socket
    address: tuple[str, int]


def mac(address: bytes) -> bytes:
    """The hardware address of one of ours: 52:55 and the address, as in SLIRP."""
    return b'\x52\x55' + address


class User:
    """`wire` goes to the card; files and sockets that cannot be had are EmuErrors."""

    def __init__(self, wire: Wire, loop: Loop, clock: Clock, settings: Netdev):
        self.wire, self.loop, self.clock, self.settings = wire, loop, clock, settings
        self.connections: dict[Key, Connection] = {}
        self.flows: OrderedDict[Key, Flow] = OrderedDict()
        self.strangers: OrderedDict[Key, Stranger] = OrderedDict()
        self.pushing: dict[Connection, None] = {}  # connections that wait for room in the wire
        self.neighbours: dict[bytes, bytes] = {}  # the guest's addresses
        self.unresolved: dict[bytes, list[bytes]] = {}  # packets to addresses that were asked for
        self.pieces: OrderedDict[tuple[bytes, bytes, int, int], dict[int, Packet]] = OrderedDict()
        self.sweeper: Timer | None = None
        self.ident = 0
        for key, directory in (('tftp', settings.tftp), ('http', settings.http)):
            if directory is not None and not os.path.isdir(directory): raise EmuError(f'{key}={directory}: there is no such directory')
        self.dhcp = Dhcp(settings.bootfile, settings.tftp is not None, settings.hostname)
        self.tftp = Tftp(clock, settings.tftp, lambda port, guest, to, data: self.datagram(GATEWAY, guest, port, to, data)) if settings.tftp is not None else None
        self.guestfwd = {(socket.inet_aton(target.address), target.port): target.to for target in settings.guestfwd}
        self.ours = {GATEWAY, DNS, *(address for address, _ in self.guestfwd)}
        self.listeners: list[socket.socket] = []
        for forward in settings.hostfwd: self.open_port(forward)

    def open_port(self, forward: Forward) -> None:
        """hostfwd."""
        try:
            listener = listen(forward.protocol, forward.host, forward.port)
        except OSError as error:
            self.close()
            raise EmuError(f'hostfwd={forward.protocol}:{forward.host}:{forward.port}: {(error.strerror or str(error)).lower()}') from None
        self.listeners.append(listener)
        come = self.come if forward.protocol == 'tcp' else self.came
        guest, port = socket.inet_aton(forward.guest), forward.guest_port
        self.loop.watch(listener.fileno(), lambda: come(listener, guest, port))

    def reset(self) -> None:
        """The machine was reset: its connections are nobody's."""
        for connection in list(self.connections.values()): connection.close(True)
        for flow in self.flows.values(): flow.close()
        for table in (self.flows, self.strangers, self.neighbours, self.unresolved, self.pieces, self.pushing): table.clear()
        if self.tftp: self.tftp.close()

    def close(self) -> None:
        """The run is over."""
        self.reset()
        self.clock.cancel(self.sweeper)
        for listener in self.listeners:
            self.loop.watch(listener.fileno())
            listener.close()
        self.listeners.clear()

    # --- to the guest ------------------------------------------------------------------------------------------------------------------

    def ready(self) -> None:
        """The wire is empty."""
        if self.pushing:
            waiting, self.pushing = self.pushing, {}
            for connection in waiting: connection.push()

    def full(self, connection: Connection) -> bool:
        """Whether a connection should wait."""
        if not self.wire.full(): return False
        self.pushing[connection] = None
        return True

    def packet(self, source: bytes, guest: bytes, protocol: int, payload: bytes) -> None:
        """An IP packet to the guest, in fragments if it is too long (RFC 791, 3.2)."""
        self.ident = self.ident + 1 & 0xffff
        step = MTU - 20 & -8
        if len(payload) <= MTU - 20: return self.frame(source, guest, packets.build_ip(source, guest, protocol, payload, self.ident))
        for at in range(0, len(payload), step):
            more = MORE if at + step < len(payload) else 0
            self.frame(source, guest, packets.build_ip(source, guest, protocol, payload[at:at + step], self.ident, more | at >> 3))
        return None

    def frame(self, source: bytes, guest: bytes, packet: bytes) -> None:
        """A packet to one of the guest's addresses; one that is not known is asked for."""
        if known := self.neighbours.get(guest): return self.wire.deliver(packets.ethernet(known, mac(source if source in self.ours else GATEWAY), packets.IP, packet))
        waiting = self.unresolved.setdefault(guest, [])
        if len(waiting) < 4: waiting.append(packet)
        while len(self.unresolved) > PIECES: del self.unresolved[next(iter(self.unresolved))]
        question = packets.Arp(1, mac(GATEWAY), GATEWAY, bytes(6), guest)
        return self.wire.deliver(packets.ethernet(BROADCAST, mac(GATEWAY), packets.ARP, question.build()))

    def datagram(self, source: bytes, guest: bytes, source_port: int, guest_port: int, data: bytes) -> None:
        """UDP to the guest."""
        if len(data) <= 65535 - 28: self.packet(source, guest, UDP, packets.build_udp(source, guest, source_port, guest_port, data))

    def unreachable(self, code: int, packet: Packet) -> None:
        """ICMP: what the guest has sent cannot get there."""
        self.packet(GATEWAY, packet.source, ICMP, packets.unreachable(code, packet))

    # --- from the guest ----------------------------------------------------------------------------------------------------------------

    def send(self, frame: bytes) -> None:
        """A frame of the guest's."""
        kind, payload = int.from_bytes(frame[12:14], 'big'), frame[14:]
        if kind == packets.ARP: self.arp(payload)
        elif kind == ipv6.IPV6 and (answer := ipv6.answer(payload, mac(GATEWAY))): self.wire.deliver(answer)
        elif kind == packets.IP and (frame[0] & 1 or frame[:2] == b'\x52\x55') and (packet := packets.parse_ip(payload)): self.take(packet, frame[6:12])

    def learn(self, address: bytes, hardware: bytes) -> None:
        """The guest has this address."""
        if address[:3] != NETWORK or address in self.ours or address == ALL or hardware[0] & 1: return
        if self.neighbours.get(address) != hardware:
            if len(self.neighbours) >= NEIGHBOURS: del self.neighbours[next(iter(self.neighbours))]
            self.neighbours[address] = hardware
        if self.unresolved:
            for packet in self.unresolved.pop(address, ()): self.frame(packet[12:16], address, packet)

    def arp(self, payload: bytes) -> None:
        """ARP: our addresses answer."""
        asked = packets.parse_arp(payload)
        if not asked: return
        self.learn(asked.ip, asked.mac)
        if asked.operation == 1 and asked.target in self.ours:
            answer = packets.Arp(2, mac(asked.target), asked.target, asked.mac, asked.ip)
            self.wire.deliver(packets.ethernet(asked.mac, mac(asked.target), packets.ARP, answer.build()))

    def take(self, packet: Packet, hardware: bytes) -> None:
        """An IP packet."""
        if packet.source[:3] == NETWORK: self.learn(packet.source, hardware)
        elif packet.source != ANYBODY: return
        if packet.fragment & (MORE | 0x1fff):
            whole = self.gather(packet)
            if not whole: return
            packet = whole
        if packet.protocol == TCP: self.take_tcp(packet)
        elif packet.protocol == UDP: self.take_udp(packet)
        elif packet.protocol == ICMP: self.take_icmp(packet)

    def gather(self, packet: Packet) -> Packet | None:
        """A fragment (RFC 791, 3.2): the whole packet once all are there."""
        key = packet.source, packet.destination, packet.protocol, packet.ident
        parts = self.pieces.setdefault(key, {})
        if len(parts) < 64: parts[(packet.fragment & 0x1fff) << 3] = packet
        if len(self.pieces) > PIECES: self.pieces.popitem(last=False)
        data = b''
        while part := parts.get(len(data)):
            if not part.payload: break
            data += part.payload
            if not part.fragment & MORE:
                self.pieces.pop(key, None)
                return parts[0]._replace(payload=data, fragment=0) if len(data) <= 65515 else None
        return None

    def route(self, address: bytes, port: int) -> tuple[str, int] | None:
        """Where the host is to send what goes to an address; None: nowhere."""
        if self.settings.restrict: return None
        if address == DNS: return nameserver() if port == 53 else None
        if address == GATEWAY: return (LOOPBACK, port) if self.settings.loopback else None
        if address[:3] == NETWORK or address[0] in (0, 127) or address[0] >= 224: return None
        return socket.inet_ntoa(address), port

    # --- TCP -------------------------------------------------------------------------------------------------------------------------

    def take_tcp(self, packet: Packet) -> None:
        """A segment: to its connection, or a new one, or an RST (RFC 9293, 3.10.7.1)."""
        segment = packets.parse_tcp(packet)
        if not segment or packet.source == ANYBODY: return
        key = packet.source, segment.source, packet.destination, segment.destination
        connection = self.connections.get(key)
        if connection and connection.state == WAITING and segment.flags & (SYN | ACK) == SYN:
            connection.close(False)  # the port is used anew (3.6.1)
            connection = None
        if connection: connection.receive(segment)
        elif segment.flags & (SYN | ACK | RST) == SYN: self.call(key, segment, packet)
        elif not segment.flags & RST:
            if segment.flags & ACK: answer = Segment(key[3], key[1], segment.ack, 0, RST, 0, b'')
            else: answer = Segment(key[3], key[1], 0, segment.seq + len(segment.data) + (segment.flags & 1) + (segment.flags >> 1 & 1), RST | ACK, 0, b'')
            self.emit(key, answer)

    def emit(self, key: Key, segment: Segment) -> None:
        """A segment to the guest."""
        self.packet(key[2], key[0], TCP, packets.build_tcp(key[2], key[0], segment))

    def connection(self, key: Key) -> Connection | None:
        """A new connection; None: there are too many, and none that is closing."""
        if len(self.connections) >= CONNECTIONS:
            closing = [connection for connection in self.connections.values() if connection.state == WAITING]
            if not closing: return None
            closing[0].close(False)
        first = int.from_bytes(os.urandom(4), 'big')
        made = Connection(self.clock, lambda segment: self.emit(key, segment), lambda: self.full(made), self.loop.after, key[3], key[1], first)
        self.connections[key] = made
        return made

    def forget(self, key: Key, connection: Connection) -> None:
        """A connection is over."""
        if self.connections.get(key) is connection: del self.connections[key]
        self.pushing.pop(connection, None)

    def call(self, key: Key, segment: Segment, packet: Packet) -> None:
        """The guest calls somebody."""
        refusal = Segment(key[3], key[1], 0, segment.seq + 1, RST | ACK, 0, b'')
        address, port = key[2], key[3]
        local = address == GATEWAY and port == 80 and self.settings.http is not None
        to = self.guestfwd.get((address, port)) or (None if local else self.route(address, port))
        if not local and to is None or not (connection := self.connection(key)): return self.emit(key, refusal)
        connection.called(segment)
        if local and self.settings.http is not None:
            connection.application = Files(connection, self.settings.http, lambda: self.forget(key, connection))
            return connection.accept()
        try:
            assert to is not None
            sock = socket.socket(socket.AF_UNIX if isinstance(to, str) else socket.AF_INET, socket.SOCK_STREAM)
        except OSError:  # no more descriptors
            connection.abort()
            return self.forget(key, connection)
        if splice := self.splice(key, connection, sock, lambda code: self.unreachable(code, packet)): splice.connect(to)
        return None

    def splice(self, key: Key, connection: Connection, sock: socket.socket, unreachable: Callable[[int], None]) -> Splice | None:
        """A connection to a socket; None: the loop cannot wait for it."""
        if sock.fileno() >= DESCRIPTORS:
            sock.close()
            connection.abort()
            self.forget(key, connection)
            return None
        sock.setblocking(False)
        if sock.family == socket.AF_INET: sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made = Splice(self.loop, connection, sock, unreachable, lambda: self.forget(key, connection))
        connection.application = made
        return made

    def seen(self, host: str) -> bytes:
        """The address by which the guest knows somebody: those of the host's loopback are the gateway."""
        address = socket.inet_aton(host)
        return GATEWAY if address[0] == 127 or address[:3] == NETWORK else address

    def come(self, listener: socket.socket, guest: bytes, port: int) -> None:
        """hostfwd: somebody calls the guest."""
        try:
            sock, (host, theirs) = listener.accept()
        except OSError:  # gone already, or no more descriptors
            return
        key = guest, port, self.seen(host), theirs
        connection = None if key in self.connections else self.connection(key)
        if not connection: return sock.close()
        if self.splice(key, connection, sock, lambda code: None): connection.call()

    # --- UDP and pings -----------------------------------------------------------------------------------------------------------------

    def take_udp(self, packet: Packet) -> None:
        """A datagram."""
        parsed = packets.parse_udp(packet)
        if not parsed: return
        ours, to, data = parsed
        if to == 67 and packet.destination in (EVERYWHERE, ALL, GATEWAY):
            if answer := self.dhcp.answer(data):
                reply, hardware, address = answer
                udp = packets.build_udp(GATEWAY, address, 67, 68, reply)
                self.wire.deliver(packets.ethernet(hardware, mac(GATEWAY), packets.IP, packets.build_ip(GATEWAY, address, UDP, udp)))
            return
        if packet.source == ANYBODY or packet.destination[0] >= 224 or packet.destination == ALL: return
        if packet.destination == GATEWAY and self.tftp and self.tftp.receive(to, packet.source, ours, data): return
        key = packet.source, ours, packet.destination, to
        if stranger := self.strangers.get(key):
            try:
                stranger.listener.sendto(data, stranger.address)
            except OSError:  # he is gone, or cannot take more
                pass
            return
        route = self.route(packet.destination, to)
        if route is None: return self.unreachable(PORT_UNREACHABLE if packet.destination in self.ours else PROHIBITED if self.settings.restrict else HOST_UNREACHABLE, packet)
        self.flow(key, route, lambda data: self.datagram(key[2], key[0], key[3], key[1], data), data, packet)

    def flow(self, key: Key, to: tuple[str, int], deliver: Callable[[bytes], None], data: bytes, packet: Packet, pings: bool = False) -> None:
        """Sends through the flow of this key, a new one if there is none."""
        flow = self.flows.get(key)
        if not flow:
            if len(self.flows) >= FLOWS: self.flows.popitem(last=False)[1].close()
            try:
                flow = self.flows[key] = Flow(self.loop, to, deliver, self.unreachable, self.wire.full, pings)
            except OSError as error:
                return self.unreachable(PROHIBITED if isinstance(error, PermissionError) else NET_UNREACHABLE, packet)
        self.flows.move_to_end(key)
        flow.used = self.clock.now()
        flow.send(data, packet)
        if self.sweeper is None: self.sweeper = self.clock.at(flow.used + IDLE, self.sweep)
        return None

    def sweep(self) -> None:
        """Closes flows that nobody has used for long."""
        now, self.sweeper = self.clock.now(), None
        for key, flow in list(self.flows.items()):
            if flow.used + IDLE <= now: self.flows.pop(key).close()
        if self.flows: self.sweeper = self.clock.at(min(flow.used for flow in self.flows.values()) + IDLE, self.sweep)

    def came(self, listener: socket.socket, guest: bytes, port: int) -> None:
        """hostfwd: datagrams for the guest."""
        for _ in range(DATAGRAMS):
            try:
                data, (host, theirs) = listener.recvfrom(65535)
            except (*AGAIN, OSError):
                return
            key = guest, port, self.seen(host), theirs
            self.strangers[key] = Stranger(listener, (host, theirs))
            self.strangers.move_to_end(key)
            if len(self.strangers) > STRANGERS: self.strangers.popitem(last=False)
            if not self.wire.full(): self.datagram(key[2], guest, theirs, port, data)

    def take_icmp(self, packet: Packet) -> None:
        """Pings: our own addresses answer, for others the host pings where it may."""
        message = packet.payload
        if len(message) < 8 or message[:2] != b'\x08\0' or not packets.intact(message) or packet.source == ANYBODY: return
        if packet.destination in self.ours: return self.packet(packet.destination, packet.source, ICMP, packets.build_icmp(0, 0, message[4:]))
        ident = message[4:6]
        route = self.route(packet.destination, 0)
        if route is None: return self.unreachable(PROHIBITED if self.settings.restrict else HOST_UNREACHABLE, packet)
        key = packet.source, -1 - int.from_bytes(ident, 'big'), packet.destination, 0
        self.flow(key, route, lambda data: self.pong(key, ping(ident, data)), message, packet, True)

    def pong(self, key: Key, message: bytes) -> None:
        """An answer to a ping."""
        if message: self.packet(key[2], key[0], ICMP, message)


class Files(Http):
    """The gateway's HTTP; `over` when the connection is."""

    def __init__(self, connection: Connection, directory: str, over: Callable[[], None]):
        super().__init__(connection, directory)
        self.over = over

    def closed(self) -> None:
        super().closed()
        self.over()
