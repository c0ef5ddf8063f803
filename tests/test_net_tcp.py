"""emu/net/tcp.py against RFC 9293 (sections named) with segments made by hand, and two of its ends against each other over a wire that loses, doubles and swaps."""
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.hw.clock import Clock
from emu.net.packets import ACK, FIN, PSH, RST, SYN, Segment
from emu.net.tcp import BATCH, CLOSED, LIMIT, MSS, OPEN, PATIENCE, WAITING, Connection, near
from tests.conftest import ALL

MS = 1_000_000


class End:
    """A connection whose application keeps what comes and takes it at once, unless told not to."""

    def __init__(self, clock: Clock, emit, first: int, full=lambda: False, soon=lambda seconds, callback: callback()):
        self.connection = Connection(clock, emit, full, soon, 80, 1024, first)
        self.connection.application = self
        self.data, self.log, self.greedy = bytearray(), [], True

    def opened(self) -> None: self.log.append('opened')
    def closed(self) -> None: self.log.append('failed' if self.connection.failed else 'closed')
    def drained(self) -> None: self.log.append('drained')

    def received(self) -> None:
        if not self.greedy: return
        self.data += self.connection.incoming
        self.connection.take(len(self.connection.incoming))
        if self.connection.ended and 'ended' not in self.log: self.log.append('ended')


class Peer:
    """The guest, by hand: it has called and been answered."""

    def __init__(self, window: int = 64000, shift: int | None = 0, mss: int = MSS):
        self.time, self.sent, self.blocked = 0, [], False
        self.clock = Clock(lambda: self.time)
        self.soon, self.busy = [], False
        self.end = End(self.clock, self.sent.append, 1000, lambda: self.blocked, lambda seconds, callback: self.soon.append(callback))
        self.connection = self.end.connection
        self.connection.called(Segment(1024, 80, 5000, 0, SYN, window, b'', mss, shift))
        self.connection.accept()
        self.hello = self.sent.pop()
        self.say(ACK, 5001, 1001, window=window)

    def say(self, flags: int, seq: int, ack: int, data: bytes = b'', window: int = 64000) -> list[Segment]:
        """Sends a segment; what comes back."""
        self.sent.clear()
        self.connection.receive(Segment(1024, 80, seq, ack, flags, window, data))
        if not self.busy: self.settle()
        return list(self.sent)

    def settle(self) -> None:
        """The machine is at leisure."""
        while self.soon: self.soon.pop()()

    def wait(self, ns: int) -> list[Segment]:
        self.sent.clear()
        end = self.time + ns
        while (deadline := self.clock.next_deadline()) is not None and deadline <= end:
            self.time = max(deadline, self.time)
            self.clock.run_due()
        self.time = end
        return list(self.sent)

    def write(self, data: bytes) -> list[Segment]:
        self.sent.clear()
        self.connection.write(data)
        return list(self.sent)


@pytest.fixture
def p() -> Peer:
    return Peer()


def test_numbers_wrap() -> None:
    """3.4: arithmetic is modulo 2**32."""
    assert near(5, 0xfffffff0) == 0x100000005 and near(0xfffffff0, 0x100000005) == 0xfffffff0 and near(7, 7) == 7


def test_opening(p: Peer) -> None:
    """3.5: SYN is answered by SYN and ACK, with MSS and, because the guest had it, window scale."""
    assert (p.hello.flags, p.hello.seq, p.hello.ack, p.hello.mss) == (SYN | ACK, 1000, 5001, MSS) and p.hello.shift is not None
    assert p.end.log == ['opened'] and Peer(shift=None).hello.shift is None


def test_data_in_order_is_acknowledged(p: Peer) -> None:
    """3.10.7.4: when the machine is at leisure, but eight segments at once; the application gets it together."""
    answer, = p.say(ACK | PSH, 5001, 1001, b'hello')
    assert (answer.flags, answer.ack) == (ACK, 5006) and p.end.data == b'hello'
    p.busy = True
    assert p.say(ACK | PSH, 5006, 1001, b'x') == [] == p.say(ACK | PSH, 5007, 1001, b'y') and p.end.data == b'hello'
    p.settle()
    assert [one.ack for one in p.sent] == [5008] and p.end.data == b'helloxy'
    for n in range(8): assert bool(p.say(ACK, 5008 + n * MSS, 1001, bytes(MSS))) == (n == 7)


