"""Power management of Intel's 82371AB PIIX4 (data sheet, chapter 7, "Power Management"; PCI function 3, 8086:7113): the ACPI registers, the SMI command port, an SMBus.

The ports lie where PMBA (40h) says while PMREGMISC (80h) bit 0 is set. SCI is IRQ9. There is no system management mode, so the chip itself does what a BIOS's
SMI handler would: B2h = F1h hands the power management to ACPI, F0h takes it back; APMC_EN is set at reset, by which SeaBIOS sees that there is nothing to set up.
Left out: states S1 to S4 (a suspend type other than soft off does nothing), clock control, device monitors and their timers (remembered), GPI events, the
RTC's alarm as an event, interrupts of the SMBus, on which no device answers.
"""
from typing import Callable

from emu.hw.bus import Bus, Window
from emu.hw.clock import Clock, Timer
from emu.hw.pci import PciDevice

SECOND = 10 ** 9
PM_TIMER_HZ = 3_579_545
PMBA, PMREGMISC, DEVACTB, SMBBA, SMBHSTCFG = 0x40, 0x80, 0x58, 0x90, 0xd2  # of configuration space
APMC_EN = 1 << 25  # of DEVACTB
PMSTS, PMEN, PMCNTRL, PMTMR, GPSTS, GPEN = 0x00, 0x02, 0x04, 0x08, 0x0c, 0x0e
TIMER, GLOBAL, BUTTON, ALARM = 1, 1 << 5, 1 << 8, 1 << 10  # bits of PMSTS and PMEN
STICKY = {PMSTS: TIMER | 1 << 4 | GLOBAL | BUTTON | ALARM | 1 << 15, GPSTS: 0x0f81}  # writing 1 clears
SCI_EN, SUSPEND = 1, 1 << 13  # of PMCNTRL; its bits 10 to 12 are the type
SOFT_OFF = 0
PMTMR_MSB = 23
ACPI_ENABLE, ACPI_DISABLE = 0xf1, 0xf0
SMB_STATUS, SMB_CONTROL = 0, 2
SMB_START, SMB_DEVICE_ERROR = 0x40, 4


