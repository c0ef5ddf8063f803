"""The guest's serial line: keys, raw mode and its end on a pseudo-terminal, pipes, files, sockets."""
import fcntl
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
import time

import pytest

from emu.errors import EmuError
from emu.server.loop import ENDING, Loop, signals
from emu.terminal import Console, Line, open_serial

# Echoes what the guest would get, in brackets, until it is to quit; 'E' raises.
PROGRAM = """
import sys
from emu.server.loop import Loop, signals
from emu.terminal import open_serial
def receive(data):
    line.send(b'[' + data + b']')
    if b'E' in data: raise RuntimeError('a bug')
loop = Loop()
line = open_serial('stdio')
undo = signals(loop)
line.connect(loop, receive, lambda: True)
line.send(b'ready')
while not loop.quit: loop.poll(10)
undo()
line.close()
loop.close()
print('over', flush=True)
"""


class Guest:
    """What a line is connected to; it takes `room` bytes."""

    def __init__(self, line, room=100):
        self.line, self.loop, self.got, self.room = line, Loop(), bytearray(), room
        line.connect(self.loop, self.got.extend, lambda: len(self.got) < self.room)


class Typist:
    """PROGRAM on a pseudo-terminal, run by `starter`."""

    def __init__(self, *starter):
        self.starter = starter

    def __enter__(self):
        self.master, slave = pty.openpty()
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen([*self.starter, sys.executable, '-c', PROGRAM], stdin=slave, stdout=slave, stderr=subprocess.DEVNULL)
        self.seen = b''
        self.expect(b'ready')
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)

    def type(self, data):
        os.write(self.master, data)

    def expect(self, text):
        """Reads until the text has come."""
        end = time.monotonic() + 10
        while text not in self.seen and time.monotonic() < end:
            if select.select([self.master], [], [], 0.1)[0]: self.seen += os.read(self.master, 4096)
        assert text in self.seen
        self.seen = self.seen.split(text, 1)[1]

    def assert_ended(self, code):
        """It ends so, and the terminal is as it was."""
        assert self.process.wait(10) == code
        assert termios.tcgetattr(self.slave) == self.before


def test_terminal_is_raw_and_ctrl_c_is_the_guests():
    with Typist() as t:
        assert not termios.tcgetattr(t.slave)[3] & (termios.ICANON | termios.ECHO | termios.ISIG)
        t.type(b'\x03')
        t.expect(b'[\x03]')
        t.type(b'\r')
        t.expect(b'[\r]')


def test_ctrl_a_x_quits_and_the_terminal_is_restored():
    with Typist() as t:
        t.type(b'\x01x')
        t.expect(b'over')
        t.assert_ended(0)


def test_ctrl_a_h_lists_the_keys_and_ctrl_a_twice_sends_one():
    with Typist() as t:
        t.type(b'\x01h')
        t.expect(b'Ctrl-A x')
        t.type(b'a\x01\x01b')
        t.expect(b'[a\x01b]')


@pytest.mark.parametrize('number', ENDING)
def test_signals_end_the_run_cleanly(number):
    """All whose default action would kill the process and leave the terminal raw."""
    with Typist() as t:
        t.process.send_signal(number)
        t.expect(b'over')
        t.assert_ended(0)


