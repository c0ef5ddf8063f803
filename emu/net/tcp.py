"""TCP (RFC 9293): one end of a connection, that of the network, with the guest at the other. User (user.py) finds the connection of a segment; what is to be done with
the data is the application's (nat.py: a socket of the host's; http.py: files).

The way to the guest is short and holds frames instead of losing them, so there is no congestion control: what the guest's window lets through is sent as long as the wire
is not full. Lost segments are sent again after three duplicate ACKs (RFC 5681, with NewReno's partial ACKs, RFC 6582) or a timeout (RFC 6298). Window scale (RFC 7323);
no timestamps, no selective ACKs, no urgent data (it is data like any other), no simultaneous open.

Sequence numbers are Python's integers and do not wrap: `near` makes one of the 32 bits of a segment.
"""
from typing import Callable, Protocol

from emu.hw.clock import Clock, Timer
from emu.net.packets import ACK, FIN, PSH, RST, SYN, Segment

LIMIT = 128 << 10  # bytes that a connection keeps, each way
BATCH = 16 << 10  # bytes that are handed on at once
EVERY = 8  # segments that are acknowledged at once; fewer after DELAY
DELAY = 0.005  # seconds
SHIFT = 3  # window scale that we ask for
MSS = 1460
SHORTEST, LONGEST = 200_000_000, 8_000_000_000  # ns: timeouts for sending again
PATIENCE = 10  # of these in a row, and the guest is given up
LINGER = 2_000_000_000  # ns: TIME-WAIT

APART = 256  # segments that are kept before their turn

CONNECTING, CALLED, CALLING, OPEN, WAITING, CLOSED = range(6)  # nothing sent yet; SYN received and answered; SYN sent; open; TIME-WAIT; closed


def near(number: int, known: int) -> int:
    """The number with these 32 bits that is nearest to a known one."""
    return known + (number - known + 0x80000000 & 0xffffffff) - 0x80000000


class Application(Protocol):
    """What a connection tells its user. None of these may wait."""

    def opened(self) -> None:
        """The guest has accepted; data may be written."""

    def received(self) -> None:
        """There is more in `connection.incoming`, or the guest has sent all (`connection.ended`)."""

    def drained(self) -> None:
        """There is room again to write."""

    def closed(self) -> None:
        """The connection is over: `connection.failed` says whether by a reset."""


