"""COM1 to COM4: the ports and interrupts of the IBM PC/AT, each on a line of its own."""
from pathlib import Path

from emu.hw.pc import Pc
from emu.mem.memory import Memory
from tests.test_bad_guests import DONE, run
from tests.test_hw_pc import Cpu

SAY = ''.join(f'mov dx, {port}; mov al, {ord(letter)}; out dx, al;' for port, letter in ((0x3f8, 'a'), (0x2f8, 'b'), (0x3e8, 'c'), (0x2e8, 'd')))


def test_four_files(tmp_path: Path) -> None:
    """-serial, repeated: each port has its own file, and a port that is not there says nothing."""
    words = [word for n in (1, 2, 4) for word in ('-serial', f'file:{tmp_path}/{n}')]
    words[4:4] = ['-serial', 'none']
    assert run(tmp_path, f'{SAY} mov dx, 0x3ef; in al, dx; cmp al, 0xff; jne 1f; mov dx, 0x501; mov al, 0x10; out dx, al; 1: hlt', *words) == (DONE, '', [])
    assert [(tmp_path / str(n)).read_bytes() for n in (1, 2, 4)] == [b'a', b'b', b'd']


def test_interrupts_are_shared() -> None:
    """IRQ4 for COM1 and COM3, IRQ3 for COM2 and COM4; a line stays high while either port drives it."""
    pc = Pc(Memory(1 << 20), lambda: 0, Cpu(), [bytearray().extend] * 4)
    out, lines = pc.bus.port_out, lambda: pc.pic.lines & 0x18
    for first in (0x3f8, 0x2f8, 0x3e8, 0x2e8):
        out(first + 4, 8, 8)
        out(first + 1, 8, 1)
    pc.uarts[0].receive(b'x')
    assert lines() == 0x10
    pc.uarts[2].receive(b'y')
    pc.uarts[3].receive(b'z')
    assert lines() == 0x18
    assert pc.bus.port_in(0x3f8, 8) == ord('x') and lines() == 0x18
    assert pc.bus.port_in(0x3e8, 8) == ord('y') and lines() == 0x08
    assert pc.bus.port_in(0x2e8, 8) == ord('z') and lines() == 0
