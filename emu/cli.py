"""The `emu` command. `emu run` has QEMU's spelling of its options, with one dash or two.

What a person did wrong is one line on stderr and exit code 1, or 2 where the command line itself makes no sense; any other exit code of
`emu run` is the guest's, through --debug-exit. What a subcommand needs is imported when it runs.
"""
import argparse
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, NoReturn, Sequence, TextIO

from emu import __version__, cache
from emu.boot.firmware import Boot
from emu.errors import EmuError, file_error, reason, warn
from emu.hw.rtc import BOOT_DRIVES
from emu.isa.models import MODELS
from emu.net import options as net
from emu.options import DISPLAYS, ENGINES, LOGS, PLACES, POLICIES, TCACHE_MAX, TCACHE_MIN, VGAS, Drive, Options
from emu.server import listening
from emu.tcache import archive
from emu.words import comma_words

UNITS = {'': 20, 'K': 10, 'M': 20, 'G': 30}  # of sizes: a bare number is megabytes


class Parser(argparse.ArgumentParser):
    """Usage errors are one line, which points to the help of the subcommand."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f'{self.prog}: {message} (`{self.prog} -h` helps)\n')

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """What a subcommand does not know is its own error, not that of the whole command."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown: self.error(f'unrecognized arguments: {" ".join(unknown)}')
        return found, unknown

    def _get_option_tuples(self, option_string: str) -> list[Any]:
        """-machine is not -m achine."""
        return []

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        """An option's value may be '--', which Python 3.11 drops."""
        return self._get_value(action, '--') if arg_strings == ['--'] and action.option_strings else super()._get_values(action, arg_strings)


def size(text: str) -> int:
    """Bytes from 256, 256M or 1G."""
    match = re.fullmatch(r'(?:size=)?(\d+)([KMG]?)B?', text, re.ASCII | re.IGNORECASE)
    if not match: raise argparse.ArgumentTypeError(f"'{text}' is no size, such as 256, 256M or 1G")
    return int(match[1]) << UNITS[match[2].upper()]


def tcache_size(text: str) -> tuple[int, tuple[tuple[str, int], ...]]:
    """What -tcache-size takes: SIZE,nursery=SIZE,survivors=SIZE."""
    total, *words = text.split(',')
    rings = []
    for word in words:
        name, _, value = word.partition('=')
        if name not in ('nursery', 'survivors'): raise argparse.ArgumentTypeError(f"'{word}' is none of nursery=SIZE, survivors=SIZE")
        rings.append((name, size(value)))
    found = size(total)
    if not TCACHE_MIN <= found <= TCACHE_MAX: raise argparse.ArgumentTypeError(f'{text}: from 64K to 1G can be had')
    if sum(value for _, value in rings) > found: raise argparse.ArgumentTypeError(f'{text}: nursery and survivors are more than the whole')
    return found, tuple(rings)


def limit(text: str) -> int:
    """A size, or off."""
    if text != 'off' and size(text) < 1 << 20: raise argparse.ArgumentTypeError(f'{text}: at least 1M can be had, or off')
    return 0 if text == 'off' else size(text)


def port(text: str) -> int:
    """An I/O port, 0xE9 or 233."""
    try:
        number = int(text, 0)
    except ValueError:
        number = -1
    if not 0 <= number <= 0xffff: raise argparse.ArgumentTypeError(f"'{text}' is no port from 0 to 0xFFFF")
    return number


def port_file(text: str) -> tuple[int, Path]:
    """PORT=FILE."""
    number, _, path = text.partition('=')
    if not path: raise argparse.ArgumentTypeError(f"'{text}' is not of the form PORT=FILE")
    return port(number), Path(path)


def logs(text: str) -> frozenset[str]:
    """Names from LOGS, with commas."""
    names = frozenset(text.split(','))
    if unknown := names.difference(LOGS): raise argparse.ArgumentTypeError(f"unknown log '{min(unknown)}'; there are {' '.join(LOGS)}")
    return names


def serial(text: str) -> str:
    """What -serial takes. There is no monitor to share the terminal with, so QEMU's mon:stdio is stdio."""
    kind, _, rest = text.partition(':')
    if text == 'mon:stdio': return 'stdio'
    if text in ('stdio', 'null', 'none', 'display') or kind in ('file', 'unix') and rest: return text
    raise argparse.ArgumentTypeError(f"'{text}' is none of stdio, file:F, null, none, unix:P, display")


def parallel(text: str) -> str:
    """What -parallel takes."""
    if text in ('null', 'none') or text.startswith('file:') and text != 'file:': return text
    raise argparse.ArgumentTypeError(f"'{text}' is none of file:F, null, none")


