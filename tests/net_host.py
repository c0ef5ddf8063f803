"""What the network's tests need of the host: a server on the loopback that gives and takes files, and a guest's run with a script of its own."""
import contextlib
import hashlib
import http.server
import random
import re
import socket
import socketserver
import subprocess
import sys
import threading
from pathlib import Path
from typing import Callable, Iterator

from tests.conftest import guest, program

PATIENCE = 600  # seconds
END = 'end=poweroff quiet modules=1 net=dhcp run=wget${IFS}-qO-${IFS}10.0.2.2/script|sh'


class Handler(http.server.BaseHTTPRequestHandler):
    """GET of /NAME from `files`."""

    files: dict[str, bytes]

    def do_GET(self) -> None:
        data = self.files.get(self.path)
        self.send_response(404 if data is None else 200)
        self.send_header('Content-Length', str(len(data or b'')))
        self.end_headers()
        self.wfile.write(data or b'')

    def log_message(self, *words: object) -> None: pass


class Taker(socketserver.BaseRequestHandler):
    """Reads to the end, then says how much it was."""

    taken: list[bytes]

    def handle(self) -> None:
        with self.request.makefile('rb') as file: data = file.read()
        self.taken.append(data)
        self.request.sendall(f'TOOK {len(data)}\n'.encode())


@contextlib.contextmanager
def serving(made: socketserver.BaseServer) -> Iterator[int]:
    """Serves in a thread; the port."""
    threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield made.server_address[1]
    finally:
        made.shutdown()
        made.server_close()


@contextlib.contextmanager
def server(files: dict[str, bytes]) -> Iterator[tuple[int, int, list[bytes]]]:
    """Servers on the loopback: the port of one for HTTP, that of one that takes what is sent to it, and what that was."""
    taken: list[bytes] = []
    gives = http.server.ThreadingHTTPServer(('127.0.0.1', 0), type('Its', (Handler,), {'files': files}))
    with serving(gives) as port, serving(socketserver.ThreadingTCPServer(('127.0.0.1', 0), type('Its', (Taker,), {'taken': taken}))) as sink: yield port, sink, taken


def content(size: int) -> bytes:
    """Bytes that do not repeat. None is a CR: to tshark a packet of a body that begins with CR, LF is an HTTP message gone wrong."""
    return random.Random(size).randbytes(size).replace(b'\r', b'\n')


def md5(data: bytes) -> str: return hashlib.md5(data).hexdigest()


def free_port() -> int:
    """A port that nobody has now."""
    with socket.create_server(('127.0.0.1', 0)) as probe: return int(probe.getsockname()[1])


def linux(append: str, *options: str, memory: int = 256) -> list[str]:
    """The command line of a boot with drivers."""
    files = guest('linux')
    return [sys.executable, '-m', 'emu', 'run', '-nographic', '-m', str(memory), '-kernel', str(files['vmlinuz-686']), '-initrd', str(files['initramfs-686.gz']),
            '-append', f'console=ttyS0 {append}', *options]


def run(tmp_path: Path, script: str, nic: str, during: Callable[[Callable[[str], None]], None] | None = None, memory: int = 256) -> str:
    """Boots Linux, which runs a script that it gets from the gateway; what it printed. `during(wait)` may do something meanwhile: `wait(pattern)` waits for output."""
    (tmp_path / 'script').write_text(script)
    with subprocess.Popen(linux(END, '-nic', f'user,http={tmp_path},{nic}', memory=memory), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors='replace') as process:
        timer = threading.Timer(PATIENCE, process.kill)
        timer.start()
        log: list[str] = []
        assert process.stdout

        def wait(pattern: str) -> None:
            for line in process.stdout:
                log.append(line)
                if re.search(pattern, line): return
            raise AssertionError(''.join(log))
        try:
            if during: during(wait)
            log += process.stdout
        finally:
            timer.cancel()
            process.kill()
    return ''.join(log)


def assert_no_malformed_packet(path: Path) -> None:
    """tshark takes every frame apart, with all checksums."""
    tshark = program('tshark')
    checks = [word for name in ('ip', 'tcp', 'udp') for word in ('-o', f'{name}.check_checksum:TRUE')]
    bad = '(_ws.malformed || _ws.expert.severity == error || ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0 || icmp.checksum.status == 0)'
    bad += ' && !tcp.checksum.ffff'  # Linux writes a checksum of 0 as FFFFh, where no card makes it (skb_checksum_help): as good, and an error to tshark
    checks += ['-o', 'tcp.desegment_tcp_streams:FALSE']  # or it keeps whole downloads
    checks += ['-d', 'tcp.port==1024-65535,http']  # or it guesses from bodies of random bytes, and finds Thrift that is malformed
    found = subprocess.run([tshark, '-r', str(path), *checks, '-Y', bad], capture_output=True, text=True, timeout=PATIENCE)
    assert found.returncode == 0 and found.stdout == '', found.stdout[:2000] + found.stderr
    assert subprocess.run([tshark, '-r', str(path), '-c', '10'], capture_output=True, text=True, timeout=PATIENCE).stdout.count('\n') == 10
