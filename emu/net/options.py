"""What -nic, -netdev and -device say, as data. All of it is checked here but for files and sockets, which are opened when the machine starts.

Errors are ValueError, one line each.
"""
import ipaddress
import re
from dataclasses import dataclass, field, replace
from typing import Iterable

from emu.words import comma_words

MODELS = ('ne2k_pci', 'ne2k_isa')
ISA_PLACES = ((0x300, 5), (0x320, 10), (0x340, 11), (0x360, 3))  # where the boards go that say nothing of it: ports and IRQ
MAC = 0x525400123456  # of the first card; the next ones count on


@dataclass(frozen=True)
class Forward:
    """hostfwd: what comes to a port of the host's goes to one of the guest's."""

    protocol: str  # tcp, udp
    host: str
    port: int
    guest: str
    guest_port: int


@dataclass(frozen=True)
class Target:
    """guestfwd: TCP connections of the guest's to an address in its network go to a TCP port, or a Unix socket."""

    address: str
    port: int
    to: tuple[str, int] | str


@dataclass(frozen=True)
class Netdev:
    """A network."""

    kind: str  # user, socket
    name: str
    hostfwd: tuple[Forward, ...] = ()
    guestfwd: tuple[Target, ...] = ()
    restrict: bool = False  # nothing but the gateway's own services, guestfwd and hostfwd
    loopback: bool = False  # the gateway's ports are those of the host's loopback
    tftp: str | None = None  # directories
    http: str | None = None
    bootfile: str = ''
    hostname: str = ''
    listen: tuple[str, int] | None = None  # of kind socket
    connect: tuple[str, int] | None = None
    dump: str | None = None  # a file for the record of all frames
    loss: float = 0.0


@dataclass(frozen=True)
class Nic:
    """A card, and the network it is in by name ('': none)."""

    model: str
    netdev: str
    mac: bytes | None = None
    iobase: int | None = None
    irq: int | None = None


@dataclass(frozen=True)
class Networks:
    """The cards in order, with all that can be known without the others filled in."""

    netdevs: tuple[Netdev, ...] = ()
    nics: tuple[Nic, ...] = ()

    def cards(self) -> list[Nic]:
        """The cards with their addresses and places; ValueError: two of something, or one that there is not."""
        names = [netdev.name for netdev in self.netdevs]
        for name in names:
            if names.count(name) > 1: raise ValueError(f"-netdev: two networks are called '{name}'")
        made: list[Nic] = []
        used: set[str] = set()
        places = iter(ISA_PLACES)
        for n, nic in enumerate(self.nics):
            if nic.netdev and nic.netdev not in names: raise ValueError(f"-device {nic.model}: no network is called '{nic.netdev}'")
            if nic.netdev in used: raise ValueError(f"-device {nic.model}: network '{nic.netdev}' has a card already")
            if nic.netdev: used.add(nic.netdev)
            if nic.model == 'ne2k_isa':
                port, irq = next(places, (None, None))
                nic = replace(nic, iobase=port if nic.iobase is None else nic.iobase, irq=irq if nic.irq is None else nic.irq)
                if nic.iobase is None or nic.irq is None: raise ValueError(f'-device ne2k_isa: there are places for {len(ISA_PLACES)} that say no iobase= and irq=')
                if any(nic.iobase == other.iobase for other in made): raise ValueError(f'-device ne2k_isa: two cards at iobase {nic.iobase:#x}')
            made.append(replace(nic, mac=(MAC + n).to_bytes(6, 'big') if nic.mac is None else nic.mac))
        if len(made) > 8: raise ValueError(f'-nic: {len(made)} cards; there is room for 8')
        for name in names:
            if name not in used: raise ValueError(f"-netdev: no card is in network '{name}' (-device ne2k_pci,netdev={name} adds one)")
        return made


