"""emu/hw/bus.py and clock.py: who answers an access, how wide ones are split, when timers run."""
import ctypes

from emu.hw.bus import Bus
from emu.hw.clock import Clock


class Scratch:
    """A device of bytes that notes its accesses."""

    def __init__(self, size: int = 8):
        self.data, self.log = bytearray(size), []

    def read(self, at: int, w: int) -> int:
        self.log.append(('r', at, w))
        return int.from_bytes(self.data[at & 7:(at & 7) + w // 8], 'little')

    def write(self, at: int, w: int, v: int) -> None:
        self.log.append(('w', at, w, v))
        self.data[at & 7:(at & 7) + w // 8] = v.to_bytes(w // 8, 'little')


def test_bytes_for_byte_devices() -> None:
    bus, device = Bus(), Scratch()
    bus.add_ports(0x300, 8, device.read, device.write)
    bus.port_out(0x300, 32, 0x12345678)
    assert device.log == [('w', 0x300, 8, 0x78), ('w', 0x301, 8, 0x56), ('w', 0x302, 8, 0x34), ('w', 0x303, 8, 0x12)]
    assert bus.port_in(0x301, 16) == 0x3456


def test_wide_device_and_its_end() -> None:
    bus, device = Bus(), Scratch()
    bus.add_ports(0x300, 8, device.read, device.write, wide=True)
    bus.port_out(0x304, 32, 0xdeadbeef)
    assert bus.port_in(0x304, 32) == 0xdeadbeef and device.log[-1] == ('r', 0x304, 32)
    assert bus.port_in(0x306, 32) == 0xffffdead  # half of it lies beyond


def test_nobody_answers() -> None:
    bus, told = Bus(), []
    bus.unimplemented = lambda kind, place: told.append((kind, place))
    assert [bus.port_in(0x1234, w) for w in (8, 16, 32)] == [0xff, 0xffff, 0xffffffff]
    bus.port_out(0x1234, 8, 1)
    assert bus.port_in(0xffff, 32) == 0xffffffff  # wraps to port 0
    assert bus.mmio_read(0xfee00123, 32) == bus.mmio_read(0xfee00124, 32) == 0xffffffff
    assert told[0] == ('in', 0x1234) and told.count(('in', 0x1234)) == 1 and ('out', 0x1234) in told and told[-1] == ('read', 0xfee00000)


def test_the_last_one_wins_a_port() -> None:
    bus, first, second = Bus(), Scratch(), Scratch()
    bus.add_ports(0x300, 8, first.read, first.write)
    window = bus.add_ports(0x301, 1, second.read, second.write)
    bus.port_out(0x300, 16, 0xaabb)
    assert first.log == [('w', 0x300, 8, 0xbb)] and second.log == [('w', 0x301, 8, 0xaa)]
    bus.remove_ports(window)
    assert bus.port_in(0x301, 8) == 0 and first.log[1:] == [('r', 0x301, 8)]  # it is the first one's again


def test_a_fixed_window_keeps_its_ports() -> None:
    """-debug-exit 0x600, where a PCI device's ports are put later."""
    bus, first, second = Bus(), Scratch(), Scratch()
    bus.add_ports(0x301, 1, first.read, first.write, fixed=True)
    window = bus.add_ports(0x300, 8, second.read, second.write)
    bus.port_out(0x300, 16, 0xaabb)
    assert second.log == [('w', 0x300, 8, 0xbb)] and first.log == [('w', 0x301, 8, 0xaa)]
    bus.remove_ports(window)
    bus.port_out(0x300, 16, 0xccdd)
    assert len(second.log) == 1 and first.log[1:] == [('w', 0x301, 8, 0xcc)]


def test_memory_windows() -> None:
    bus, device, traced = Bus(), Scratch(), []
    window = bus.add_mmio(0xa0000, 8, device.read, device.write)
    bus.trace = lambda *what: traced.append(what)
    bus.mmio_write(0xa0004, 32, 0x04030201)
    assert bus.mmio_read(0xa0006, 16) == 0x0403 and traced == [('write', 0xa0004, 32, 0x04030201), ('read', 0xa0006, 16, 0x0403)]
    assert bus.mmio_read(0xa0006, 32) == 0xffff0403
    bus.remove_mmio(window)
    assert bus.mmio_read(0xa0000, 8) == 0xff


def test_blocks() -> None:
    bus, device, got = Bus(), Scratch(), []
    bus.add_ports(0x300, 8, device.read, device.write, wide=True)
    bus.add_ports(0x310, 1, device.read, device.write, write_block=lambda port, w, memory: got.append(bytes(memory)),
                  read_block=lambda port, w, memory: memory.__setitem__(slice(None), bytes(range(len(memory)))))
    memory = (ctypes.c_uint8 * 8)(1, 2, 3, 4, 5, 6, 7, 8)
    bus.port_out_block(0x300, 16, ctypes.addressof(memory), 4)
    assert [entry[3] for entry in device.log] == [0x0201, 0x0403, 0x0605, 0x0807]
    bus.port_in_block(0x300, 32, ctypes.addressof(memory), 2)
    assert bytes(memory) == bytes([7, 8, 0, 0] * 2)
    bus.port_in_block(0x310, 8, ctypes.addressof(memory), 8)
    bus.port_out_block(0x310, 8, ctypes.addressof(memory), 8)
    assert got == [bytes(range(8))]


def test_clock_tells_of_an_earlier_deadline() -> None:
    told = []
    clock = Clock(lambda: 0)
    clock.sooner = lambda: told.append(clock.next_deadline())
    for time in (30, 40, 20): clock.at(time, lambda: None)
    assert told == [30, 20]


def test_clock_runs_in_order_and_forgets_what_is_cancelled() -> None:
    time, ran = [0], []
    clock = Clock(lambda: time[0])
    clock.at(30, lambda: ran.append('c'))
    clock.at(10, lambda: ran.append('a'))
    gone = clock.at(5, lambda: ran.append('x'))
    clock.at(10, lambda: ran.append('b'))
    clock.cancel(gone)
    clock.cancel(gone)
    clock.cancel(None)
    assert clock.next_deadline() == 10
    clock.run_due()
    assert ran == []
    time[0] = 29
    clock.run_due()
    assert ran == ['a', 'b'] and clock.next_deadline() == 30
    time[0] = 30
    clock.run_due()
    assert ran == ['a', 'b', 'c'] and clock.next_deadline() is None
