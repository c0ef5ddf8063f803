"""What the window does: keys and mouse to the machine, picture and sound from it, and what Ctrl+Alt with a key, or the menu, asks for."""
import ctypes
import json
import os
import time
from collections import deque
from functools import partial
from typing import Any, Callable, NamedTuple

import sdl2

from frontends.client import Client, why
from frontends.sdl.keys import SET_1
from frontends.sdl.overlay import Pixels, panel
from frontends.sdl.screen import Screen
from frontends.sdl.sound import Sound

TICK = 0.005  # seconds between two looks at SDL's events while nothing arrives
STATISTICS = 1.0  # seconds between two questions for the status line
TOLD = 4.0  # seconds that a message stays in it
BUTTONS = {sdl2.SDL_BUTTON_LEFT: 0, sdl2.SDL_BUTTON_RIGHT: 1, sdl2.SDL_BUTTON_MIDDLE: 2, sdl2.SDL_BUTTON_X1: 3, sdl2.SDL_BUTTON_X2: 4}
HOST = sdl2.KMOD_CTRL, sdl2.KMOD_ALT  # held together with a key, they are for the window
LEDS = ((4, 'Caps'), (2, 'Num'), (1, 'Scroll'))
HELP = (
    ('Ctrl+Alt+G', 'gives keyboard and mouse to the machine, or back; a click gives them, too'),
    ('Ctrl+Alt+M', 'menu: media, reset, power button, and all of this list'),
    ('Ctrl+Alt+F', 'full screen'),
    ('Ctrl+Alt+I', 'scaling in whole steps, or smoothly'),
    ('Ctrl+Alt+1', 'the size of the picture itself'),
    ('Ctrl+Alt+B', 'status line'),
    ('Ctrl+Alt+S', 'screenshot: a PNG in the current directory'),
    ('Ctrl+Alt+V', 'types the text of the clipboard'),
    ('Ctrl+Alt+D', 'Ctrl+Alt+Delete for the machine'),
    ('Ctrl+Alt+P', 'pauses the machine, or goes on'),
    ('Ctrl+Alt+H', 'this list'),
    ('Ctrl+Alt+Q', 'closes the window'),
)


class Item(NamedTuple):
    """A row of the menu."""

    text: str
    note: str
    do: Callable[[], object]