class Connection:
    """`emit(segment)` sends to the guest, `full()` says whether it should wait, `soon(seconds, callback)` calls back after so much of the host's time, 0: when
    the machine is at leisure, within a millisecond or two; ports and the first sequence number are given."""

    def __init__(self, clock: Clock, emit: Callable[[Segment], None], full: Callable[[], bool], soon: Callable[[float, Callable[[], None]], object],
                 ours: int, guests: int, first: int):
        self.clock, self.emit, self.full, self.soon = clock, emit, full, soon
        self.ours, self.guests = ours, guests
        self.application: Application | None = None
        self.state = CONNECTING
        self.used = clock.now()  # when anything was last heard
        # Sending: `outgoing` begins with the first byte that the guest has not acknowledged, which is number `una`
        self.outgoing = bytearray()
        self.una = self.next = first  # first unacknowledged, next to be sent
        self.end: int | None = None  # number of our FIN: nothing more will be written
        self.window, self.shift, self.mss = 0, 0, MSS
        self.duplicates = 0
        self.recover: int | None = None  # what was sent when a loss was noticed
        self.timer: Timer | None = None  # looks at `deadline`, which moves on while all goes well
        self.deadline: int | None = None
        self.tries = 0
        self.trip, self.variation, self.timeout = 0, 0, 1_000_000_000
        self.timed: tuple[int, int] | None = None  # a number to be acknowledged, and when it was sent
        self.was_full = False
        # Receiving
        self.incoming = bytearray()  # for the application
        self.rcv = self.edge = 0  # next number, and end of the window that the guest knows of
        self.scaled = False  # both sides scale windows
        self.later: dict[int, bytes] = {}  # by number: what came before its turn
        self.fin: int | None = None  # number of the guest's FIN
        self.ended = self.failed = False
        self.owed = 0  # bytes received without an ACK
        self.settling = self.owing = False  # `settle` and `pay` will be called
        self.told = 0  # bytes of `incoming` that the application knows of

    # --- opening ---------------------------------------------------------------------------------------------------------------------

    def called(self, segment: Segment) -> None:
        """The guest's SYN; it is answered by `accept`."""
        self.rcv = self.edge = segment.seq + 1
        self.agree(segment)

    def agree(self, segment: Segment) -> None:
        """The options of the guest's SYN; the window in it is never scaled."""
        self.mss = max(min(segment.mss or 536, MSS), 64)
        self.scaled = segment.shift is not None
        self.shift = segment.shift or 0
        self.window = segment.window

    def accept(self) -> None:
        """Answers the SYN."""
        self.state = CALLED
        self.open()

    def call(self) -> None:
        """Sends a SYN."""
        self.state, self.scaled = CALLING, True
        self.open()

    def open(self) -> None:
        """SYN, or SYN and ACK, now and until it is answered."""
        self.next = self.una + 1
        self.say(SYN | (ACK if self.state == CALLED else 0), self.una)
        self.arm()

    # --- what the application does -----------------------------------------------------------------------------------------------------

    def room(self) -> int:
        """Bytes that may be written."""
        free = LIMIT - len(self.outgoing)
        self.was_full = self.was_full or free <= 0
        return max(free, 0)

    def write(self, data: bytes) -> None:
        """Sends data."""
        self.outgoing += data
        self.push()

    def finish(self) -> None:
        """Nothing more will be written."""
        if self.end is None:
            self.end = max(self.next, self.una + len(self.outgoing))
            self.push()

    def take(self, n: int) -> None:
        """The application has done with the first n bytes of `incoming`; a window that was nearly closed is opened."""
        del self.incoming[:n]
        self.told = max(self.told - n, 0)
        if self.state == OPEN and self.edge - self.rcv < LIMIT // 4 and self.right_edge() - self.edge >= LIMIT // 4: self.acknowledge()

    def abort(self) -> None:
        """RST."""
        if self.state in (CALLED, OPEN): self.say(RST | ACK, self.next)
        elif self.state == CONNECTING: self.emit(Segment(self.ours, self.guests, 0, self.rcv, RST | ACK, 0, b''))
        self.close(True)

    def close(self, failed: bool) -> None:
        """It is over."""
        if self.state == CLOSED: return
        self.state, self.failed = CLOSED, failed
        self.clock.cancel(self.timer)
        self.timer = None
        self.later.clear()
        if self.application: self.application.closed()

    # --- sending ---------------------------------------------------------------------------------------------------------------------

    def right_edge(self) -> int:
        """End of the window: what there is room for. It never moves back, and 16 bits hold it."""
        room = min(LIMIT - len(self.incoming), 0xffff << SHIFT if self.scaled else 0xffff)
        return max(self.edge, self.rcv + room)

    def say(self, flags: int, seq: int, data: bytes = b'') -> None:
        """A segment; whatever it carries, it acknowledges."""
        mss = shift = None
        if flags & SYN:
            mss, shift = MSS, SHIFT if self.scaled else None
            self.edge = self.rcv + min(LIMIT, 0xffff)
            window = 0xffff
        else:
            self.edge = self.right_edge()
            window = min(self.edge - self.rcv >> (SHIFT if self.scaled else 0), 0xffff)
        self.owed = 0
        self.emit(Segment(self.ours, self.guests, seq, self.rcv if flags & ACK else 0, flags, window, data, mss, shift))

    def acknowledge(self) -> None:
        """A bare ACK."""
        self.say(ACK, self.next)

    def push(self, forced: bool = False) -> None:
        """Sends what the window allows; forced: a byte even where it is closed, to find out whether it still is."""
        if self.state != OPEN: return
        edge = self.una + max(self.window, forced)
        while (forced or not self.full()) and (self.end is None or self.next <= self.end):
            at = self.next - self.una
            left = len(self.outgoing) - at
            n = min(left, self.mss, edge - self.next)
            if n < 0 or n == 0 and (left or self.end is None): break
            if 0 < n < left and n < self.mss and at: break  # only a part of a segment fits: there is an ACK to come, and more window with it
            self.send(self.next, n)
            forced = False
        if not self.window and self.outgoing and self.deadline is None: self.arm()  # to ask for a window

    def send(self, number: int, n: int) -> None:
        """Sends n bytes from a number on, perhaps again, and the FIN if it is next."""
        at, end = number - self.una, number + n
        fin = end == self.end
        self.say(ACK | (FIN if fin else 0) | (PSH if n and at + n == len(self.outgoing) else 0), number, bytes(self.outgoing[at:at + n]))
        if end + fin > self.next:
            self.next = end + fin
            if self.timed is None: self.timed = self.next, self.clock.now()
        if self.deadline is None: self.arm()

    def again(self) -> None:
        """Sends the first segment that was not acknowledged again."""
        self.timed = None  # Karn's algorithm
        self.send(self.una, min(len(self.outgoing), self.mss, self.next - self.una))

    def arm(self) -> None:
        """Starts the timer for sending again."""
        self.deadline = self.clock.now() + min(self.timeout << self.tries, LONGEST)
        if self.timer is None or self.timer.time > self.deadline:
            self.clock.cancel(self.timer)
            self.timer = self.clock.at(self.deadline, self.late)

    def late(self) -> None:
        """No answer in time."""
        self.timer = None
        if self.deadline is None: return
        if self.deadline > self.clock.now():
            self.timer = self.clock.at(self.deadline, self.late)
            return
        self.deadline = None
        if self.state == WAITING:
            if not self.incoming: return self.close(False)
            self.deadline = self.clock.now() + LINGER  # the application has not done with the guest's data
            self.timer = self.clock.at(self.deadline, self.late)
            return
        if self.state == OPEN and self.full(): return self.arm()  # our segments wait in the wire: the guest has not seen them yet
        self.tries += 1
        if self.tries > PATIENCE: return self.abort()
        self.timed = None
        if self.state in (CALLED, CALLING): self.say(SYN | (ACK if self.state == CALLED else 0), self.una)
        elif self.una < self.next:
            self.duplicates, self.recover = 0, self.next
            self.again()
        elif self.outgoing: self.push(True)
        else: return
        self.arm()

    # --- receiving -------------------------------------------------------------------------------------------------------------------

    def receive(self, segment: Segment) -> None:
        """A segment of the guest's (RFC 9293, 3.10.7)."""
        self.used = self.clock.now()
        if self.state in (CONNECTING, CLOSED): return None
        if self.state == CALLING: return self.answered(segment)
        seq = near(segment.seq, self.rcv)
        data, flags = segment.data, segment.flags
        length = len(data) + (flags & FIN) + (flags >> 1 & 1)
        if seq + length < self.rcv or seq > self.edge or (seq + length == self.rcv and length):  # old, or behind the window
            if not flags & RST: self.acknowledge()
            return None
        if flags & RST:
            if seq == self.rcv: self.close(True)
            else: self.acknowledge()
            return None
        if flags & SYN:
            if self.state != CALLED: self.acknowledge()
            return None  # ours will be sent again
        if not flags & ACK or not self.take_ack(segment): return None
        if self.state == WAITING and length: self.acknowledge()
        if self.state == OPEN and length: self.take_data(seq, data, flags)
        return None

    def answered(self, segment: Segment) -> None:
        """What comes after our SYN."""
        if segment.flags & ACK and near(segment.ack, self.next) != self.next: return
        if segment.flags & RST:
            if segment.flags & ACK: self.close(True)
        elif segment.flags & (SYN | ACK) == SYN | ACK:
            self.called(segment)
            self.una = self.next
            self.established()
            self.acknowledge()

    def established(self) -> None:
        """Both sides have agreed."""
        self.state, self.tries, self.timeout = OPEN, 0, SHORTEST
        self.deadline = None
        if self.application: self.application.opened()
        self.push()

    def take_ack(self, segment: Segment) -> bool:
        """ACK and window; whether the segment is to be looked at further."""
        ack = near(segment.ack, self.una)
        if self.state == CALLED:
            if ack != self.next:
                self.emit(Segment(self.ours, self.guests, segment.ack, 0, RST, 0, b''))
                return False
            self.una, self.window = ack, segment.window << self.shift
            self.established()
            return self.state == OPEN
        if ack > self.next:
            self.acknowledge()
            return False
        if ack < self.una: return True
        window = segment.window << self.shift
        repeated = ack == self.una < self.next and not segment.data and not segment.flags & FIN and window == self.window
        self.window = window
        if ack > self.una: self.progress(ack)
        elif repeated:
            self.duplicates += 1
            if self.duplicates == 3 and self.recover is None:
                self.recover = self.next
                self.again()
        if not window: self.tries = min(self.tries, PATIENCE // 2)  # it is alive
        self.push()
        if self.was_full and self.application and len(self.outgoing) <= LIMIT // 2:
            self.was_full = False
            self.application.drained()
        return self.state != CLOSED

    def progress(self, ack: int) -> None:
        """The guest has more."""
        if self.timed and ack >= self.timed[0]:
            self.measure(self.clock.now() - self.timed[1])
            self.timed = None
        del self.outgoing[:ack - self.una]
        self.una = ack
        self.duplicates = self.tries = 0
        self.deadline = None
        if self.una < self.next:
            if self.recover is not None and ack < self.recover: self.again()  # a partial ACK: the next one is lost as well
            else: self.recover = None
            self.arm()
        else:
            self.recover = None
            self.both_finished()

    def measure(self, trip: int) -> None:
        """RFC 6298, 2."""
        if not self.trip: self.trip, self.variation = trip, trip // 2
        else:
            self.variation += (abs(self.trip - trip) - self.variation) // 4
            self.trip += (trip - self.trip) // 8
        self.timeout = min(max(self.trip + 4 * self.variation, SHORTEST), LONGEST)

    def take_data(self, seq: int, data: bytes, flags: int) -> None:
        """Data and FIN, in whatever order they come."""
        if flags & FIN and self.fin is None: self.fin = seq + len(data)
        at_once = bool(flags & FIN) or seq != self.rcv or bool(self.later)
        if seq < self.rcv: data, seq = data[self.rcv - seq:], self.rcv
        data = data[:max((self.edge if self.fin is None else min(self.edge, self.fin)) - seq, 0)]
        if seq == self.rcv:
            self.incoming += data
            self.rcv += len(data)
            self.owed += len(data)
            if self.later: self.catch_up()
        elif data and len(self.later) < APART and len(data) > len(self.later.get(seq, b'')): self.later[seq] = data
        if self.fin == self.rcv and not self.ended:
            self.rcv += 1
            self.edge = max(self.edge, self.rcv)
            self.ended = True
        if at_once or not data or self.owed >= EVERY * self.mss: self.acknowledge()
        elif not self.owing:
            self.owing = True
            self.soon(DELAY, self.pay)
        if self.ended or len(self.incoming) - self.told >= BATCH: self.tell()
        elif not self.settling and len(self.incoming) > self.told:
            self.settling = True
            self.soon(0, self.settle)
        self.both_finished()

    def catch_up(self) -> None:
        """What had come before its turn, as far as it joins."""
        while ready := [seq for seq in self.later if seq <= self.rcv]:
            for seq in ready:
                data = self.later.pop(seq)[self.rcv - seq:]
                self.incoming += data
                self.rcv += len(data)

    def settle(self) -> None:
        """Hands on what has come: one system call for many small segments."""
        self.settling = False
        if self.state == OPEN and self.told < len(self.incoming): self.tell()

    def pay(self) -> None:
        """Acknowledges what was not: one ACK for many small segments."""
        self.owing = False
        if self.state == OPEN and self.owed: self.acknowledge()

    def tell(self) -> None:
        """Hands on what has come."""
        self.told = len(self.incoming)
        if self.application: self.application.received()

    def both_finished(self) -> None:
        """Our FIN is acknowledged, the guest's received: TIME-WAIT, for the case that the guest has not got our last ACK."""
        if self.state == OPEN and self.ended and self.end is not None and self.una > self.end:
            self.state = WAITING
            self.clock.cancel(self.timer)
            self.deadline = self.clock.now() + LINGER
            self.timer = self.clock.at(self.deadline, self.late)
