"""Registers, buffer memory and remote DMA of an NE2000 (DP8390D/NS32490D data sheet, chapters named); emu/hw/ne2000.py has the rest of the card, and what is left out."""
from emu.isa.language import host_copy, host_load, host_store, mask
from emu.ports.block import Block, fields

KIND = 1
START, END = 0x4000, 0x8000  # buffer memory
PROM = 32  # bytes of the board's PROM, at 0
DATA, RESET = 0x10, 0x18  # the ports behind the registers: remote DMA, reset
STP, STA, TXP, READ, WRITE, SEND, ABORT, REMOTE = 1, 2, 4, 0x08, 0x10, 0x18, 0x20, 0x38  # command register (10.3)
PRX, PTX, RXE, OVW, CNT, RDC, RST = 1, 2, 4, 0x10, 0x20, 0x40, 0x80  # interrupt status
WORDS, LONG_ADDRESSES, NO_LOOPBACK = 1, 4, 8  # data configuration
INTACT, CRC_ERROR, MISSED, GROUP, DISABLED = 1, 2, 0x10, 0x20, 0x40  # receive status
RUNTS, ACCEPT_BROADCAST, ACCEPT_GROUP, PROMISCUOUS, MONITOR = 2, 4, 8, 0x10, 0x20  # receive configuration