def test_a_terminal_that_goes_away_ends_the_run_cleanly():
    """Its window is closed, or the connection to it: SIGHUP, and the terminal can no longer be put back."""
    master, slave = pty.openpty()
    process = subprocess.Popen([sys.executable, '-c', PROGRAM.replace("'over', flush=True", "'over', file=sys.stderr")], stdin=slave, stdout=slave, stderr=subprocess.PIPE,
                               start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
    os.close(slave)
    assert os.read(master, 5) == b'ready'
    os.close(master)
    assert process.communicate(timeout=10)[1] == b'over\n' and process.returncode == 0


def test_ignored_signals_stay_ignored():
    """As nohup does it; and SIGINT where a script has put the run into the background (POSIX shell, 2.11)."""
    with Typist('sh', '-c', 'trap "" HUP; exec "$0" "$@"') as t:
        t.process.send_signal(signal.SIGHUP)
        t.type(b'a')
        t.expect(b'[a]')
        t.process.terminate()
        t.assert_ended(0)


def test_terminal_is_restored_after_an_exception():
    with Typist() as t:
        t.type(b'E')
        t.assert_ended(1)


def test_terminal_is_raw_only_once_it_is_connected():
    """While a run waits for somebody to connect to another port, Ctrl-C ends it."""
    wait = "from emu.terminal import open_serial; line = open_serial('stdio'); print('waiting', flush=True); input()"
    master, slave = pty.openpty()
    process = subprocess.Popen([sys.executable, '-c', wait], stdin=slave, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b'waiting\n' and termios.tcgetattr(slave)[3] & termios.ISIG
    os.write(master, b'\n')
    assert process.wait(10) == 0
    for end in (master, slave): os.close(end)


def test_escape_keys_split_over_reads():
    line, loop = Console(), Loop()
    line.loop = loop
    assert line.keys(b'a\x01') == b'a' and line.keys(b'\x01') == b'\x01' and line.keys(b'\x01q') == b'' and not loop.quit
    assert line.keys(b'\x01') == b'' and line.keys(b'xyz') == b'yz' and loop.quit
    line.close()
    loop.close()


def test_pipe_goes_to_the_guest_and_its_end_is_no_end():
    """Ctrl-A is a byte like others where stdin is no terminal."""
    process = subprocess.Popen([sys.executable, '-c', PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdin.write(b'abc\x01x')
    process.stdin.close()
    wanted, out = b'ready[abc\x01x]', b''
    while len(out) < len(wanted):
        out += process.stdout.read(1)
    assert out == wanted
    time.sleep(0.2)
    assert process.poll() is None
    process.terminate()
    assert process.stdout.read() == b'over\n' and process.wait(10) == 0


def test_no_standard_input_at_all():
    process = subprocess.Popen([sys.executable, '-c', PROGRAM], stdout=subprocess.PIPE, preexec_fn=lambda: os.close(0))
    assert process.stdout.read(5) == b'ready'
    process.terminate()
    assert process.stdout.read() == b'over\n' and process.wait(10) == 0


def test_broken_output_pipe_does_no_harm():
    process = subprocess.Popen([sys.executable, '-c', PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.read(5) == b'ready'
    process.stdout.close()
    process.stdin.write(b'abc')
    process.stdin.close()
    time.sleep(0.2)
    assert process.poll() is None
    process.kill()
    process.wait()


def test_file_and_null(tmp_path):
    line = open_serial(f'file:{tmp_path}/log')
    line.send(b'one')
    line.send(b'two')
    assert line.source is None and (tmp_path / 'log').read_bytes() == b'onetwo'
    line.close()
    null = open_serial('null')
    null.send(b'gone')
    null.close()


def test_unix_socket_as_client(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f'{tmp_path}/s')
        listener.listen(1)
        line = open_serial(f'unix:{tmp_path}/s')
        peer = listener.accept()[0]
    guest = Guest(line)
    peer.sendall(b'in')
    assert guest.loop.poll(10) and guest.got == b'in'
    line.send(b'out')
    assert peer.recv(10) == b'out'
    peer.close()
    assert guest.loop.poll(10) and guest.got == b'in' and not guest.loop.poll(0) and not guest.loop.quit
    line.send(b'nobody reads this')
    line.close()


def test_line_is_read_only_while_there_is_room():
    """What does not fit waits with its sender, and is not lost."""
    here, there = socket.socketpair()
    guest = Guest(Line(here.fileno()), room=4096)
    there.sendall(b'x' * 10000)
    for _ in range(10): guest.loop.poll()
    assert len(guest.got) == 4096 and not guest.loop.poll()
    guest.room = 20000
    guest.line.resume()
    for _ in range(10): guest.loop.poll()
    assert guest.got == b'x' * 10000
    here.close()
    there.close()


def test_run_can_be_ended_while_nobody_reads_its_output():
    """`emu run | less`, and SIGTERM."""
    reader, writer = os.pipe()
    guest = Guest(Line(sink=writer))
    undo = signals(guest.loop)
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
    for _ in range(1000): guest.line.send(b'x' * 1000)
    assert guest.loop.quit
    undo()
    os.close(reader)
    os.close(writer)


def test_unix_socket_as_server(tmp_path):
    """In place of a socket whose owner was killed."""
    with socket.socket(socket.AF_UNIX) as left: left.bind(f'{tmp_path}/s')
    lines = []
    thread = threading.Thread(target=lambda: lines.append(open_serial(f'unix:{tmp_path}/s,server')))
    thread.start()
    peer = socket.socket(socket.AF_UNIX)
    for _ in range(100):
        if peer.connect_ex(f'{tmp_path}/s') == 0: break
        time.sleep(0.02)
    thread.join(10)
    peer.sendall(b'hello')
    guest = Guest(lines[0])
    assert guest.loop.poll(10) and guest.got == b'hello' and not os.path.exists(f'{tmp_path}/s')
    lines[0].close()
    peer.close()


@pytest.mark.parametrize('words', ['server,nowait', 'server=on,wait=off'])
def test_unix_socket_as_server_that_does_not_wait(tmp_path, words):
    """As QEMU's: what the guest sends to nobody is lost; one after the other may have the line."""
    line = open_serial(f'unix:{tmp_path}/s,{words}')
    guest = Guest(line)
    for name in (b'one', b'two'):
        line.send(b'lost')
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(f'{tmp_path}/s')
            peer.sendall(name)
            while not guest.got.endswith(name): assert guest.loop.poll(10)
            line.send(b'hello ' + name)
            assert peer.recv(20) == b'hello ' + name
        assert guest.loop.poll(10)
    assert guest.got == b'onetwo' and not guest.loop.poll(0)
    line.close()
    assert not os.path.exists(f'{tmp_path}/s')


def test_who_hangs_up_while_the_guest_sends(tmp_path):
    line = open_serial(f'unix:{tmp_path}/s,server,nowait')
    guest = Guest(line)
    for _ in range(2):
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(f'{tmp_path}/s')
            assert guest.loop.poll(10)
        line.send(b'x' * 1000)
        while guest.loop.poll(0): pass
    line.close()


@pytest.mark.parametrize('spec', ['file:/nowhere/log', 'unix:/nowhere/s', 'unix:/tmp/s,serve', 'unix:/nowhere/s,server,nowait', 'unix:/tmp/s,nowait'])
def test_lines_that_cannot_be(spec):
    with pytest.raises(EmuError, match='no such file|unknown word|is for a server'):
        open_serial(spec)
