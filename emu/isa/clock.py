"""Guest time in nanoseconds, which RDTSC and all devices read (docs/time.md): it follows the host's clock, or with a tick the retired instructions."""
from emu.isa.language import host_clock, outlined, udiv, umod

SECOND = 1_000_000_000  # nanoseconds
UNNOTICED = 20_000  # nanoseconds by which guest time may leap
CATCH_UP = 1_500  # while it catches up, guest time advances by at most so many nanoseconds from one look to the next, and by 1.25 times what the instructions should take
RATE = 20  # m.rate is in instructions for 2**RATE nanoseconds
FEWEST = 100  # instructions in a slice, without a tick
NEVER = 1 << 62  # a guest time
SLICE = 1_000_000  # nanoseconds: the longest time without Python


def retired(m):
    """Instructions retired since power-on."""
    return m.retired + m.slice - m.budget - m.deferred


@outlined
def guest_time(m):
    """Nanoseconds since power-on."""
    if m.tick: return retired(m) * m.tick + m.skipped
    late = host_clock(m) - m.epoch - m.time
    if late > UNNOTICED:
        done = retired(m)
        most = CATCH_UP + udiv((done - m.looked) * (5 << (RATE - 2)), m.rate)
        if late > most: late = most
        m.looked = done
    if late > 0: m.time = m.time + late
    return m.time


def allowance(m, left):
    """Instructions that may be executed in so many nanoseconds."""
    n = (left * m.rate) >> RATE
    fewest = FEWEST
    if m.tick:
        n = udiv(left + m.tick - 1, m.tick)
        fewest = 1
    return n if n > fewest else fewest


def ticks(now, hz):
    """How many periods of a clock are over at `now`."""
    return udiv(now, SECOND) * hz + udiv(umod(now, SECOND) * hz, SECOND)
