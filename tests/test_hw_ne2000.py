"""emu/hw/ne2000.py against National's DP8390D/NS32490D data sheet (chapters named), its application notes AN-475 (drivers) and AN-937 (loopback), and the NE2000's board."""
import ctypes
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.hw.bus import Bus
from emu.hw.ne2000 import BATCH, Ne2kPci, Ne2000, crc, hash_bit
from emu.hw.pci import Pci
from tests.conftest import ALL

BASE = 0x300
MAC = bytes.fromhex('525400123456')
CR, PSTART, PSTOP, BNRY, TPSR, TBCR0, TBCR1, ISR, RSAR0, RSAR1, RBCR0, RBCR1, RCR, TCR, DCR, IMR = range(16)
TSR, FIFO, RSR, CNTR2, CURR = 4, 6, 12, 15, 7
FIRST, STOP = 0x46, 0x80  # the ring


def frame(size: int, to: bytes = MAC, fill: int = 1) -> bytes:
    """A frame that can be told from others."""
    return (to + b'\x02\0\0\0\0\1\x08\0' + bytes((n * fill) & 0xff for n in range(size)))[:size]


class Host:
    """A driver: the chip is set up as chapter 11 says."""

    def __init__(self, rcr: int = 0x04) -> None:
        self.bus, self.irqs, self.sent, self.room = Bus(), [], [], 0
        self.card = Ne2000(MAC, self.irqs.append, self.sent.append)
        self.card.connect(self.bus, BASE)
        self.out(CR, 0x21)
        for at, v in ((DCR, 0x49), (RBCR0, 0), (RBCR1, 0), (RCR, rcr), (TCR, 2), (PSTART, FIRST), (PSTOP, STOP), (BNRY, FIRST), (ISR, 0xff), (IMR, 0)): self.out(at, v)
        self.out(CR, 0x61)
        for n, byte in enumerate(MAC): self.out(1 + n, byte)
        self.out(CURR, FIRST + 1)
        self.out(CR, 0x22)
        self.out(TCR, 0)

    def out(self, at: int, v: int, w: int = 8) -> None:
        self.bus.port_out(BASE + at, w, v)

    def inp(self, at: int, w: int = 8) -> int:
        return self.bus.port_in(BASE + at, w)

    def remote(self, address: int, n: int, command: int) -> None:
        for at, v in ((RSAR0, address & 0xff), (RSAR1, address >> 8), (RBCR0, n & 0xff), (RBCR1, n >> 8), (CR, command | 2)): self.out(at, v)

    def write(self, address: int, data: bytes) -> None:
        """Remote write by `rep outsw`."""
        self.remote(address, len(data), 0x10)
        block = ctypes.create_string_buffer(data, len(data))
        self.bus.port_out_block(BASE + 0x10, 16, ctypes.addressof(block), len(data) // 2)

    def read(self, address: int, n: int) -> bytes:
        """Remote read by `rep insw`."""
        self.remote(address, n, 0x08)
        block = ctypes.create_string_buffer(n)
        self.bus.port_in_block(BASE + 0x10, 16, ctypes.addressof(block), n // 2)
        return block.raw

    def page1(self, at: int) -> int:
        self.out(CR, 0x62)
        v = self.inp(at)
        self.out(CR, 0x22)
        return v

    def send(self, data: bytes) -> None:
        self.write(0x4000, data + bytes(len(data) & 1))
        for at, v in ((TPSR, 0x40), (TBCR0, len(data) & 0xff), (TBCR1, len(data) >> 8), (CR, 0x26)): self.out(at, v)

    def take(self) -> bytes:
        """The next frame of the ring, header and CRC included; BNRY follows."""
        page = self.inp(BNRY) + 1
        if page == STOP: page = FIRST
        head = self.read(page << 8, 4)
        size = head[2] | head[3] << 8
        data = self.read(page << 8, size + 4 + (size & 1))[:size + 4]
        self.out(BNRY, (head[1] if head[1] > FIRST else STOP) - 1)
        return data


@pytest.fixture
def h() -> Host:
    return Host()


def test_station_address_prom(h: Host) -> None:
    """The board's PROM: each byte in a word of its own, 57h 57h at the end, which says that the slot has 16 bits."""
    words = h.read(0, 32)
    assert words[::2] == words[1::2] and words[:12:2] == MAC and words[28:] == b'\x57' * 4
    h.out(DCR, 0x48)  # bytes, as a driver that does not know yet reads
    h.remote(0, 4, 8)
    assert [h.inp(0x10) for _ in range(4)] == [0x52, 0x52, 0x54, 0x54]


def test_remote_dma(h: Host) -> None:
    """9.0: what was written is read back; RDC comes at the end, CRDA counts."""
    data = bytes(range(256))
    h.out(ISR, 0x40)
    h.write(0x4100, data)
    assert h.inp(ISR) & 0x40 and (h.inp(8) | h.inp(9) << 8) == 0x4200
    assert h.read(0x4100, 256) == data
    h.remote(0x4100, 4, 8)
    h.out(ISR, 0x40)
    assert (h.inp(0x10, 16), h.inp(ISR) & 0x40, h.inp(0x10, 16), h.inp(ISR) & 0x40) == (0x0100, 0, 0x0302, 0x40)
    assert h.inp(0x10, 16) == 0xffff  # nothing is left


def test_remote_dma_of_words_bytes_and_double_words(h: Host) -> None:
    """DCR.WTS: the board moves a word at each access, whatever its width; 32 bits are two."""
    h.write(0x4100, b'abcdefgh')
    h.remote(0x4100, 8, 8)
    assert (h.inp(0x10), h.inp(0x10, 16), h.inp(0x10, 32)) == (0x61, 0x6463, 0x68676665)
    h.out(DCR, 0x48)
    h.remote(0x4100, 8, 8)
    assert (h.inp(0x10), h.inp(0x10, 16), h.inp(0x10, 32)) == (0x61, 0x6362, 0x67666564)


def test_remote_dma_turns_around_at_the_end_of_the_ring(h: Host) -> None:
    """9.0: PSTOP is followed by PSTART."""
    h.write((STOP << 8) - 2, b'abcd')
    assert h.read((STOP << 8) - 2, 2) + h.read(FIRST << 8, 2) == b'abcd' and h.read((STOP << 8) - 2, 4) == b'abcd'


@pytest.mark.parametrize('dcr', [0x48, 0x49])
@pytest.mark.parametrize('w', [8, 16, 32])
@pytest.mark.parametrize('start', [0x4100, (STOP << 8) - 6, 0x4101])
def test_blocks_move_what_single_accesses_move(dcr: int, w: int, start: int) -> None:
    """`rep ins` and `rep outs` of any width, across the ring's end and beyond the byte count."""
    data, results = bytes(range(1, 41)), []
    for block in (True, False):
        h = Host()
        h.out(DCR, dcr)
        memory = ctypes.create_string_buffer(data, 40)
        h.remote(start, 22, 0x10)
        if block: h.bus.port_out_block(BASE + 0x10, w, ctypes.addressof(memory), 320 // w)
        else:
            for k in range(0, 40, w // 8): h.out(0x10, int.from_bytes(data[k:k + w // 8], 'little'), w)
        h.remote(start, 22, 0x08)
        if block: h.bus.port_in_block(BASE + 0x10, w, ctypes.addressof(memory), 320 // w)
        else: memory.raw = b''.join(h.inp(0x10, w).to_bytes(w // 8, 'little') for _ in range(0, 40, w // 8))
        results.append((memory.raw, bytes(h.card.memory)))
    assert results[0] == results[1] and any(results[0][1])


def test_reads_outside_the_memory_are_ones(h: Host) -> None:
    """16 KB of memory and 32 bytes of PROM are all there is."""
    h.out(PSTOP, 0x7f)
    assert h.read(0x8000, 4) == h.read(0x3ffc, 4) == b'\xff' * 4
    h.write(0x8000, b'abcd')
    h.write(0, b'abcd')
    assert h.read(0, 2) == b'\x52\x52'


def test_a_frame_is_sent(h: Host) -> None:
    """8.0: PTX in ISR and TSR; short ones are padded on the wire."""
    h.out(IMR, 2)
    h.send(frame(100))
    assert h.sent == [frame(100)] and h.inp(ISR) & 2 and h.inp(TSR) & 1 and h.irqs == [True] and not h.inp(CR) & 4
    h.out(ISR, 2)
    assert h.irqs == [True, False]
    h.send(frame(20))
    assert h.sent[1] == frame(20).ljust(60, b'\0')


def test_frames_that_are_too_long_or_short_stay_here(h: Host) -> None:
    """More than 1514 bytes, and less than a header, are no frames."""
    h.send(frame(1516))
    h.send(b'abcd')
    assert h.sent == []


def test_a_frame_is_received(h: Host) -> None:
    """7.0, "Storage format for received packets": status, next page, count; then data and CRC."""
    h.out(IMR, 1)
    h.card.receive(frame(100))
    assert h.irqs == [True] and h.page1(CURR) == FIRST + 2 and h.inp(RSR) == 1
    stored = h.take()
    assert stored[:4] == bytes((1, FIRST + 2, 104, 0)) and stored[4:104] == frame(100) and zlib.crc32(stored[4:108]) == 0x2144df1c  # the residue of a right CRC


def test_short_frames_are_padded(h: Host) -> None:
    """60 bytes and the CRC are the least there is on a wire."""
    h.card.receive(frame(20))
    assert h.take()[:4] == bytes((1, FIRST + 2, 64, 0))


def test_the_ring_turns_around(h: Host) -> None:
    """Frames of all sizes, ten times around, each is what it was."""
    for n in range(120):
        data = frame(60 + n * 37 % 1455, fill=n | 1)
        assert h.card.room(len(data))
        h.card.receive(data)
        assert h.take()[4:] == data + crc(data)
    assert h.inp(ISR) & 0x10 == 0


def test_overrun(h: Host) -> None:
    """7.0: a frame that reaches BNRY is left: OVW, the frame counted as missed; those before it stay whole. Taking frames out makes room again."""
    h.out(IMR, 0x10)
    n = 0
    while h.card.room(1514):
        h.card.receive(frame(1514, fill=n + 1))
        n += 1
    assert n == 9 and h.irqs == []
    before = h.page1(CURR)
    h.card.receive(frame(1514))
    assert h.irqs == [True] and h.inp(RSR) & 0x10 and h.page1(CURR) == before
    assert (h.inp(CNTR2), h.inp(CNTR2)) == (1, 0)  # cleared by reading
    for k in range(n): assert h.take()[4:-4] == frame(1514, fill=k + 1)
    h.card.receive(frame(1514, fill=77))
    assert h.take()[4:-4] == frame(1514, fill=77)


def test_the_missed_frames_ask_for_attention(h: Host) -> None:
    """10.3, "Network tally counters": CNT when the upper bit is set; they stop at their end."""
    h.out(RCR, 0x24)
    for _ in range(127): h.card.receive(frame(60))
    assert not h.inp(ISR) & 0x20
    h.card.receive(frame(60))
    assert h.inp(ISR) & 0x20
    for _ in range(200): h.card.receive(frame(60))
    assert h.inp(CNTR2) == 255


def test_monitor_mode(h: Host) -> None:
    """RCR.MON: addresses are checked, nothing is stored; RSR says so."""
    h.out(RCR, 0x24)
    h.card.receive(frame(60))
    assert h.page1(CURR) == FIRST + 1 and h.inp(RSR) & 0x40 and h.inp(CNTR2) == 1


GROUP = bytes.fromhex('01005e000001')
OTHER = bytes.fromhex('020000000099')


@pytest.mark.parametrize('rcr, taken', [(0x00, {MAC}), (0x04, {MAC, b'\xff' * 6}), (0x08, {MAC, GROUP}), (0x10, {MAC, OTHER}), (0x1c, {MAC, b'\xff' * 6, GROUP, OTHER})])
def test_address_recognition(rcr: int, taken: set[bytes]) -> None:
    """RCR: AB, AM with the hash, PRO (which is for physical addresses)."""
    h = Host(rcr)
    bit = hash_bit(GROUP)
    h.out(CR, 0x62)
    h.out(8 + bit // 8, 1 << bit % 8)
    h.out(CR, 0x22)
    found = set()
    for to in (MAC, b'\xff' * 6, GROUP, OTHER, bytes.fromhex('01005e7f0005')):
        before = h.page1(CURR)
        h.card.receive(frame(60, to))
        if h.page1(CURR) != before:
            found.add(to)
            assert h.take()[0] == 1 | 0x20 * (to[0] & 1)  # PHY: a group address
    assert found == taken


def test_hash_of_group_addresses() -> None:
    """The upper six bits of the CRC register, bit by bit as IEEE 802.3 3.2.9 has it."""
    def register(address: bytes) -> int:
        value = 0xffffffff
        for byte in address:
            for n in range(8):
                value = (value << 1 ^ (0x04c11db7 if (value >> 31 ^ byte >> n) & 1 else 0)) & 0xffffffff
        return value
    for address in (GROUP, b'\xff' * 6, bytes.fromhex('3333ff123456')): assert hash_bit(address) == register(address) >> 26


def test_nothing_is_received_while_stopped(h: Host) -> None:
    """STP: reset state, RST in ISR until the next start (10.3); a command with neither STP nor STA changes nothing."""
    h.out(CR, 0x20)
    h.card.receive(frame(60))
    assert h.page1(CURR) == FIRST + 2
    h.out(CR, 0x21)
    assert h.inp(ISR) & 0x80
    h.card.receive(frame(60))
    assert h.page1(CURR) == FIRST + 2 and not h.inp(ISR) & 0x80


def test_reset_port(h: Host) -> None:
    """The board's reset (11.0): stopped, interrupts masked and low."""
    h.out(IMR, 0x7f)
    h.send(frame(60))
    h.inp(0x18)
    assert h.irqs == [True, False] and h.inp(ISR) & 0x80 and h.inp(CR) & 0x3f == 0x21
    h.out(CR, 0xa1)
    assert h.inp(IMR) == 0x80 and h.inp(PSTART) == FIRST  # page 2; the ring is as it was


def test_send_packet_command(h: Host) -> None:
    """9.0: the frame after BNRY without a driver's arithmetic... the DMA starts at BNRY, takes the count from the header and moves BNRY on."""
    h.out(BNRY, FIRST + 1)
    h.card.receive(frame(100))
    h.out(CR, 0x1a)
    words = [h.inp(0x10, 16) for _ in range(52)]
    assert words[0] == 1 | FIRST + 2 << 8 and words[1] == 104 and h.inp(BNRY) == FIRST + 2 and h.inp(ISR) & 0x40


@pytest.mark.parametrize('tcr, tsr, sent', [(2, 0x53, 0), (4, 0x43, 0), (6, 0x03, 1)])
def test_loopback_modes(tcr: int, tsr: int, sent: int) -> None:
    """12.0: TSR, RSR and ISR of the three paths; the last bytes and the count are in the FIFO, the ring is not touched."""
    h = Host()
    h.out(DCR, 0x41)
    h.out(TCR, tcr)
    h.out(ISR, 0xff)
    h.send(frame(60))
    assert (h.inp(TSR), h.inp(RSR), h.inp(ISR) & 0x3f) == (tsr, 0x02, 0x02) and h.page1(CURR) == FIRST + 1 and len(h.sent) == sent
    assert bytes(h.inp(FIFO) for _ in range(8)) == bytes((64, 0, 0)) + frame(60)[59:60] + crc(frame(60))


def test_loopback_checks_the_crc(h: Host) -> None:
    """12.0: with the CRC appended by software (TCR.CRC), the receiver says whether it is right, and whether the address is."""
    h.out(DCR, 0x41)
    h.out(TCR, 3)
    for data, rsr in ((frame(60) + crc(frame(60)), 1), (frame(60) + b'abcd', 2), (frame(60, OTHER) + crc(frame(60, OTHER)), 0)):
        h.send(data)
        assert h.inp(RSR) == rsr


def test_no_more_frames_than_a_driver_takes_at_an_interrupt(h: Host) -> None:
    """Linux's takes ten at an interrupt, then acknowledges, and never hears of what came meanwhile: with interrupts on there is room for BATCH until PRX is acknowledged."""
    h.out(IMR, 1)
    called = []
    h.card.roomy = lambda: called.append(h.card.room(60))
    for _ in range(BATCH):
        assert h.card.room(60)
        h.card.receive(frame(60))
        h.take()
    assert not h.card.room(60)
    h.out(ISR, 1)
    assert called[-1]
    h.out(IMR, 0)  # one that polls acknowledges nothing
    for _ in range(2 * BATCH):
        assert h.card.room(60)
        h.card.receive(frame(60))
        h.take()


def test_pci() -> None:
    """10EC:8029, class 020000h: the ports are where base address 0 says, the interrupt is INTA#."""
    bus, irqs = Bus(), []
    pci = Pci(bus, lambda n, level: irqs.append((n, level)))
    card = Ne2000(MAC, lambda level: pci.set_interrupt(3, 1, level), lambda frame: None)
    pci.add(3, 0, Ne2kPci(bus, card))
    def config(at: int, v: int | None = None) -> int:
        bus.port_out(0xcf8, 32, 0x80001800 | at)
        if v is not None: bus.port_out(0xcfc, 32, v)
        return bus.port_in(0xcfc, 32)
    assert config(0) == 0x802910ec and config(8) >> 8 == 0x020000 and config(0x3c) >> 8 == 1
    assert config(0x10, 0xffffffff) == 0xffffffe1
    config(0x10, 0xc100)
    config(4, 1)
    assert bus.port_in(0xc100, 8) == 0x21 and bytes(bus.port_in(0xc10a + n, 8) for n in range(2)) == b'PC'
    config(0x10, 0xc200)
    assert bus.port_in(0xc100, 8) == 0xff and bus.port_in(0xc200, 8) == 0x21


STEPS = st.lists(st.one_of(
    st.tuples(st.just('out'), st.integers(0, 31), st.sampled_from([8, 16, 32]), st.integers(0, 0xffffffff)),
    st.tuples(st.just('out'), st.integers(0, 15), st.just(8), st.sampled_from([0, 1, 2, 8, 0x0a, 0x12, 0x1a, 0x22, 0x26, 0x40, 0x62, 0x7f, 0x80, 0xa2, 0xff])),
    st.tuples(st.just('in'), st.integers(0, 31), st.sampled_from([8, 16, 32])),
    st.tuples(st.just('ins'), st.integers(0, 31), st.sampled_from([8, 16, 32]), st.integers(0, 2000)),
    st.tuples(st.just('outs'), st.integers(0, 31), st.sampled_from([8, 16, 32]), st.integers(0, 2000)),
    st.tuples(st.just('receive'), st.binary(max_size=80)),
    st.tuples(st.just('receive'), st.integers(0, 2000).map(lambda n: frame(n)))), max_size=60)


@settings(max_examples=5000 if ALL else 300, deadline=None)
@given(STEPS, st.booleans())
def test_nothing_a_guest_or_the_network_does_raises(steps: list[tuple], started: bool) -> None:
    """Any accesses and any frames: values fit, the interrupt line says what the registers say, and what leaves is a frame."""
    h = Host()
    if not started: h.inp(0x18)
    memory = ctypes.create_string_buffer(8192)
    for kind, *rest in steps:
        if kind == 'out': h.out(rest[0], rest[2], rest[1])
        elif kind == 'in': assert 0 <= h.inp(*rest) < 1 << rest[1]
        elif kind == 'ins': h.bus.port_in_block(BASE + rest[0], rest[1], ctypes.addressof(memory), rest[2])
        elif kind == 'outs': h.bus.port_out_block(BASE + rest[0], rest[1], ctypes.addressof(memory), rest[2])
        else:
            h.card.room(len(rest[0]))
            h.card.receive(rest[0])
        assert h.card.level == bool(h.card.isr & h.card.imr & 0x7f) == (h.irqs[-1] if h.irqs else False)
        assert 0 <= h.card.curr < 256 and 0 <= h.card.bnry < 256 and len(h.card.memory) == 0x4000
    assert all(60 <= len(sent) <= 1514 for sent in h.sent)
