"""One client of the display protocol (docs/protocol.md): what it says is done here, a few messages at a time; what it is told leaves from here.

It gets no frame before it has shown those before, and is cut off, with a line in the log, when it says what nobody may say or reads nothing while much waits for it.
When it goes, what it pressed is released.
"""
import json
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Callable

from emu.errors import EmuError, warn
from emu.hw.keys import BY_SET_1, US
from emu.hw.speaker import RATE
from emu.server.commands import Refused, removable
from emu.server.control import answer
from emu.server.listening import Listener
from emu.server.remote_image import RemoteImage
from emu.server.shared_line import SharedLine, Tap
from emu.server.stream import Stream
from emu.server.typist import MS
from emu.server.video import Picture, Unseen, encode
from frontends.protocol import ASKS_TOKEN, CLIENT, LONGEST, MAGIC, VERSION, VIEW_ONLY, ZLIB, ProtocolError, Reader, Received, pack

if TYPE_CHECKING:
    from emu.server.display import Display

BURST, PAUSE = 16, 0.002  # messages of one client done at a time, and seconds until the next ones
STRANGER = 4096  # bytes of a message from somebody who is not in yet
GREETING = 10.0  # seconds to get in
BEHIND = 1 << 22  # bytes that may wait for a client, besides the frames that it has not shown
ON_THE_WAY = 2  # frames
SLACK = 0.01  # seconds by which a frame may come before its pace would let it
FIRST_PENALTY, LONGEST_PENALTY = 0.25, 8.0  # seconds for which a token is kept waiting after a wrong one; they double
LOOKING = frozenset(('HELLO', 'TOKEN', 'BYE', 'PING', 'PONG', 'ACK', 'PACE', 'REFRESH', 'LISTEN', 'OPEN', 'CREDIT'))  # what one may say who only looks


