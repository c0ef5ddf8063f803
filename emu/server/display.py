"""The machine's half of the display protocol (docs/protocol.md, frontends/protocol.py): lets clients in (viewer.py), and looks at the screen and listens for all of them."""
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from typing import Any, Iterator

from emu.hw.speaker import RATE, Sampler
from emu.server.commands import Session
from emu.server.control import happened
from emu.server.listening import Address, Listener
from emu.server.loop import Alarm, Loop
from emu.server.shared_line import SharedLine
from emu.server.stream import Stream, farewell
from emu.server.video import Picture
from emu.server.viewer import Viewer, to_json
from frontends.protocol import pack

MOST = 32  # clients at once
BUSY, QUIET = 0.02, 0.1  # seconds between two looks at the screen: while it changes or somebody types, and else
ALERT = 1.0  # seconds for which it counts as busy
SOON = 0.004  # seconds from an input to the next look
LISTENING = 0.02  # seconds of sound at once


class Display:
    """All clients of a machine, which is called `name`."""

    def __init__(self, name: str):
        self.name = name
        self.listeners: list[Listener] = []
        self.loop: Loop | None = None
        self.viewers: list[Viewer] = []
        self.penalty = 0.0
        self.leds = 0
        self.alarm: Alarm | None = None
        self.alert = 0.0  # until when the screen counts as busy
        self.sampler: Sampler | None = None
        self.ear: Alarm | None = None  # when samples are due

    def listen(self, address: Address) -> None:
        """One more place where clients may connect."""
        self.listeners.append(Listener(address))
        if self.loop: self.loop.watch(self.listeners[-1].socket.fileno(), partial(self.accept, self.listeners[-1]))

    def serve(self, loop: Loop, session: Session, serial: dict[int, SharedLine]) -> None:
        """From now on clients are let in; `serial` has the ports that are theirs."""
        self.loop, self.session, self.serial = loop, session, serial
        vga = session.machine.pc.vga
        self.picture = Picture(vga) if vga else None
        session.machine.listeners.append(self.event)
        for listener in self.listeners: loop.watch(listener.socket.fileno(), partial(self.accept, listener))

    def accept(self, listener: Listener) -> None:
        """Somebody connects."""
        client = listener.accept(len(self.viewers) < MOST)
        if client is None or self.loop is None: return
        made: list[Viewer] = []
        stream = Stream(self.loop, client, lambda data: made[0].received(data), lambda reason: made[0].closed(reason), tls=listener.tls)
        made.append(Viewer(self, listener, stream))
        self.viewers += made

    def event(self, name: str, data: dict[str, Any]) -> None:
        """Something happens to the machine."""
        for viewer in list(self.viewers):
            if viewer.ready: viewer.say('EVENT', to_json(happened(name, data)))

    # --- the picture -----------------------------------------------------------------------------------------------------------------------

    def touched(self) -> None:
        """Somebody typed, or moved the mouse: the screen will change."""
        self.alert = time.monotonic() + ALERT
        self.look_soon()

    def look_soon(self, seconds: float = SOON) -> None:
        """The next look at the screen is due in at most so many seconds."""
        assert self.loop
        if self.alarm and self.alarm.when <= time.monotonic() + seconds: return
        if self.alarm: self.alarm.cancel()
        self.alarm = self.loop.after(seconds, self.look)

    def look(self) -> None:
        """Looks at the screen where somebody wants to see it."""
        self.alarm, now = None, time.monotonic()
        if not any(viewer.ready for viewer in self.viewers): return
        wanting = [viewer for viewer in self.viewers if viewer.wants_frame(now)]
        if self.picture and wanting:
            changed, resized = self.picture.update()
            if changed or resized: self.alert = now + ALERT
            for viewer in self.viewers:
                for rect in changed * (viewer.shape == self.picture.pixels.shape): viewer.unseen.add(rect)
            for viewer in wanting: viewer.frame(self.picture, now)
        if (leds := self.session.machine.pc.i8042.keyboard.leds) != self.leds:
            self.leds = leds
            for viewer in list(self.viewers):
                if viewer.ready: viewer.say('LEDS', leds)
        self.look_soon(BUSY if time.monotonic() < self.alert else QUIET)

    # --- sound -----------------------------------------------------------------------------------------------------------------------------

    def sound(self) -> None:
        """Samples are made while somebody listens."""
        speaker, wanted = self.session.machine.pc.speaker, any(viewer.listens for viewer in self.viewers)
        if wanted and not self.sampler:
            self.sampler = Sampler(self.samples, 0)
            speaker.listen(self.sampler.on_change)
            self.hear()
        elif not wanted and self.sampler:
            speaker.ignore(self.sampler.on_change)
            if self.ear: self.ear.cancel()
            self.sampler = self.ear = None

    def hear(self) -> None:
        """Makes what was heard up to now."""
        assert self.loop and self.sampler
        self.sampler.record(self.session.machine.pc.speaker.tick())
        self.ear = self.loop.after(LISTENING, self.hear)

    def samples(self, samples: Any, at: int) -> None:
        """To those who listen; a client that is behind misses some."""
        for viewer in list(self.viewers):
            if viewer.listens and viewer.stream.waiting < RATE: viewer.say('SAMPLES', at, samples.tobytes())

    def close(self) -> None:
        """The run is over, if it is not already."""
        for viewer in list(self.viewers): viewer.stream.send(pack('BYE', 'the machine has ended'))
        farewell([viewer.stream for viewer in self.viewers])
        for viewer in list(self.viewers): viewer.stream.close('the machine has ended')
        while self.listeners:
            listener = self.listeners.pop()
            if self.loop: self.loop.watch(listener.socket.fileno())
            listener.close()


@contextlib.contextmanager
def window(display: Display, name: str) -> Iterator[None]:
    """-display sdl: a client of its own on a socket of its own. It ends with the machine; when the user closes it, it asks what is to become of the machine."""
    with tempfile.TemporaryDirectory(prefix='emu.') as folder:
        path = os.path.join(folder, 'display')
        display.listen(Address('unix', path))
        client = subprocess.Popen([sys.executable, '-m', 'frontends.sdl', path, '--owner', '--title', name], stdin=subprocess.DEVNULL)
        try:
            yield
        finally:
            display.close()
            try:
                client.wait(2)
            except subprocess.TimeoutExpired:
                client.terminate()
