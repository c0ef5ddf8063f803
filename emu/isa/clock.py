"""Guest time in nanoseconds, which RDTSC and all devices read (docs/time.md): it follows the host's clock, or with a tick the retired instructions."""
from emu.isa.language import host_clock, outlined, udiv, umod

SECOND = 1_000_000_000  # nanoseconds
UNNOTICED = 20_000  # nanoseconds by which guest time may leap
CATCH_UP = 1_500  # while it catches up, guest time advances by at most so many nanoseconds from one look to the next, and by `pace` for each instruction
PACE = 16  # binary places of `pace`


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
        most = CATCH_UP + (((done - m.looked) * m.pace) >> PACE)
        if late > most: late = most
        m.looked = done
    if late > 0: m.time = m.time + late
    return m.time


def ticks(now, hz):
    """How many periods of a clock are over at `now`."""
    return udiv(now, SECOND) * hz + udiv(umod(now, SECOND) * hz, SECOND)
