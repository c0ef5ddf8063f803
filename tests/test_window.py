"""The window (frontends/sdl) under Xvfb, with real keys and mouse events (xdotool): what the user does reaches the machine, what the machine shows is in the window."""
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable, Iterator

import numpy as np
import pytest
from PIL import Image

from frontends.client import Client, connect
from tests.conftest import guest, program
from tests.control_guest import kernel

PATIENCE = 60  # seconds
PAPER = (28, 30, 36)  # of the window's own panels
STATUS = 24


@pytest.fixture(scope='module')
def desktop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """An X display, and the directory of its frame buffer."""
    xvfb, _ = program('Xvfb'), program('xdotool')
    folder = tmp_path_factory.mktemp('x')
    read, write = os.pipe()
    server = subprocess.Popen([xvfb, '-displayfd', str(write), '-noreset', '-screen', '0', '1024x768x24', '-fbdir', str(folder)], pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as number: yield f':{number.readline().strip()}', folder
    server.terminate()
    server.wait()


class Seat:
    """Somebody who sits before a window."""

    def __init__(self, folder: Path, desktop: tuple[str, Path], *options: str, kernel_file: Path | None = None):
        self.folder, self.frame_buffer = folder, desktop[1]
        self.environment = os.environ | {'DISPLAY': desktop[0], 'SDL_AUDIODRIVER': 'dummy'}
        (folder / 'kernel').write_bytes(kernel())
        self.path, self.serial = str(folder / 'display'), folder / 'serial'
        self.machine = subprocess.Popen([sys.executable, '-m', 'emu', 'run', '-m', '16', '-kernel', str(kernel_file or folder / 'kernel'), '-name', 'under test',
                                         '-serial', f'file:{self.serial}', '-display-listen', self.path, *options], stdin=subprocess.DEVNULL, env=self.environment, cwd=folder)
        self.window: subprocess.Popen[bytes] | None = None
        self.wait(lambda: os.path.exists(self.path) if kernel_file else 'ready' in self.said())

    def view(self, *words: str) -> None:
        """emu view."""
        self.window = subprocess.Popen([sys.executable, '-m', 'emu', 'view', self.path, *words], env=self.environment, cwd=self.folder)
        self.wait(self.there)

    def there(self) -> bool:
        """The window is there, and has the keyboard."""
        return self.title().startswith('under test')

    def title(self) -> str:
        return self.do('getwindowfocus', 'getwindowname')

    def wait(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end and self.machine.poll() is None and not (self.window and self.window.poll() is not None)
            time.sleep(0.05)

    def said(self) -> str:
        """What the guest's keyboard and mouse have said."""
        return self.serial.read_text() if self.serial.exists() else ''

    def do(self, *words: str) -> str:
        """xdotool."""
        return subprocess.run(['xdotool', *words], env=self.environment, capture_output=True, text=True, timeout=PATIENCE).stdout

    def keys(self, *names: str) -> None:
        for name in names: self.do('key', name)

    def status(self) -> str:
        client = Client(connect(self.path))
        found = client.execute('query-status')['status']
        client.close()
        return str(found)

    def end(self) -> None:
        for process in (self.window, self.machine):
            if not process: continue
            process.kill()
            process.wait()


@pytest.fixture
def seat(tmp_path: Path, desktop: tuple[str, Path]) -> Iterator[Seat]:
    made = Seat(tmp_path, desktop, '-display', 'none')
    try:
        made.view()
        yield made
    finally:
        made.end()


def geometry(seat: Seat) -> dict[str, int]:
    """X, Y, WIDTH, HEIGHT of the window."""
    lines = seat.do('getwindowgeometry', '--shell', seat.do('getwindowfocus').strip()).split()
    return {key: int(value) for key, _, value in (line.partition('=') for line in lines)}


def test_keyboard_and_mouse(seat: Seat) -> None:
    """Keys go to the machine; a click gives it the mouse, Ctrl+Alt+G takes it back, and is not seen by the machine."""
    shape = geometry(seat)
    seat.do('mousemove', str(shape['X'] + shape['WIDTH'] // 2), str(shape['Y'] + shape['HEIGHT'] // 2))
    seat.keys('a')
    seat.wait(lambda: 'k1E\nk9E\n' in seat.said())
    seat.do('click', '1')
    seat.wait(lambda: 'releases' in seat.title())
    seat.do('mousemove_relative', '--', '9', '-4')
    seat.wait(lambda: moved(seat) == (9, 4))  # 9 to the right, 4 up
    seat.do('click', '3')
    seat.wait(lambda: 'm0A\nm00\nm00\nm08\nm00\nm00\n' in seat.said())
    seat.keys('ctrl+alt+g')
    seat.wait(lambda: 'releases' not in seat.title())
    before = seat.said().count('m')
    seat.do('mousemove_relative', '--', '30', '30')
    seat.keys('b')
    seat.wait(lambda: 'k30\nkB0\n' in seat.said())
    assert seat.said().count('m') == before and 'k22' not in seat.said()  # no G, and the mouse is the desktop's


def moved(seat: Seat) -> tuple[int, int]:
    """Counts to the right and up in all packets of the mouse (IBM PS/2 Technical Reference, "Mouse": flags with the signs, then x, then y)."""
    data = [int(line[1:], 16) for line in seat.said().split() if line[0] == 'm']
    packets = list(zip(data[0::3], data[1::3], data[2::3]))
    return sum(x - (flags << 4 & 256) for flags, x, _ in packets), sum(y - (flags << 3 & 256) for flags, _, y in packets)


def test_screenshot(seat: Seat) -> None:
    """Ctrl+Alt+S writes the machine's picture, also where the window has none yet."""
    seat.keys('ctrl+alt+s')
    seat.wait(lambda: any(b'IEND' in path.read_bytes() for path in seat.folder.glob('emu-*.png')))
    assert Image.open(next(seat.folder.glob('emu-*.png'))).size == (720, 400)


def test_pause_reset_and_menu(seat: Seat) -> None:
    """By keys, and the menu's rows by arrows and Enter; the machine sees none of them."""
    seat.keys('ctrl+alt+p')
    seat.wait(lambda: seat.status() == 'paused')
    seat.keys('ctrl+alt+p')
    seat.wait(lambda: seat.status() == 'running')
    said = seat.said()
    assert said.count('ready') == 1
    seat.keys('ctrl+alt+m')
    seat.wait(lambda: panel(seat))
    seat.keys('Down', 'Down', 'Return')  # past the CD drive and the power button: Reset
    seat.wait(lambda: seat.said().count('ready') == 2)
    assert 'k50' not in seat.said() and 'k1C' not in seat.said()


def test_closing_leaves_the_machine(seat: Seat) -> None:
    assert seat.window
    seat.keys('ctrl+alt+q')
    assert seat.window.wait(PATIENCE) == 0
    assert seat.status() == 'running'


def test_the_window_ends_with_the_machine(seat: Seat) -> None:
    assert seat.window
    client = Client(connect(seat.path))
    client.execute('quit')
    assert seat.window.wait(PATIENCE) == 0 and seat.machine.wait(PATIENCE) == 0


def test_no_desktop(seat: Seat) -> None:
    """One line, exit code 1: no window that nobody sees."""
    for display in ({'DISPLAY': ':4711'}, {}):
        environment = {key: value for key, value in seat.environment.items() if key not in ('DISPLAY', 'WAYLAND_DISPLAY')} | {'XDG_RUNTIME_DIR': str(seat.folder)} | display
        done = subprocess.run([sys.executable, '-m', 'emu', 'view', seat.path], env=environment, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 1 and done.stderr == 'emu view: no window can be opened: there is no desktop\n'


def test_own_window_asks(tmp_path: Path, desktop: tuple[str, Path]) -> None:
    """emu run -display sdl: closing asks; Esc stays, Q ends the machine."""
    seat = Seat(tmp_path, desktop, '-display', 'sdl')
    try:
        seat.wait(seat.there)
        seat.keys('ctrl+alt+q')
        seat.wait(lambda: panel(seat))
        seat.keys('Escape')
        seat.wait(lambda: not panel(seat))
        seat.keys('ctrl+alt+q')
        seat.wait(lambda: panel(seat))
        seat.keys('q')
        assert seat.machine.wait(PATIENCE) == 0
    finally:
        seat.end()


def test_what_is_seen(seat: Seat) -> None:
    """The picture is in the window in its aspect: 720x400 as 4:3 is 720x540, above the status line."""
    seat.wait(lambda: (window_shot(seat)[-STATUS:] == PAPER).all(axis=2).mean() > 0.5)
    shot = window_shot(seat)
    assert shot.shape[:2] == (540 + STATUS, 720)
    assert not panel(seat)
    seat.keys('ctrl+alt+h')
    seat.wait(lambda: panel(seat))


def test_invaders_in_the_window(tmp_path: Path, desktop: tuple[str, Path]) -> None:
    """grub-invaders, played by keys held down: the ship moves, a shot flies."""
    seat = Seat(tmp_path, desktop, '-display', 'none', kernel_file=guest('invaders')['invaders.exec'])
    try:
        seat.view()
        seat.wait(lambda: ship(seat) is not None)
        assert abs((ship(seat) or 0) - 0.5) < 0.05  # in the middle
        for key, moved in (('Left', lambda x: x < 0.45), ('Right', lambda x: x > 0.55)):
            seat.do('keydown', key)
            seat.wait(lambda: moved(ship(seat)))  # noqa: B023 (it is called here)
            seat.do('keyup', key)
        seat.do('keydown', 'space')
        seat.wait(lambda: shots(seat) > 0)
        seat.do('keyup', 'space')
        if folder := os.environ.get('EMU_PICTURES'): Image.fromarray(window_shot(seat)).save(Path(folder) / 'window.png')
    finally:
        seat.end()


def ship(seat: Seat) -> float | None:
    """Where the ship, which is magenta, is in the window's lower part, from 0 (left) to 1."""
    shot = window_shot(seat)[:-STATUS].astype(int)
    found = np.flatnonzero(((shot[-60:, :, 0] > 90) & (shot[-60:, :, 1] < 60)).any(axis=0))
    return float(found.mean()) / shot.shape[1] if len(found) else None


def shots(seat: Seat) -> int:
    """Dots of shots: what is bright between the formation and the ship."""
    shot = window_shot(seat)[:-STATUS].astype(int)
    return int((shot[-200:-60].max(axis=2) > 90).sum())


def panel(seat: Seat) -> bool:
    """Something of the window's own is above the picture."""
    return bool((abs(window_shot(seat)[:-STATUS].astype(int) - PAPER) < 8).all(axis=2).mean() > 0.05)


def window_shot(seat: Seat) -> np.ndarray:
    """The window's pixels, out of Xvfb's frame buffer: an XWD file (X11/XWDFile.h: header size at 0, width and height at 16, bytes a line at 48, colours at 76)."""
    data = (seat.frame_buffer / 'Xvfb_screen0').read_bytes()
    header, width, height, line, colours = (int.from_bytes(data[at:at + 4], 'big') for at in (0, 16, 20, 48, 76))
    pixels = np.frombuffer(data, np.uint8, line * height, header + 12 * colours).reshape(height, line // 4, 4)[:, :width, 2::-1]
    shape = geometry(seat)
    return pixels[shape['Y']:shape['Y'] + shape['HEIGHT'], shape['X']:shape['X'] + shape['WIDTH']]
