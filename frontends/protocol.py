"""The wire between a machine and those who show it: every message, as a table, and the bytes that it is. docs/protocol.md explains it; a test compares the two.

A message is a header of 8 bytes (length of the payload u32, channel u8, number u8, 0 u16; everything is little-endian), then its fields in their order. `text` is
u16 bytes of UTF-8 with that length in front, `data` the rest of the payload. Both sides use this file, and nothing here knows of either.
"""
import struct
from typing import Any, NamedTuple

VERSION = 1
MAGIC = 0x31554d45  # "EMU1"
HEADER = struct.Struct('<IBBH')
CHANNELS = ('session', 'video', 'input', 'audio', 'serial', 'media', 'control')
CLIENT, SERVER = 'client', 'server'
LONGEST = {CLIENT: (1 << 20) + 64, SERVER: (1 << 24) + 64}  # bytes of payload that each may send
WINDOW = 1 << 16  # bytes of a serial port that may be on their way, each way, without a CREDIT
NUMBERS = {'u8': 'B', 'u16': 'H', 'u32': 'I', 'u64': 'Q', 'i16': 'h'}  # kinds, and struct's letters
RAW, ZLIB, FILL = 0, 1, 2  # encodings of a RECT: all pixels; those, deflated; one pixel for all. RAW and FILL are always known
VIEW_ONLY = 1  # a flag of HELLO and READY
ASKS_TOKEN = 1  # a flag of WELCOME


class Message(NamedTuple):
    """`fields` are (name, kind): kinds of NUMBERS, 'text', 'data'."""

    name: str
    channel: int
    number: int
    sender: str  # CLIENT, SERVER or both
    fields: tuple[tuple[str, str], ...]
    text: str


class ProtocolError(Exception):
    """The other side said what nobody may say; the text says why, for the log."""


def table(*rows: tuple[str, str, str, str, str]) -> tuple[Message, ...]:
    """Rows are channel, who sends it, NAME, fields as 'name kind, ...', what it says; numbers count from 1 in each channel."""
    made: list[Message] = []
    for channel, sender, name, fields, text in rows:
        at = CHANNELS.index(channel)
        pairs = [field.split() for field in fields.split(', ') if field]
        made.append(Message(name, at, sum(message.channel == at for message in made) + 1, sender, tuple((field, kind) for field, kind in pairs), text))
    return tuple(made)


MESSAGES = table(
    ('session', CLIENT, 'HELLO', 'magic u32, version u16, flags u16, encodings u32, name text',
     'first of all: MAGIC, the newest version that the client speaks, VIEW_ONLY, a bit for each encoding it knows, who it is'),
    ('session', SERVER, 'WELCOME', 'version u16, flags u16, name text', 'the version that both speak from here on, ASKS_TOKEN, what the machine is called'),
    ('session', CLIENT, 'TOKEN', 'token text', 'the secret, where WELCOME asks for it'),
    ('session', SERVER, 'READY', 'flags u16, serial u8', 'the client is in; VIEW_ONLY: it may look and listen only; `serial`: a bit for each of COM1 to COM4 that is for clients'),
    ('session', 'both', 'BYE', 'reason text', 'the last message'),
    ('session', 'both', 'PING', 'cookie u64', 'to be answered by PONG at once'),
    ('session', 'both', 'PONG', 'cookie u64', 'with the same cookie'),
    ('video', SERVER, 'MODE', 'width u16, height u16, aspect_x u16, aspect_y u16', 'the picture has so many pixels from here on, all black, and is to be shown in this aspect'),
    ('video', SERVER, 'RECT', 'x u16, y u16, width u16, height u16, encoding u8, pixels data', 'new pixels: lines from above, each blue, green, red, 0'),
    ('video', SERVER, 'FRAME', 'number u32', 'all rectangles of this picture have been sent: show it, and send ACK'),
    ('video', CLIENT, 'ACK', 'number u32', 'it is shown. No more than two frames are on their way: a slow client gets fewer, not later ones'),
    ('video', CLIENT, 'PACE', 'rate u8', 'at most so many frames a second from here on; 0: none (30 at first)'),
    ('video', CLIENT, 'REFRESH', '', 'send everything again'),
    ('video', SERVER, 'CURSOR', 'x i16, y i16, hot_x u16, hot_y u16, width u16, height u16, pixels data',
     'a pointer that the display adapter draws above the picture: blue, green, red, opacity; width 0: none. The VGA has none'),
    ('input', CLIENT, 'KEY', 'code u16, down u8', 'a key by its scan code of set 1, with E0h in the high byte where it has that; Pause is E046h'),
    ('input', CLIENT, 'TEXT', 'text text', 'typed as on a US keyboard'),
    ('input', CLIENT, 'MOVE', 'dx i16, dy i16, dz i16', 'the mouse moved so many counts right, down, and its wheel towards the user'),
    ('input', CLIENT, 'POINT', 'x u16, y u16', 'where the pointer is on the picture, 0 to 65535 across and down; a mouse is moved there from where the last POINT said'),
    ('input', CLIENT, 'BUTTON', 'button u8, down u8', '0 left, 1 right, 2 middle, 3 and 4 at the side'),
    ('input', SERVER, 'LEDS', 'leds u8', 'the keyboard\'s: 1 Scroll Lock, 2 Num Lock, 4 Caps Lock'),
    ('input', SERVER, 'NOTICE', 'text text', 'a line for people: what was wrong with an input'),
    ('audio', CLIENT, 'LISTEN', 'on u8', 'sound is wanted, or not any more (at first it is not)'),
    ('audio', SERVER, 'FORMAT', 'rate u32, channels u8, format u8', 'of all SAMPLES to come; format 1: signed 16-bit numbers. What is not heard is not sent'),
    ('audio', SERVER, 'SAMPLES', 'at u64, samples data', 'to be played now; `at`: the number of the first one since the sound began, silence counted'),
    ('serial', CLIENT, 'OPEN', 'port u8', 'COM(port+1) is wanted; what it said last comes first'),
    ('serial', SERVER, 'OUTPUT', 'port u8, lost u32, bytes data', 'from the guest; `lost` bytes before these were never sent, as the client gave no credit'),
    ('serial', CLIENT, 'INPUT', 'port u8, bytes data', 'to the guest'),
    ('serial', 'both', 'CREDIT', 'port u8, bytes u32', 'so many bytes have been taken: as many more may be sent. Both begin with WINDOW'),
    ('media', CLIENT, 'INSERT', 'drive text, name text, size u64, writable u8', 'a file of the client becomes the medium of this drive (names: see the control commands)'),
    ('media', CLIENT, 'REMOVE', 'drive text', 'it is taken out again'),
    ('media', SERVER, 'READ', 'request u32, drive text, offset u64, length u32', 'bytes of it are wanted, up to 1 MiB'),
    ('media', SERVER, 'WRITE', 'request u32, drive text, offset u64, bytes data', 'or written'),
    ('media', SERVER, 'FLUSH', 'request u32, drive text', 'or to be safe on its disk'),
    ('media', CLIENT, 'DONE', 'request u32, error u8, bytes data', 'the answer to each of the three: what was read; error 0, or 1 for an I/O error'),
    ('media', SERVER, 'RESULT', 'drive text, error text', 'what became of INSERT or REMOVE; error: a line for people, empty where it was done'),
    ('control', CLIENT, 'EXECUTE', 'json data', 'a command of the control socket (docs/control.md), as JSON'),
    ('control', SERVER, 'ANSWER', 'json data', 'its answer; the client waits for it before the next command'),
    ('control', SERVER, 'EVENT', 'json data', 'what happens to the machine, as on the control socket'),
)
BY_NAME = {message.name: message for message in MESSAGES}
BY_NUMBER = {(message.channel, message.number): message for message in MESSAGES}