class Viewer:
    """One client."""

    def __init__(self, display: 'Display', listener: Listener, stream: Stream):
        self.display, self.listener, self.stream = display, listener, stream
        self.loop = stream.loop
        self.name = 'a client'
        self.reader = Reader(CLIENT)
        self.reader.longest = STRANGER
        self.expected: tuple[str, ...] = ('HELLO',)  # until it is in
        self.ready = self.view_only = False
        self.deadline = self.loop.after(GREETING, self.too_late)
        self.working = False  # messages wait for their turn
        self.unseen, self.shape, self.sent, self.gap, self.last_frame = Unseen(), (0, 0), 0, 1 / 30, 0.0
        self.unshown: deque[int] = deque()  # bytes of the last frames, which it has not shown yet
        self.deflate = False
        self.pressed: set[str] = set()
        self.buttons: set[int] = set()
        self.point: tuple[int, int] | None = None
        self.listens = False
        self.serial: dict[int, Tap] = {}
        self.images: dict[str, RemoteImage] = {}
        self.requests = 0
        self.answers: dict[int, tuple[int, bytes]] = {}
        self.later: deque[Received] = deque()  # messages that came while an answer was waited for
        self.asking: int | None = None  # the request whose answer is waited for

    # --- messages ------------------------------------------------------------------------------------------------------------------------

    def say(self, name: str, *values: Any) -> None:
        """Sends a message."""
        self.stream.send(pack(name, *values))
        if self.stream.waiting > BEHIND + sum(self.unshown): self.end('it does not read', told=False)

    def received(self, data: bytes) -> None:
        """Something has arrived."""
        self.reader.feed(data)
        if not self.working: self.work()

    def work(self) -> None:
        """Does what there is, but not all of much at once."""
        self.working = False
        try:
            for _ in range(BURST):
                message = self.later.popleft() if self.later and self.asking is None else self.reader.take()
                if message is None: return self.stream.pause(False)
                self.do(message)
                if not self.stream.open: return None
        except ProtocolError as error:
            return self.end(str(error))
        self.working = True
        self.stream.pause(self.asking is None)
        self.loop.after(PAUSE, self.work)
        return None

    def do(self, message: Received) -> None:
        """One message."""
        name, fields = message
        if not self.ready and name not in self.expected: raise ProtocolError(f'{name} instead of {" or ".join(self.expected)}')
        if self.ready and name in ('HELLO', 'TOKEN'): raise ProtocolError(f'{name} again')
        if self.view_only and name not in LOOKING: raise ProtocolError(f'{name} from a client that may only look')
        if self.asking is not None and name != 'DONE':
            self.later.append(message)
            if len(self.later) > 256: raise ProtocolError('it talks instead of answering')
        else: DO[name](self, **fields)

    def end(self, reason: str, told: bool = True) -> None:
        """Cuts it off, for a reason that it and the log are told."""
        if not self.stream.open: return
        if told: self.stream.send(pack('BYE', reason))
        self.stream.close(reason)
        warn(f'display: {self.name} is cut off: {reason}')

    def too_late(self) -> None:
        """The time to get in is over."""
        if not self.ready: self.end('it does not say who it is')

    def closed(self, reason: str) -> None:
        """The connection has ended: what it held is given back."""
        self.deadline.cancel()
        self.display.viewers.remove(self)
        pc = self.display.session.machine.pc
        for key in self.pressed: pc.i8042.keyboard.key(key, False)
        for button in self.buttons: pc.i8042.mouse.button(button, False)
        for port, tap in self.serial.items(): self.display.serial[port].heard.remove(tap.heard)
        self.listens = False
        self.display.sound()

    # --- getting in ------------------------------------------------------------------------------------------------------------------------

    def hello(self, magic: int, version: int, flags: int, encodings: int, name: str) -> None:
        """HELLO."""
        if magic != MAGIC: raise ProtocolError('it speaks something else')
        if not version: raise ProtocolError('version 0')
        if name.isprintable() and name: self.name = name[:40]
        self.view_only = bool(flags & VIEW_ONLY) or self.listener.address.view_only
        self.deflate = not self.listener.address.local() and bool(encodings >> ZLIB & 1)
        asks = self.listener.token is not None
        self.say('WELCOME', min(version, VERSION), ASKS_TOKEN * asks, self.display.name)
        self.expected = ('TOKEN',)
        if not asks: self.enter()

    def token(self, token: str) -> None:
        """TOKEN: after a wrong one, whoever tries next waits for the answer."""
        self.expected = ('BYE',)
        penalty, right = self.display.penalty, self.listener.right(token)
        self.display.penalty = 0.0 if right else min(max(2 * penalty, FIRST_PENALTY), LONGEST_PENALTY)
        self.loop.after(penalty, self.enter if right else partial(self.end, 'wrong token'))

    def enter(self) -> None:
        """It is in, if it is still there."""
        if not self.stream.open: return
        self.ready = True
        self.reader.longest = LONGEST[CLIENT]
        self.say('READY', VIEW_ONLY * self.view_only, sum(1 << port for port in self.display.serial))
        self.say('LEDS', self.display.leds)
        self.display.look_soon()

    # --- the picture -----------------------------------------------------------------------------------------------------------------------

    def wants_frame(self, now: float) -> bool:
        """It has shown what it got, and its pace allows another."""
        return self.ready and self.gap > 0 and len(self.unshown) < ON_THE_WAY and now - self.last_frame >= self.gap - SLACK

    def frame(self, picture: Picture, now: float) -> None:
        """Sends what it has not seen."""
        if self.shape != picture.pixels.shape:
            self.shape = picture.pixels.shape
            self.unseen.reset(self.shape)
            self.say('MODE', self.shape[1], self.shape[0], *picture.aspect())
        rects = self.unseen.take()
        if not rects: return
        self.sent, self.last_frame = self.sent + 1, now
        encoded = [encode(picture.pixels, rect, self.deflate) for rect in rects]
        self.unshown.append(sum(map(len, encoded)))
        for data in encoded: self.stream.send(data)
        self.say('FRAME', self.sent & 0xffffffff)

    def ack(self, number: int) -> None:
        """ACK."""
        ahead = self.sent - number & 0xffffffff
        if ahead > len(self.unshown): raise ProtocolError(f'ACK of frame {number}, which is not on its way')
        while len(self.unshown) > ahead: self.unshown.popleft()
        self.display.look_soon(self.gap / 2)

    def pace(self, rate: int) -> None:
        """PACE."""
        self.gap = 1 / rate if rate else 0

    def refresh(self) -> None:
        """REFRESH."""
        self.shape = (0, 0)
        self.display.look_soon()

    # --- input -----------------------------------------------------------------------------------------------------------------------------

    def key(self, code: int, down: int) -> None:
        """KEY."""
        name = BY_SET_1.get(code)
        if name is None: return self.say('NOTICE', f'no key has the scan code {code:04X}')
        (self.pressed.add if down else self.pressed.discard)(name)
        self.display.session.machine.pc.i8042.keyboard.key(name, bool(down))
        return self.display.touched()

    def text(self, text: str) -> None:
        """TEXT."""
        if unknown := sorted({c for c in text if c not in US}): self.say('NOTICE', f'no key of a US keyboard types {" ".join(unknown[:10])}')
        if not self.display.session.typist.add([US[c] for c in text if c in US], 20 * MS): self.say('NOTICE', 'too many keys wait already')
        self.display.touched()

    def move(self, dx: int, dy: int, dz: int) -> None:
        """MOVE."""
        self.display.session.machine.pc.i8042.mouse.move(dx, dy, dz)
        self.display.touched()

    def point_at(self, x: int, y: int) -> None:
        """POINT: the mouse is relative, so it is moved by the difference, in dots."""
        lines, dots = self.shape
        here, last = (x * dots >> 16, y * lines >> 16), self.point
        self.point = here
        if last and here != last: self.move(here[0] - last[0], here[1] - last[1], 0)

    def button(self, button: int, down: int) -> None:
        """BUTTON."""
        if button > 4: raise ProtocolError(f'button {button}')
        (self.buttons.add if down else self.buttons.discard)(button)
        self.display.session.machine.pc.i8042.mouse.button(button, bool(down))
        self.display.touched()

    # --- sound and serial ports ----------------------------------------------------------------------------------------------------------

    def listen(self, on: int) -> None:
        """LISTEN."""
        if on and not self.listens: self.say('FORMAT', RATE, 1, 1)
        self.listens = bool(on)
        self.display.sound()

    def line(self, port: int) -> SharedLine:
        """A serial port that is clients'."""
        if port not in self.display.serial: raise ProtocolError(f'COM{port + 1} is not for clients')
        return self.display.serial[port]

    def open_port(self, port: int) -> None:
        """OPEN."""
        line = self.line(port)
        if port in self.serial: raise ProtocolError(f'COM{port + 1} is open already')
        self.serial[port] = Tap(self, port)
        line.listen(self.serial[port].heard)

    def serial_input(self, port: int, bytes: bytes) -> None:
        """INPUT."""
        line = self.line(port)
        if port not in self.serial: raise ProtocolError(f'COM{port + 1} is not open')
        self.serial[port].take(bytes, line)

    def credit(self, port: int, bytes: int) -> None:
        """CREDIT."""
        self.line(port)
        if port not in self.serial: raise ProtocolError(f'COM{port + 1} is not open')
        self.serial[port].credited(bytes)

    # --- media -----------------------------------------------------------------------------------------------------------------------------

    def insert(self, drive: str, name: str, size: int, writable: int) -> None:
        """INSERT."""
        def make() -> RemoteImage:
            return RemoteImage(self, drive, name, size, bool(writable) and '-cd' not in drive, lambda: self.images.pop(drive, None))

        self.say('RESULT', drive, self.change(drive, make) if 0 < size < 1 << 47 else f'{size} bytes are no medium')

    def remove(self, drive: str) -> None:
        """REMOVE."""
        self.say('RESULT', drive, self.change(drive) if drive in self.images else 'it is not in there')

    def change(self, drive: str, make: Callable[[], RemoteImage] | None = None) -> str:
        """Changes a medium, or takes it out; what went wrong."""
        try:
            place = removable(self.display.session, drive)
            place.eject()
            if make:
                image = make()
                place.insert(image)
                self.images[drive] = image
        except (Refused, EmuError, OSError) as error:
            return str(error)
        return ''

    def ask(self, seconds: float, name: str, *values: Any) -> bytes | None:
        """For RemoteImage: a request and its answer, for which the machine waits."""
        if not self.stream.open or self.asking is not None: return None
        self.requests += 1
        self.asking = request = self.requests & 0xffffffff
        self.say(name, request, *values)
        self.stream.pause(False)
        end = time.monotonic() + seconds
        try:
            while request not in self.answers and self.stream.open and (left := end - time.monotonic()) > 0:
                if not self.working_through(): self.stream.wait(left)
        finally:
            self.asking = None
        if self.later and not self.working: self.loop.after(0, self.work)
        error, data = self.answers.pop(request, (1, b''))
        return None if error else data

    def working_through(self) -> bool:
        """Does the messages that are here while an answer is waited for; whether there was one."""
        try:
            message = self.reader.take()
            if message: self.do(message)
            return message is not None
        except ProtocolError as error:
            self.end(str(error))
            return True

    def done(self, request: int, error: int, bytes: bytes) -> None:
        """DONE."""
        if request != self.asking: raise ProtocolError(f'DONE with {request}, which was not asked for')
        self.answers[request] = error, bytes

    # --- control ---------------------------------------------------------------------------------------------------------------------------

    def execute(self, json: bytes) -> None:
        """EXECUTE."""
        self.say('ANSWER', to_json(answer(self.display.session, json)))
        self.display.touched()


DO: dict[str, Callable[..., Any]] = {
    'HELLO': Viewer.hello, 'TOKEN': Viewer.token, 'BYE': lambda viewer, reason: viewer.stream.close(reason), 'PING': lambda viewer, cookie: viewer.say('PONG', cookie),
    'PONG': lambda viewer, cookie: None, 'ACK': Viewer.ack, 'PACE': Viewer.pace, 'REFRESH': Viewer.refresh, 'KEY': Viewer.key, 'TEXT': Viewer.text, 'MOVE': Viewer.move,
    'POINT': Viewer.point_at, 'BUTTON': Viewer.button, 'LISTEN': Viewer.listen, 'OPEN': Viewer.open_port, 'INPUT': Viewer.serial_input, 'CREDIT': Viewer.credit,
    'INSERT': Viewer.insert, 'REMOVE': Viewer.remove, 'DONE': Viewer.done, 'EXECUTE': Viewer.execute,
}


def to_json(value: dict[str, Any]) -> bytes:
    """As on the control socket."""
    return json.dumps(value).encode()
