"""Debian's drivers (ata_piix, sd, sr, ext4, isofs) on the disks: by DMA and PIO, a kill -9 after a sync, what the host then finds in the file."""
import hashlib
import re
import subprocess
from pathlib import Path

import pytest

from emu import guests
from emu.guests import initramfs
from tests.conftest import ALL, Start, guest, program
from tests.seat import Seat

MB = 1 << 20
FILE = bytes(n * n >> 7 & 0xff for n in range(3 * MB + 1234))


@pytest.fixture
def linux(start: Start, tmp_path: Path) -> Start:
    """Boots the kernel with drivers; it runs a script, then powers off. A machine that ran before is killed (kill -9)."""
    files = guest('linux')

    def run(script: str, *options: str, append: str = '') -> Seat:
        (tmp_path / 'initramfs').write_bytes(files['initramfs-686.gz'].read_bytes() + initramfs.build([], {'script': b'#!/bin/sh\n' + script.encode()}))
        return start('-m', '256', '-no-reboot', '-kernel', str(files['vmlinuz-686']), '-initrd', str(tmp_path / 'initramfs'),
                     '-append', f'console=ttyS0 modules=1 end=poweroff run=/script {append}', *options)
    return run


@pytest.mark.parametrize('mode', ['DMA', pytest.param('PIO', marks=pytest.mark.skipif(not ALL, reason='EMU_TEST_ALL=1'))])
def test_disk_and_cd(linux: Start, tmp_path: Path, mode: str) -> None:
    """Reads are right to the last bit, writes are in the file, the CD has its volume; the drivers choose multiword DMA, or PIO if they must."""
    disk, cd = tmp_path / 'disk', guests.get('cds')['cd-isolinux.iso']
    disk.write_bytes(FILE.ljust(8 * MB, b'\0'))
    seat = linux('sha256sum /dev/sda; dd if=/dev/sda of=/dev/sda bs=64k count=32 seek=64 conv=fsync; mkdir /cd; mount -t iso9660 /dev/sr0 /cd && ls /cd/isolinux;'
                   f'dd if=/dev/sr0 bs=2048 count={cd.stat().st_size // 2048} | sha256sum; grep ata_piix /proc/interrupts; echo exceptions: $(dmesg | grep -c "ata.*exception")',
                   '-hda', str(disk), '-cdrom', str(cd), append='libata.dma=0' if mode == 'PIO' else '')
    assert 'ata1: PATA max MWDMA2 cmd 0x1f0 ctl 0x3f6 bmdma 0x' in seat.hear('EMU HARDDISK')
    data = disk.read_bytes()
    seat.hear(f'{hashlib.sha256(data).hexdigest()}  /dev/sda')
    assert 'isolinux.bin' in seat.hear('mt.bin')
    seat.hear(hashlib.sha256(cd.read_bytes()).hexdigest())
    interrupts = [int(n) for n in re.findall(r'^ *1[45]: +(\d+)', seat.hear(r'15: .*\n'), re.MULTILINE)]
    seat.hear('exceptions: 0\n')
    seat.ended()
    assert disk.read_bytes() == data[:4 * MB] + data[:2 * MB] + data[6 * MB:] and min(interrupts) > 20


@pytest.mark.skipif(not ALL, reason='EMU_TEST_ALL=1')
def test_ext4_survives_kill_9(linux: Start, tmp_path: Path) -> None:
    """A file that was synced is there after a kill -9, a journal's recovery and a power-off; e2fsck finds nothing wrong."""
    mke2fs, e2fsck = program('mke2fs'), program('e2fsck')
    disk = tmp_path / 'disk'
    subprocess.run([mke2fs, '-q', '-t', 'ext4', str(disk), '48M'], check=True)
    seat = linux('mkdir /m; mount /dev/sda /m; i=0; while true; do seq $i $((i + 20000)) >/m/f$i; sync; echo synced $i; i=$((i + 1)); done', '-hda', str(disk))
    last = 0
    while last < 5: last = int(re.findall(r'\d+', seat.hear(r'synced \d+\n'))[-1])
    seat = linux('mkdir /m; mount /dev/sda /m; dmesg | grep recovery; for i in 0 1 2 3 4 5; do sha256sum /m/f$i; done; umount /m', '-hda', str(disk))
    seat.hear('recovery complete')
    for i in range(6):
        seat.hear(hashlib.sha256(''.join(f'{n}\n' for n in range(i, i + 20001)).encode()).hexdigest())
    seat.ended()
    subprocess.run([e2fsck, '-fn', str(disk)], check=True)