class Received(NamedTuple):
    """A message that arrived: its name, and its fields by theirs."""

    name: str
    fields: dict[str, Any]


def pack(name: str, *values: Any) -> bytes:
    """The bytes of a message; values in the order of its fields."""
    message = BY_NAME[name]
    payload = b''.join(pack_field(kind, value) for (_, kind), value in zip(message.fields, values, strict=True))
    return HEADER.pack(len(payload), message.channel, message.number, 0) + payload


def pack_field(kind: str, value: Any) -> bytes:
    """One field."""
    if kind == 'data': return bytes(value)
    if kind != 'text': return struct.pack('<' + NUMBERS[kind], value)
    encoded = value.encode()[:0xffff]
    return struct.pack('<H', len(encoded)) + encoded


def unpack(message: Message, payload: bytes) -> dict[str, Any]:
    """The fields of a payload; ProtocolError where it is not one of this message."""
    at = 0
    fields: dict[str, Any] = {}
    try:
        for name, kind in message.fields:
            if kind == 'data': fields[name], at = payload[at:], len(payload)
            elif kind == 'text':
                end = at + 2 + struct.unpack_from('<H', payload, at)[0]
                if end > len(payload): raise ProtocolError(f'{message.name}: {name} is cut off')
                fields[name], at = payload[at + 2:end].decode(), end
            else:
                (fields[name],) = struct.unpack_from('<' + NUMBERS[kind], payload, at)
                at += struct.calcsize('<' + NUMBERS[kind])
    except (struct.error, UnicodeDecodeError):
        raise ProtocolError(f'{message.name} of {len(payload)} bytes is malformed') from None
    if at != len(payload): raise ProtocolError(f'{message.name} has {len(payload) - at} bytes too many')
    return fields


class Reader:
    """Takes what arrives from `sender`, in pieces of any size; `longest` is the payload that it may send."""

    def __init__(self, sender: str):
        self.sender, self.longest = sender, LONGEST[sender]
        self.buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """What arrived."""
        self.buffer += data

    def take(self) -> Received | None:
        """The next message, None where it is not complete yet; ProtocolError where it is none."""
        if len(self.buffer) < HEADER.size: return None
        length, channel, number, zero = HEADER.unpack_from(self.buffer)
        message = BY_NUMBER.get((channel, number))
        if message is None or zero: raise ProtocolError(f'no message {number} on channel {channel}')
        if message.sender not in (self.sender, 'both'): raise ProtocolError(f'{message.name} from the wrong side')
        if length > self.longest: raise ProtocolError(f'{message.name} of {length} bytes')
        end = HEADER.size + length
        if len(self.buffer) < end: return None
        payload = bytes(memoryview(self.buffer)[HEADER.size:end])
        del self.buffer[:end]
        return Received(message.name, unpack(message, payload))
