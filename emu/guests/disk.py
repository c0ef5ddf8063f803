"""Hard disks: a master boot record, a FAT partition with SYSLINUX and the kernels, and on the large one an ext4 partition with a userland to work in.

At the `boot:` prompt `linux` and `pae` start a shell; with the userland there, `work` runs workload.sh in it and powers off.
mke2fs copies the tree with its owners and times; debugfs then gives everything to root, at one fixed time, as it may be made by any user at any time.
"""
import os
import re
import shutil
from pathlib import Path
from typing import Mapping

from tqdm import tqdm

from emu.guests import fat
from emu.guests.apt import Apt, Package, versions
from emu.guests.fat import SECTOR, Partition
from emu.guests.initramfs import TIME
from emu.guests.linux import FLAVOURS
from emu.guests.tools import run

WORKLOAD = Path(__file__).with_name('workload.sh')
SOURCES = (Path(__file__), Path(fat.__file__), WORKLOAD)
MEGABYTE = 1 << 20
START = MEGABYTE // SECTOR  # of the first partition
FAT_SIZE = {'bootdisk': 32, 'disk': 64}  # megabytes
CONSOLES = 'console=tty0 console=ttyS0'
USERLAND = ('bash coreutils python3 perl sqlite3 openssl gzip xz-utils zstd bzip2 bc dc gawk sed grep findutils diffutils tcc libc6-dev nasm lua5.4 luajit file '
            'stress-ng gcc-12 cpp-12 binutils busybox-static').split()
UNWANTED = [f'usr/share/{name}' for name in ('doc', 'man', 'locale', 'info', 'lintian', 'zoneinfo', 'bash-completion')] + ['var/cache']
FOLDERS = ('proc', 'sys', 'dev', 'tmp', 'mnt', 'opt')
LINKS = {'bin/sh': 'bash', 'usr/bin/awk': 'gawk', 'usr/bin/lua': 'lua5.4', 'sbin/init': '../bin/busybox', 'usr/bin/gcc': 'gcc-12'}
EXT4 = ('-t', 'ext4', '-L', 'emuroot', '-U', '20060114-0000-4000-8000-000000000001')
EXTENDED = 'root_owner=0:0,hash_seed=20060114-0000-4000-8000-000000000002'
FIRST_INODE, ROOT_INODE = 11, 2
BLOCK = 4096  # rough, and so with room for directories
TIMES = ('atime', 'ctime', 'mtime', 'crtime')
INODE = {'uid': 0, 'gid': 0, **dict.fromkeys(TIMES, f'@{TIME}'), **dict.fromkeys((f'{time}_extra' for time in TIMES), 0)}


def make_small(folder: Path, tools: Mapping[str, Path], linux: Mapping[str, Path]) -> dict[str, str]:
    """Fills a folder with bootdisk.img, which needs no packages."""
    start(folder / 'bootdisk.img', tools, linux, Partition(START, FAT_SIZE['bootdisk'] * START), {})
    return {}


def make(folder: Path, tools: Mapping[str, Path], linux: Mapping[str, Path]) -> dict[str, str]:
    """Fills a folder with disk.img; the packages' versions."""
    image, boot = folder / 'disk.img', Partition(START, FAT_SIZE['disk'] * START)
    with Apt(folder.parent) as apt:
        packages, tree = apt.closure(*USERLAND), apt.root / 'userland'
        size = userland(packages, tree)
        megabytes = size * 13 // 10 // MEGABYTE + 64
        root = Partition(boot.start + boot.sectors, megabytes * START)
        start(image, tools, linux, boot, {root: fat.LINUX})
        offset = root.start * SECTOR
        with image.open('r+b') as file: file.truncate(offset + megabytes * MEGABYTE)
        ext4(tools, image, offset, megabytes, tree)
    return versions(packages)


def start(image: Path, tools: Mapping[str, Path], linux: Mapping[str, Path], boot: Partition, more: Mapping[Partition, int]) -> None:
    """Makes a disk with its first partition, that boots; those after it are only in the table."""
    files = {'syslinux.cfg': menu(bool(more)).encode()}
    for flavour in FLAVOURS: files |= {f'vm-{flavour}': linux[f'vmlinuz-{flavour}'].read_bytes(), f'rd-{flavour}.gz': linux[f'initramfs-{flavour}.gz'].read_bytes()}
    fat.fill(tools, image, boot, 'EMUBOOT', files)
    with image.open('r+b') as file: file.write(fat.master_boot_record(tools['mbr.bin'].read_bytes(), {boot: fat.FAT16, **more}))


def menu(userland: bool) -> str:
    """SYSLINUX's configuration."""
    arguments = f'{CONSOLES} modules=1' + ' root=/dev/sda2' * userland
    entries = {'linux': ('686', arguments), 'pae': ('686-pae', arguments)}
    if userland: entries['work'] = ('686', f'{arguments} run=/opt/workload.sh end=poweroff')
    labels = (f'label {label}\n linux vm-{flavour}\n initrd rd-{flavour}.gz\n append {words}\n' for label, (flavour, words) in entries.items())
    return 'serial 0 115200\nprompt 1\ntimeout 50\ndefault linux\n' + ''.join(labels)


def userland(packages: Mapping[str, Package], tree: Path) -> int:
    """Unpacks packages, none of whose scripts run, into a tree that works without them; the size of its files in bytes."""
    for package in tqdm(packages.values(), desc='unpacking', leave=False, disable=None): package.unpack(tree)
    for folder in (tree / name for name in FOLDERS):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)  # whatever the umask
    for name in UNWANTED: shutil.rmtree(tree / name, ignore_errors=True)
    for name, target in LINKS.items():
        (tree / name).unlink(missing_ok=True)
        (tree / name).symlink_to(target)
    script = tree / 'opt/workload.sh'
    shutil.copyfile(WORKLOAD, script)
    script.chmod(0o755)
    sizes = {status.st_ino: status.st_size for folder, _, names in os.walk(tree) for status in map(os.lstat, (os.path.join(folder, name) for name in names))}
    return sum(-(-size // BLOCK) * BLOCK for size in sizes.values())


def ext4(tools: Mapping[str, Path], image: Path, offset: int, megabytes: int, tree: Path) -> None:
    """Makes a file system of a tree, from a byte of an image on; then gives its inodes, which were handed out in order, one owner and one time."""
    volume = f'{image}?offset={offset}'
    run(tools, 'mke2fs', '-q', '-F', *EXT4, '-E', f'{EXTENDED},offset={offset}', '-d', tree, image, f'{megabytes}M')
    stats = run(tools, 'debugfs', '-R', 'stats', volume)
    number = dict(re.findall(r'^(Inode count|Free inodes): +(\d+)', stats, re.MULTILINE))
    inodes = (ROOT_INODE, *range(FIRST_INODE, int(number['Inode count']) - int(number['Free inodes']) + 1))
    run(tools, 'debugfs', '-w', '-f', '-', volume, given=''.join(f'set_inode_field <{inode}> {name} {value}\n' for inode in inodes for name, value in INODE.items()))