def drive(text: str) -> Drive:
    """What -drive takes: key=value with commas; ',,' is a comma in a value."""
    given = {}
    for word in comma_words(text):
        key, _, value = word.partition('=')
        given[key] = value or ('' if key == 'file' else 'on')
    interface, media, form = given.pop('if', 'ide'), given.pop('media', 'disk'), given.pop('format', 'raw')
    if interface not in PLACES: raise argparse.ArgumentTypeError(f"if={interface}: there are {', '.join(PLACES)}")
    if media not in ('disk', 'cdrom') or media == 'cdrom' and interface != 'ide': raise argparse.ArgumentTypeError(f"media={media}: there are disk and, with if=ide, cdrom")
    if form != 'raw': raise argparse.ArgumentTypeError(f'format={form}: only raw images can be read')
    flags = {key: switch(key, given.pop(key, 'off')) for key in ('readonly', 'snapshot')}
    index, bus, unit = (number(key, given.pop(key)) if key in given else None for key in ('index', 'bus', 'unit'))
    if index is None and (bus, unit) != (None, None): index = (bus or 0) * 2 + (unit or 0)
    file = given.pop('file', '')
    if given: raise argparse.ArgumentTypeError(f"unknown key '{min(given)}'")
    if not file and media == 'disk' and interface == 'ide': raise argparse.ArgumentTypeError('a disk needs file=')
    return Drive(file, interface, index, media, **flags)


