"""iPXE, from the card's option ROM under SeaBIOS, boots Linux over the network: with nothing but the line that README has."""
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import net_host
from tests.conftest import ALL, guest

PATIENCE = 600


def boot(tmp_path: Path, nic: str) -> None:
    """Runs until Linux has done its checks; no frame was malformed."""
    guest('firmware')
    log = tmp_path / 'com1'
    words = [sys.executable, '-m', 'emu', 'run', '-bios', 'seabios', '-boot', 'n', '-nic', f'{nic},dump={tmp_path}/dump.pcap', '-serial', f'file:{log}']
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            end = time.monotonic() + PATIENCE
            while not re.search('GUEST-CHECKS-DONE', text := log.read_text(errors='replace') if log.exists() else ''):
                assert process.poll() is None and time.monotonic() < end, f'{text[-2000:]}\n{process.stderr.read() if process.poll() is not None else ""}'
                time.sleep(0.3)
        finally:
            process.terminate()
    assert 'check arithmetic: 1.274270532986' in text
    net_host.assert_no_malformed_packet(tmp_path / 'dump.pcap')


def test_tftp(tmp_path: Path) -> None:
    """Script, kernel and initramfs by TFTP."""
    boot(tmp_path, f'user,tftp={guest("netboot")["boot.ipxe"].parent},bootfile=boot.ipxe')


@pytest.mark.skipif(not ALL, reason='EMU_TEST_ALL=1')
def test_http(tmp_path: Path) -> None:
    """The same by HTTP, from the gateway's own server."""
    boot(tmp_path, f'user,http={guest("netboot")["boot.ipxe"].parent},bootfile=http://10.0.2.2/boot.ipxe')
