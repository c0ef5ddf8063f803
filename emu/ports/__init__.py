"""Ports as IN and OUT see them: a device whose registers are texts answers at once, in compiled code; all others are called in Python.

State's `ports` is the bus's table (emu/hw/bus.py): a word for each port with the host address of the block of the device that answers there, plus WIDE if it takes 16 and
32 bits as well; 0: Python answers. Without a table, as in the eager engine and while port accesses are logged, it answers all of them.
"""
from emu.isa.language import host_load, mask, outlined, port_in, port_in_block, port_out, port_out_block
from emu.ports.ne2000 import Registers as Ne2000
from emu.ports.pages import Registers as Pages
from emu.ports.pic import Registers as Pic
from emu.ports.pit import Registers as Pit
from emu.ports.vga import Registers as Vga

WIDE = 1


def block_at(m, port, w):
    """The block that takes this access as a whole, or 0."""
    if m.ports == 0: return 0
    entry = host_load(m.ports + (port << 3), 64)
    if w > 8:
        last = host_load(m.ports + ((port + (w >> 3) - 1) << 3), 64)
        if entry & WIDE == 0 or last != entry: return 0
    return entry & -8


def kind_of(block):
    """Its KIND; 0 for none."""
    if block: return host_load(block, 64)
    return 0


@outlined
def read_port(m, port, w):
    """IN: w bits of a port."""
    block = block_at(m, port, w)
    kind = kind_of(block)
    if kind == Ne2000.KIND: return Ne2000.read(block, port, w)
    if kind == Pic.KIND: return Pic.read(block, port, w)
    if kind == Vga.KIND: return Vga.read(block, port, w)
    if kind == Pit.KIND: return Pit.read(block, port, w)
    if kind == Pages.KIND: return Pages.read(block, port, w)
    return port_in(m, port, w)


@outlined
def write_port(m, port, w, v):
    """OUT: the low w bits of v to a port."""
    block = block_at(m, port, w)
    kind = kind_of(block)
    v = v & mask(w)
    if kind == Ne2000.KIND: Ne2000.write(block, port, w, v)
    elif kind == Pic.KIND: Pic.write(block, port, w, v)
    elif kind == Vga.KIND: Vga.write(block, port, w, v)
    elif kind == Pit.KIND: Pit.write(block, port, w, v)
    elif kind == Pages.KIND: Pages.write(block, port, w, v)
    else: port_out(m, port, w, v)


@outlined
def read_port_block(m, port, w, p, n):
    """`rep ins`: reads a port n times into host memory from p on."""
    block = block_at(m, port, w)
    kind = kind_of(block)
    if kind == Ne2000.KIND: Ne2000.read_block(block, port, w, p, n)
    else: port_in_block(m, port, w, p, n)


@outlined
def write_port_block(m, port, w, p, n):
    """`rep outs`: writes n values from host memory at p to a port."""
    block = block_at(m, port, w)
    kind = kind_of(block)
    if kind == Ne2000.KIND: Ne2000.write_block(block, port, w, p, n)
    else: port_out_block(m, port, w, p, n)