def test_data_out_of_order(p: Peer) -> None:
    """3.10.7.4: kept for its turn; each such segment is answered at once, so that the guest sends again what is lost."""
    assert [one.ack for one in p.say(ACK, 5004, 1001, b'def')] == [5001]
    assert [one.ack for one in p.say(ACK, 5007, 1001, b'ghi')] == [5001]
    assert [one.ack for one in p.say(ACK, 5001, 1001, b'abcd')] == [5010] and p.end.data == b'abcdefghi'


def test_old_data_and_data_behind_the_window(p: Peer) -> None:
    """3.4, "segment acceptability": answered by an ACK, otherwise ignored."""
    p.say(ACK | PSH, 5001, 1001, b'abc')
    assert [one.ack for one in p.say(ACK | PSH, 5001, 1001, b'abc')] == [5004]
    assert [one.ack for one in p.say(ACK | PSH, 5004 + LIMIT, 1001, b'abc')] == [5004] and p.end.data == b'abc'
    assert [one.ack for one in p.say(ACK | PSH, 5002, 1001, b'bcd')] == [5005] and p.end.data == b'abcd'


def test_the_window_closes_and_opens(p: Peer) -> None:
    """3.8.6: what the application does not take stays within LIMIT; when it does, the guest is told."""
    p.end.greedy = False
    seq = 5001
    while True:
        answers = p.say(ACK | PSH, seq, 1001, bytes(MSS))
        if answers[-1].ack == seq & 0xffffffff: break
        seq = answers[-1].ack
    assert answers[-1].window == 0 and len(p.connection.incoming) <= LIMIT
    p.sent.clear()
    p.connection.take(len(p.connection.incoming))
    assert p.sent[-1].window << 3 >= LIMIT - 8


def test_sending_within_the_guests_window() -> None:
    """3.8.6: no more than the window; the rest when it opens."""
    p = Peer(window=3000)
    sent = p.write(bytes(10000))
    assert [len(one.data) for one in sent] == [MSS, MSS] and sum(len(one.data) for one in sent) <= 3000
    assert [len(one.data) for one in p.say(ACK, 5001, 1001 + 2 * MSS, window=64000)] == [MSS] * 4 + [10000 - 6 * MSS] and p.sent[-1].flags & PSH


def test_mss_of_the_guest() -> None:
    """3.7.1."""
    p = Peer(mss=536)
    assert [len(one.data) for one in p.write(bytes(1100))] == [536, 536, 28]


def test_timeout(p: Peer) -> None:
    """3.8.1: sent again, at twice the time each, and given up after PATIENCE."""
    p.write(b'abc')
    times = []
    start = p.time
    while p.connection.state == OPEN:
        for one in p.wait(10 * MS):
            if one.flags & RST: assert p.end.log[-1] == 'failed'
            else:
                assert (one.seq, one.data) == (1001, b'abc')
                times.append(p.time - start)
    assert len(times) == PATIENCE and times[0] <= 300 * MS and times[2] - times[1] == 2 * (times[1] - times[0])


def test_fast_retransmission(p: Peer) -> None:
    """RFC 5681, 3.2: after three duplicates; a partial ACK (RFC 6582) brings the next at once."""
    p.write(bytes(8 * MSS))
    assert p.say(ACK, 5001, 1001) == [] == p.say(ACK, 5001, 1001)
    assert [one.seq for one in p.say(ACK, 5001, 1001)] == [1001]
    assert [one.seq for one in p.say(ACK, 5001, 1001 + 3 * MSS)] == [1001 + 3 * MSS]
    assert p.say(ACK, 5001, 1001 + 8 * MSS) == []


