"""The end of a slice, as a text asks for it (docs/time.md)."""


def stop(m):
    """Ends the slice after this instruction: interrupts and modes are looked at again before the next one."""
    m.deferred = m.deferred + m.budget
    m.budget = 0


def one_more(m):
    """The next instruction runs before any interrupt is taken (STI, MOV SS, POP SS; SDM 3A 6.8.3)."""
    if m.irq or m.budget == 0:
        m.deferred = m.deferred + m.budget - 1
        m.budget = 1
