"""emu/disk: images, snapshots and locks: what a user's file goes through, on a full host and with a killed emulator too."""
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.assembler import assemble_elf
from emu.cli import main
from emu.disk import Overlay, RawImage, open_image
from emu.errors import EmuError
from emu.options import Drive
from tests.test_bad_guests import DONE

EXIT = 0x501


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """64 sectors."""
    path = tmp_path / 'disk.img'
    path.write_bytes(bytes(range(64)) * 512)
    return path


# --- files that are no image ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('make, message', [
    (lambda path: None, 'no such file or directory'),
    (lambda path: path.mkdir(), 'is a directory'),
    (lambda path: path.touch(), 'is empty'),
    (lambda path: os.mkfifo(path), 'is neither a file nor a block device'),
    (lambda path: path.symlink_to('/dev/null'), 'is neither a file nor a block device'),
    (lambda path: path.write_bytes(b'QFI\xfb' + bytes(1000)), 'is a qcow2 image; only raw ones can be read'),
    (lambda path: path.write_bytes(bytes(64) + b'\x7f\x10\xda\xbe' + bytes(1000)), 'is a VDI image'),
])
def test_what_is_no_image(tmp_path, capsys, make, message):
    """One line, before anything is compiled; for a disk, a CD and a snapshot alike."""
    path, kernel = tmp_path / 'image', tmp_path / 'kernel'
    make(path)
    kernel.write_bytes(assemble_elf('_start: hlt'))
    for words in (['-hda', str(path)], ['-cdrom', str(path)], ['-snapshot', '-hda', str(path)], ['-drive', f'file={path},readonly=on']):
        assert main(['run', '-kernel', str(kernel), *words]) == 1
        err = capsys.readouterr().err
        assert err.count('\n') == 1 and err.startswith(f'emu: {path}: ') and message in err


def test_a_file_that_may_only_be_read(disk, monkeypatch):
    """The message says what to do. (Root may write everything, so the system's answer is made.)"""
    real = os.open

    def refuse(path, flags, *more):
        if flags & os.O_RDWR and path == str(disk): raise PermissionError(13, 'Permission denied')
        return real(path, flags, *more)
    monkeypatch.setattr(os, 'open', refuse)
    with pytest.raises(EmuError, match='disk.img: permission denied; readonly=on or snapshot=on needs no right to write'): RawImage(str(disk))
    RawImage(str(disk), readonly=True).close()
    Overlay(RawImage(str(disk), readonly=True)).close()


# --- locks ------------------------------------------------------------------------------------------------------------------------

WRITER, READER, SNAPSHOT = Drive(''), Drive('', readonly=True), Drive('', snapshot=True)


@pytest.mark.parametrize('first, second, fine', [(WRITER, WRITER, False), (WRITER, READER, False), (READER, WRITER, False), (WRITER, SNAPSHOT, False), (SNAPSHOT, WRITER, False),
                                                 (READER, READER, True), (SNAPSHOT, SNAPSHOT, True), (READER, SNAPSHOT, True)])
def test_locks(disk, first, second, fine):
    """Writers are alone, readers share; the lock ends with the image."""
    def use(drive: Drive):
        return open_image(Drive(str(disk), readonly=drive.readonly, snapshot=drive.snapshot))
    image = use(first)
    if fine: use(second).close()
    else:
        with pytest.raises(EmuError, match='disk.img: .* another machine.* would destroy it'): use(second)
    image.close()
    use(second).close()


def test_two_machines_on_one_image(disk, tmp_path):
    """The second one is refused while the first runs, and its lock does not outlive a kill -9."""
    with machine(tmp_path, 'again: jmp again', '-hda', str(disk)) as first:
        wait_for(lambda: locked(disk), first)
        second = subprocess.run(command(tmp_path, '-hda', str(disk)), capture_output=True, text=True, timeout=60)
        assert second.returncode == 1 and second.stderr == f'emu: {disk}: is in use by another machine or drive; two on one image would destroy it\n'
        first.send_signal(signal.SIGKILL)
        first.wait()
    RawImage(str(disk)).close()


