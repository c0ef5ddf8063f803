"""Guests: what is kept is checked and made again where it is damaged; the initramfs is a newc archive; mistakes are one line. No test needs the network."""
import gzip
import json
import os
import stat
import struct
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from emu import demo, guests
from emu.boot.multiboot import by_elf, find_header
from emu.cli import main
from emu.errors import EmuError
from emu.guests import Guest, apt, cds, disk, fat, initramfs, linux, modules
from emu.guests.apt import Apt, Package
from emu.guests.fat import Partition
from tests.conftest import ALL, program


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A guest called `toy` in a cache of its own; the list grows by one each time it is made."""
    monkeypatch.setenv('EMU_CACHE', str(tmp_path / 'cache'))
    source, times = tmp_path / 'source', []
    source.write_text('one')

    def make(folder: Path) -> dict[str, str]:
        times.append(folder)
        (folder / 'kernel').write_text(source.read_text())
        return {'package': '1.0'}
    monkeypatch.setitem(guests.GUESTS, 'toy', Guest('a toy', make, (source,)))
    return times


def test_made_once_then_kept(made):
    files = guests.get('toy')
    assert guests.get('toy') == files == {'kernel': guests.directory('toy') / 'kernel'}
    assert len(made) == 1 and files['kernel'].read_text() == 'one'
    assert json.loads((guests.directory('toy') / 'packages.json').read_text())['packages'] == {'package': '1.0'}
    assert sorted(path.name for path in guests.directory('toy').parent.iterdir()) == ['toy', 'toy.lock']  # nothing temporary stays


@pytest.mark.parametrize('damage', [
    lambda folder: (folder / 'kernel').write_text('other'),
    lambda folder: (folder / 'kernel').unlink(),
    lambda folder: (folder / 'packages.json').write_text('{"sha'),
    lambda folder: (folder / 'packages.json').write_text('[1]'),
    lambda folder: (folder / 'packages.json').write_text('{"sha256": 3}'),
    lambda folder: (folder.parent.parent.parent / 'source').write_text('two'),
], ids=['changed', 'missing', 'cut', 'list', 'nonsense', 'our own source changed'])
def test_what_does_not_match_is_made_again(made, damage):
    guests.get('toy')
    damage(guests.directory('toy'))
    files = guests.get('toy')
    assert len(made) == 2 and files['kernel'].read_text() in ('one', 'two')


@pytest.mark.parametrize('garbage', [lambda place: place.write_text('x'), lambda place: place.symlink_to('nowhere'), lambda place: place.symlink_to(place.parent)],
                         ids=['file', 'dangling link', 'link'])
def test_garbage_in_its_place_is_removed(made, garbage):
    place = guests.directory('toy')
    place.parent.mkdir(parents=True)
    garbage(place)
    assert guests.get('toy')['kernel'].read_text() == 'one' and place.is_dir() and not place.is_symlink()


def test_who_waits_for_another_emu_is_told(made, tmp_path, capsys):
    lock = tmp_path / 'toy.lock'
    with ThreadPoolExecutor() as pool, guests.locked(lock):
        assert capsys.readouterr().err == ''
        waiting = pool.submit(lambda: guests.locked(lock).__enter__())
        while not (said := capsys.readouterr().err): time.sleep(0.01)
        assert not waiting.done() and said == 'emu: waiting for another emu that makes toy\n'


def test_a_failure_keeps_nothing(made, monkeypatch):
    def fails(folder: Path) -> dict[str, str]:
        (folder / 'half').write_text('x')
        raise EmuError('no network')
    monkeypatch.setitem(guests.GUESTS, 'toy', guests.GUESTS['toy']._replace(make=fails))
    with pytest.raises(EmuError, match='no network'): guests.get('toy')
    assert [path.name for path in guests.directory('toy').parent.iterdir()] == ['toy.lock']


def test_an_intact_file_need_not_be_read(made, monkeypatch):
    """Size and time of last change are enough; where the time differs, the contents count."""
    file = guests.get('toy')['kernel']
    with monkeypatch.context() as blind:
        blind.setattr(guests, 'digest', lambda path: pytest.fail('read'))
        guests.get('toy')
    os.utime(file, (1, 1))
    guests.get('toy')
    assert len(made) == 1


def test_what_it_is_made_from_comes_first(made, monkeypatch):
    def make(folder: Path, toy: dict[str, Path]) -> dict[str, str]:
        (folder / 'copy').write_bytes(toy['kernel'].read_bytes() * 2)
        return {}
    monkeypatch.setitem(guests.GUESTS, 'twice', Guest('two', make, (), ('toy',)))
    assert guests.get('twice')['copy'].read_text() == 'oneone' and len(made) == 1


def test_without_room_nothing_is_begun(made, monkeypatch):
    monkeypatch.setitem(guests.GUESTS, 'toy', guests.GUESTS['toy']._replace(megabytes=10**9))
    with pytest.raises(EmuError, match=r'making toy takes 1000000000 MB there, and \d+ MB are free$'): guests.get('toy')
    assert not made


def test_list_says_what_is_made(made, capsys):
    assert main(['guest', 'list']) == 0
    before = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert {'linux', 'bootdisk', 'disk', 'floppies', 'cds', 'invaders'} < before.keys() and 'not made' in before['toy'] and 'a toy' in before['toy']
    assert main(['guest', 'get', 'toy', 'toy']) == 0
    assert capsys.readouterr().out == f'{guests.directory("toy")}\n' * 2
    main(['guest', 'list'])
    assert ' MB ' in next(line for line in capsys.readouterr().out.splitlines() if line.startswith('toy '))


def test_what_was_left_by_one_that_was_killed_goes_away(made):
    left = guests.directory('toy').with_name('toy.half')
    (left / 'made').mkdir(parents=True)
    guests.get('toy')
    assert not left.exists()


def test_two_at_once_make_it_once(made):
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(guests.get, ['toy'] * 4))
    assert len(made) == 1 and all(files == results[0] for files in results)


def test_unknown_guest():
    with pytest.raises(EmuError, match="no guest is called 'beos'; there are linux"): guests.get('beos')


def test_cache_that_cannot_be_written(made, monkeypatch):
    monkeypatch.setenv('EMU_CACHE', '/proc/nowhere')
    with pytest.raises(EmuError, match='/proc/nowhere'): guests.get('toy')


def test_no_apt_on_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(EmuError, match='there is no apt-get on this machine'): linux.make(tmp_path)


def test_apt_without_network(tmp_path, monkeypatch):
    """One line that says why, in apt's words."""
    fake = tmp_path / 'apt-get'
    fake.write_text('#!/bin/sh\necho "W: Failed to fetch http://deb.debian.org/x  Temporary failure resolving deb.debian.org"\n')
    (tmp_path / 'apt-cache').write_text('#!/bin/sh\n')
    for path in tmp_path.iterdir(): path.chmod(0o755)
    monkeypatch.setenv('PATH', f'{tmp_path}:{os.environ["PATH"]}')
    with pytest.raises(EmuError, match=r'^apt cannot get linux-image-686 for i386 \(is there network\?\): Failed to fetch .*resolving deb.debian.org$'):
        linux.make(tmp_path)


