"""The display protocol's bytes (frontends/protocol.py) and what decides which of them are sent (emu/server/video.py)."""
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from emu.server.video import Rect, Unseen, encode
from frontends.client import Client, Ended
from frontends.protocol import BY_NAME, CLIENT, FILL, LONGEST, MESSAGES, SERVER, Message, ProtocolError, Reader, pack
from tests.protocol_document import DOCUMENT, written

KINDS = {'u8': st.integers(0, 255), 'u16': st.integers(0, 0xffff), 'u32': st.integers(0, 0xffffffff), 'u64': st.integers(0, 2 ** 64 - 1), 'i16': st.integers(-0x8000, 0x7fff),
         'text': st.text(st.characters(codec='utf-8'), max_size=50), 'data': st.binary(max_size=200)}


def values(message: Message) -> st.SearchStrategy[tuple[object, ...]]:
    return st.tuples(*(KINDS[kind] for _, kind in message.fields))


messages = st.sampled_from(MESSAGES).flatmap(lambda message: st.tuples(st.just(message), values(message)))


def test_document() -> None:
    """docs/protocol.md has the tables of the code (`python -m tests.protocol_document` writes them)."""
    assert DOCUMENT.read_text() == written(DOCUMENT.read_text())


@settings(deadline=None)
@given(st.lists(messages, max_size=8), st.integers(1, 40))
def test_messages_arrive_as_they_were_sent(sent: list[tuple[Message, tuple[object, ...]]], piece: int) -> None:
    """In pieces of any size."""
    for sender in (CLIENT, SERVER):
        mine = [(message, given) for message, given in sent if message.sender in (sender, 'both')]
        stream = b''.join(pack(message.name, *given) for message, given in mine)
        reader, received = Reader(sender), []
        for at in range(0, len(stream), piece):
            reader.feed(stream[at:at + piece])
            while message := reader.take(): received.append(message)
        assert [(name, tuple(fields.values())) for name, fields in received] == [(message.name, given) for message, given in mine]


@given(st.binary(max_size=300))
def test_garbage_is_refused_or_waited_for(data: bytes) -> None:
    reader = Reader(CLIENT)
    reader.feed(data)
    with pytest.raises((ProtocolError, StopIteration)):
        while reader.take(): pass
        raise StopIteration


@pytest.mark.parametrize('data, why', [
    (b'\1\0\0\0\1\1\0\0x', 'wrong side'), (b'\0\0\0\0\x63\1\0\0', 'no message'), (b'\0\0\0\0\2\1\1\0', 'no message'), (b'\2\0\0\0\2\1\0\0xx', 'malformed'),
    (pack('KEY', 1, 1).replace(b'\3\0\0\0', b'\4\0\0\0', 1) + b'x', 'too many'), (b'\xff\xff\xff\xff\2\1\0\0', 'bytes'), (b'\3\0\0\0\2\2\0\0\5\0x', 'cut off'),
    (b'\3\0\0\0\2\2\0\0\1\0\xff', 'malformed')])
def test_what_nobody_may_say(data: bytes, why: str) -> None:
    reader = Reader(CLIENT)
    reader.feed(data)
    with pytest.raises(ProtocolError, match=why): reader.take()


def test_length_is_refused_before_it_arrives() -> None:
    """Or a stranger could make the machine keep 4 GB for it."""
    reader = Reader(CLIENT)
    header = bytearray(pack('EXECUTE', b''))
    header[:4] = (LONGEST[CLIENT] + 1).to_bytes(4, 'little')
    reader.feed(header)
    with pytest.raises(ProtocolError): reader.take()


def test_each_message_has_a_number_of_its_own() -> None:
    assert len({(message.channel, message.number) for message in MESSAGES}) == len(MESSAGES) == len(BY_NAME)


def test_a_screenshot_waits_for_the_picture(tmp_path: Path) -> None:
    """One that is asked for before there is a picture, or between MODE and its first FRAME, while the picture is black by the protocol."""
    ours, theirs = socket.socketpair()
    shot = tmp_path / 'shot.png'
    theirs.sendall(pack('WELCOME', 1, 0, 'x') + pack('READY', 0, 0))
    client = Client((ours, ''))
    for size in (1, 2):
        theirs.sendall(pack('MODE', size, 1, 4, 3))
        while client.pixels.shape[1] != size: client.work(1)
        later = threading.Timer(0.1, theirs.sendall, [pack('RECT', 0, 0, size, 1, FILL, b'\1\2\3\0') + pack('FRAME', size)])
        later.start()
        client.save(str(shot))
        later.join()
        assert Image.open(shot).getpixel((0, 0)) == (3, 2, 1)
    ours.close()
    theirs.close()


rects = st.tuples(st.integers(0, 30), st.integers(0, 20), st.integers(1, 10), st.integers(1, 10)).map(lambda r: Rect(*r))


@given(st.lists(st.lists(rects, max_size=5), max_size=6), st.booleans())
def test_a_viewer_that_missed_some_sees_the_last(rounds: list[list[Rect]], deflate: bool) -> None:
    """Whatever changed in whichever order: after the rectangles of `take` the picture is the machine's."""
    pixels, unseen = np.zeros((30, 40), '<u4'), Unseen()
    unseen.reset(pixels.shape)
    client = Client.__new__(Client)
    client.pixels, client.changed = np.full((30, 40, 4), 99, np.uint8), []
    for colour, changes in enumerate(rounds, 1):
        for rect in changes:
            pixels[rect.y:rect.y + rect.height, rect.x:rect.x + rect.width] = np.arange(rect.width) + colour * 256
            unseen.add(rect)
    reader = Reader(SERVER)
    for rect in unseen.take(): reader.feed(encode(pixels, rect, deflate))
    while message := reader.take(): client.rect(**message.fields)
    assert (client.pixels == pixels.view(np.uint8).reshape(30, 40, 4)).all()
    assert not unseen.take()


@pytest.mark.parametrize('fields', [(35, 0, 10, 1, 0, bytes(40)), (0, 0, 2, 2, 0, bytes(15)), (0, 0, 2, 2, 1, b'nonsense'), (0, 0, 0, 1, 0, b''), (0, 0, 1, 1, 9, bytes(4))])
def test_a_client_believes_no_machine(fields: tuple[object, ...]) -> None:
    client = Client.__new__(Client)
    client.pixels, client.changed = np.zeros((30, 40, 4), np.uint8), []
    with pytest.raises(ProtocolError): client.rect(*fields)


def test_a_machine_that_is_gone() -> None:
    """Whoever says something to it hears that it has ended, and why if it said so, after whatever else it said before."""
    bye = pack('BYE', 'the machine has ended')
    for last, why in ((b'', None), (bye, 'the machine has ended'), (pack('PING', 1) * 3000 + bye, 'the machine has ended')):
        ours, theirs = socket.socketpair()
        theirs.sendall(pack('WELCOME', 1, 0, 'x') + pack('READY', 0, 0) + last)
        theirs.close()
        with pytest.raises(Ended, match=why):
            client = Client((ours, ''))
            for _ in range(3): client.say('REFRESH')
        ours.close()