def test_one_image_in_two_drives(disk, tmp_path):
    (tmp_path / 'guest').write_bytes(assemble_elf('_start: hlt'))
    run = subprocess.run(command(tmp_path, '-hda', str(disk), '-hdb', str(disk)), capture_output=True, text=True, timeout=60)
    assert run.returncode == 1 and 'is in use by another machine or drive' in run.stderr


def locked(path: Path) -> bool:
    """Whether somebody has it for writing."""
    try:
        RawImage(str(path), readonly=True).close()
    except EmuError:
        return True
    return False


# --- snapshots --------------------------------------------------------------------------------------------------------------------

SECTORS = 200
STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, SECTORS - 1), st.integers(1, 40), st.integers(0, 255)), max_size=40)


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_a_snapshot_is_a_disk(tmp_path_factory, steps):
    """Reads give what was written last, the image where nothing was; the image does not change."""
    path = tmp_path_factory.mktemp('overlay') / 'disk'
    before = random.Random(1).randbytes(SECTORS * 512 - 100)  # an odd size
    path.write_bytes(before)
    model = bytearray(before.ljust(SECTORS * 512, b'\0'))
    overlay = open_image(Drive(str(path), snapshot=True))
    for write, sector, count, value in steps:
        count = min(count, SECTORS - sector)
        if write:
            overlay.write(sector, bytes([value]) * 512 * count)
            model[sector * 512:(sector + count) * 512] = bytes([value]) * 512 * count
        assert overlay.read(sector, count) == model[sector * 512:(sector + count) * 512]
    assert overlay.read(0, SECTORS) == model
    overlay.close()
    assert path.read_bytes() == before


def test_a_snapshot_of_a_large_disk(tmp_path):
    """2 TiB cost nothing: what is written is kept in a file without a name, as sparse as it is."""
    path = tmp_path / 'disk'
    with open(path, 'wb') as file: file.truncate(2 << 40)
    overlay = open_image(Drive(str(path), snapshot=True))
    assert isinstance(overlay, Overlay)
    overlay.write(overlay.sectors - 1, b'x' * 512)
    assert overlay.read(overlay.sectors - 2, 2) == bytes(512) + b'x' * 512
    assert os.fstat(overlay.file.fileno()).st_nlink == 0 and os.fstat(overlay.file.fileno()).st_blocks < 100
    overlay.close()


def test_no_room_for_a_snapshot(disk, monkeypatch):
    monkeypatch.setattr('tempfile.tempdir', '/nowhere')
    with pytest.raises(EmuError, match='snapshot: /nowhere'): open_image(Drive(str(disk), snapshot=True))
    RawImage(str(disk)).close()


# --- a guest that writes, flushes and tells ------------------------------------------------------------------------------------------

# Writes sector after sector, each full of its number plus 1000, with PIO; FLUSH CACHE; then says the number on port E9h. An error ends it with the error register's value.
GUEST = """
_start:
    mov esp, 0x200000
    xor ebx, ebx
next:
    call wait
    mov dx, 0x1f6; mov al, 0xe0; out dx, al
    mov dx, 0x1f2; mov al, 1; out dx, al
    inc dx; mov al, bl; out dx, al
    inc dx; mov al, bh; out dx, al
    inc dx; xor al, al; out dx, al
    mov dx, 0x1f7; mov al, 0x30; out dx, al
    call wait
    mov edi, 0x300000; mov ecx, 128; lea eax, [ebx + 1000]; cld; rep stosd
    mov esi, 0x300000; mov ecx, 256; mov dx, 0x1f0; rep outsw
    call wait
    mov dx, 0x1f7; mov al, 0xe7; out dx, al
    call wait
    mov al, bl; out 0xe9, al
    mov al, bh; out 0xe9, al
    inc ebx
    cmp ebx, SECTORS
    jb next
    mov dx, 0x501; mov al, 0x10; out dx, al
    hlt
wait:
    mov dx, 0x1f7
1:  in al, dx
    test al, 0x80
    jnz 1b
    test al, 0x21
    jz 2f
    mov dx, 0x1f1; in al, dx
    mov dx, 0x501; out dx, al
2:  ret
"""


