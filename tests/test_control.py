"""The control socket end to end: `emu run -control` with a guest that shows what its keyboard and mouse say, QMP-like lines, `emu ctl`, and clients that misbehave."""
import base64
import io
import json
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from emu.server.client import Client
from emu.server.commands import COMMANDS, EVENTS, SCHEMA, TYPES, Argument
from emu.server.control import CONNECTIONS, LINE
from tests.conftest import resident
from tests.control_guest import COUNT, PATIENCE, Started

DOCUMENT = Path(__file__).parent.parent / 'docs/control.md'


class Run(Started):
    """A machine with a control socket."""

    def __init__(self, folder: Path, *options: str):
        self.path, self.folder = folder / 'control', folder
        super().__init__(folder, '-control', str(self.path), *options)

    def keys(self, pattern: str) -> str:
        """The bytes of the keyboard, once the last one has come."""
        return ' '.join(re.findall('k(..)', self.wait_for(pattern)))

    def ctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, '-m', 'emu', 'ctl', str(self.path), *words], capture_output=True, text=True, timeout=PATIENCE)

    def raw(self) -> socket.socket:
        """A connection whose greeting has been read."""
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(PATIENCE)
        made.connect(str(self.path))
        assert b'"QMP"' in made.recv(4096)
        return made

    def ticks(self) -> int:
        """Timer interrupts that the guest has counted."""
        client, file = Client(str(self.path)), self.folder / 'count'
        client.execute('memsave', {'val': COUNT, 'size': 4, 'filename': str(file)})
        client.close()
        return int.from_bytes(file.read_bytes(), 'little')


@pytest.fixture(scope='module')
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """One that tests share; they leave it running."""
    made = Run(tmp_path_factory.mktemp('control'))
    yield made
    assert made.process.poll() is None, made.process.communicate()
    made.end()


@pytest.fixture
def client(run: Run) -> Iterator[Client]:
    made = Client(str(run.path))
    yield made
    made.close()


def refused(client: Client, name: str, **arguments: Any) -> str:
    """The error's line."""
    with pytest.raises(Exception) as caught: client.execute(name, {key.replace('_', '-'): value for key, value in arguments.items()})
    assert '\n' not in str(caught.value)
    return str(caught.value)


# --- the protocol ------------------------------------------------------------------------------------------------------------------------------

def test_lines(run: Run) -> None:
    """Greeting, return and error as QMP has them, with the command's id; several commands in one packet, one in several."""
    with run.raw() as s:
        lines = s.makefile('rb')

        def ask(data: bytes) -> Any:
            s.sendall(data)
            return json.loads(lines.readline())
        assert ask(b'{"execute": "qmp_capabilities", "id": "x"}\r\n') == {'return': {}, 'id': 'x'}
        assert ask(b'{"execute": "query-version", "arguments": {}}\n')['return'].keys() == {'emu', 'schema'}
        assert ask(b'{"execute": "nonsense", "id": 0}\n') == {'error': {'class': 'CommandNotFound', 'desc': "unknown command 'nonsense'"}, 'id': 0}
        for bad in (b'{"execute":', b'[1, 2', b'\xff\xfe', b'{"execute": NaN}', b'[' * 50_000, b'9' * 9999):
            assert ask(bad + b'\n') == {'error': {'class': 'GenericError', 'desc': 'malformed JSON'}}
        for odd in (b'[]', b'"x"', b'{"id": 1}', b'{"execute": 5}', b'{"execute": "stop", "arguments": []}', b'{"execute": "stop", "argument": {}}'):
            assert ask(odd + b'\n')['error']['class'] == 'GenericError'
        s.sendall(b'\n\n{"execute": "query-version", "id": 1}\n{"execute": "query-version", "id": 2}\n{"execute": "que')
        assert [json.loads(lines.readline())['id'] for _ in range(2)] == [1, 2]
        assert ask(b'ry-version", "id": 3}\n')['id'] == 3
        s.sendall(b'{"execute": "query-version", "id": 4}\n')
        s.shutdown(socket.SHUT_WR)
        assert json.loads(lines.readline())['id'] == 4 and lines.readline() == b''


