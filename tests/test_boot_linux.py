"""The main job on real input: Debian's kernels, unmodified, boot to a shell; what their first process computes is right to the last digit; the keyboard is the guest's."""
import gzip
import hashlib
import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from typing import Iterator

import pytest

from emu import guests
from tests.conftest import ALL, guest

RIGHT = {'arithmetic': '1.274270532986', 'text': '13e22116d895c455df1c6323271a8fb4', 'fork': '50', 'signal': '139'}  # as natively
PATIENCE = 300  # seconds
POWERED_OFF = 'reboot: Power down'  # by ACPI; without, the CPU would be halted for good


def command(flavour: str, append: str, *options: str) -> list[str]:
    """The command line of a boot."""
    files = guest('linux')
    kernel, initramfs = files[f'vmlinuz-{flavour}'], files[f'initramfs-{flavour}-tiny.gz']
    return [sys.executable, '-m', 'emu', 'run', '-nographic', '-m', '256', '-kernel', str(kernel), '-initrd', str(initramfs), '-append', f'console=ttyS0 {append}', *options]


def busybox(flavour: str) -> str:
    """The host's sum of the file that the guest sums up."""
    data = gzip.decompress(guests.get('linux')[f'initramfs-{flavour}-tiny.gz'].read_bytes())
    header = data.rindex(b'070701', 0, data.index(b'bin/busybox\0'))
    size = int(data[header + 54:header + 62], 16)
    start = -(-(header + 110 + len('bin/busybox') + 1) // 4) * 4
    return hashlib.sha256(data[start:start + size]).hexdigest()


def assert_right(flavour: str, log: str) -> None:
    """The kernel is the one that was asked for, and every check of its /init is right."""
    checks = dict(re.findall(r'^check (\w+): (.*)$', log, re.MULTILINE))
    release = re.search(r'^GUEST-READY (\S+)', log, re.MULTILINE)
    assert release and release[1].endswith(f'-{flavour}') and 'GUEST-CHECKS-DONE' in log, log[-2000:]
    assert {name: checks.get(name) for name in RIGHT} == RIGHT
    assert checks['busybox'] == busybox(flavour)
    assert 'fpu' in checks['cpu'].split() and 200_000 < int(checks['memory'].split()[0]) < 256 << 10
    assert not re.search(r'BUG:|Oops|WARNING:|Call Trace', log), log


@pytest.mark.parametrize('flavour, engine', [
    ('686-pae', 'optimise'),
    *[pytest.param(flavour, engine, marks=pytest.mark.skipif(not ALL, reason='EMU_TEST_ALL=1'))
      for flavour, engine in (('686', 'interpreter'), ('686-pae', 'interpreter'), ('686', 'stencils'), ('686-pae', 'stencils'))]])
def test_boots_and_powers_off(flavour: str, engine: str) -> None:
    run = subprocess.run(command(flavour, 'end=poweroff', '-engine', engine), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
    assert_right(flavour, run.stdout)
    assert POWERED_OFF in run.stdout and 'halted for good' not in run.stderr and run.returncode == 0


class Person:
    """Somebody at the terminal of `emu run`."""

    def __init__(self, words: list[str]):
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(words, stdin=self.slave, stdout=self.slave, stderr=self.slave)
        self.log = ''
        self.seen = 0

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def read(self, seconds: float) -> None:
        if select.select([self.master], [], [], seconds)[0]: self.log += os.read(self.master, 65536).decode(errors='replace').replace('\r', '')

    def expect(self, pattern: str) -> str:
        """Waits for something behind what was expected before; all that came up to its end."""
        end = time.monotonic() + PATIENCE
        while not (found := re.compile(pattern).search(self.log, self.seen)):
            assert time.monotonic() < end and self.process.poll() is None, f'no {pattern!r} in {self.log[self.seen:]}'
            self.read(0.2)
        start, self.seen = self.seen, found.end()
        return self.log[start:self.seen]

    def assert_ended(self, code: int) -> None:
        """The program has ended so, and the terminal is as it was."""
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < end: self.read(0.2)
        while select.select([self.master], [], [], 0)[0]: self.read(0)
        assert self.process.returncode == code, self.log
        assert termios.tcgetattr(self.slave) == self.before

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    """One that has started the kernel of this flavour."""
    somebody = Person(command(request.param, 'end=shell'))
    yield somebody
    somebody.close()


@pytest.mark.parametrize('person', ['686'], indirect=True)
def test_shell(person: Person) -> None:
    """What the README promises of a shell: interrupts are counted, the file is the host's, poweroff ends it."""
    person.expect('GUEST-CHECKS-DONE')
    assert_right('686', person.log)
    person.expect(r'# ')
    person.type('cat /proc/interrupts; echo over-$((6*7))\r')
    counts = {name: int(count) for count, name in re.findall(r'^ *\d+: +(\d+) .*?(\S+)$', person.expect('over-42\n'), re.MULTILINE)}
    assert counts['timer'] > 100 and counts['ttyS0'] > 10
    person.expect(r'# ')
    person.type('sha256sum /bin/busybox\r')
    assert busybox('686') in person.expect(r'[0-9a-f]{64}')
    person.expect(r'# ')
    person.type("grep -c ^processor /proc/cpuinfo; sh -c 'echo sleeping; exec sleep 1000'\r")
    person.expect('\n1\nsleeping\n')
    person.type('\x03')  # Ctrl-C is the guest's
    person.expect(r'# ')
    person.type('poweroff -f\r')
    person.assert_ended(0)
    assert POWERED_OFF in person.log and 'halted for good' not in person.log


@pytest.mark.parametrize('person', ['686'], indirect=True)
def test_ctrl_a_x_ends_a_boot(person: Person) -> None:
    person.expect('Linux version')
    person.type('\x01x')
    person.assert_ended(0)
