"""A record of all frames in pcap's format (draft-ietf-opsawg-pcap), for tshark and wireshark. Times are the guest's; a full disk ends the record, not the run."""
import struct
from typing import Callable

from emu.errors import file_error, warn

MAGIC, VERSION, ETHERNET, SNAPLEN = 0xa1b23c4d, (2, 4), 1, 65535  # this magic: nanoseconds


class Dump:
    """`now()` is guest time in ns since power-on, `epoch` the time of day then."""

    def __init__(self, path: str, now: Callable[[], int], epoch: float):
        self.path, self.now, self.epoch = path, now, int(epoch * 1e9)
        try:
            self.file = open(path, 'wb')
            self.file.write(struct.pack('<IHHiIII', MAGIC, *VERSION, 0, 0, SNAPLEN, ETHERNET))
        except OSError as error:
            raise file_error(path, error) from None

    def write(self, frame: bytes) -> None:
        """A frame has passed."""
        if self.file.closed: return
        time = self.epoch + self.now()
        try:
            self.file.write(struct.pack('<IIII', time // 10**9 & 0xffffffff, time % 10**9, len(frame), len(frame)) + frame)
        except OSError as error:
            warn(f'{file_error(self.path, error)}: the record of frames ends here')
            self.close()

    def close(self) -> None:
        """Ends the record."""
        try:
            self.file.close()
        except OSError as error:
            warn(str(file_error(self.path, error)))