def test_arguments_are_checked(client: Client) -> None:
    assert refused(client, 'memsave', val=0, size=4) == "memsave: 'filename' is missing"
    assert refused(client, 'stop', now=1) == "stop: unknown argument 'now'"
    assert refused(client, 'send-key', keys=['a'], hold_time=True) == "send-key: 'hold-time' is no milliseconds"
    assert refused(client, 'send-key', keys=['ctrl', 'nokey']) == "send-key: unknown key 'nokey'"
    assert refused(client, 'send-key', keys=['a', 'A']) == 'send-key: a key twice in one chord'
    assert refused(client, 'type', text='na\u00efve') == "type: no key of a US keyboard types '\u00ef'"
    assert refused(client, 'mouse', down=['up']).startswith("mouse: unknown button 'up'")
    assert refused(client, 'memsave', val=0xffffffff, size=2, filename='x') == 'memsave: beyond 4 GiB'
    assert refused(client, 'memsave', val=0, size=4, filename='/nowhere/x') == 'memsave: /nowhere/x: no such file or directory'
    for name in ('\ud800', 'a\0b', ''): assert refused(client, 'memsave', val=0, size=4, filename=name) == "memsave: 'filename' is no file"
    assert refused(client, 'memsave', val=0, size=4, filename='/dev/full') == 'memsave: /dev/full: no space left on device'
    assert refused(client, 'eject', device='ide7-cd9').startswith("eject: no drive 'ide7-cd9'")


def test_schema_and_document(client: Client) -> None:
    """query-schema is the table, and docs/control.md has every command, argument and event of it, and no others."""
    schema = client.execute('query-schema')
    assert [c['name'] for c in schema['commands']] == [c['name'] for c in client.execute('query-commands')] == [c.name for c in COMMANDS]
    assert schema['version'] == SCHEMA and [e['name'] for e in schema['events']] == list(EVENTS)
    assert {argument.type for command in COMMANDS for argument in command.arguments} <= set(TYPES)
    assert f'Schema version {SCHEMA}.' in DOCUMENT.read_text()
    for table in tables(): assert table in DOCUMENT.read_text(), table


def tables() -> tuple[str, str]:
    """The two tables of docs/control.md."""
    commands = ''.join(f"| `{c.name}` | {', '.join(shown(argument) for argument in c.arguments)} | {c.text} | {c.returns} |\n" for c in COMMANDS)
    return commands, ''.join(f'| `{name}` | {text} |\n' for name, text in EVENTS.items())


def shown(argument: Argument) -> str:
    """Name, type, default, text."""
    default = '' if argument.required else ', optional' if argument.default in (None, ()) else f', {argument.default}'
    return f'`{argument.name}` ({argument.type}{default}): {argument.text}'


# --- the machine ------------------------------------------------------------------------------------------------------------------------------

def test_keys(run: Run, client: Client) -> None:
    """Keys pressed together are released in the opposite order; a text of any length arrives whole; typing and keys keep their order."""
    client.execute('send-key', {'keys': ['ctrl', 'alt', {'type': 'qcode', 'data': 'delete'}], 'hold-time': 30})
    client.execute('type', {'text': 'Hi!' + 'x' * 60, 'hold-time': 1})
    client.execute('send-key', {'keys': ['esc']})
    shift = '2A {0} {1} AA'
    wanted = f'1D 38 E0 53 E0 D3 B8 9D {shift.format("23", "A3")} 17 97 {shift.format("02", "82")}' + ' 2D AD' * 60 + ' 01 81'
    assert run.keys('k81') == wanted
    end = time.monotonic() + PATIENCE
    while client.execute('query-status')['typing']: assert time.monotonic() < end


def test_mouse(run: Run, client: Client) -> None:
    client.execute('mouse', {'dx': 5, 'dy': -3, 'down': ['left']})
    client.execute('mouse', {'up': ['left']})
    said = run.wait_for(r'(m..\n){9}')
    assert ' '.join(re.findall('m(..)', said)) == '08 05 03 09 00 00 08 00 00'


def test_stop_and_cont(run: Run, client: Client) -> None:
    """Guest time stands still; everybody is told."""
    assert client.execute('query-status')['status'] == 'running'
    before = run.ticks()
    other = Client(str(run.path))
    other.execute('stop')
    stopped, at = client.execute('query-status'), run.ticks()
    time.sleep(0.3)
    assert (stopped['status'], stopped['running']) == ('paused', False) and at >= before
    again = client.execute('query-status')
    assert run.ticks() == at and again['guest-nanoseconds'] == stopped['guest-nanoseconds']
    other.execute('cont')
    assert client.execute('query-status')['running']
    assert [event['event'] for event in client.events] == ['STOP', 'RESUME'] == [event['event'] for event in other.events]
    assert abs(client.events[0]['timestamp']['seconds'] - time.time()) < 60 and client.events[0]['data'] == {}
    other.close()
    end = time.monotonic() + PATIENCE
    while run.ticks() < at + 3: assert time.monotonic() < end
    assert run.ticks() - at < 300 + 100 * (time.monotonic() + PATIENCE - end)  # the time that stood still is not caught up with


