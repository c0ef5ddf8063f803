"""What a person does with each guest at keyboard and screen, and what the screen then shows under QEMU (tests/screens/NAME.txt).

`python -m tests.guest_scripts` makes the screens anew, with qemu-system-i386 and SeaBIOS; `python -m tests.guest_scripts NAME...` some of them. Of guests in graphics
pictures are kept: QEMU's, and ours with our own BIOS, whose font is another.
"""
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, NamedTuple

from PIL import Image

from emu import guests
from tests.seat import Qemu, Seat

SCREENS = Path(__file__).parent / 'screens'
Script = Callable[[Seat], None]


class Case(NamedTuple):
    """A guest's file on a drive (or `kernel`), options, what is done, and what of the screen may differ (a pattern; dots stand for it)."""

    guest: str
    file: str
    drive: str
    script: Script
    options: tuple[str, ...] = ()
    differs: str = r'(?!)'

    def words(self) -> list[str]:
        """Options for emu and QEMU alike."""
        words = [f'-{self.drive}', str(guests.get(self.guest)[self.file]), *self.options]
        return words if self.drive == 'kernel' else ['-snapshot', '-boot', {'fda': 'a', 'hda': 'c', 'cdrom': 'd'}[self.drive], *words]

    def shown(self, lines: list[str]) -> list[str]:
        """What is compared: all lines; but of a screen that a BIOS began, those that the loader wrote."""
        began = [n for n, line in enumerate(lines) if line.startswith('Booting from')]
        text = '\n'.join(lines[began[-1] + 1:] if began else lines).strip('\n')
        return re.sub(self.differs, '...', text).split('\n')


def grub_prompt(seat: Seat) -> None:
    seat.see('^grub>$')
    seat.type('ls\necho -n one; echo two\n')
    seat.see('^onetwo$')


def grub_menu(seat: Seat) -> None:
    """Any key stops the countdown."""
    seat.see('highlighted entry will be executed')
    seat.key('down')
    seat.key('up')


def grub_cd_command_line(seat: Seat) -> None:
    """From the menu to the command line: what GRUB finds on the CD through the BIOS."""
    grub_menu(seat)
    seat.key('c')
    seat.see('^grub>$')
    seat.type('ls /\ncat /boot/grub/grub.cfg\n')
    seat.see(r'(?s)linux16 /mt.bin\n.*grub>$')


def grub_disk_command_line(seat: Seat) -> None:
    grub_menu(seat)
    seat.key('c')
    seat.see('^grub>$')
    seat.type('ls\nls -l (hd0,msdos1)/\n')
    seat.see(r'(?s)invaders.exe.*grub>$')


def grub_edits(seat: Seat) -> None:
    """The editor: to the end of the first line, and a word typed there."""
    grub_menu(seat)
    seat.key('e')
    seat.see('Ctrl-x')
    seat.key('end')
    seat.type('words (typed)')
    seat.see(r'\(typed\)')


def syslinux_prompt(seat: Seat) -> None:
    seat.see('boot:')
    seat.type('nosuch\n')
    seat.see(r'(?s)failed.*^boot:')


def syslinux_floppy_prompt(seat: Seat) -> None:
    """From HDT back to the prompt of the SYSLINUX that loaded it."""
    hdt_menu(seat)
    seat.key('x')
    seat.key('ret')
    seat.see('^boot:')
    seat.type('nosuch\n')
    seat.see(r'(?s)failed.*^boot:')


def isolinux_menu(seat: Seat) -> None:
    seat.see('BOOTLOADER-READY')
    seat.key('down')
    seat.see('edit options$')


def isolinux_edits(seat: Seat) -> None:
    isolinux_menu(seat)
    seat.key('tab')
    seat.see('> .linux ipxe.krn$')
    seat.type(' one Two')
    seat.see('ipxe.krn one Two')


def memtest(seat: Seat) -> None:
    """It begins to test; to its menu and back."""
    seat.see('Pass:  0')
    seat.key('f1')
    seat.see('Settings:')
    seat.key('f10')
    seat.see('^Using: .*Errors')


def hdt_menu(seat: Seat) -> None:
    seat.see('Exit')


def hdt_pci(seat: Seat) -> None:
    hdt_menu(seat)
    seat.key('ret')
    seat.see('pci.ids file is missing')