class Registers(Block):
    """The block. The device is told of a change of `level`, of a frame to send, and where there may be room for frames again."""

    KIND, CALLS = KIND, ('interrupt', 'send', 'roomy')
    _fields_ = fields("""
first       64  1   port
level       64  1   INT
command     64  1   CR but for TXP
running     64  1   STA was written, and STP not since; with neither, nothing changes
isr         64  1   interrupt status
imr         64  1   and mask
dcr         64  1   data configuration
tcr         64  1   transmit configuration
rcr         64  1   receive configuration
tsr         64  1   transmit status
rsr         64  1   receive status
pstart      64  1   pages of the ring: the first,
pstop       64  1   after the last,
bnry        64  1   the first that is not to be overwritten,
curr        64  1   where the next frame goes
clda        64  1   local DMA address
tpsr        64  1   the frame to send: page
tbcr        64  1   and bytes
rsar        64  1   remote DMA: address
rbcr        64  1   and bytes, as programmed;
crda        64  1   address
left        64  1   and bytes, as it goes on
next_remote 64  1   next packet pointers
next_local  64  1
taken       64  1   bytes read from the FIFO
batch       64  1   frames received since PRX was acknowledged
par         8   6   station address
mar         8   8   multicast hash
fifo        8   8
tallies     8   3   frame alignment errors, CRC errors, missed frames
prom        8   32
memory      8   16384
buffer      64  1   host address of `memory`
""")

    def update(self):
        """INT."""
        level = self.isr & self.imr & 0x7f != 0
        if level != self.level:
            self.level = level
            self.interrupt()

    def raise_(self, bits):
        """Events for the interrupt status register."""
        self.isr = self.isr | bits
        self.update()

    def set_boundary(self, page):
        """BNRY moves when the host has taken frames out: there may be room again."""
        self.bnry = page
        self.roomy()

    # --- the board's memory and the remote DMA (9.0) -------------------------------------------------------------------------------------

    def byte(self, address):
        """A byte: of the PROM, the buffer, ones elsewhere."""
        if address >= START and address < END: return self.memory[address - START]
        if address < PROM: return self.prom[address]
        return 0xff

    def put_byte(self, address, v):
        """Into buffer memory, if there is any."""
        if address >= START and address < END: self.memory[address - START] = v

    def start_remote(self, kind):
        """The remote DMA's command."""
        if kind & ABORT: self.left = 0
        elif kind == SEND:
            self.crda = self.bnry << 8
            self.next_remote = self.byte(self.crda + 1)
            self.left = self.byte(self.crda + 2) | (self.byte(self.crda + 3) << 8)
        elif kind:
            self.crda = self.rsar
            self.left = self.rbcr
        if kind and kind & ABORT == 0 and self.left == 0: self.end_remote()

    def end_remote(self):
        """Remote DMA complete; after Send Packet, the packet is removed from the ring."""
        if self.command & REMOTE == SEND: self.set_boundary(self.next_remote)
        self.raise_(RDC)

    def advance(self, n):
        """n bytes went through the data port; the address turns around at the end of the ring."""
        self.crda = (self.crda + n) & 0xffff
        if self.crda == self.pstop << 8: self.crda = self.pstart << 8
        self.left = self.left - n if self.left > n else 0
        if self.left == 0: self.end_remote()

    def reading(self):
        """A remote read is on."""
        return self.left > 0 and (self.command & REMOTE == READ or self.command & REMOTE == SEND)

    def writing(self):
        """A remote write is on."""
        return self.left > 0 and self.command & REMOTE == WRITE

    def read_data(self, w):
        """The data port: with DCR.WTS the board moves a word, whatever the width of the access. Ones where nothing is left."""
        v = 0
        k = 0
        while k < w:
            if self.reading() == 0: v = v | (0xff << k)
            elif self.dcr & WORDS == 0:
                v = v | (self.byte(self.crda) << k)
                self.advance(1)
            else:
                v = v | (self.byte(self.crda & 0xfffe) << k)
                k = k + 8
                v = v | (self.byte(self.crda | 1) << k)
                self.advance(2)
            k = k + 8
        return v & mask(w)

    def write_data(self, w, v):
        """The data port."""
        k = 0
        while k < w:
            if self.writing() == 0: k = w
            elif self.dcr & WORDS == 0:
                self.put_byte(self.crda, v >> k)
                self.advance(1)
            else:
                self.put_byte(self.crda & 0xfffe, v >> k)
                k = k + 8
                self.put_byte(self.crda | 1, v >> k)
                self.advance(2)
            k = k + 8

    def run(self, w, most):
        """Bytes of buffer memory that accesses of this width move as they lie, in one piece: all but bytes from a board that moves words."""
        stop = self.pstop << 8
        end = self.crda + self.left
        edge = stop if self.crda < stop and stop < END else END
        if end > edge: end = edge
        if end > self.crda + most: end = self.crda + most
        linear = self.dcr & WORDS == 0 or (w > 8 and self.crda & 1 == 0)
        return (end - self.crda) & -(w >> 3) if linear and self.crda >= START and end > self.crda else 0

    def read_block(self, port, w, p, n):
        """`rep ins`: n accesses, to host memory from p on."""
        end = p + n * (w >> 3)
        while p < end:
            k = 0
            if port - self.first >= DATA and self.reading(): k = self.run(w, end - p)
            if k:
                host_copy(p, self.buffer + self.crda - START, k)
                self.advance(k)
            else:
                host_store(p, w, self.read(port, w))
                k = w >> 3
            p = p + k

    def write_block(self, port, w, p, n):
        """`rep outs`."""
        end = p + n * (w >> 3)
        while p < end:
            k = 0
            if port - self.first >= DATA and self.writing(): k = self.run(w, end - p)
            if k:
                host_copy(self.buffer + self.crda - START, p, k)
                self.advance(k)
            else:
                self.write(port, w, host_load(p, w))
                k = w >> 3
            p = p + k

    # --- registers (10.0) ----------------------------------------------------------------------------------------------------------------

    def read(self, port, w):
        """A register of the page that CR selects, or the data port."""
        at = port - self.first
        if at >= DATA: return self.read_data(w)
        if at == 0: return self.command
        if self.command >> 6 == 0: return self.read_page_0(at)
        if self.command >> 6 == 1: return self.read_page_1(at)
        if self.command >> 6 == 2: return self.read_page_2(at)
        return 0xff

    def write(self, port, w, v):
        """The same for writing."""
        at = port - self.first
        if at >= DATA: self.write_data(w, v)
        elif at == 0: self.write_command(v)
        elif self.command >> 6 == 0: self.write_page_0(at, v)
        elif self.command >> 6 == 1: self.write_page_1(at, v)
        elif self.command >> 6 == 2: self.write_page_2(at, v)

    def write_command(self, v):
        """CR: stop and start, pages, transmission, remote DMA."""
        started = v & (STP | STA) == STA and self.running == 0
        self.command = v & ~TXP
        if v & STP:
            self.running = 0
            self.isr = self.isr | RST
        elif v & STA:
            self.running = 1
            self.isr = self.isr & ~RST
        self.start_remote(v & REMOTE)
        if v & TXP and self.running: self.send()
        if started: self.roomy()

    def read_page_0(self, at):
        """Page 0."""
        if at == 1: return self.clda & 0xff
        if at == 2: return self.clda >> 8
        if at == 3: return self.bnry
        if at == 4: return self.tsr
        if at == 5: return 0  # NCR: no collisions
        if at == 6:
            self.taken = self.taken + 1
            return self.fifo[(self.taken - 1) & 7]
        if at == 7: return self.isr
        if at == 8: return self.crda & 0xff
        if at == 9: return self.crda >> 8
        if at == 10: return 0x50  # the 8029's ID, "PC"; reserved on the DP8390
        if at == 11: return 0x43
        if at == 12: return self.rsr | (DISABLED if self.rcr & MONITOR else 0)
        n = self.tallies[at - 13]
        self.tallies[at - 13] = 0
        return n

    def write_page_0(self, at, v):
        """Page 0."""
        if at == 1: self.pstart = v
        elif at == 2: self.pstop = v
        elif at == 3: self.set_boundary(v)
        elif at == 4: self.tpsr = v
        elif at == 5: self.tbcr = (self.tbcr & 0xff00) | v
        elif at == 6: self.tbcr = (self.tbcr & 0xff) | (v << 8)
        elif at == 7:
            self.isr = self.isr & ~(v & 0x7f)
            self.update()
            if v & PRX:
                self.batch = 0
                self.roomy()
        elif at == 8: self.rsar = (self.rsar & 0xff00) | v
        elif at == 9: self.rsar = (self.rsar & 0xff) | (v << 8)
        elif at == 10: self.rbcr = (self.rbcr & 0xff00) | v
        elif at == 11: self.rbcr = (self.rbcr & 0xff) | (v << 8)
        elif at == 12: self.rcr = v & 0x3f
        elif at == 13:
            self.tcr = v & 0x1f
            self.roomy()
        elif at == 14: self.dcr = v & 0x7f
        else:
            self.imr = v & 0x7f
            self.update()

    def read_page_1(self, at):
        """Page 1: addresses and CURR."""
        if at < 7: return self.par[at - 1]
        if at == 7: return self.curr
        return self.mar[at - 8]

    def write_page_1(self, at, v):
        """Page 1."""
        if at < 7: self.par[at - 1] = v
        elif at == 7: self.curr = v
        else: self.mar[at - 8] = v

    def read_page_2(self, at):
        """Page 2, for diagnosis: what page 0 has written."""
        if at == 1: return self.pstart
        if at == 2: return self.pstop
        if at == 3: return self.next_remote
        if at == 4: return self.tpsr
        if at == 5: return self.next_local
        if at == 6: return self.clda >> 8
        if at == 7: return self.clda & 0xff
        if at == 12: return self.rcr | 0xc0
        if at == 13: return self.tcr | 0xe0
        if at == 14: return self.dcr | 0x80
        if at == 15: return self.imr | 0x80
        return 0xff

    def write_page_2(self, at, v):
        """Page 2: pointers that the data sheet keeps for diagnosis."""
        if at == 1: self.clda = (self.clda & 0xff00) | v
        elif at == 2: self.clda = (self.clda & 0xff) | (v << 8)
        elif at == 3: self.next_remote = v
        elif at == 5: self.next_local = v
