"""The display protocol end to end (docs/protocol.md): `emu run -display-listen` and clients, well-behaved and otherwise."""
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.assembler import assemble, assemble_elf
from frontends.client import Client, Ended, connect
from frontends.protocol import BY_NUMBER, CLIENT, HEADER, MAGIC, MESSAGES, SERVER, VERSION, WINDOW, Reader, pack
from tests.conftest import ALL, resident
from tests.control_guest import PATIENCE, Started
from tests.guest_code import MACROS
from tests.net_host import free_port


class Run(Started):
    """A machine with the guest of control_guest.py (COM1) or one from a disk; COM2 is the clients'."""

    def __init__(self, folder: Path, *options: str, address: str | None = None, boots: bool = True):
        self.path = str(folder / 'display')
        super().__init__(folder, '-serial', 'display', '-display-listen', address or self.path, *options, boots=boots)

    def client(self, **more: Any) -> Client:
        """One more client; the machine may have no room for a moment."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return Client(connect(self.path), **more)
            except Ended:
                if time.monotonic() > end: raise
                time.sleep(0.1)


@pytest.fixture(scope='module')
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """One that tests share; they leave it running."""
    made = Run(tmp_path_factory.mktemp('display'))
    yield made
    assert made.process.poll() is None and 'Traceback' not in made.logged(), made.logged()
    made.end()


def look(machine: Client, frames: int = 1) -> None:
    """Until so many frames have been shown."""
    for _ in range(frames):
        machine.wait(lambda: machine.frame is not None, PATIENCE)
        machine.shown()


# --- seeing and driving ------------------------------------------------------------------------------------------------------------------------

def test_picture_is_the_screendump(run: Run, tmp_path: Path) -> None:
    """What a client has is what the control command shows, and a client that comes again has it in one frame."""
    from PIL import Image
    for _ in range(2):
        machine = run.client()
        look(machine)
        assert machine.pixels.shape == (400, 720, 4) and machine.aspect == (4, 3)
        machine.execute('screendump', filename=str(tmp_path / 'x.png'))
        there = np.asarray(Image.open(tmp_path / 'x.png'))
        assert (there != machine.pixels[:, :, 2::-1]).any(axis=2).sum() <= 9 * 16  # but for the cursor, which blinks
        machine.close()


def test_keys_and_mouse_arrive(run: Run) -> None:
    """KEY is what the guest reads from port 60h; BUTTON and MOVE are packets of the mouse."""
    machine = run.client()
    for code in (0x1e, 0xe048):
        for down in (1, 0): machine.say('KEY', code, down)
    machine.wait(lambda: not machine.out)
    assert 'k1E\nk9E\nkE0\nk48\nkE0\nkC8' in run.wait_for('kC8')
    machine.say('TEXT', 'b')
    run.wait_for('k30\nkB0')
    machine.say('KEY', 0x2a, 1)
    run.wait_for('k2A')
    machine.close()
    run.wait_for('k2A\nkAA')  # a client that goes leaves no key down


def test_lights(run: Run) -> None:
    """LEDS comes at the beginning and when they change."""
    heard: list[int] = []
    machine = run.client(heard=lambda name, fields: heard.append(fields['leds']) if name == 'LEDS' else None)
    machine.wait(lambda: bool(heard))
    assert heard == [0]


def test_notices(run: Run) -> None:
    said: list[str] = []
    machine = run.client(heard=lambda name, fields: said.append(fields['text']) if name == 'NOTICE' else None)
    machine.say('TEXT', '\u00e9')
    machine.say('KEY', 0x1234, 1)
    machine.wait(lambda: len(said) == 2)
    assert said == ['no key of a US keyboard types \u00e9', 'no key has the scan code 1234']


def test_commands(run: Run) -> None:
    machine = run.client()
    assert machine.execute('query-status')['status'] == 'running'
    with pytest.raises(ValueError, match='unknown command'): machine.execute('nonsense')
    events: list[bytes] = []
    other = run.client(heard=lambda name, fields: events.append(fields['json']) if name == 'EVENT' else None)
    machine.execute('stop')
    machine.execute('cont')
    other.wait(lambda: len(events) == 2)
    assert b'STOP' in events[0] and b'RESUME' in events[1]


def test_pace(run: Run) -> None:
    """PACE 0: nothing is sent; REFRESH: everything is."""
    machine = run.client()
    look(machine)
    machine.say('PACE', 0)
    machine.execute('query-status')
    machine.frame = None
    machine.say('REFRESH')
    for _ in range(10): machine.work(0.05)
    assert machine.frame is None
    machine.say('PACE', 60)
    machine.say('REFRESH')
    look(machine)
    assert (0, 0, 720, 400) in machine.changed or sum(w * h for _, _, w, h in machine.changed) >= 720 * 399


def test_only_looking(run: Run) -> None:
    machine = run.client(view_only=True)
    look(machine)
    machine.say('KEY', 0x1e, 1)
    with pytest.raises(Ended, match='may only look'): machine.wait(lambda: False)


def test_many_at_once(run: Run) -> None:
    """The picture is everybody's; 33 are one too many."""
    machines = [run.client() for _ in range(5)]
    for machine in machines: look(machine)
    assert all((machine.pixels == machines[0].pixels).mean() > 0.99 for machine in machines)
    for machine in machines: machine.close()