def test_a_closed_window_is_probed(p: Peer) -> None:
    """3.8.6.1: a byte, again and again, for as long as the guest answers."""
    p.say(ACK, 5001, 1001, window=0)
    assert p.write(b'abcdef') == []
    for _ in range(3 * PATIENCE):
        probes = p.wait(9000 * MS)
        assert probes and all(len(one.data) <= 1 for one in probes)
        p.say(ACK, 5001, 1001, window=0)
    assert p.connection.state == OPEN
    p.say(ACK, 5001, 1002, window=1000)
    assert b''.join(one.data for one in p.sent) == b'bcdef'


def test_a_full_wire_holds(p: Peer) -> None:
    """What the card has no room for waits here, and no timeout doubles it."""
    p.blocked = True
    assert p.write(bytes(5000)) == [] and p.wait(5000 * MS) == []
    p.blocked = False
    p.sent.clear()
    p.connection.push()
    assert sum(len(one.data) for one in p.sent) == 5000


def test_the_guest_closes_first(p: Peer) -> None:
    """3.6: its FIN is acknowledged, ours follows; then TIME-WAIT, in which a FIN that comes again is answered."""
    assert [one.ack for one in p.say(ACK | FIN, 5001, 1001, b'bye')] == [5005] and p.end.log[-1] == 'ended' and p.end.data == b'bye'
    p.connection.write(b'you')
    p.sent.clear()
    p.connection.finish()
    assert [(one.flags & FIN, one.seq) for one in p.sent] == [(FIN, 1004)]
    p.say(ACK, 5005, 1005)
    assert p.connection.state == WAITING and [one.ack for one in p.say(ACK | FIN, 5004, 1005)] == [5005]
    p.wait(5000 * MS)
    assert p.connection.state == CLOSED and p.end.log[-1] == 'closed'


def test_we_close_first(p: Peer) -> None:
    """3.6: FIN goes with the last data and is sent again with it; the guest may go on sending."""
    p.sent.clear()
    p.connection.write(b'abc')
    p.connection.finish()
    assert [(one.data, one.flags & FIN) for one in p.sent] == [(b'abc', 0), (b'', FIN)]
    assert [(one.data, one.flags & FIN) for one in p.wait(250 * MS)] == [(b'abc', FIN)]
    p.say(ACK | PSH, 5001, 1005, b'more')
    assert p.end.data == b'more' and p.connection.state == OPEN
    p.say(ACK | FIN, 5005, 1005)
    assert p.connection.state == WAITING


def test_what_the_guest_has_sent_is_not_forgotten(p: Peer) -> None:
    """A slow application gets all, though both sides have closed long ago."""
    p.end.greedy = False
    p.say(ACK | FIN, 5001, 1001, b'abc')
    p.connection.finish()
    p.say(ACK, 5005, 1002)
    p.wait(60_000 * MS)
    assert p.connection.state == WAITING and p.connection.incoming == b'abc'
    p.connection.take(3)
    p.wait(5000 * MS)
    assert p.connection.state == CLOSED


def test_resets(p: Peer) -> None:
    """3.10.7.4 and RFC 5961: exactly in its place an RST ends all; elsewhere in the window it is answered; outside it is nothing. SYN is answered."""
    assert p.say(RST, 4000, 1001) == [] and [one.flags for one in p.say(RST, 5100, 1001)] == [ACK] and [one.flags for one in p.say(SYN, 5001, 0)] == [ACK]
    assert p.connection.state == OPEN
    p.say(RST, 5001, 1001)
    assert p.connection.state == CLOSED and p.end.log[-1] == 'failed'


def test_acks_of_what_was_never_sent(p: Peer) -> None:
    """3.10.7.4: answered, ignored."""
    assert [one.flags for one in p.say(ACK | PSH, 5001, 9999, b'abc')] == [ACK] and p.end.data == b''