def told_by(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """A parser from elsewhere, whose ValueErrors are for people."""
    def checked(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
    return checked


def switch(key: str, value: str) -> bool:
    """on or off."""
    if value not in ('on', 'off'): raise argparse.ArgumentTypeError(f"{key}={value}: it is on or off")
    return value == 'on'


def number(key: str, value: str) -> int:
    """A small number."""
    if not re.fullmatch(r'\d{1,3}', value, re.ASCII): raise argparse.ArgumentTypeError(f"{key}={value}: '{value}' is no such number")
    return int(value)


def plugged(interface: str, index: int, media: str = 'disk') -> dict[str, Any]:
    """What argparse is told of -hda and its like."""
    return dict(dest='drives', action='append', type=lambda file: Drive(file, interface, index, media))


def boot(text: str) -> Boot:
    """What -boot takes: drives, or KEY=VALUE with commas."""
    made = Boot()
    for word in (text if '=' in text else f'order={text}').split(','):
        key, _, value = word.partition('=')
        drives = bool(value) and not set(value) - set(BOOT_DRIVES)
        if key == 'order' and drives: made = made._replace(order=value)
        elif key == 'once' and drives: made = made._replace(once=value)
        elif key == 'menu' and value in ('on', 'off'): made = made._replace(menu=value == 'on')
        elif key == 'splash-time' and value.isascii() and value.isdigit(): made = made._replace(wait=int(value))
        else: raise argparse.ArgumentTypeError(f"'{word}' is none of order=DRIVES, once=DRIVES (of {BOOT_DRIVES}), menu=on, splash-time=MILLISECONDS")
    return made


# Option, its value in the help ('': a flag), what argparse is told, help. Each fills the field of Options named in `dest`, or the one of its own name.
RUN: tuple[tuple[str, str, dict[str, Any], str], ...] = (
    ('m', 'MB', dict(dest='memory', type=size), 'memory in megabytes, or with a suffix M or G (default 128)'),
    ('kernel', 'FILE', {}, 'a Linux bzImage or a multiboot 1 kernel'),
    ('initrd', 'FILE', {}, "Linux's initial RAM disk; multiboot modules as 'FILE ARGUMENTS,FILE...'"),
    ('append', 'TEXT', {}, "the kernel's command line"),
    ('bios', 'FILE', {}, 'the BIOS that runs where there is no -kernel: own (the default), seabios (fetched when it is needed), or a file'),
    ('vgabios', 'FILE', {}, "the display adapter's BIOS (default: SeaBIOS's, fetched when it is needed; our own BIOS needs none)"),
    ('boot', 'LIST', dict(type=boot), 'order=adnc, once=DRIVES, menu=on: drives that the BIOS boots from'),
    *((f'hd{"abcd"[n]}', 'FILE', plugged('ide', n), f'{("primary", "secondary")[n // 2]} IDE {("master", "slave")[n % 2]}: a raw disk image') for n in range(4)),
    ('cdrom', 'FILE', plugged('ide', 2, 'cdrom'), 'the CD in the secondary IDE master'),
    *((f'fd{"ab"[n]}', 'FILE', plugged('floppy', n), f'floppy drive {"AB"[n]}: a raw image of 160K to 2.88M') for n in range(2)),
    ('drive', 'KEYS', dict(dest='drives', action='append', type=drive),
     f'file=F,if={"|".join(PLACES)},index=N or bus=,unit=,media=disk|cdrom,format=raw,readonly=on,snapshot=on; a comma in F is written twice'),
    ('nic', 'KEYS', dict(action='append', type=told_by(net.parse_nic)),
     f'a network card and its network: user|socket,model={"|".join(net.MODELS)},mac=A and the keys of -netdev and -device; none: no card (the default)'),
    ('netdev', 'KEYS', dict(action='append', type=told_by(net.parse_netdev)),
     'user,id=N,hostfwd=[tcp|udp]:[ADDRESS]:PORT-[ADDRESS]:PORT,guestfwd=tcp:ADDRESS:PORT-tcp:HOST:PORT,restrict=on,allow-loopback=on,tftp=DIR,http=DIR,bootfile=F,hostname=H; '
     'socket,id=N,listen=[HOST]:PORT or connect=; each with dump=FILE (pcap), loss=0.01'),
    ('device', 'KEYS', dict(action='append', type=told_by(net.parse_device)), f'{"|".join(net.MODELS)},netdev=N,mac=A; for ne2k_isa also iobase=PORT,irq=N'),
    ('snapshot', '', {}, 'what the guest writes to its disks is forgotten at the end'),
    ('cpu', 'MODEL', {}, f"the processor that CPUID tells of: {', '.join(MODELS)}"),
    ('serial', 'LINE', dict(action='append', type=serial),
     'COM1: stdio (the default), file:F, null, none (no port), unix:P (connects to a socket; unix:P,server waits for who connects to it, unix:P,server,nowait does not), '
     'display (those who view the machine); repeated: COM2 to COM4'),
    ('parallel', 'PRINTER', dict(type=parallel), 'what LPT1 prints goes to file:F or null (the default); none: no such port'),
    ('speaker', 'FILE', {}, 'the PC speaker, recorded as WAV from the first sound on'),
    ('nographic', '', dict(dest='display', action='store_const', const='none'), 'no window; COM1 is on this terminal anyway'),
    ('vga', 'CARD', dict(choices=VGAS), 'the display adapter: std (the default: a VGA with VBE, as in QEMU) or none'),
    ('display', 'KIND', dict(choices=DISPLAYS), 'sdl: a window, which is a program of its own (the default where there is a desktop); none'),
    ('display-listen', 'ADDRESS', dict(dest='display_listen', action='append', type=told_by(listening.parse)),
     "where `emu view` may connect: a Unix socket's path, or tcp:HOST:PORT (this host only) or tls:HOST:PORT with ,token=FILE[,cert=FILE,key=FILE]; ,view-only=on"),
    ('name', 'NAME', {}, 'what the machine is called'),
    ('no-reboot', '', dict(dest='reboot', action='store_false'), 'a reset of the guest ends the run'),
    ('no-shutdown', '', dict(dest='shutdown', action='store_false'), 'a CPU halted for good does not'),
    ('d', 'LIST', dict(dest='log', type=logs), f'log some of {",".join(LOGS)}'),
    ('D', 'FILE', dict(dest='log_file', type=Path), 'where to (default: stderr)'),
    ('icount', '', {}, 'guest time follows retired instructions: every run is the same'),
    ('control', 'PATH', {}, 'a Unix socket that takes commands as lines of JSON; `emu ctl PATH COMMAND` speaks it'),
    ('stats', 'FILE', {}, "statistics at the end, as JSON; '-' prints a table"),
    ('tcache-size', 'MB', dict(dest='tcache_size', type=tcache_size), 'for translations, 64K to 1G (default 64M); nursery=MB,survivors=MB: of that, for the youngest'),
    ('tcache-policy', 'P', dict(dest='tcache_policy', choices=POLICIES), f'{", ".join(POLICIES[:-1])} or {POLICIES[-1]} (the default)'),
    ('trace', 'FILE', dict(type=Path), 'records which translations are executed, for the simulator of policies (docs/cache.md); slow'),
    ('archive', 'MB', dict(type=limit), f'bytes on disk for optimised translations, which the next run finds again, or off (default {archive.LIMIT >> 20}M)'),
    ('debugcon', 'PORT=FILE', dict(action='append', type=port_file), 'bytes written to the port are appended to the file; may be repeated'),
    ('debug-exit', 'PORT', dict(dest='debug_exit', type=port), 'a value v written to the port ends the run with exit code 2v+1'),
    ('engine', 'E', dict(choices=ENGINES), f'no engine above this one: {", ".join(ENGINES)} (the default: all)'),
)
FLAGS = {name for name, value, _, _ in RUN if not value}
VALUED = {name for name, value, _, _ in RUN if value}


def parser() -> Parser:
    """The whole command line."""
    top = Parser('emu', description='A PC emulator. `make run` in its source tree boots Linux; `emu demo` needs no download.', allow_abbrev=False)
    top.add_argument('--version', action='version', version=f'emu {__version__}')
    commands = top.add_subparsers(metavar='COMMAND', required=True)
    run = command(commands, 'run', do_run, 'run a virtual machine',
                  'Options have the names of QEMU, with one dash or two. On a terminal Ctrl-A x quits, Ctrl-A h lists the keys.')
    for name, value, told, text in RUN:
        usual: dict[str, Any] = {'metavar': value} if value else {'action': 'store_true'}
        run.add_argument(f'-{name}', **usual | {'dest': name, 'default': argparse.SUPPRESS, 'help': text} | told)
    command(commands, 'setup', do_setup, 'build the interpreter and the stencils; `run` does it where it was not done')
    command(commands, 'demo', do_demo, 'a guest that needs no download')
    guest = commands.add_parser('guest', help='guests to download').add_subparsers(metavar='COMMAND', required=True)
    command(guest, 'get', do_guest_get, "make guests from Debian's packages; prints their directories").add_argument('name', nargs='+')
    command(guest, 'list', do_guest_list, 'what there is to get, and what is made already')
    control = command(commands, 'ctl', do_ctl, 'tell a running machine something',
                      'Arguments are VALUE, in the order of `emu ctl PATH help`, or ARGUMENT=VALUE. Lists have commas.')
    control.add_argument('path', help='what `emu run -control` was given')
    control.add_argument('command', help="a command's name; `help` lists them")
    control.add_argument('arguments', nargs='*', metavar='VALUE')
    control.add_argument('-j', '--json', action='store_true', help='print JSON')
    view = command(commands, 'view', do_view, 'show a machine that runs with -display-listen')
    view.add_argument('address', help='as -display-listen was told, with ,token=FILE and ,ca=FILE where it asks for a token and TLS')
    view.add_argument('--view-only', action='store_true', help='look and listen only')
    view.add_argument('--headless', action='store_true', help='no window: a script instead (docs/protocol.md)')
    view.add_argument('--script', metavar='FILE', help='what a client without a window does')
    bench = command(commands, 'bench', do_bench, 'measure: without a name, tells what there is', 'Reports go to bench/reports; `emu bench NAME -h` has its options.')
    bench.add_argument('name', nargs='?')
    bench.add_argument('options', nargs=argparse.REMAINDER)
    kept = command(commands, 'cache', do_cache, 'what is kept on disk: info (if nothing is said), clear; of the archive of translations: verify, prune')
    kept.add_argument('action', nargs='?', choices=('info', 'prune', 'clear', 'verify'), default='info',
                      help='info: what there is; clear: removes all of it; verify: drops damaged translations; prune: also those of other versions of emu')
    return top


def command(commands: Any, name: str, do: Callable[[argparse.Namespace], int], text: str, more: str = '') -> Parser:
    """A subcommand that calls do."""
    made: Parser = commands.add_parser(name, help=text, description=f'{text[0].upper()}{text[1:]}. {more}'.strip(), allow_abbrev=False)
    made.set_defaults(do=do)
    return made


def spell(arguments: Sequence[str]) -> list[str]:
    """`emu run`'s arguments as argparse wants them: one dash; a value in the same word, as it may begin with a dash. What is not ours stays as it is."""
    out, rest = [], list(arguments)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.lstrip('-').partition('=')
        if word in ('-h', '-help', '--help'): out.append('-h')
        elif word[:1] != '-' or name not in VALUED | FLAGS: out.append(word)
        elif name in VALUED and (equals or rest): out.append(f'-{name}={value if equals else rest.pop(0)}')
        else: out.append(f'-{name}{equals}{value}')
    return out


def do_run(arguments: argparse.Namespace) -> int:
    """emu run."""
    given = {name: value for name, value in vars(arguments).items() if name != 'do'}
    given.update({name: tuple(given[name]) for name in ('debugcon', 'drives', 'serial', 'display_listen') if name in given})
    if 'tcache_size' in given: given['tcache_size'], given['tcache_rings'] = given['tcache_size']
    given['networks'] = net.networks(*(given.pop(name, ()) for name in ('nic', 'netdev', 'device')))
    options = Options(**{'display': 'sdl' if desktop() else 'none'} | given)
    from emu.machine import run_machine
    return run_machine(options)


def desktop() -> bool:
    """There is one to open a window on."""
    return bool(os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY'))


def do_view(arguments: argparse.Namespace) -> int:
    """emu view: becomes the client, which knows nothing of this program."""
    client = 'frontends.headless' if arguments.headless else 'frontends.sdl'
    words = [arguments.address, *(['--script', arguments.script] if arguments.script else []), *(['--view-only'] if arguments.view_only else [])]
    os.execv(sys.executable, [sys.executable, '-m', client, *words])


def do_setup(arguments: argparse.Namespace) -> int:
    """emu setup."""
    from emu.jit import build
    build.setup()
    return 0


def do_demo(arguments: argparse.Namespace) -> int:
    """emu demo."""
    from emu import demo
    return demo.run()


def do_guest_get(arguments: argparse.Namespace) -> int:
    """emu guest get: progress goes to stderr, the directories to stdout."""
    from emu import guests
    for name in arguments.name:
        guests.get(name)
        print(guests.directory(name))
    return 0


def do_guest_list(arguments: argparse.Namespace) -> int:
    """emu guest list."""
    from emu import guests
    for name, size, text in guests.listing():
        print(f'{name:12}{size:>10}  {text}')
    return 0


def do_ctl(arguments: argparse.Namespace) -> int:
    """emu ctl."""
    from emu.server import client
    return client.run(arguments.path, arguments.command, arguments.arguments, arguments.json)


def do_bench(arguments: argparse.Namespace) -> int:
    """emu bench: a program of the source tree's folder bench."""
    folder = Path(__file__).parent.parent / 'bench'
    names = sorted(path.stem for path in folder.glob('[a-z]*.py'))
    if not names: raise EmuError('the benches are only in the source tree')
    if arguments.name is None:
        print('\n'.join(names))
        return 0
    if arguments.name not in names: raise EmuError(f"no bench '{arguments.name}'; there are {' '.join(names)}")
    return subprocess.run([sys.executable, str(folder / f'{arguments.name}.py'), *arguments.options]).returncode


def do_cache(arguments: argparse.Namespace) -> int:
    """emu cache: how much each entry takes, and what the archive holds; clear removes everything."""
    directory, folder = cache.directory(), cache.directory('archive')
    if arguments.action in ('prune', 'verify'):
        good, bad = archive.verify(folder)
        if arguments.action == 'prune': archive.prune(folder, translator())
        print(f'{good} translations are whole, {bad} were damaged and are dropped')
    entries = sorted(directory.iterdir()) if directory.is_dir() else []
    for entry in entries:
        files = [entry] if entry.is_file() else [path for path in entry.rglob('*') if path.is_file() and not path.is_symlink()]
        print(f'{sum(path.stat().st_size for path in files) / 1e6:10.1f} MB  {entry}')
        if arguments.action == 'clear': cache.remove(entry)
        elif entry == folder:
            for version, segments, images, taken in archive.overview(folder):
                of = 'this version' if version == translator() else f'version {version}'
                print(f'{taken / 1e6:10.1f} MB    {images} translations by {of} of emu, in {segments} segments')
    if not entries: print(f'{directory} is empty')
    return 0


def translator() -> str:
    """The version of the translator, as the archive knows it."""
    from emu.jit import optimise
    return optimise.version()


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    for name in ('stdout', 'stderr'):  # one that was closed when Python started
        if getattr(sys, name) is None: setattr(sys, name, open(os.devnull, 'w'))
    if words[:1] == ['run']: words[1:] = spell(words[1:])
    try:
        return perform(words)
    except EmuError as error:
        return failed(str(error))
    except OSError as error:  # a directory that cannot be written, a full disk, no memory
        return failed(str(file_error(error.filename, error)) if error.filename else reason(error))
    finally:
        flush(sys.stderr)


def perform(words: Sequence[str]) -> int:
    """A command, and what it printed; its exit code."""
    try:
        arguments = parser().parse_args(words)
        return int(arguments.do(arguments))
    except BrokenPipeError:  # standard output's; all other pipes and sockets have somebody who cares
        return 0
    finally:
        flush(sys.stdout)


def failed(message: str) -> int:
    """Says why; the exit code."""
    warn(message)
    return 1


def flush(stream: TextIO) -> None:
    """What was printed goes out now: when Python ends, it would complain in its own words, and change the exit code. A reader who has seen enough (`| head`) is no error."""
    try:
        stream.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if stream is sys.stdout and not isinstance(error, BrokenPipeError): raise file_error('standard output', error) from None
