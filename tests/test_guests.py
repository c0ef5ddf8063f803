"""Guests: what is kept is checked and made again where it is damaged; the initramfs is a newc archive; mistakes are one line. No test needs the network."""
import gzip
import json
import os
import stat
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from emu import demo, guests
from emu.boot.multiboot import by_elf, find_header
from emu.errors import EmuError
from emu.guests import Guest, apt, initramfs, linux
from emu.guests.apt import Apt, Package


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


def test_a_failure_keeps_nothing(made, monkeypatch):
    def fails(folder: Path) -> dict[str, str]:
        (folder / 'half').write_text('x')
        raise EmuError('no network')
    monkeypatch.setitem(guests.GUESTS, 'toy', guests.GUESTS['toy']._replace(make=fails))
    with pytest.raises(EmuError, match='no network'): guests.get('toy')
    assert [path.name for path in guests.directory('toy').parent.iterdir()] == ['toy.lock']


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


def test_progress_is_read_from_apt(capsys):
    reader, writer = os.pipe()
    os.write(writer, b'dlstatus:1:20.5:Retrieving file 1 of 2\npmstatus:x:y\ndlstatus:2:101:Retrieving\n')
    os.close(writer)
    apt.show(reader, 'packages')


def test_init_is_a_shell_script():
    assert subprocess.run(['sh', '-n', linux.INIT]).returncode == 0


def test_demo_is_a_multiboot_kernel():
    kernel = demo.kernel()
    assert find_header(kernel) is not None
    assert by_elf(kernel)[0] == 0x100000
