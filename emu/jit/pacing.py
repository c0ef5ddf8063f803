"""When slices end, what goes on without Python, and how long a halted CPU sleeps: docs/time.md.

Python's timers are in a heap (emu/hw/clock.py), of which compiled code knows the earliest: `m.deadline`. The 8254's counter 0 is compiled code's own (`m.pit`), where it can be.
The eager engine runs `begin`, `allot`, `rest` and `wake` as they stand.
"""
from emu.isa.clock import SLICE, UNNOTICED, allowance, guest_time, retired
from emu.isa.flags import IF, RF, TF
from emu.isa.interrupts import take_interrupt
from emu.isa.language import host_clock, outlined
from emu.ports.pic import Registers as Pic
from emu.ports.pit import Registers as Pit

LATENCY = 5_000  # nanoseconds from a timer to its interrupt, or a guest that rounds its timers down is woken too early
LOOK = -1  # what `rested` says: there is something for Python


def soonest(m):
    """When the next timer is due."""
    due = m.deadline
    if m.pit:
        own = Pit.due_at(m.pit)
        if own < due: due = own
    return due


@outlined
def begin(m):
    """Python has looked at everything, and does so again after SLICE."""
    m.asked = 0
    m.looked = m.retired
    m.until = guest_time(m) + SLICE


@outlined
def allot(m):
    """The budget of the next slice, which goes to the next timer."""
    end = soonest(m)
    if end > m.until: end = m.until
    m.slice_end = end
    left = end - guest_time(m)
    return allowance(m, left if left > 0 else 0)


@outlined
def attend(m):
    """What comes between slices: the timer's tick, and the interrupt, which wakes a halted CPU."""
    if Pit.due_at(m.pit) <= guest_time(m): Pit.fire(m.pit)
    if m.irq and m.eflags & IF: take_interrupt(m, Pic.acknowledge(m.pic))


def go_on(m):
    """A slice has ended: not 0 if nothing of that concerns Python, so that another follows."""
    if m.pit == 0 or m.asked or m.shutdown or m.hit or m.nmi or m.ferr or m.eflags & (TF | RF): return 0
    now = guest_time(m)
    if now >= m.deadline: return 0
    attend(m)
    if m.halted or m.hit or now >= m.until: return 0
    budget = allot(m)
    m.slice = m.slice - m.deferred - m.budget + budget
    m.budget = budget
    m.deferred = 0
    return 1


@outlined
def rest(m):
    """How many of the host's nanoseconds a halted CPU sleeps for: to the next timer, or longer if guest time is behind, which catches up with twice the host's speed then
    (a prompt's ten seconds do not pass at once)."""
    due = soonest(m)
    m.asleep = host_clock(m) - m.epoch
    left = due - m.asleep
    if m.asleep - m.time > UNNOTICED and (due - m.time) >> 1 > left: left = (due - m.time) >> 1
    return left if left > 0 else 0


@outlined
def wake(m):
    """Guest time after a sleep."""
    now = soonest(m) + LATENCY
    if now < m.time: now = m.time
    host = host_clock(m) - m.epoch
    if now > host: now = host
    leap = (host - m.asleep) << 1
    if leap < UNNOTICED: leap = UNNOTICED
    most = m.time + leap + LATENCY
    m.time = now if now < most else most


def rested(m, why):
    """A halted CPU may have been woken and run: how long it is to sleep now that it is halted again; LOOK: it is not, or not for a tick; LOOK - why: as `run` returns."""
    m.retired = retired(m)
    m.slice = 0
    m.budget = 0
    m.deferred = 0
    if why: return LOOK - why
    if m.halted == 0 or m.irq or m.asked or m.shutdown or m.hit or m.nmi or m.ferr or m.eflags & (IF | TF | RF) != IF: return LOOK
    if m.time >= m.deadline: return LOOK
    return rest(m)


TEXTS = guest_time, begin, allot, rest, wake  # that Python calls as well; and compiled code's `attend`