def hdt_command_line(seat: Seat) -> None:
    hdt_menu(seat)
    seat.key('w')
    seat.key('ret')
    seat.see('hdt>$')
    seat.type('show pci\n')
    seat.see(r'(?s)show pci.*hdt>$')


def ipxe_prompt(seat: Seat) -> None:
    seat.see('Ctrl-B')
    seat.key('ctrl', 'b')
    seat.see('iPXE>$')
    seat.type('echo Hello, ${undefined:hex}world\niseq 1 2 || show buildarch\n')
    seat.see(r'(?s)buildarch.*iPXE>$')


def invaders(seat: Seat) -> None:
    seat.see(r'/ \\')


FLOPPY, CDS = 'floppies', 'cds'
MEMTEST_DIFFERS = (r'(?<=│ )(Pass|Test|Testing:|Pattern:) .*|(?<=Temp: |ache: |ry  : ) *\S+ *|(?<=Using: )\w+ \S+ *|(?<=Time:  )\S+|(?<=Testing  ).|'
                   r' *\w.* PC \(.*')  # speeds, sizes, progress, the machine's name
CASES = {
    'grub-floppy': Case(FLOPPY, 'floppy-grub.img', 'fda', grub_prompt),
    'grub-disk-menu': Case('grubdisk', 'grubdisk.img', 'hda', grub_menu),
    'grub-disk-files': Case('grubdisk', 'grubdisk.img', 'hda', grub_disk_command_line),
    'grub-disk-editor': Case('grubdisk', 'grubdisk.img', 'hda', grub_edits),
    'grub-cd-menu': Case(CDS, 'cd-grub.iso', 'cdrom', grub_menu),
    'grub-cd-files': Case(CDS, 'cd-grub.iso', 'cdrom', grub_cd_command_line),
    'syslinux-disk': Case('bootdisk', 'bootdisk.img', 'hda', syslinux_prompt),
    'syslinux-floppy': Case(FLOPPY, 'floppy-hdt.img', 'fda', syslinux_floppy_prompt),
    'isolinux-menu': Case(CDS, 'cd-isolinux.iso', 'cdrom', isolinux_menu),
    'isolinux-editor': Case(CDS, 'cd-isolinux.iso', 'cdrom', isolinux_edits),
    'memtest-floppy': Case(FLOPPY, 'floppy-memtest.img', 'fda', memtest, ('-m', '16'), MEMTEST_DIFFERS),
    'memtest-emulated-floppy': Case(CDS, 'cd-floppy-emulation.iso', 'cdrom', memtest, ('-m', '16'), MEMTEST_DIFFERS),
    'hdt-menu': Case(FLOPPY, 'floppy-hdt.img', 'fda', hdt_menu),
    'hdt-pci': Case(FLOPPY, 'floppy-hdt.img', 'fda', hdt_pci),
    'hdt-command-line': Case(FLOPPY, 'floppy-hdt.img', 'fda', hdt_command_line),
    'ipxe': Case(FLOPPY, 'floppy-ipxe.img', 'fda', ipxe_prompt),
}


def graphics_menu(seat: Seat) -> None:
    """SYSLINUX's menu in 640x480 true colour."""
    seat.see('BOOTLOADER-READY')
    seat.key('esc')
    seat.see('^boot:')
    seat.type('vesamenu.c32\n')
    for _ in range(8):  # nothing tells when it is there; a key stops its countdown
        seat.look(1)
        seat.key('end')


PICTURES = {'graphics-menu': Case(CDS, 'cd-isolinux.iso', 'cdrom', graphics_menu)}


def main(names: list[str]) -> None:
    """Makes screens and pictures."""
    for name in names or [*CASES, *PICTURES]:
        case = (CASES | PICTURES)[name]
        with tempfile.TemporaryDirectory() as folder:
            if name in PICTURES:
                for bios, kind in (('own', Seat), ('seabios', Qemu)):
                    seat = kind(Path(folder), *case.words())
                    case.script(seat)
                    seat.look(3)
                    Image.fromarray(seat.picture()).save(SCREENS / f'{name}-{bios}.png')
                    seat.close()
                continue
            qemu = Qemu(Path(folder), *case.words())
            try:
                case.script(qemu)
                lines = qemu.settled(case.shown)
            finally:
                qemu.close()
        (SCREENS / f'{name}.txt').write_text('\n'.join(lines) + '\n')
        print(f'== {name}, {time.strftime("%F %T")}\n' + '\n'.join(lines))


if __name__ == '__main__': main(sys.argv[1:])