class PowerManagement(PciDevice):
    """`sci` is IRQ9; `power_off` is called for soft off."""

    def __init__(self, bus: Bus, clock: Clock, sci: Callable[[bool], None], power_off: Callable[[], None]):
        super().__init__(0x8086, 0x7113, 0x068000, revision=3, pin=1)
        self.bus, self.clock, self.sci, self.power_off = bus, clock, sci, power_off
        self.windows: dict[int, tuple[int, Window]] = {}  # by the register of the base address
        self.timer: Timer | None = None
        self.registers, self.smb, self.apm = bytearray(64), bytearray(16), bytearray(2)
        self.seen = 0  # toggles of the timer's highest bit that TIMER knows of
        self.put(0x06, 16, 0x0280)
        self.allow(0x04, 16, 1)
        for at, w, v, bits in ((PMBA, 32, 1, 0xffc0), (SMBBA, 32, 1, 0xfff0), (DEVACTB, 32, APMC_EN, 0x02ffffff), (PMREGMISC, 8, 0, 1), (SMBHSTCFG, 8, 0, 0x0f)):
            self.put(at, w, v)
            self.allow(at, w, bits)
        for at in (*range(0x44, 0x58), *range(0x5c, 0x80)): self.allow(at, 8, 0xff)  # counts and device resources
        bus.add_ports(0xb2, 2, lambda port, w: self.apm[port & 1], self.write_apm)

    def reset(self) -> None:
        """RST#."""
        super().reset()
        self.registers[:], self.smb[:], self.apm[:] = bytes(64), bytes(16), bytes(2)
        self.seen = self.toggles()
        self.update()

    def place(self) -> None:
        """The two windows of ports."""
        super().place()
        for register, enabled, size, read, write in ((PMBA, self.get(PMREGMISC, 8) & 1, 64, self.read_pm, self.write_pm),
                                                     (SMBBA, self.get(SMBHSTCFG, 8) & 1, 16, self.read_smb, self.write_smb)):
            base = self.get(register, 32) & 0xfff0 if enabled else 0
            old = self.windows.pop(register, None)
            if old and old[0] != base: self.bus.remove_ports(old[1])
            elif old: self.windows[register] = old
            if base and register not in self.windows: self.windows[register] = base, self.bus.add_ports(base, size, read, write, wide=True)

    def base(self, register: int) -> int:
        """Where the ports of PMBA or SMBBA are, enabled or not; 0: nowhere yet."""
        return self.get(register, 32) & 0xfff0

    # --- the ACPI registers ------------------------------------------------------------------------------------------------------------

    def word(self, at: int) -> int:
        """A 16-bit register."""
        return int.from_bytes(self.registers[at:at + 2], 'little')

    def set_word(self, at: int, v: int) -> None:
        """Sets one."""
        self.registers[at:at + 2] = v.to_bytes(2, 'little')

    def count(self) -> int:
        """The power management timer, of which 24 bits can be read."""
        return self.clock.now() * PM_TIMER_HZ // SECOND

    def toggles(self) -> int:
        """How often its highest bit has changed."""
        return self.count() >> PMTMR_MSB

    def read_pm(self, port: int, w: int) -> int:
        """Any width."""
        at = port - self.base(PMBA)
        if at < PMEN: self.update()
        if PMTMR <= at < PMTMR + 4: return (self.count() & 0xffffff) >> 8 * (at - PMTMR)
        return int.from_bytes(self.registers[at:at + w // 8], 'little')

    def write_pm(self, port: int, w: int, v: int) -> None:
        """By bytes; then what they ask for."""
        at = port - self.base(PMBA)
        self.update()
        for k, byte in enumerate(v.to_bytes(w // 8, 'little'), at):
            sticky = STICKY.get(k & ~1, 0) >> 8 * (k & 1) & 0xff
            if k & ~1 in STICKY: self.registers[k] &= ~(byte & sticky)
            elif not PMTMR <= k < PMTMR + 4: self.registers[k] = byte
        control = self.word(PMCNTRL)
        self.set_word(PMCNTRL, control & ~SUSPEND)  # write-only
        self.update()
        if control & SUSPEND and control >> 10 & 7 == SOFT_OFF: self.power_off()

    def update(self) -> None:
        """The timer's status bit, the SCI, and when to look next."""
        toggles = self.toggles()
        if toggles != self.seen: self.set_word(PMSTS, self.word(PMSTS) | TIMER)
        self.seen = toggles
        enabled = self.word(PMEN) if self.word(PMCNTRL) & SCI_EN else 0
        self.sci(bool(self.word(PMSTS) & enabled & (TIMER | GLOBAL | BUTTON | ALARM)))
        self.clock.cancel(self.timer)
        self.timer = None
        if enabled & TIMER: self.timer = self.clock.at(-(-(toggles + 1 << PMTMR_MSB) * SECOND // PM_TIMER_HZ), self.update)

    def power_button(self) -> None:
        """Somebody presses it: an event for a guest with ACPI, nothing for others."""
        if self.word(PMCNTRL) & SCI_EN: self.set_word(PMSTS, self.word(PMSTS) | BUTTON)
        self.update()

    def write_apm(self, port: int, w: int, v: int) -> None:
        """B2h, APMC: a command to the SMI handler that we are; B3h, APMS: remembered."""
        self.apm[port & 1] = v
        if port & 1 or v not in (ACPI_ENABLE, ACPI_DISABLE): return
        self.set_word(PMCNTRL, self.word(PMCNTRL) & ~SCI_EN | SCI_EN * (v == ACPI_ENABLE))
        self.update()

    # --- the SMBus -----------------------------------------------------------------------------------------------------------------------

    def read_smb(self, port: int, w: int) -> int:
        """Any width."""
        at = port - self.base(SMBBA)
        return int.from_bytes(self.smb[at:at + w // 8], 'little')

    def write_smb(self, port: int, w: int, v: int) -> None:
        """Nobody answers a transaction; status bits are cleared by ones."""
        for k, byte in enumerate(v.to_bytes(w // 8, 'little'), port - self.base(SMBBA)):
            if k == SMB_STATUS: self.smb[k] &= ~byte
            else: self.smb[k] = byte
            if k == SMB_CONTROL and byte & SMB_START: self.smb[SMB_STATUS], self.smb[k] = SMB_DEVICE_ERROR, byte & ~SMB_START
