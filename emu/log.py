"""The log of -d: what the guest does, as lines for people, under QEMU's names and roughly in its format.

in_asm   each instruction when it is first decoded at its linear address, or with other bytes than before: address, bytes, Intel syntax
exec     each block that is executed: CS base, EIP, mode key; it forces the interpreter, one block at a time (eager: one instruction)
int      each interrupt or exception that is delivered: vector, error code, i=1 for INT n, CPL, CS:EIP as saved, linear address, SS:ESP, EAX, CR2
io       each port access: direction, port, bits, value, CS:EIP of the next instruction
unimp    the first access to each port and page where nothing answers

Nothing of it costs anything when it is off: `State.logging` is looked at where instructions are decoded and interrupts delivered, the bus asks its hooks.
"""
import contextlib
import ctypes
import sys
from pathlib import Path
from typing import Any

from emu.cpu import Cpu
from emu.decoder.decode import decode_bytes
from emu.decoder.text import disassemble
from emu.errors import file_error, warn
from emu.hw.bus import Bus
from emu.isa.interrupts import EXTERNAL, SOFTWARE
from emu.isa.state import CS, LOG_CODE, LOG_INTERRUPTS, SS


class Log:
    """Writes what `kinds` (of emu/options.py LOGS) names to a file, or to stderr."""

    def __init__(self, kinds: frozenset[str], path: Path | None, cpu: Cpu, bus: Bus):
        self.path, self.cpu, self.m = path, cpu, cpu.state
        try:
            self.out = open(path or sys.stderr.fileno(), 'w', buffering=1, closefd=path is not None)
        except OSError as error:
            raise file_error(path, error) from None
        self.seen: dict[int, bytes] = {}  # linear address -> the instruction's bytes
        self.next = -1  # where the instruction after the last line would be
        self.deliveries = 0
        cpu.log = self
        self.m.logging = LOG_CODE * ('in_asm' in kinds) | LOG_INTERRUPTS * ('int' in kinds)
        if 'exec' in kinds: cpu.each_block = self.block
        if 'io' in kinds: bus.trace, self.m.ports = self.access, 0
        if 'unimp' in kinds: bus.unimplemented = self.unimplemented

    def line(self, text: str) -> None:
        """One line. A full disk, or a reader that has gone, ends the log and not the run."""
        if self.out.closed: return
        try:
            print(text, file=self.out)
        except OSError as error:
            warn(f'{file_error(self.path or "stderr", error)}: the log ends here')
            with contextlib.suppress(OSError): self.out.close()  # it tries to write the rest once more

    def place(self) -> str:
        """CS:EIP."""
        return f'{self.m.selector[CS]:04x}:{self.m.eip:08x}'

    def code(self, p: int, n: int) -> None:
        """n bytes at host address p were decoded at CS:EIP."""
        data, eip = ctypes.string_at(p, n), self.m.eip
        at = (self.m.base[CS] + eip) & 0xffffffff
        if self.seen.get(at) == data: return
        self.seen[at] = data
        ins = decode_bytes(data, bool(self.m.code32))
        assert ins
        if at != self.next: self.line('----------------\nIN:')
        self.next = -1 if ins.form.ends else at + n
        self.line(f'0x{at:08x}:  {data.hex(" "):<24} {disassemble(ins, eip)}')

    def block(self) -> None:
        """The block at CS:EIP is executed."""
        self.line(f'Trace 0: [{self.m.base[CS]:08x}/{self.m.eip:08x}/{self.m.mode:08x}]')

    def interrupt(self, vector: int, code: int, kind: int) -> None:
        """A delivery begins."""
        m = self.m
        if kind == EXTERNAL: self.line(f'Servicing hardware INT=0x{vector:02x}')
        pc = (m.base[CS] + m.eip) & 0xffffffff
        self.line(f'{self.deliveries:6d}: v={vector:02x} e={code:04x} i={int(kind == SOFTWARE)} cpl={m.cpl} IP={self.place()} pc={pc:08x} '
                  f'SP={m.selector[SS]:04x}:{m.reg[4]:08x} EAX={m.reg[0]:08x} CR2={m.cr2:08x}')
        self.deliveries += 1

    def access(self, kind: str, place: int, width: int, value: int) -> None:
        """A port was read, or is being written."""
        if kind in ('in', 'out'): self.line(f'io: {kind:<3} {place:04x} {width} bits {value:0{width // 4}x} at {self.place()}')

    def unimplemented(self, kind: str, place: Any) -> None:
        """Nothing answers."""
        what = f'port {place:04x}' if kind in ('in', 'out') else f'address {place:08x}'
        self.line(f'unimp: {kind} {what}, at {self.place()}')
