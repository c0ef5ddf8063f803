"""Raw images: a host's file or block device as sectors of 512 bytes.

Writes go to the file at once (pwrite) and nothing is kept here, so what a guest was told to be written outlives this process; `flush` is fdatasync.
A file that ends inside a sector is read as if zeros followed; a write to that sector makes the file longer, nothing makes it shorter. The end of a file is
looked at once, when it is opened. An open image is locked, with the bytes that QEMU locks (block/file-posix.c: permissions from byte 100 on, what is not
shared from 200 on), so that neither a second emu nor a QEMU writes to it: writers are alone, readers share. Left out: qcow2, VMDK, VDI, VHDX (refused by their
signatures: a guest must not write into one), direct I/O, discard.
"""
import errno
import fcntl
import os
import stat
import struct
from collections import Counter

from emu.errors import EmuError, file_error, warn

SECTOR = 512
SIGNATURES = ((0, b'QFI\xfb', 'qcow2'), (0, b'KDMV', 'VMDK'), (0, b'# Disk DescriptorFile', 'VMDK'),
              (0, b'vhdxfile', 'VHDX'), (0, b'conectix', 'VHD'), (0x40, b'\x7f\x10\xda\xbe', 'VDI'))
LOCKS, LOCKS_END = 100, 300  # the bytes that QEMU's and our locks are about
READING, WRITING, NO_WRITERS = 100, 101, 201  # somebody reads, writes, wants nobody to write
FLOCK = 'hhqqi4x'  # struct flock of Linux on 64-bit hosts: type, whence, start, length, pid


class RawImage:
    """`sectors` of 512 bytes; `counts` tells what was done. read, write and flush raise OSError where the host does; the first error of each kind is logged."""

    def __init__(self, path: str, readonly: bool = False):
        self.path, self.readonly = path, readonly
        self.counts: Counter[str] = Counter(reads=0, read_bytes=0, writes=0, written_bytes=0, flushes=0, errors=0)
        self.told: set[tuple[str, int | None]] = set()
        try:
            self.fd = os.open(path, (os.O_RDONLY if readonly else os.O_RDWR) | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO would wait for its other end
        except OSError as error:
            readable = not readonly and error.errno in (errno.EACCES, errno.EROFS, errno.EPERM) and os.access(path, os.R_OK)
            raise EmuError(f'{file_error(path, error)}{"; readonly=on or snapshot=on needs no right to write" * readable}') from None
        try:
            self.size = self.measure()
            self.lock()
        except BaseException:
            os.close(self.fd)
            raise
        self.sectors = -(-self.size // SECTOR)

    def measure(self) -> int:
        """Bytes of the file, which is one that can be an image."""
        kind = os.fstat(self.fd).st_mode
        if stat.S_ISDIR(kind): raise EmuError(f'{self.path}: is a directory')
        if not stat.S_ISREG(kind) and not stat.S_ISBLK(kind): raise EmuError(f'{self.path}: is neither a file nor a block device')
        try:
            size = os.lseek(self.fd, 0, os.SEEK_END)
            head = os.pread(self.fd, 128, 0)
        except OSError as error:
            raise file_error(self.path, error) from None
        if size == 0: raise EmuError(f'{self.path}: is empty')
        for at, signature, name in SIGNATURES:
            if head[at:at + len(signature)] == signature: raise EmuError(f'{self.path}: is a {name} image; only raw ones can be read (qemu-img convert -O raw makes one)')
        return size

    def lock(self) -> None:
        """Takes the locks, which end with the process; a file system that has none is told of and gets none."""
        try:
            if self.readonly:
                for byte in (READING, NO_WRITERS): self.lock_bytes(fcntl.F_RDLCK, byte, 1)
                answer = fcntl.fcntl(self.fd, fcntl.F_OFD_GETLK, struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, WRITING, 1, 0))
                if struct.unpack(FLOCK, answer)[0] != fcntl.F_UNLCK: raise BlockingIOError(errno.EAGAIN, 'locked')
            else: self.lock_bytes(fcntl.F_WRLCK, LOCKS, LOCKS_END - LOCKS)
        except (BlockingIOError, PermissionError):
            how = 'is written by another machine' if self.readonly else 'is in use by another machine or drive'
            raise EmuError(f'{self.path}: {how}; two on one image would destroy it') from None
        except OSError as error:
            warn(f'{self.path}: cannot be locked ({(error.strerror or str(error)).lower()}): see to it that no other machine uses it')

    def lock_bytes(self, kind: int, first: int, count: int) -> None:
        """A lock of this open file, not of the process."""
        fcntl.fcntl(self.fd, fcntl.F_OFD_SETLK, struct.pack(FLOCK, kind, os.SEEK_SET, first, count, 0))

    def close(self) -> None:
        """Ends the locks, too; whoever still reads gets an error."""
        os.close(self.fd)
        self.fd = -1

    # --- what drives call --------------------------------------------------------------------------------------------------------

    def read(self, sector: int, count: int) -> bytes:
        """`count` sectors; zeros behind the end."""
        out, wanted = b'', max(min(count * SECTOR, self.size - sector * SECTOR), 0)
        try:
            while len(out) < wanted:
                data = os.pread(self.fd, wanted - len(out), sector * SECTOR + len(out))
                if not data: raise OSError(errno.EIO, 'the file has become shorter')
                out = out + data if out else data
        except OSError as error:
            self.failed('read', sector, error)
            raise
        self.counts['reads'] += 1
        self.counts['read_bytes'] += count * SECTOR
        return out if len(out) == count * SECTOR else out.ljust(count * SECTOR, b'\0')

    def write(self, sector: int, data: bytes | bytearray) -> None:
        """Whole sectors. After an error some of them may have been written."""
        done, view = 0, memoryview(data)
        try:
            while done < len(data):
                done += os.pwrite(self.fd, view[done:], sector * SECTOR + done)
        except OSError as error:
            self.failed('write', sector + done // SECTOR, error)
            raise
        self.size = max(self.size, sector * SECTOR + len(data))
        self.counts['writes'] += 1
        self.counts['written_bytes'] += len(data)

    def flush(self) -> None:
        """Returns when all that was written is on the host's disk."""
        try:
            if not self.readonly: os.fdatasync(self.fd)
        except OSError as error:
            self.failed('flush', None, error)
            raise
        self.counts['flushes'] += 1

    def failed(self, what: str, sector: int | None, error: OSError) -> None:
        """Counts an error, and logs the first of its kind."""
        self.counts['errors'] += 1
        if (what, error.errno) in self.told: return
        self.told.add((what, error.errno))
        where = '' if sector is None else f' sector {sector}'
        warn(f'{self.path}: cannot {what}{where}: {(error.strerror or str(error)).lower()}; the guest sees an I/O error')