@dataclass
class Words:
    """key=value with commas; ',,' is a comma in a value. `take` removes a key; what nobody took is an error."""

    text: str
    first: str = field(init=False)
    pairs: list[tuple[str, str]] = field(init=False)

    def __post_init__(self) -> None:
        parts = comma_words(self.text)
        if not parts or '=' in parts[0]: raise ValueError(f"'{self.text}' does not begin with a kind")
        self.first = parts[0]
        self.pairs = [(key, value if equals else 'on') for key, equals, value in (part.partition('=') for part in parts[1:])]

    def take_all(self, key: str) -> list[str]:
        """All values of a key."""
        values = [value for name, value in self.pairs if name == key]
        self.pairs = [(name, value) for name, value in self.pairs if name != key]
        return values

    def take(self, key: str) -> str | None:
        """The value of a key that may be there once."""
        values = self.take_all(key)
        if len(values) > 1: raise ValueError(f'{key}= is there twice')
        return values[0] if values else None

    def end(self) -> None:
        """That was all."""
        if self.pairs: raise ValueError(f"unknown key '{self.pairs[0][0]}'")


def parse_nic(text: str) -> tuple[Netdev | None, Nic | None]:
    """-nic KIND,model=M,...: a network and a card in it; none: neither."""
    words = Words(text)
    if words.first == 'none':
        words.end()
        return None, None
    model = words.take('model') or MODELS[0]
    nic = card(model, words, '')
    netdev = network(words, words.take('id') or '')
    return netdev, nic


def parse_netdev(text: str) -> Netdev:
    """-netdev KIND,id=NAME,..."""
    words = Words(text)
    name = words.take('id')
    if not name: raise ValueError('a network needs id=NAME')
    return network(words, name)


def parse_device(text: str) -> Nic:
    """-device MODEL,netdev=NAME,..."""
    words = Words(text)
    nic = card(words.first, words, words.take('netdev') or '')
    words.take('id')
    words.end()
    return nic


def card(model: str, words: Words, netdev: str) -> Nic:
    """The card's own keys."""
    if model not in MODELS: raise ValueError(f"there is no device '{model}'; there are {', '.join(MODELS)}")
    mac, iobase, irq = words.take('mac'), None, None
    if mac is not None and not re.fullmatch(r'[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}', mac, re.ASCII): raise ValueError(f"mac={mac}: '{mac}' is no address such as 52:54:00:12:34:56")
    if mac is not None and int(mac[:2], 16) & 1: raise ValueError(f'mac={mac}: that is a group address (the first byte is odd)')
    if model == 'ne2k_isa':
        iobase, irq = whole('iobase', words.take('iobase'), 0x200, 0x3e0), whole('irq', words.take('irq'), 3, 15)
        if iobase is not None and iobase % 0x20: raise ValueError(f'iobase={iobase:#x}: it is a multiple of 20h')
        if irq in (6, 8, 13, 14): raise ValueError(f'irq={irq}: that line has no wire on the bus, or belongs to the machine')
    return Nic(model, netdev, bytes.fromhex(mac.replace(':', '')) if mac is not None else None, iobase, irq)


def whole(key: str, text: str | None, low: int, high: int) -> int | None:
    """A number in its range."""
    if text is None: return None
    try:
        number = int(text, 0)
    except ValueError:
        number = low - 1
    if not low <= number <= high: raise ValueError(f"{key}={text}: '{text}' is no number from {low:#x} to {high:#x}")
    return number


def network(words: Words, name: str) -> Netdev:
    """The network's own keys."""
    kind = words.first
    dump, loss = words.take('dump'), words.take('loss') or '0'
    if not re.fullmatch(r'0(\.\d+)?|1(\.0+)?', loss, re.ASCII): raise ValueError(f'loss={loss}: it is a probability, such as 0.01')
    made = Netdev(kind, name, dump=dump, loss=float(loss))
    if kind == 'user':
        made = replace(made, hostfwd=tuple(map(parse_hostfwd, words.take_all('hostfwd'))), guestfwd=tuple(map(parse_guestfwd, words.take_all('guestfwd'))),
                       restrict=switch('restrict', words.take('restrict')), loopback=switch('allow-loopback', words.take('allow-loopback')), tftp=words.take('tftp'),
                       http=words.take('http'), bootfile=label('bootfile', words.take('bootfile'), 127), hostname=label('hostname', words.take('hostname'), 63))
        for n, forward in enumerate(made.hostfwd):
            same = [other for other in made.hostfwd[:n] if (other.protocol, other.port) == (forward.protocol, forward.port)]
            if any('0.0.0.0' in (other.host, forward.host) or other.host == forward.host for other in same):
                raise ValueError(f'hostfwd: two forward {forward.protocol} port {forward.port}')
    elif kind == 'socket':
        listen, connect = words.take('listen'), words.take('connect')
        if (listen is None) == (connect is None): raise ValueError('socket: it needs either listen= or connect=')
        made = replace(made, listen=endpoint('listen', listen) if listen is not None else None, connect=endpoint('connect', connect) if connect is not None else None)
    else: raise ValueError(f"there is no network '{kind}'; there are user, socket")
    words.end()
    return made