def test_apt_works_on_a_state_of_its_own(tmp_path, monkeypatch):
    """Every directory that apt writes to is in the temporary one, which goes away."""
    monkeypatch.setattr(Apt, 'run', lambda self, *words, **more: 0)
    with Apt(tmp_path) as private:
        paths = [word.partition('=')[2] for word in private.options if word.startswith('Dir::')]
        assert len(paths) == 4 and all(Path(path).is_relative_to(private.root) for path in paths)
    assert list(tmp_path.iterdir()) == []


def test_apt_leaves_nothing_behind(tmp_path, monkeypatch):
    """Nor do the temporary files stay of one that was interrupted."""
    (tmp_path / 'apt-get').write_text('#!/bin/sh\nmktemp\n')
    (tmp_path / 'apt-get').chmod(0o755)
    monkeypatch.setenv('PATH', f'{tmp_path}:{os.environ["PATH"]}')
    with Apt(tmp_path) as private: assert Path(private.errors.strip()).is_relative_to(private.root)
    assert [path.name for path in tmp_path.iterdir()] == ['apt-get']


def test_a_file_of_a_package(tmp_path):
    """deb(5): read through dpkg-deb, whatever its compression."""
    content = tmp_path / 'data/bin'
    content.mkdir(parents=True)
    (content / 'tool').write_bytes(b'#!tool')
    control = tmp_path / 'data/DEBIAN'
    control.mkdir()
    (control / 'control').write_text('Package: tool\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: a tool\n')
    subprocess.run(['dpkg-deb', '--root-owner-group', '-b', tmp_path / 'data', tmp_path / 'tool.deb'], check=True, stdout=subprocess.DEVNULL)
    package = Package(tmp_path / 'tool.deb', '1')
    assert package.read('./bin/tool') == b'#!tool'
    with pytest.raises(EmuError, match='tool.deb: there is no ./bin/other in it'): package.read('./bin/other')