def test_calling_the_guest() -> None:
    """3.5: SYN, again until it is answered; an RST is a refusal."""
    sent: list[Segment] = []
    now = [0]
    clock = Clock(lambda: now[0])
    end = End(clock, sent.append, 0xffffffff)
    end.connection.call()
    assert sent[0].flags == SYN and sent[0].seq == 0xffffffff
    now[0] = 1_100_000_000
    clock.run_due()
    assert len(sent) == 2
    end.connection.receive(Segment(1024, 80, 70, 1, ACK, 0, b''))
    assert end.log == []
    end.connection.receive(Segment(1024, 80, 70, 0, SYN | ACK, 1000, b'', 1000, None))
    assert end.log == ['opened'] and sent[-1].flags == ACK and sent[-1].ack == 71
    other = End(clock, sent.append, 5)
    other.connection.call()
    other.connection.receive(Segment(1024, 80, 0, 6, RST | ACK, 0, b''))
    assert other.log == ['failed']


def test_batches(p: Peer) -> None:
    """The application is told at BATCH bytes at the latest."""
    seq, p.busy = 5001, True
    while not p.end.data:
        p.say(ACK, seq, 1001, bytes(MSS))
        seq += MSS
    assert BATCH <= len(p.end.data) < BATCH + MSS


@settings(max_examples=2000 if ALL else 60, deadline=None)
@given(st.integers(0, 2 ** 32), st.sampled_from([0.0, 0.02, 0.2]), st.integers(0, 400_000), st.integers(0, 100_000), st.booleans())
def test_two_ends_over_a_bad_wire(seed: int, loss: float, there: int, back: int, swaps: bool) -> None:
    """Whatever is lost, doubled or swapped: each end gets exactly what the other one has written, then its end; both close."""
    chance = random.Random(seed)
    time, flying = 0, []
    clock = Clock(lambda: time)

    def wire(to: str):
        def emit(segment: Segment) -> None:
            for _ in range(2 if chance.random() < loss / 4 else 1):
                if chance.random() >= loss:
                    flying.append((time + chance.randrange(MS) if swaps else time + MS, len(flying) + chance.random(), to, segment._replace(source=segment.destination)))
        return emit
    ends = {'a': End(clock, wire('b'), chance.randrange(2 ** 32)), 'b': End(clock, wire('a'), chance.randrange(2 ** 32))}
    written = {'a': chance.randbytes(there), 'b': chance.randbytes(back)}
    left = {name: memoryview(data) for name, data in written.items()}
    ends['a'].connection.call()
    for _ in range(300_000):
        for name, end in ends.items():
            c = end.connection
            if c.state == OPEN and (room := c.room()) and c.end is None:
                part, left[name] = left[name][:min(room, 30_000)], left[name][min(room, 30_000):]
                c.write(bytes(part)) if part else None
                if not left[name]: c.finish()
        if all(end.connection.state in (WAITING, CLOSED) for end in ends.values()): break
        flying.sort(reverse=True)
        deadline = clock.next_deadline()
        if flying and (deadline is None or flying[-1][0] <= deadline):
            when, _, to, segment = flying.pop()
            time = max(time, when)
            if to == 'b' and ends['b'].connection.state == 0:
                if segment.flags == SYN:
                    ends['b'].connection.called(segment)
                    ends['b'].connection.accept()
            else: ends[to].connection.receive(segment)
        elif deadline is not None:
            time = max(time, deadline)
            clock.run_due()
        else: break
    for name, other in (('a', 'b'), ('b', 'a')):
        assert ends[name].data == written[other] and ends[name].connection.ended and ends[name].connection.state in (WAITING, CLOSED)


@settings(max_examples=5000 if ALL else 200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 63), st.one_of(st.integers(4990, 5100), st.integers(0, 2 ** 32 - 1)), st.one_of(st.integers(990, 1100), st.integers(0, 2 ** 32 - 1)),
                          st.integers(0, 65535), st.binary(max_size=50)), max_size=30), st.booleans())
def test_any_segments(segments: list[tuple], writes: bool) -> None:
    """Nothing raises, nothing grows without bound."""
    p = Peer()
    for flags, seq, ack, window, data in segments:
        if writes and p.connection.state == OPEN and p.connection.end is None: p.connection.write(b'abc')
        p.say(flags, seq, ack, data, window)
        p.wait(3 * MS)
        assert len(p.connection.incoming) <= LIMIT and p.connection.edge - p.connection.rcv <= LIMIT + 1
