"""Page registers: 16 bytes at 80h and again at 90h that are only remembered (emu/hw/dma.py). Linux writes to 80h for a short delay, BIOSes show their progress there."""
from emu.ports.block import Block, fields

KIND = 3


class Registers(Block):
    """The block."""

    KIND = KIND
    _fields_ = fields("""
pages   8   16  by the port's last digit
""")

    def read(self, port, w):
        """A byte."""
        return self.pages[port & 15]

    def write(self, port, w, v):
        """A byte."""
        self.pages[port & 15] = v