def test_a_package_that_is_none(tmp_path):
    (tmp_path / 'x.deb').write_bytes(b'garbage')
    with pytest.raises(EmuError, match='x.deb: damaged'): Package(tmp_path / 'x.deb', '1').read('./x')


def test_initramfs_is_a_newc_archive():
    """buffer-format.rst: 110 bytes of header, everything on 4 bytes, TRAILER!!! last; the same bytes every time."""
    packed = initramfs.build(linux.DIRECTORIES, {'init': b'#!/bin/sh', 'bin/busybox': b'ELF' * 100})
    assert packed == initramfs.build(linux.DIRECTORIES, {'bin/busybox': b'ELF' * 100, 'init': b'#!/bin/sh'})
    assert struct.unpack_from('<I', packed, 4) == (0,)  # gzip's time
    entries = unpack(gzip.decompress(packed))
    assert list(entries) == ['.', 'bin', 'bin/busybox', 'dev', 'etc', 'init', 'lib', 'lib/modules', 'mnt', 'proc', 'sys', 'tmp', 'TRAILER!!!']
    assert entries['init'] == (0o100755, b'#!/bin/sh') and entries['bin/busybox'] == (0o100755, b'ELF' * 100)
    assert stat.S_ISDIR(entries['dev'][0])


def unpack(data: bytes) -> dict[str, tuple[int, bytes]]:
    """Name -> mode and contents, read by the format's description."""
    entries, at = {}, 0
    while not entries or 'TRAILER!!!' not in entries:
        assert data[at:at + 6] == b'070701' and at % 4 == 0
        numbers = [int(data[at + 6 + 8 * n:at + 14 + 8 * n], 16) for n in range(13)]
        name_end = at + 110 + numbers[11]
        start = -(-name_end // 4) * 4
        entries[data[at + 110:name_end - 1].decode()] = (numbers[1], data[start:start + numbers[6]])
        at = -(-(start + numbers[6]) // 4) * 4
    return entries


def module(**said: str) -> bytes:
    """An ELF file of 32 bits with a section of strings KEY=VALUE (System V ABI, chapter 4)."""
    names, info = b'\0.shstrtab\0.modinfo\0', b''.join(f'{key}={value}\0'.encode() for key, value in said.items())
    header = b'\x7fELF\1\1\1' + bytes(9) + struct.pack('<HHIIIIIHHHHHH', 1, 3, 1, 0, 0, 52 + len(names + info), 0, 52, 0, 0, 40, 3, 1)
    sections = [(0, 0, 0), (1, 52, len(names)), (11, 52 + len(names), len(info))]
    return header + names + info + b''.join(struct.pack('<IIIIII16x', name, 1, 0, 0, at, size) for name, at, size in sections)


def test_modules_come_with_what_they_need(tmp_path):
    """modules.dep(5): a module's path, then those it needs, the one that is needed most at the end; `-` in a file's name is `_` in a module's."""
    said = {'fs/ext9': {'depends': 'jbd,mb-cache'}, 'fs/jbd': {'depends': 'crc'}, 'fs/mb_cache': {'depends': ''}, 'lib/crc': {'alias': 'crypto-crc'}, 'lib/other': {},
            'net/ne-pci': {'depends': 'built_in,crc', 'alias': 'pci:v1*'}}
    for name, words in said.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f'{name}.ko').write_bytes(module(license='GPL', **words))
    chosen = modules.choose(tmp_path, ['ext9', 'ne_pci', 'built_in'])
    assert chosen['modules.dep'].decode().splitlines() == [
        'lib/crc.ko:', 'fs/ext9.ko: fs/mb_cache.ko fs/jbd.ko lib/crc.ko', 'fs/jbd.ko: lib/crc.ko', 'fs/mb_cache.ko:', 'net/ne-pci.ko: lib/crc.ko']
    assert chosen['modules.alias'] == b'alias crypto-crc crc\nalias pci:v1* ne_pci\n'
    assert chosen['fs/jbd.ko'] == (tmp_path / 'fs/jbd.ko').read_bytes() and 'lib/other.ko' not in chosen


def test_a_module_without_modinfo():
    assert modules.modinfo(module().replace(b'.modinfo', b'.modlost')) == {}


def test_master_boot_record():
    """The table at 1BEh: active flag, CHS of the first sector, type, CHS of the last, LBA and length; 55h AAh. CHS beyond cylinder 1023 is 1023/254/63."""
    record = fat.master_boot_record(b'\xeb\xfe' * 300, {Partition(2048, 65536): fat.FAT16, Partition(67584, 20_000_000): fat.LINUX})
    assert len(record) == 512 and record[:440] == b'\xeb\xfe' * 220 and record[510:] == b'\x55\xaa'
    assert struct.unpack_from('<B3sB3sII', record, 0x1be) == (0x80, bytes((32, 33, 0)), 0x0e, bytes((52, 48, 4)), 2048, 65536)
    assert struct.unpack_from('<B3sB3sII', record, 0x1ce) == (0, bytes((52, 49, 4)), 0x83, b'\xfe\xff\xff', 67584, 20_000_000)
    assert record[0x1de:0x1fe] == bytes(32)


def host_tools(*names: str) -> dict[str, Path]:
    """What is installed, in place of what is downloaded."""
    return {name: Path(program(name)) for name in names} | {'mke2fs.conf': Path('/etc/mke2fs.conf')}


def test_floppy(tmp_path):
    """FAT12 with the files and SYSLINUX: fsck.fat finds nothing to say, and the bytes are the same another time."""
    made = host_tools('mformat', 'mcopy', 'syslinux', 'mtype', 'fsck.fat')
    big = bytes(range(256)) * 2000
    for name in ('one.img', 'two.img'): fat.floppy(made, tmp_path / name, 'LABEL', {'syslinux.cfg': b'default x\n', 'big.bin': big})
    image = (tmp_path / 'one.img').read_bytes()
    assert len(image) == 1474560 and image == (tmp_path / 'two.img').read_bytes()
    assert image[3:11] == b'SYSLINUX' and image[0x36:0x3e] == b'FAT12   ' and image[510:512] == b'\x55\xaa'
    assert subprocess.run([made['mtype'], '-i', tmp_path / 'one.img', '::big.bin'], capture_output=True).stdout == big
    assert subprocess.run([made['fsck.fat'], '-n', tmp_path / 'one.img'], capture_output=True).returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ['one.img', 'two.img']


def test_files_that_do_not_fit_on_a_floppy(tmp_path):
    with pytest.raises(EmuError, match='^mcopy: .*full'): fat.floppy(host_tools('mformat', 'mcopy'), tmp_path / 'x.img', 'X', {'big': bytes(2_000_000)})


def test_cd(tmp_path):
    """El Torito, 2.0: the boot record at sector 17 leads to the catalog, whose entry says whether a floppy is emulated. No time of day goes in."""
    made = host_tools('xorriso')
    files = {'boot/floppy.img': b'boots' * 294912, 'boot/loader.bin': b'boots' * 1000}
    cds.iso(made, tmp_path / 'one.iso', 'LABEL', files, 'boot/floppy.img')
    time.sleep(1.1)
    cds.iso(made, tmp_path / 'two.iso', 'LABEL', files, 'boot/floppy.img')
    cds.iso(made, tmp_path / 'none.iso', 'LABEL', files, 'boot/loader.bin', *cds.NO_EMULATION)
    assert (tmp_path / 'one.iso').read_bytes() == (tmp_path / 'two.iso').read_bytes()
    for name, medium in (('one.iso', 2), ('none.iso', 0)):
        image = (tmp_path / name).read_bytes()
        assert image[17 * 2048:17 * 2048 + 30] == b'\0CD001\1EL TORITO SPECIFICATION'
        entry = struct.unpack_from('<I', image, 17 * 2048 + 0x47)[0] * 2048 + 32
        indicator, media, _, _, _, sectors, at = struct.unpack_from('<BBHBBHI', image, entry)
        assert (indicator, media, sectors) == (0x88, medium, 1 if medium else 4) and image[at * 2048:].startswith(b'boots')


def test_owners_and_times_of_a_userland(tmp_path):
    """Everything is root's, at one time, whoever made the tree and when; e2fsck finds nothing to say."""
    made = host_tools('mke2fs', 'debugfs', 'e2fsck')
    (tmp_path / 'tree/bin').mkdir(parents=True)
    (tmp_path / 'tree/bin/sh').write_bytes(b'x' * 5000)
    if os.getuid() == 0: os.chown(tmp_path / 'tree/bin/sh', 1000, 1000)
    image = tmp_path / 'x.img'
    image.write_bytes(bytes(9 << 20))
    disk.ext4(made, image, 1 << 20, 8, tmp_path / 'tree')
    shown = subprocess.run([made['debugfs'], '-R', 'stat /bin/sh', f'{image}?offset={1 << 20}'], capture_output=True, text=True, env={'TZ': 'UTC'}).stdout
    assert 'User:     0   Group:     0' in shown and shown.count('-- Tue Jan  3 00:00:00 2006') == 4
    (tmp_path / 'volume').write_bytes(image.read_bytes()[1 << 20:])
    assert subprocess.run([made['e2fsck'], '-fn', tmp_path / 'volume'], capture_output=True).returncode == 0


@pytest.mark.skipif(not ALL, reason='EMU_TEST_ALL=1: downloads')
def test_the_guests_themselves():
    """Each is made, and has the files that the boot tests ask for."""
    files = {
        'bootdisk': {'bootdisk.img'}, 'disk': {'disk.img'}, 'grubdisk': {'grubdisk.img'}, 'invaders': {'invaders.exec'},
        'cds': {f'cd-{name}.iso' for name in ('isolinux', 'grub', 'floppy-emulation')},
        'floppies': {f'floppy-{name}.img' for name in ('memtest', 'ipxe', 'hdt', 'invaders', 'grub')},
    }
    for name, expected in files.items(): assert guests.get(name).keys() == expected


def test_progress_is_read_from_apt(capsys):
    reader, writer = os.pipe()
    os.write(writer, b'dlstatus:1:20.5:Retrieving file 1 of 2\npmstatus:x:y\ndlstatus:2:101:Retrieving\n')
    os.close(writer)
    apt.show(reader, 'packages')


@pytest.mark.parametrize('script, shell', [(linux.INIT, 'sh'), (disk.WORKLOAD, 'bash')])
def test_our_scripts_are_scripts(script, shell):
    assert subprocess.run([shell, '-n', script]).returncode == 0


def test_demo_is_a_multiboot_kernel():
    kernel = demo.kernel()
    assert find_header(kernel) is not None
    assert by_elf(kernel)[0] == 0x100000
