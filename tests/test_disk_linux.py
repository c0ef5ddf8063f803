"""Debian's drivers (ata_piix, sd, sr, ext4, isofs) on the disks: by DMA and PIO, a kill -9 after a sync, what the host then finds in the file."""
import hashlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Callable, Iterator

import pytest

from emu import guests
from emu.guests import initramfs
from tests.conftest import ALL, guest, program
from tests.test_boot_linux import Person

MB = 1 << 20
FILE = bytes(n * n >> 7 & 0xff for n in range(3 * MB + 1234))
Start = Callable[..., Person]


@pytest.fixture
def linux(tmp_path: Path) -> Iterator[Start]:
    """Boots the kernel with drivers; it runs a script, then powers off. A machine that ran before is killed (kill -9)."""
    files = guest('linux')
    people: list[Person] = []

    def start(script: str, *options: str, append: str = '') -> Person:
        while people: people.pop().close()
        (tmp_path / 'initramfs').write_bytes(files['initramfs-686.gz'].read_bytes() + initramfs.build([], {'script': b'#!/bin/sh\n' + script.encode()}))
        words = ['-nographic', '-m', '256', '-no-reboot', '-kernel', str(files['vmlinuz-686']), '-initrd', str(tmp_path / 'initramfs')]
        people.append(Person([sys.executable, '-m', 'emu', 'run', *words, '-append', f'console=ttyS0 modules=1 end=poweroff run=/script {append}', *options]))
        return people[-1]
    yield start
    while people: people.pop().close()


@pytest.mark.parametrize('mode', ['DMA', pytest.param('PIO', marks=pytest.mark.skipif(not ALL, reason='EMU_TEST_ALL=1'))])
def test_disk_and_cd(linux: Start, tmp_path: Path, mode: str) -> None:
    """Reads are right to the last bit, writes are in the file, the CD has its volume; the drivers choose multiword DMA, or PIO if they must."""
    disk, cd = tmp_path / 'disk', guests.get('cds')['cd-isolinux.iso']
    disk.write_bytes(FILE.ljust(8 * MB, b'\0'))
    person = linux('sha256sum /dev/sda; dd if=/dev/sda of=/dev/sda bs=64k count=32 seek=64 conv=fsync; mkdir /cd; mount -t iso9660 /dev/sr0 /cd && ls /cd/isolinux;'
                   f'dd if=/dev/sr0 bs=2048 count={cd.stat().st_size // 2048} | sha256sum; grep ata_piix /proc/interrupts; echo exceptions: $(dmesg | grep -c "ata.*exception")',
                   '-hda', str(disk), '-cdrom', str(cd), append='libata.dma=0' if mode == 'PIO' else '')
    assert 'ata1: PATA max MWDMA2 cmd 0x1f0 ctl 0x3f6 bmdma 0x' in person.expect('EMU HARDDISK')
    data = disk.read_bytes()
    person.expect(f'{hashlib.sha256(data).hexdigest()}  /dev/sda')
    assert 'isolinux.bin' in person.expect('mt.bin')
    person.expect(hashlib.sha256(cd.read_bytes()).hexdigest())
    interrupts = [int(n) for n in re.findall(r'^ *1[45]: +(\d+)', person.expect(r'15: .*\n'), re.MULTILINE)]
    person.expect('exceptions: 0\n')
    person.assert_ended(0)
    assert disk.read_bytes() == data[:4 * MB] + data[:2 * MB] + data[6 * MB:] and min(interrupts) > 20


@pytest.mark.skipif(not ALL, reason='EMU_TEST_ALL=1')
def test_ext4_survives_kill_9(linux: Start, tmp_path: Path) -> None:
    """A file that was synced is there after a kill -9, a journal's recovery and a power-off; e2fsck finds nothing wrong."""
    mke2fs, e2fsck = program('mke2fs'), program('e2fsck')
    disk = tmp_path / 'disk'
    subprocess.run([mke2fs, '-q', '-t', 'ext4', str(disk), '48M'], check=True)
    person = linux('mkdir /m; mount /dev/sda /m; i=0; while true; do seq $i $((i + 20000)) >/m/f$i; sync; echo synced $i; i=$((i + 1)); done', '-hda', str(disk))
    last = 0
    while last < 5: last = int(re.findall(r'\d+', person.expect(r'synced \d+\n'))[-1])
    person = linux('mkdir /m; mount /dev/sda /m; dmesg | grep recovery; for i in 0 1 2 3 4 5; do sha256sum /m/f$i; done; umount /m', '-hda', str(disk))
    person.expect('recovery complete')
    for i in range(6):
        person.expect(hashlib.sha256(''.join(f'{n}\n' for n in range(i, i + 20001)).encode()).hexdigest())
    person.assert_ended(0)
    subprocess.run([e2fsck, '-fn', str(disk)], check=True)
