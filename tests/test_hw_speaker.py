"""emu/hw/speaker.py: what is heard is what counter 2 and port 61h do (8254 data sheet; IBM PC/AT Technical Reference, "Speaker Interface")."""
import wave
from pathlib import Path
from typing import Iterator

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from emu.errors import EmuError
from emu.hw.bus import Bus
from emu.hw.clock import Clock
from emu.hw.pit import Pit
from emu.hw.ports import PortB
from emu.hw.speaker import LOUD, RATE, Recorder, Speaker, Wave
from emu.isa.clock import SECOND
from emu.ports.pit import HZ


class Machine:
    """A PIT, port 61h and a speaker that is recorded."""

    def __init__(self, path: Path):
        self.bus, self.time, self.path = Bus(), 0, path
        clock = Clock(lambda: self.time)
        pit = Pit(self.bus, clock, lambda level: None)
        self.channel = pit.channels[2]
        port_b = PortB(pit)
        self.recorder, self.heard = Recorder(str(path)), []
        self.speaker = Speaker(clock, self.channel, port_b)
        self.speaker.listen(self.hear)

    def hear(self, tick: int, sound: Wave) -> None:
        self.heard.append((tick, sound))
        self.recorder.on_change(tick, sound)

    def out(self, port: int, *values: int) -> None:
        for v in values: self.bus.port_out(port, 8, v)

    def tone(self, n: int, mode: int = 3) -> None:
        self.out(0x43, 0xb0 | mode << 1)
        self.out(0x42, n & 0xff, n >> 8)

    def go(self, seconds: float) -> None:
        self.time += round(seconds * SECOND)

    def samples(self) -> np.ndarray:
        self.recorder.close(self.channel.tick())
        with wave.open(str(self.path)) as file:
            assert file.getparams()[:3] == (1, 2, RATE)
            return np.frombuffer(file.readframes(file.getnframes()), '<i2')


@pytest.fixture
def m(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path / 's.wav')
    yield machine
    machine.recorder.close()


def test_a_beep(m: Machine) -> None:
    """A 1000 Hz square wave for half a second, 10 s after power-on, is half a second long and has 500 periods."""
    m.go(10)
    m.tone(1193)
    m.out(0x61, 3)
    assert round(m.heard[-1][1].frequency) == 1000
    m.go(0.5)
    m.out(0x61, 0)
    m.go(1)
    s = m.samples()
    assert abs(len(s) - 1.5 * RATE) < 2 and set(np.unique(s[RATE // 2 + 50:])) == {0}
    high = s[:RATE // 2] > LOUD // 2
    assert abs(np.count_nonzero(high[1:] & ~high[:-1]) - 500) <= 1 and abs(high.mean() - 0.5) < 0.01


def test_the_gate_and_the_speaker_bit(m: Machine) -> None:
    """Nothing is heard with bit 1 clear; with bit 0 clear the wave stands, high in mode 3; 61h alone moves the cone in mode 0, whose output waits low or high."""
    m.tone(1193)
    m.out(0x61, 1)
    assert m.heard[-1][1] == Wave(False)
    m.out(0x61, 2)
    assert m.heard[-1][1] == Wave(True)
    m.out(0x61, 3)
    assert m.heard[-1][1].n == 1193


def test_frequency_changes_at_the_period(m: Machine) -> None:
    """A count written in mode 3 is loaded at the half period's end ("Mode 3")."""
    m.tone(1000)
    m.out(0x61, 3)
    m.heard.clear()
    m.time += 100 * SECOND // HZ
    m.out(0x42, 500 & 0xff, 500 >> 8)
    (now, old), (later, new) = m.heard[-2:]
    assert old.n == 1000 and new.n == 500 and now < later == old.start + 500


def test_pulse_width(m: Machine) -> None:
    """Digitised sound: mode 0 counts; the cone is low for n of each 64 clocks, so the mean is 1 - n/64."""
    m.out(0x61, 3)
    m.out(0x43, 0x90)  # low byte only, mode 0
    start = m.channel.tick()
    for k in range(4000):
        m.time = -(-(start + 64 * k) * SECOND // HZ)
        m.out(0x42, 16 if k < 2000 else 48)
    s = m.samples()
    half = len(s) // 2
    assert abs(s[50:half - 50].mean() / LOUD - 48 / 64) < 0.03 and abs(s[half + 50:-50].mean() / LOUD - 16 / 64) < 0.03


def test_long_silence_is_cut(m: Machine) -> None:
    """Two beeps an hour apart are five seconds apart in the file."""
    for pause in (3600, 0):
        m.tone(1193)
        m.out(0x61, 3)
        m.go(0.25)
        m.out(0x61, 0)
        m.go(pause)
    s = m.samples()
    assert abs(len(s) - 5.5 * RATE) < 4 and s[-2000:].max() > LOUD // 2


def test_nothing_heard_nothing_recorded(m: Machine) -> None:
    m.tone(1193)
    m.go(100)
    assert len(m.samples()) == 0


def test_errors_of_the_host(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """A path that cannot be; a full disk ends the recording, not the run."""
    with pytest.raises(EmuError, match='no such file'): Recorder(str(tmp_path / 'a' / 'b'))
    recorder = Recorder('/dev/full')
    recorder.on_change(1, Wave(True))
    recorder.on_change(10 * HZ, Wave(False))
    recorder.close(11 * HZ)
    assert capsys.readouterr().err == 'emu: /dev/full: no space left on device; the recording has ended\n'


def reference(changes: list[tuple[int, Wave]], until: int) -> np.ndarray:
    """The level in each clock."""
    out = np.zeros(until, np.int64)
    for k, (at, sound) in enumerate(changes):
        end = min(min((t for t, _ in changes[k + 1:]), default=until), until)
        ticks = np.arange(min(at, until), end + 1)
        if at < end: out[at:end] = np.diff(sound.high(ticks))
    return out


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(['tone', 'count', '61']), st.integers(2, 3000), st.sampled_from([0, 1, 2, 3, 4, 5]), st.integers(1, 5000)), min_size=1, max_size=12))
@example([('tone', 27, 2, 1), ('61', 3, 0, 1), ('count', 2, 0, 1)])  # a count that is to be loaded later: nothing is recorded ahead of it
def test_samples_are_means_of_the_output(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple]) -> None:
    """Against the output pin looked at in every clock."""
    m = Machine(tmp_path_factory.mktemp('s') / 's.wav')
    ticks, pin = 0, []
    for kind, n, mode, pause in steps:
        if kind == 'tone': m.tone(n, mode)
        elif kind == 'count': m.out(0x42, n & 0xff, n >> 8)
        else: m.out(0x61, n & 3)
        for _ in range(pause):
            m.time = -(-(ticks + 0.5) * SECOND // HZ).__int__()
            pin.append(m.channel.level() and bool(m.bus.port_in(0x61, 8) & 2))
            ticks += 1
        m.time = -(-ticks * SECOND // HZ)
    s, pins = m.samples(), np.array(pin, np.int64)
    if not len(s): return
    first = m.recorder.origin
    edges = [first + -(-k * HZ // RATE) for k in range(len(s) + 1)]
    expected = np.array([pins[a:b].sum() for a, b in zip(edges, edges[1:])]) * LOUD * RATE // HZ
    assert np.abs(s - np.minimum(expected, LOUD)).max() <= 2 * LOUD * RATE // HZ + 2, (s, expected)