# --- getting in --------------------------------------------------------------------------------------------------------------------------------

def certificate(folder: Path) -> None:
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', folder / 'key.pem', '-out', folder / 'cert.pem', '-days', '2', '-subj', '/CN=localhost',
                    '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'], check=True, capture_output=True)


@pytest.mark.parametrize('kind', ['tcp', 'tls'])
def test_token(tmp_path: Path, kind: str) -> None:
    """Over TCP: with the token one is in, with another one is told so after a while that grows; over TLS to a certificate that one trusts, and pictures are deflated."""
    for name, token in (('token', 'correct horse'), ('wrong', 'battery staple')):
        (tmp_path / name).write_text(f'{token}\n')
        os.chmod(tmp_path / name, 0o600)
    port, more = free_port(), ''
    if kind == 'tls':
        certificate(tmp_path)
        more = f',cert={tmp_path}/cert.pem,key={tmp_path}/key.pem'
    run = Run(tmp_path, address=f'{kind}:127.0.0.1:{port},token={tmp_path}/token{more}')
    ca = f',ca={tmp_path}/cert.pem' if kind == 'tls' else ''
    try:
        waits = []
        for name in ('token', 'wrong', 'wrong', 'wrong'):
            start = time.monotonic()
            address = connect(f'{kind}:127.0.0.1:{port},token={tmp_path}/{name}{ca}')
            if name == 'token': look(Client(address))
            else:
                with pytest.raises(Ended, match='wrong token'): Client(address)
                waits.append(time.monotonic() - start)
        assert waits[2] > 0.5  # 0, 1/4, 1/2 s
        if kind == 'tls':
            with pytest.raises(Ended, match='certificate'): connect(f'{kind}:127.0.0.1:{port},token={tmp_path}/token')
            with socket.create_connection(('127.0.0.1', port)) as plain:
                plain.sendall(pack('HELLO', MAGIC, VERSION, 0, 7, 'no TLS'))
                plain.settimeout(PATIENCE)
                with pytest.raises(OSError):
                    while plain.recv(4096): pass
                    raise ConnectionResetError
    finally:
        run.end()


@pytest.mark.parametrize('address, why', [
    ('tcp:0.0.0.0:5900,token=x', 'without TLS only this host'), ('tcp:127.0.0.1:5900', 'a token is needed'), ('tls:0.0.0.0:5900,token=x', 'cert='),
    ('tcp:127.0.0.1:x,token=x', 'is not tcp'), ('x,view-only=maybe', 'on or off'), ('x,colour=red', "'colour'")])
