"""Where the lines of devices' texts end in compiled code (emu/isa/language.py has what they are in Python): at the CPU, at the interrupt controllers."""
from emu.isa.flags import IF
from emu.isa.language import outlined
from emu.isa.slices import stop
from emu.ports.pic import Registers as Pic


@outlined
def set_intr(m, level):
    """INTR: where the CPU may be interrupted, the slice ends."""
    m.irq = level
    if level and m.eflags & IF: stop(m)


@outlined
def set_irq0(m, level):
    """The timer's interrupt."""
    if m.pic: Pic.set_irq(m.pic, 0, level)


@outlined
def end_in_time(m, due):
    """A timer is set: no slice is longer."""
    if due < m.slice_end: stop(m)