def test_screendump(run: Run, client: Client, tmp_path: Path) -> None:
    """A PNG, in a file or inline; a kernel finds 80 x 25 characters of 9 x 16 dots, all blank but for the cursor, which blinks."""
    inline = client.execute('screendump')
    size = client.execute('screendump', {'filename': str(tmp_path / 'p.png')})
    pictures = [Image.open(io.BytesIO(data)) for data in (base64.b64decode(inline['data']), (tmp_path / 'p.png').read_bytes())]
    assert size == {'width': 720, 'height': 400} == {'width': inline['width'], 'height': inline['height']}
    for picture in pictures:
        assert picture.format == 'PNG' and picture.mode == 'RGB' and picture.size == (720, 400) and (picture.getbbox() or (0, 0, 9, 16))[2:] <= (9, 16)


def test_media(run: Run, client: Client, tmp_path: Path) -> None:
    """The CD-ROM drive that every machine has: what is put in, and what cannot be."""
    assert client.execute('query-block') == [{'device': 'ide1-cd0', 'removable': True, 'filename': None}]
    disc = tmp_path / 'disc.iso'
    disc.write_bytes(bytes(40960))
    client.execute('change', {'device': 'ide1-cd0', 'filename': str(disc)})
    assert client.execute('query-block')[0]['filename'] == str(disc)
    assert 'no such file' in refused(client, 'change', device='ide1-cd0', filename='/nowhere/x')
    assert client.execute('query-block')[0]['filename'] == str(disc)
    assert run.ctl('eject', 'ide1-cd0', 'force=on').returncode == 0
    assert client.execute('query-block')[0]['filename'] is None


def test_reset(tmp_path: Path) -> None:
    """system_reset starts the guest again, and ends the run with -no-reboot; then the socket is gone."""
    run = Run(tmp_path)
    client = Client(str(run.path))
    client.execute('system_reset')
    run.wait_for('ready\nready')
    client.execute('query-status')
    assert [event['event'] for event in client.events] == ['RESET']
    client.execute('quit')
    farewell = client.read()
    assert (farewell['event'], farewell['data']) == ('SHUTDOWN', {'reason': 'host', 'code': 0})
    assert run.process.wait(PATIENCE) == 0 and not run.path.exists()
    run = Run(tmp_path, '-no-reboot', '-vga', 'none')
    assert 'screentext: no display' in run.ctl('screentext').stderr and 'screendump: no display' in run.ctl('screendump').stderr
    assert run.ctl('system_reset').returncode == 0
    assert run.process.wait(PATIENCE) == 0 and not run.path.exists()


def test_socket_file(tmp_path: Path) -> None:
    """For the user alone; a second machine is refused, a stale socket replaced, other files kept; gone after a signal."""
    run = Run(tmp_path)
    assert stat.S_IMODE(run.path.stat().st_mode) == 0o600
    words = [sys.executable, '-m', 'emu', 'run', '-kernel', str(tmp_path / 'kernel'), '-control']
    second = subprocess.run([*words, str(run.path)], capture_output=True, text=True, timeout=PATIENCE)
    assert (second.returncode, second.stderr) == (1, f'emu: -control {run.path}: another emu is listening there\n')
    assert run.ctl('query-status').returncode == 0
    run.process.send_signal(signal.SIGKILL)
    run.process.wait()
    assert run.path.exists()
    run = Run(tmp_path)
    assert run.ctl('query-status').returncode == 0
    run.process.terminate()
    assert run.process.wait(PATIENCE) == 0 and not run.path.exists()
    run.path.write_text('mine')
    third = subprocess.run([*words, str(run.path)], capture_output=True, text=True, timeout=PATIENCE)
    assert (third.returncode, third.stderr) == (1, f'emu: -control {run.path}: this file exists, and is no socket\n') and run.path.read_text() == 'mine'
    fourth = subprocess.run([*words, '/nowhere/c'], capture_output=True, text=True, timeout=PATIENCE)
    assert (fourth.returncode, fourth.stderr) == (1, 'emu: -control /nowhere/c: no such file or directory\n')


# --- emu ctl ----------------------------------------------------------------------------------------------------------------------------------