def test_no_address(address: str, why: str) -> None:
    """Usage errors: one line, exit code 2."""
    done = subprocess.run([sys.executable, '-m', 'emu', 'run', '-display-listen', address], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2 and why in done.stderr and done.stderr.count('\n') == 1


def test_no_listening(tmp_path: Path) -> None:
    """One line, exit code 1."""
    (tmp_path / 'token').write_text('correct horse\n')
    with socket.create_server(('127.0.0.1', 0)) as server:
        taken = f'tcp:127.0.0.1:{server.getsockname()[1]},token={tmp_path}/token'
        for address, why in ((f'{tmp_path}/no/where', 'no such file'), (taken, 'chmod 600'), (f'{taken}2', 'no such file'), (taken, 'in use')):
            if why == 'in use': os.chmod(tmp_path / 'token', 0o600)
            done = subprocess.run([sys.executable, '-m', 'emu', 'run', '-display-listen', address], capture_output=True, text=True, timeout=PATIENCE)
            assert done.returncode == 1 and why in done.stderr and done.stderr.count('\n') == 1, done.stderr


def test_nobody_there(tmp_path: Path) -> None:
    for words in (['--headless'], []):
        done = subprocess.run([sys.executable, '-m', 'emu', 'view', *words, str(tmp_path / 'x')], capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)
        assert done.returncode == 1 and done.stderr == f'emu view: {tmp_path}/x: No such file or directory\n'


# --- misbehaviour ------------------------------------------------------------------------------------------------------------------------------

def raw(run: Run, ready: bool) -> socket.socket:
    """A connection, before or after READY."""
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(PATIENCE)
    made.connect(run.path)
    if ready:
        made.sendall(pack('HELLO', MAGIC, VERSION, 0, 7, 'raw'))
        reader = Reader(SERVER)
        while not (message := reader.take()) or message.name != 'READY': reader.feed(made.recv(1)) if message is None else None
    return made


def alive(run: Run) -> None:
    """It answers, and runs its guest."""
    machine = run.client()
    first = machine.execute('query-status')['guest-nanoseconds']
    machine.wait(lambda: machine.execute('query-status')['guest-nanoseconds'] > first)
    machine.close()


valid = st.sampled_from([message for message in MESSAGES if message.sender != SERVER and message.name not in ('EXECUTE', 'BYE')]).flatmap(
    lambda message: st.binary(max_size=40).map(lambda payload: HEADER.pack(len(payload), message.channel, message.number, 0) + payload))


@settings(max_examples=2000 if ALL else 60, deadline=None)
@given(st.booleans(), st.lists(st.one_of(st.binary(max_size=100), valid), max_size=6))
def test_garbage(run: Run, ready: bool, pieces: list[bytes]) -> None:
    """Bytes before and after getting in, and messages with other payloads than theirs: the connection ends or goes on, the machine goes on."""
    with raw(run, ready) as s:
        try:
            for piece in pieces: s.sendall(piece)
            s.shutdown(socket.SHUT_WR)
            while s.recv(1 << 16): pass
        except OSError:
            pass
    assert run.process.poll() is None


def test_after_garbage(run: Run) -> None:
    """Each that was cut off is in the log, with its reason."""
    with raw(run, True) as s:
        s.sendall(b'\0\0\0\0\x7f\1\0\0')
        while s.recv(1 << 16): pass
    alive(run)
    assert 'raw is cut off: no message 1 on channel 127' in run.logged()


def test_a_hundred_connections(run: Run) -> None:
    """More than there is room for: who is there already is served, and the others may come again."""
    machine = run.client()
    look(machine)
    strangers = [raw(run, False) for _ in range(100)]
    assert machine.execute('query-status')['running']
    for stranger in strangers: stranger.close()
    alive(run)


def test_a_client_that_does_not_read(run: Run) -> None:
    """Gets no more than two frames, and is cut off when answers pile up; no memory is lost to it."""
    before = resident(run.process.pid)
    with raw(run, True) as s:
        s.setblocking(False)
        end = time.monotonic() + 20
        try:
            while time.monotonic() < end:
                try:
                    s.send(pack('EXECUTE', b'{"execute": "query-schema"}') * 20)
                except BlockingIOError:
                    time.sleep(0.01)
        except OSError:
            pass
        else:
            raise AssertionError('it was not cut off')
    alive(run)
    assert resident(run.process.pid) - before < 40_000


LARGE = MACROS + '''
    begin
    .irp setting, 0x00000004, 0x0a000001, 0x06400002, 0x00200003, 0x00410004    # DISPI: off, 2560, 1600, 32 bits, on
    mov edx, 0x1ce
    mov eax, \\setting & 0xffff
    out dx, ax
    inc edx
    mov eax, \\setting >> 16
    out dx, ax
    .endr
1:  inc dword ptr [0xa0000]         # the first pixel
    jmp 1b
    descriptors 0
idt:
.bss
.skip 4096
stack:
'''


def test_a_large_picture_and_a_slow_client(tmp_path: Path) -> None:
    """A picture of 16 MB, much more than may wait for a client else, reaches one that reads slowly, again and again."""
    (tmp_path / 'large').write_bytes(assemble_elf(LARGE))
    run = Run(tmp_path, '-kernel', str(tmp_path / 'large'), boots=False)
    try:
        machine = run.client()
        for _ in range(3):
            frames, end = machine.frames, time.monotonic() + PATIENCE
            machine.say('REFRESH')
            while machine.frames == frames or machine.pixels.shape != (1600, 2560, 4):
                machine.work(0.1)
                time.sleep(0.001)
                assert time.monotonic() < end
            machine.shown()
        assert machine.pixels[0, 0].any() and not machine.pixels[1:].any() and machine.execute('query-status')['running']
    finally:
        run.end()


def test_last_words(tmp_path: Path) -> None:
    """What waits for a client when the machine ends still leaves, BYE at its end, if the client reads."""
    run = Run(tmp_path)
    try:
        with raw(run, True) as s:
            s.sendall(pack('EXECUTE', b'{"execute": "query-schema"}') * 80 + pack('EXECUTE', b'{"execute": "quit"}'))
            time.sleep(0.2)  # more waits than the socket takes
            reader, names, reasons = Reader(SERVER), [], []
            while data := s.recv(1 << 16):
                reader.feed(data)
                while message := reader.take():
                    names.append(message.name)
                    if message.name == 'BYE': reasons.append(message.fields['reason'])
        assert names.count('ANSWER') == 81 and reasons == ['the machine has ended'] and names[-1] == 'BYE'
        assert run.process.wait(PATIENCE) == 0
    finally:
        run.end()


def test_a_client_that_talks_all_the_time(run: Run) -> None:
    """The guest gets most of the time none the less."""
    machine = run.client()
    with raw(run, True) as s:
        s.setblocking(False)
        flood, begun, first = pack('MOVE', 1, 1, 0) * 1000, time.monotonic(), machine.execute('query-status')['guest-nanoseconds']
        while time.monotonic() < begun + 2:
            try:
                s.send(flood)
            except BlockingIOError:
                time.sleep(0.001)
        gone = machine.execute('query-status')['guest-nanoseconds'] - first
        assert gone > 0.5e9
    machine.close()


def test_killed_clients(run: Run) -> None:
    """kill -9 in the middle of a picture."""
    for _ in range(3):
        child = subprocess.Popen([sys.executable, '-c', f'from frontends.client import *; c = Client(connect({run.path!r})); print(flush=True)\nwhile True: c.work(1); c.shown()'],
                                 stdout=subprocess.PIPE)
        assert child.stdout
        child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        child.wait()
    alive(run)


def test_wrong_answers(run: Run) -> None:
    for bad in (pack('ACK', 99), pack('BUTTON', 7, 1), pack('DONE', 5, 0, b''), pack('OPEN', 0), pack('INPUT', 1, b'x'), pack('HELLO', MAGIC, 1, 0, 0, '')):
        machine = run.client()
        machine.socket.sendall(bad)
        with pytest.raises(Ended): machine.wait(lambda: False)


def test_every_message_of_a_client_is_done() -> None:
    from emu.server.viewer import DO
    assert set(DO) == {message.name for message in BY_NUMBER.values() if message.sender in (CLIENT, 'both')}


# --- serial ports, media, sound ---------------------------------------------------------------------------------------------------------------

ECHO = '''
    cld                             # COM2 at 9600 baud echoes; the drive's second sector goes to COM1 first
    mov si, 0x7c00 + 512
    mov ax, 0x0201
    mov bx, si
    mov cx, 2
    mov dx, 0
    int 0x13
    jc failed
1:  lodsb
    mov dx, 0x3f8
    out dx, al
    cmp al, '\\n'
    jne 1b
2:  mov dx, 0x2fd
    in al, dx
    test al, 1
    jz 2b
    mov dx, 0x2f8
    in al, dx
    cmp al, 'w'
    je write
    cmp al, 'b'
    je beep
    out dx, al
    jmp 2b
write:
    mov ax, 0x0301
    mov bx, 0x7c00 + 512
    mov byte ptr [bx], 'W'
    mov cx, 2
    mov dx, 0
    int 0x13
    jc failed
    mov al, '+'
    mov dx, 0x2f8
    out dx, al
    jmp 2b
failed:
    mov al, '-'
    mov dx, 0x2f8
    out dx, al
    jmp 2b
beep:
    mov al, 0xb6
    out 0x43, al
    mov al, 0xa9                    # 1193182 / 1193 Hz: about 1000
    out 0x42, al
    mov al, 4
    out 0x42, al
    in al, 0x61
    or al, 3
    out 0x61, al
    jmp 2b
'''


def floppy(path: Path) -> Path:
    code = assemble(ECHO, 16, 0x7c00)
    assert len(code) <= 510
    path.write_bytes((code.ljust(510, b'\0') + b'\x55\xaa' + b'remote medium\n').ljust(1440 * 1024, b'\0'))
    return path


class Ear:
    """What a client hears."""

    def __init__(self) -> None:
        self.said, self.lost, self.credit, self.results, self.samples = b'', 0, WINDOW, [], b''

    def __call__(self, name: str, fields: dict[str, Any]) -> None:
        match name:
            case 'OUTPUT': self.said, self.lost = self.said + fields['bytes'], self.lost + fields['lost']
            case 'CREDIT': self.credit += fields['bytes']
            case 'RESULT': self.results.append(fields['error'])
            case 'SAMPLES': self.samples += fields['samples']


@pytest.fixture
def booted(tmp_path: Path) -> Iterator[tuple[Run, Client, Ear]]:
    """A machine that has booted from a floppy of its client's."""
    ear, run = Ear(), Run(tmp_path, '-drive', 'if=floppy', boots=False)
    machine = run.client(heard=ear)
    machine.insert('floppy0', str(floppy(tmp_path / 'a.img')), writable=True)
    machine.wait(lambda: bool(ear.results))
    assert ear.results == ['']
    machine.execute('system_reset')
    end = time.monotonic() + PATIENCE
    while 'remote medium' not in (run.serial.read_text() if run.serial.exists() else ''):
        machine.work(0.1)
        assert time.monotonic() < end, run.logged()
    machine.say('OPEN', 1)
    yield run, machine, ear
    assert 'Traceback' not in run.logged()
    run.end()


def test_medium_of_a_client(booted: tuple[Run, Client, Ear], tmp_path: Path) -> None:
    """It boots, it is written to, and an I/O error is what the guest has when the client is gone."""
    run, machine, ear = booted
    machine.say('INPUT', 1, b'w')
    machine.wait(lambda: ear.said == b'+', PATIENCE)
    assert (tmp_path / 'a.img').read_bytes()[512:526] == b'Wemote medium\n'
    machine.close()
    other_ear = Ear()
    other = run.client(heard=other_ear)
    other.say('OPEN', 1)
    other.say('INPUT', 1, b'w')
    other.wait(lambda: other_ear.said.endswith(b'-'), PATIENCE)
    other.insert('floppy0', str(tmp_path / 'a.img'), writable=True)
    other.wait(lambda: other_ear.results == [''])
    other.say('REMOVE', 'floppy0')
    other.wait(lambda: other_ear.results == ['', ''])
    other.insert('ide0-hd0', str(tmp_path / 'a.img'))
    other.wait(lambda: len(other_ear.results) == 3)
    assert 'no drive' in other_ear.results[2]


def test_serial_port_of_clients(booted: tuple[Run, Client, Ear]) -> None:
    """Every byte in its order, within the credit; who comes later hears what was said last."""
    run, machine, ear = booted
    text = bytes(range(ord('c'), ord('v'))) * 40
    for at in range(0, len(text), 100): machine.say('INPUT', 1, text[at:at + 100])
    machine.wait(lambda: len(ear.said) == len(text), PATIENCE)
    assert ear.said == text and not ear.lost
    machine.wait(lambda: ear.credit == WINDOW + len(text))
    late = Ear()
    other = run.client(heard=late)
    other.say('OPEN', 1)
    other.wait(lambda: late.said == text)
    machine.say('INPUT', 1, bytes(WINDOW))
    machine.say('INPUT', 1, bytes(WINDOW))
    with pytest.raises(Ended, match='without credit'): machine.wait(lambda: False, PATIENCE)


def test_sound(booted: tuple[Run, Client, Ear]) -> None:
    """A second of it has a thousand periods."""
    _, machine, ear = booted
    machine.say('LISTEN', 1)
    machine.say('INPUT', 1, b'b')
    machine.wait(lambda: len(ear.samples) > 2 * 44100, PATIENCE)
    samples = np.frombuffer(ear.samples, '<i2')[:44100]
    rises = np.count_nonzero((samples[1:] > 8192) & (samples[:-1] <= 8192))
    assert 950 < rises < 1050


def test_script(run: Run, tmp_path: Path) -> None:
    """The client without a screen."""
    script = f'# all of it\nwait 0.1\nsettle 0.2\nkey 02\nkey esc\nshot {tmp_path}/a.png\nexecute query-status\n'
    done = subprocess.run([sys.executable, '-m', 'emu', 'view', '--headless', run.path], input=script, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, '') and '"running"' in done.stdout and (tmp_path / 'a.png').read_bytes()[:4] == b'\x89PNG'
    done = subprocess.run([sys.executable, '-m', 'emu', 'view', '--headless', run.path], input='nonsense 1', capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1 and done.stderr.startswith('emu view: line 1: nonsense 1: no such command')
    words = [sys.executable, '-m', 'emu', 'view', '--headless', run.path, '--script', '/nowhere/s']
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1 and done.stderr.startswith('emu view: ') and '/nowhere/s' in done.stderr and done.stderr.count('\n') == 1