def command(folder: Path, *options: str) -> list[str]:
    """emu with the guest in `folder`."""
    words = ['-serial', 'null', '-display', 'none', '-engine', 'interpreter', '-debug-exit', hex(EXIT), '-kernel', str(folder / 'guest'), *options]
    return [sys.executable, '-m', 'emu', 'run', *words]


def machine(folder: Path, source: str, *options: str) -> subprocess.Popen:
    (folder / 'guest').write_bytes(assemble_elf(source if '_start' in source else f'_start: {source}'))
    return subprocess.Popen(command(folder, *options), stderr=subprocess.PIPE, text=True)


def wait_for(what, process: subprocess.Popen) -> None:
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end and process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.02)


def said(path: Path) -> list[int]:
    """The numbers that the guest told of."""
    data = path.read_bytes() if path.exists() else b''
    return [int.from_bytes(data[n:n + 2], 'little') for n in range(0, len(data) - 1, 2)]


def sector(n: int) -> bytes:
    return (n + 1000).to_bytes(4, 'little') * 128


@pytest.mark.parametrize('seed', range(3))
def test_kill_9(tmp_path, seed):
    """Whatever the guest said is synced is in the file."""
    disk, told = tmp_path / 'disk', tmp_path / 'told'
    with open(disk, 'wb') as file: file.truncate(60000 * 512)
    with machine(tmp_path, GUEST.replace('SECTORS', '60000'), '-hda', str(disk), '-debugcon', f'0xe9={told}') as process:
        wait_for(lambda: len(said(told)) > 10 + 300 * seed, process)
        time.sleep(random.Random(seed).random() / 10)
        process.send_signal(signal.SIGKILL)
    numbers, data = said(told), disk.read_bytes()
    assert numbers == list(range(len(numbers))) and len(numbers) < 60000
    assert all(data[n * 512:n * 512 + 512] == sector(n) for n in numbers)
    rest = data[(len(numbers) + 2) * 512:]
    assert rest == bytes(len(rest))


def test_flushes_are_counted_and_reach_the_host(tmp_path):
    """--stats tells of each drive; every FLUSH CACHE was an fdatasync."""
    disk, stats = tmp_path / 'disk', tmp_path / 'stats'
    disk.write_bytes(bytes(100 * 512))
    with machine(tmp_path, GUEST.replace('SECTORS', '50'), '-hda', str(disk), '-stats', str(stats)) as process: assert process.wait(60) == DONE
    counts = json.loads(stats.read_text())['devices']['ide0-hd0']
    assert counts == {'reads': 1, 'read_bytes': 512, 'writes': 50, 'written_bytes': 25600, 'flushes': 50, 'errors': 0}  # the one that is read is the partition table
    assert disk.read_bytes() == b''.join(map(sector, range(50))) + bytes(50 * 512)


@pytest.mark.parametrize('snapshot', [False, True])
def test_a_full_host_disk(tmp_path, snapshot):
    """The guest sees ABRT, the log has a line, the file is as long as before and has what could be written. The limit is one on the size of files."""
    disk, told = tmp_path / 'disk', tmp_path / 'told'
    before = b'.' * (100 * 512)
    disk.write_bytes(before)
    (tmp_path / 'guest').write_bytes(assemble_elf(GUEST.replace('SECTORS', '100')))
    run = subprocess.run(command(tmp_path, '-hda', str(disk), '-debugcon', f'0xe9={told}', *['-snapshot'] * snapshot), capture_output=True, text=True, timeout=60,
                         preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (40 * 512 + 100, -1)))
    assert run.returncode == 2 * 4 + 1 and said(told) == list(range(40))
    assert re.fullmatch(rf'emu: {disk}: cannot write sector 40: file too large; the guest sees an I/O error\n', run.stderr)
    data = disk.read_bytes()
    assert data == before if snapshot else data[:40 * 512] == b''.join(map(sector, range(40))) and data[41 * 512:] == before[41 * 512:]