def test_ctl(run: Run, tmp_path: Path) -> None:
    """Readable by default, JSON with -j; files are the shell's; errors are one line and exit code 1."""
    status = run.ctl('query-status')
    assert status.returncode == 0 and 'status: running\n' in status.stdout
    assert json.loads(run.ctl('-j', 'query-status').stdout)['running'] is True
    assert run.ctl('memsave', '0x100000', 'size=16', str(tmp_path / 'm')).stdout == '' and len((tmp_path / 'm').read_bytes()) == 16
    for words, text in ((('nonsense',), "unknown command 'nonsense'"), (('stop', 'x'), 'too many arguments'), (('memsave', 'x'), "val: 'x' is no number"),
                        (('memsave', '1'), "'size' is missing"), (('send-key', 'ctrl-nokey'), "unknown key 'nokey'")):
        done = run.ctl(*words)
        assert done.returncode == 1 and done.stdout == '' and done.stderr.startswith('emu: ') and done.stderr.count('\n') == 1 and text in done.stderr
    nobody = subprocess.run([sys.executable, '-m', 'emu', 'ctl', '/nowhere', 'stop'], capture_output=True, text=True)
    assert (nobody.returncode, nobody.stderr) == (1, 'emu: /nowhere: no such file or directory\n')
    listed = run.ctl('help').stdout
    assert all(f'{command.name}' in listed for command in COMMANDS)


# --- bad clients ------------------------------------------------------------------------------------------------------------------------------

def test_too_long_lines(run: Run) -> None:
    """They are told, once each, and what comes after them is done."""
    with run.raw() as s:
        lines = s.makefile('rb')
        for _ in range(2):
            s.sendall(b'x' * (10 * LINE) + b'\n{"execute": "query-version"}\n')
            assert 'a line of more than' in json.loads(lines.readline())['error']['desc']
            assert 'return' in json.loads(lines.readline())


def test_too_many_connections(run: Run, client: Client) -> None:
    others = []
    for _ in range(CONNECTIONS - 1): others.append(Client(str(run.path)))
    with pytest.raises(Exception, match='too many connections'): Client(str(run.path))
    for other in others: other.close()
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            Client(str(run.path)).close()
            return
        except Exception:
            time.sleep(0.05)
    raise AssertionError


def test_floods_and_stalls_do_not_disturb_the_guest(run: Run, client: Client) -> None:
    """One client sends commands without end and reads nothing, one sends a line without end, one empty lines: the timer ticks on, others are served, and memory is bounded."""
    assert client.execute('query-status')['running']
    used = resident(run.process.pid)
    stalled, endless, empty = run.raw(), run.raw(), run.raw()
    for s in (stalled, endless, empty): s.setblocking(False)
    before, start = run.ticks(), time.monotonic()
    sent = 0
    while time.monotonic() < start + 2:
        for s, data in ((stalled, b'{"execute": "query-schema"}\n' * 1000), (endless, b'y' * 100_000), (empty, b'\n' * 100_000)):
            try:
                sent += s.send(data)
            except BlockingIOError:
                time.sleep(0.001)
    for _ in range(20): client.execute('stop') or client.execute('cont')  # events that nobody reads
    ticks, seconds = run.ticks() - before, time.monotonic() - start
    assert ticks > 50 * seconds  # of 100; this host may be busy
    assert sent > 1_000_000 and resident(run.process.pid) < used + 20_000
    for s in (stalled, endless, empty): s.close()
    assert client.execute('query-status')['running']


HARMLESS = [c.name for c in COMMANDS if c.name not in ('quit', 'memsave', 'stop', 'system_reset', 'inject-nmi', 'screendump', 'change', 'type', 'send-key', 'mouse')]
VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
                      lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=10)
NAMES = sorted({argument.name for command in COMMANDS for argument in command.arguments})
LINES = st.one_of(
    st.binary(max_size=200), st.text(max_size=100).map(lambda text: text.encode('utf-8', 'surrogatepass')), VALUES.map(lambda v: json.dumps(v).encode()),
    st.fixed_dictionaries({'execute': st.sampled_from(HARMLESS) | VALUES},
                          optional={'arguments': st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), VALUES, max_size=3), 'id': VALUES})
    .map(lambda v: json.dumps(v).encode()))


@settings(deadline=None, max_examples=150)
@given(lines=st.lists(LINES, min_size=1, max_size=12), pieces=st.integers(1, 50))
def test_any_bytes(run: Run, lines: list[bytes], pieces: int) -> None:
    """Every line that is no JSON object has its error, no command breaks, the machine lives."""
    with run.raw() as s:
        data = b'\n'.join(lines) + b'\n{"execute": "query-version", "id": "the last"}\n'
        for at in range(0, len(data), max(len(data) // pieces, 1)): s.sendall(data[at:at + max(len(data) // pieces, 1)])
        for line in s.makefile('rb'):
            answer = json.loads(line)
            assert answer.get('error', {}).get('class') != 'InternalError', answer
            if answer.get('id') == 'the last': break
        else: raise AssertionError
    assert run.process.poll() is None