class Window:
    """One window on one machine; `owner`: it was started with the machine, and asks before it leaves."""

    def __init__(self, machine: Client, title: str, owner: bool, view_only: bool):
        self.machine, self.title, self.owner, self.view_only = machine, title, owner, view_only
        self.screen, self.sound = Screen(title), Sound()
        self.leaving = False
        self.grabbed = False
        self.pressed: set[int] = set()
        self.leds = 0
        self.panel: Pixels | None = None
        self.items: list[Item] = []  # of the menu, while it is open
        self.marked = 0
        self.answer: dict[str, Callable[[], object]] = {}  # keys that answer a question, while one is asked
        self.entry: str | None = None  # the path that is being typed
        self.entered: Callable[[str], object] = print
        self.message, self.message_until = '', 0.0
        self.numbers: dict[str, float] = {}
        self.rates = ''
        self.asked_at = 0.0
        self.waiting: deque[Callable[[Any], object]] = deque()  # for answers to commands, in their order
        self.paused = False
        self.dirty = True
        machine.heard = self.heard
        if not view_only: machine.say('LISTEN', 1)

    # --- the loop ----------------------------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Until the user leaves, or the machine ends (Ended)."""
        event = sdl2.SDL_Event()
        while not self.leaving:
            while sdl2.SDL_PollEvent(ctypes.byref(event)): self.event(event)
            self.machine.work(TICK)
            while self.machine.answers and self.waiting: self.waiting.popleft()(self.machine.answers.popleft())
            if self.machine.frame is not None: self.show()
            now = time.monotonic()
            if now - self.asked_at > STATISTICS and not self.view_only and len(self.waiting) < 2:
                self.asked_at = now
                self.command('query-stats', self.statistics)
                self.command('query-status', self.status)
            if self.message and now > self.message_until:
                self.message, self.dirty = '', True
            if self.dirty: self.draw()

    def show(self) -> None:
        """A frame is complete."""
        lines, dots = self.machine.pixels.shape[:2]
        if (dots, lines) != self.screen.size or self.screen.texture is None or self.machine.aspect != self.screen.aspect:
            self.screen.mode(dots, lines, self.machine.aspect)
            self.machine.changed = [(0, 0, dots, lines)]
        for place in self.machine.changed: self.screen.update(self.machine.pixels, place)
        self.machine.changed.clear()
        self.draw()
        self.machine.shown()

    def draw(self) -> None:
        """The window, whole."""
        self.dirty = False
        lights = ' '.join(name for bit, name in LEDS if self.leds & bit)
        state = 'paused' if self.paused else self.rates
        keys = 'view only' if self.view_only else 'Ctrl+Alt+G releases' if self.grabbed else 'Ctrl+Alt+H: keys'
        self.screen.draw(self.panel, self.message or f'{self.title}   {state}', f'{lights}   {keys}')

    def tell(self, text: str) -> None:
        """A message in the status line."""
        self.message, self.message_until, self.dirty = text, time.monotonic() + TOLD, True

    # --- the machine -------------------------------------------------------------------------------------------------------------------------

    def heard(self, name: str, fields: dict[str, Any]) -> None:
        """What it says."""
        match name:
            case 'FORMAT': self.sound.format(**fields)
            case 'SAMPLES': self.sound.play(fields['samples'])
            case 'LEDS': self.leds, self.dirty = fields['leds'], True
            case 'NOTICE': self.tell(fields['text'])
            case 'RESULT': self.tell(f'{fields["drive"]}: {fields["error"] or "done"}')
            case 'EVENT':
                event = json.loads(fields['json'])['event']
                if event in ('STOP', 'RESUME'): self.paused, self.dirty = event == 'STOP', True

    def command(self, name: str, then: Callable[[Any], object] | None = None, **arguments: Any) -> None:
        """A command; `then` gets what it returns, an error goes into the status line."""
        def answered(answer: dict[str, Any]) -> None:
            if 'error' in answer: self.tell(answer['error']['desc'])
            elif then: then(answer['return'])
        if self.view_only: return self.tell('this window may only look')
        self.waiting.append(answered)
        self.machine.say('EXECUTE', json.dumps({'execute': name, 'arguments': arguments}).encode())
        return None

    def statistics(self, stats: dict[str, Any]) -> None:
        """For the status line."""
        now = {'time': time.monotonic(), 'instructions': stats['guest']['instructions'], 'lookups': stats['cache'].get('lookups', 0), 'hits': stats['cache'].get('hits', 0)}
        if self.numbers:
            gone = {key: value - self.numbers[key] for key, value in now.items()}
            ratio = f'   cache hits {gone["hits"] / gone["lookups"]:.1%}' if gone['lookups'] else ''
            self.rates, self.dirty = f'{gone["instructions"] / gone["time"] / 1e6:.1f} MIPS{ratio}', True
        self.numbers = now

    def status(self, status: dict[str, Any]) -> None:
        """Whether it runs."""
        self.paused = not status['running']

    # --- SDL's events ------------------------------------------------------------------------------------------------------------------------

    def event(self, event: Any) -> None:
        """One of them."""
        match event.type:
            case sdl2.SDL_QUIT: self.leave()
            case sdl2.SDL_WINDOWEVENT: self.window_event(event.window.event)
            case sdl2.SDL_KEYDOWN if not event.key.repeat or self.entry is not None: self.key_down(event.key.keysym)
            case sdl2.SDL_KEYUP: self.key_up(event.key.keysym.scancode)
            case sdl2.SDL_TEXTINPUT if self.entry is not None: self.edit(self.entry + event.text.text.decode())
            case sdl2.SDL_MOUSEMOTION if self.grabbed: self.machine.say('MOVE', clip(event.motion.xrel), clip(event.motion.yrel), 0)
            case sdl2.SDL_MOUSEBUTTONDOWN if not self.grabbed: self.grab(True)
            case sdl2.SDL_MOUSEBUTTONDOWN | sdl2.SDL_MOUSEBUTTONUP if self.grabbed and event.button.button in BUTTONS:
                self.machine.say('BUTTON', BUTTONS[event.button.button], event.type == sdl2.SDL_MOUSEBUTTONDOWN)
            case sdl2.SDL_MOUSEWHEEL if self.grabbed: self.machine.say('MOVE', 0, 0, clip(-event.wheel.y))
            case sdl2.SDL_DROPFILE:
                path = ctypes.string_at(event.drop.file).decode(errors='surrogateescape')
                sdl2.SDL_free(event.drop.file)
                self.choose_drive(path)

    def window_event(self, event: int) -> None:
        """Size, focus."""
        if event == sdl2.SDL_WINDOWEVENT_FOCUS_LOST: self.release()
        elif event == sdl2.SDL_WINDOWEVENT_SIZE_CHANGED: self.screen.resized = self.screen.resized or not self.at_its_own_size()
        self.dirty = True

    def at_its_own_size(self) -> bool:
        """The window is as large as the picture asks for."""
        return self.screen.place()[:2] == (0, 0)

    def key_down(self, key: Any) -> None:
        """A key, for whoever it is meant."""
        if self.entry is not None: return self.edit_key(key.sym)
        if self.answer: return self.answered(chr(key.sym) if 32 < key.sym < 127 else 'esc' if key.sym == sdl2.SDLK_ESCAPE else '')
        if all(key.mod & mod for mod in HOST) and key.sym in self.combinations(): return self.combination(key.sym)
        if self.items: return self.menu_key(key.sym)
        if self.panel is not None: return self.shut()
        if key.scancode in SET_1 and not self.view_only:
            self.pressed.add(key.scancode)
            self.machine.say('KEY', SET_1[key.scancode], 1)
        return None

    def key_up(self, scancode: int) -> None:
        """Only what was pressed is released."""
        if scancode not in self.pressed: return
        self.pressed.discard(scancode)
        self.machine.say('KEY', SET_1[scancode], 0)

    def release(self) -> None:
        """No key of the machine stays down."""
        for scancode in list(self.pressed): self.key_up(scancode)

    def grab(self, grabbed: bool) -> None:
        """Keyboard and mouse are the machine's, or the desktop's."""
        if self.view_only: return
        self.grabbed, self.dirty = grabbed, True
        sdl2.SDL_SetRelativeMouseMode(grabbed)
        sdl2.SDL_SetWindowKeyboardGrab(self.screen.window, grabbed)
        sdl2.SDL_SetWindowTitle(self.screen.window, f'{self.title}{" - Ctrl+Alt+G releases keyboard and mouse" * grabbed}'.encode())

    # --- what the window itself does -----------------------------------------------------------------------------------------------------------

    def combinations(self) -> dict[int, Callable[[], object]]:
        """Ctrl+Alt and one of these."""
        screen = self.screen
        return {
            sdl2.SDLK_g: lambda: self.grab(not self.grabbed), sdl2.SDLK_m: self.menu, sdl2.SDLK_f: lambda: screen.fullscreen(not screen.full),
            sdl2.SDLK_i: lambda: screen.sharpen(not screen.whole), sdl2.SDLK_1: self.natural_size, sdl2.SDLK_b: self.toggle_status, sdl2.SDLK_s: self.screenshot,
            sdl2.SDLK_v: self.paste, sdl2.SDLK_d: lambda: self.command('send-key', keys=['ctrl', 'alt', 'delete']), sdl2.SDLK_p: self.pause, sdl2.SDLK_h: self.help,
            sdl2.SDLK_q: self.leave,
        }

    def combination(self, key: int) -> None:
        """Does it; the machine sees Ctrl and Alt released first."""
        self.release()
        self.shut()
        self.combinations()[key]()
        self.dirty = True

    def shut(self) -> None:
        """No panel any more."""
        self.panel, self.items, self.answer, self.entry, self.dirty = None, [], {}, None, True

    def help(self) -> None:
        self.panel = panel('Keys', HELP)

    def natural_size(self) -> None:
        self.screen.resized = False
        self.screen.mode(*self.screen.size, self.screen.aspect)
        lines, dots = self.machine.pixels.shape[:2]
        self.screen.update(self.machine.pixels, (0, 0, dots, lines))

    def toggle_status(self) -> None:
        self.screen.status = not self.screen.status

    def screenshot(self) -> None:
        """The machine's picture, dot by dot."""
        path = os.path.abspath(time.strftime('emu-%Y%m%d-%H%M%S.png'))
        try:
            self.machine.save(path)
        except OSError as error:
            return self.tell(f'{path}: {why(error)}')
        return self.tell(path)

    def paste(self) -> None:
        """The clipboard, typed."""
        if self.view_only: return
        text = sdl2.SDL_GetClipboardText() or b''
        self.machine.say('TEXT', text.decode(errors='replace').replace('\r\n', '\n'))

    def pause(self) -> None:
        self.command('query-status', lambda status: self.command('stop' if status['running'] else 'cont'))

    def leave(self) -> None:
        """Closes the window; the owner's is asked what becomes of the machine."""
        if not self.owner: self.leaving = True
        else:
            self.grab(False)
            self.ask('Close the window?', {'q': ('Q', 'and end the machine, as if its plug were pulled', self.quit), 'p': ('P', 'press its power button, and wait', self.power),
                                           'd': ('D', 'and let it run on without a window', self.detach), 'esc': ('Esc', 'no', self.shut)})

    def quit(self) -> None:
        self.command('quit')

    def power(self) -> None:
        self.command('system_powerdown')

    def detach(self) -> None:
        self.leaving = True

    # --- questions, menu -----------------------------------------------------------------------------------------------------------------------

    def ask(self, title: str, answers: dict[str, tuple[str, str, Callable[[], object]]]) -> None:
        """A question that a key answers."""
        self.panel = panel(title, [(key, text) for key, text, _ in answers.values()])
        self.answer = {key: do for key, (_, _, do) in answers.items()}

    def answered(self, key: str) -> None:
        """A key, while a question is asked."""
        do = self.answer.get(key)
        if do:
            self.shut()
            do()

    def menu(self) -> None:
        """Media first, for which the machine is asked what drives it has."""
        self.command('query-block', self.open_menu)

    def open_menu(self, drives: list[dict[str, Any]]) -> None:
        """The menu."""
        removable = [drive for drive in drives if drive['removable']]
        self.items = [
            *(Item(f'Insert into {drive["device"]}...', drive.get('filename') or 'empty', partial(self.choose_file, drive['device'])) for drive in removable),
            *(Item(f'Eject {drive["device"]}', '', partial(self.command, 'eject', device=drive['device'])) for drive in removable if drive.get('filename')),
            Item('Power button', '', self.power), Item('Reset', '', lambda: self.command('system_reset')), Item('Pause or go on', 'Ctrl+Alt+P', self.pause),
            Item('Ctrl+Alt+Delete', 'Ctrl+Alt+D', lambda: self.combination(sdl2.SDLK_d)), Item('Paste', 'Ctrl+Alt+V', self.paste),
            Item('Screenshot', 'Ctrl+Alt+S', self.screenshot), Item('Full screen', 'Ctrl+Alt+F', lambda: self.combination(sdl2.SDLK_f)),
            Item('Whole steps or smooth', 'Ctrl+Alt+I', lambda: self.combination(sdl2.SDLK_i)), Item('Status line', 'Ctrl+Alt+B', self.toggle_status),
            Item('Keys', 'Ctrl+Alt+H', self.help), Item('Close', 'Ctrl+Alt+Q', self.leave)]
        self.marked = 0
        self.draw_menu()

    def draw_menu(self) -> None:
        self.panel, self.dirty = panel('Up, Down, Enter; Esc leaves', [(item.text, item.note) for item in self.items], self.marked), True

    def menu_key(self, key: int) -> None:
        """A key, while the menu is open."""
        if key in (sdl2.SDLK_UP, sdl2.SDLK_DOWN):
            self.marked = (self.marked + (1 if key == sdl2.SDLK_DOWN else -1)) % len(self.items)
            self.draw_menu()
        elif key in (sdl2.SDLK_RETURN, sdl2.SDLK_KP_ENTER):
            item = self.items[self.marked]
            self.shut()
            item.do()
        elif key == sdl2.SDLK_ESCAPE: self.shut()

    def choose_file(self, drive: str) -> None:
        """Asks for a path."""
        self.entered = lambda path: self.insert(drive, path)
        sdl2.SDL_StartTextInput()
        self.edit('')

    def edit(self, text: str) -> None:
        """What has been typed of it."""
        self.entry, self.dirty = text, True
        self.panel = panel('A file of this computer (Enter; Esc leaves)', [(f'{text}_', '')])

    def edit_key(self, key: int) -> None:
        """A key, while a path is typed; letters come as text."""
        assert self.entry is not None
        if key == sdl2.SDLK_BACKSPACE: self.edit(self.entry[:-1])
        elif key == sdl2.SDLK_ESCAPE: self.shut()
        elif key in (sdl2.SDLK_RETURN, sdl2.SDLK_KP_ENTER):
            path = self.entry
            self.shut()
            self.entered(os.path.expanduser(path))

    def choose_drive(self, path: str) -> None:
        """A file was dropped on the window: into which drive?"""
        def choose(drives: list[dict[str, Any]]) -> None:
            self.items = [Item(f'Insert into {drive["device"]}', '', partial(self.insert, drive['device'], path)) for drive in drives if drive['removable']]
            self.marked = 0
            if self.items: self.draw_menu()
        self.command('query-block', choose)

    def insert(self, drive: str, path: str) -> None:
        """Lends a file to the machine, for as long as this window is there: floppies may be written to."""
        try:
            self.machine.insert(drive, path, writable='floppy' in drive and os.access(path, os.W_OK))
        except OSError as error:
            self.tell(f'{path}: {why(error)}')


def clip(value: int) -> int:
    """As the protocol can say it."""
    return max(-32768, min(value, 32767))