def switch(key: str, value: str | None) -> bool:
    """on (or y, as QEMU's users write) or off."""
    if value not in (None, 'on', 'off', 'y', 'n', 'yes', 'no'): raise ValueError(f'{key}={value}: it is on or off')
    return value in ('on', 'y', 'yes')


def label(key: str, value: str | None, longest: int) -> str:
    """A text for DHCP."""
    if value and (len(value) > longest or not value.isascii() or not value.isprintable()): raise ValueError(f'{key}={value}: up to {longest} printable ASCII characters')
    return value or ''


def port(key: str, text: str, least: int = 1) -> int:
    """A port."""
    if not re.fullmatch(r'\d{1,5}', text, re.ASCII) or not least <= int(text) <= 0xffff: raise ValueError(f"{key}: '{text}' is no port from {least} to 65535")
    return int(text)


def address(key: str, text: str) -> str:
    """An IPv4 address."""
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise ValueError(f"{key}: '{text}' is no IPv4 address") from None


def endpoint(key: str, text: str) -> tuple[str, int]:
    """[HOST]:PORT."""
    host, colon, number = text.rpartition(':')
    if not colon: raise ValueError(f"{key}={text}: it is [HOST]:PORT")
    return (address(key, host) if host and host != 'localhost' else '127.0.0.1' if host or key == 'connect' else '0.0.0.0'), port(f'{key}={text}', number)


def inside(key: str, text: str) -> str:
    """An address in the guest's network."""
    if not address(key, text).startswith('10.0.2.'): raise ValueError(f"{key}: '{text}' is not in the guest's network, 10.0.2.0/24")
    return text


def parse_hostfwd(text: str) -> Forward:
    """[tcp|udp]:[HOSTADDRESS]:HOSTPORT-[GUESTADDRESS]:GUESTPORT"""
    match = re.fullmatch(r'(tcp|udp|):([^:]*):(\d+)-([^:]*):(\d+)', text, re.ASCII)
    if not match: raise ValueError(f"hostfwd={text}: it is [tcp|udp]:[HOSTADDRESS]:HOSTPORT-[GUESTADDRESS]:GUESTPORT")
    protocol, host, host_port, guest, guest_port = match.groups()
    key = f'hostfwd={text}'
    return Forward(protocol or 'tcp', address(key, host) if host else '0.0.0.0', port(key, host_port), inside(key, guest) if guest else '10.0.2.15', port(key, guest_port))


def parse_guestfwd(text: str) -> Target:
    """[tcp]:ADDRESS:PORT-tcp:HOST:PORT or -unix:PATH"""
    match = re.fullmatch(r'(?:tcp)?:([^:]*):(\d+)-(?:tcp:([^:]*):(\d+)|unix:(.+))', text, re.ASCII)
    if not match: raise ValueError(f"guestfwd={text}: it is [tcp]:ADDRESS:PORT-tcp:HOST:PORT or ...-unix:PATH")
    key = f'guestfwd={text}'
    to: tuple[str, int] | str = match[5] or (address(key, '127.0.0.1' if match[3] == 'localhost' else match[3] or ''), port(key, match[4] or ''))
    if inside(key, match[1]) in ('10.0.2.0', '10.0.2.15', '10.0.2.255'): raise ValueError(f"{key}: '{match[1]}' is no address that a service can have")
    return Target(match[1], port(key, match[2]), to)


def networks(nics: Iterable[tuple[Netdev | None, Nic | None]] = (), netdevs: Iterable[Netdev] = (), devices: Iterable[Nic] = ()) -> Networks:
    """All that the three options have said: the cards of -nic come first."""
    made, cards = list(netdevs), []
    for n, (netdev, nic) in enumerate(nics):
        if netdev is None or nic is None: continue
        name = netdev.name or f'nic{n}'
        made.append(replace(netdev, name=name))
        cards.append(replace(nic, netdev=name))
    return Networks(tuple(made), (*cards, *devices))
