"""Bulk TCP both ways and pings, in Linux with ne2k-pci, under emu and under QEMU (TCG) in turn, with the same card, guest, server and user network: bench/reports/network.md.

The server is on this host's loopback and takes the times: a download from the request to the end of the connection, an upload from its beginning to its end. It gives no more when
a download has taken LIMIT seconds: QEMU's user network needs minutes for what this card's ring loses. What a megabyte
costs the machine's process in CPU time does not depend on what else the host does.
Pings go to the gateway, which both systems answer themselves; the guest takes the times.
"""
import argparse
import http.server
import os
import re
import socket
import socketserver
import statistics
import sys
import threading
import time

from _watch import EMU, Failure, Watched, arguments, host, qemu_version, write_report

from emu import guests

SCRIPT = """ping -q -c 10 -i 0.05 10.0.2.2 >/dev/null
ping -q -c {pings} -i 0.05 10.0.2.2
dd if=/dev/zero bs=1M count={megabytes} 2>/dev/null >/zeros
echo NETWORK-READY
for n in 1 2 3; do wget -qO /dev/null http://10.0.2.2:{port}/data; done
echo NETWORK-DOWN
for n in 1 2 3; do nc 10.0.2.2 {sink} </zeros >/dev/null; done
echo NETWORK-UP
"""
LIMIT = 8  # seconds
PART = 1 << 16  # bytes
QEMU = ['qemu-system-i386', '-accel', 'tcg', '-cpu', 'qemu32', '-no-reboot']


class Server:
    """Gives /script and /data, takes uploads; `downloads` and `uploads` are megabytes a second, `given` those of all downloads."""

    def __init__(self, megabytes: int, pings: int):
        self.downloads: list[float] = []
        self.given = 0.0
        self.uploads: list[float] = []
        data, server = bytes(megabytes << 20), self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                start = time.perf_counter()
                body = data if self.path == '/data' else server.script.encode()
                self.send_response(200)
                self.send_header('Content-Length', str(len(body)))
                self.end_headers()
                size = 0
                while size < len(body) and time.perf_counter() - start < LIMIT:
                    self.wfile.write(body[size:size + PART])
                    size = min(size + PART, len(body))
                if body is data:
                    self.connection.shutdown(socket.SHUT_WR)
                    while self.connection.recv(4096): pass  # the guest has all
                    server.downloads.append(size / (time.perf_counter() - start) / 1e6)
                    server.given += size / 1e6

            def setup(self) -> None:
                super().setup()
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PART)  # what waits here is not with the guest

            def log_message(self, *words: object) -> None: pass

        class Sink(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                start, size = time.perf_counter(), 0
                while part := self.request.recv(1 << 20): size += len(part)
                server.uploads.append(size / (time.perf_counter() - start) / 1e6)
        self.servers = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler), socketserver.ThreadingTCPServer(('127.0.0.1', 0), Sink)
        self.port, sink = (made.server_address[1] for made in self.servers)
        self.script = SCRIPT.format(pings=pings, port=self.port, megabytes=megabytes, sink=sink)
        for made in self.servers: threading.Thread(target=made.serve_forever, daemon=True).start()


def once(system: str, megabytes: int, pings: int, timeout: float) -> dict[str, float]:
    """Megabytes a second down and up (the best of three in a boot), milliseconds of an average ping."""
    server, files = Server(megabytes, pings), guests.get('linux')
    told = ['-m', '256', '-nographic', '-kernel', str(files['vmlinuz-686']), '-initrd', str(files['initramfs-686.gz']), '-append',
            f'console=ttyS0 quiet end=poweroff modules=1 net=dhcp run=wget${{IFS}}-qO-${{IFS}}http://10.0.2.2:{server.port}/script|sh',
            '-nic', 'user,model=ne2k_pci' + (',allow-loopback=on' if system == 'emu' else '')]
    with Watched([*([*EMU, 'run'] if system == 'emu' else QEMU), *told]) as machine:
        used = []
        for marker in (b'READY', b'DOWN', b'UP'):
            machine.wait_for(b'NETWORK-' + marker, timeout)
            used.append(machine.cpu_seconds())
        text = machine.output.decode(errors='replace')
    found = re.search(r'round-trip min/avg/max = ([\d.]+)/([\d.]+)/', text)
    return {'down': max(server.downloads), 'up': max(server.uploads), 'down_cpu': server.given / (used[1] - used[0]), 'up_cpu': 3 * megabytes * 1.048576 / (used[2] - used[1]),
            'least': float(found[1]) if found else float('nan'), 'ping': float(found[2]) if found else float('nan')}


def main() -> int:
    options: argparse.ArgumentParser = arguments(__doc__, 2, 300)
    options.add_argument('--megabytes', type=int, default=20, help='of each transfer (default 20)')
    options.add_argument('--pings', type=int, default=100, help='(default 100)')
    given = options.parse_args()
    runs: dict[str, list[dict[str, float]]] = {'emu': [], 'QEMU': []}
    for _ in range(given.repeat):
        for system, each in runs.items():
            try:
                each.append(once(system, given.megabytes, given.pings, given.timeout))
            except Failure as failure:
                print(f'{system}: {failure}', file=sys.stderr)
                return 1
            print(system, each[-1], file=sys.stderr, flush=True)
    middle = {system: {what: statistics.median(run[what] for run in each) for what in each[0]} for system, each in runs.items()}
    lines = [f'# Network\n\n{host()}; {qemu_version()}; {time.strftime("%Y-%m-%d")}.\n'
             f'Debian kernel 686 with ne2k-pci on a user network, {given.megabytes} MB a transfer, of a download what {LIMIT} seconds take, '
             f'the best of three in each of {given.repeat} boots, and the median of these; '
             f'load average {os.getloadavg()[0]:.0f}.\n\n'
             '| what | emu | QEMU | emu : QEMU | aim |\n| --- | ---: | ---: | ---: | --- |\n']
    for what, text, aim in (('down', 'download, MB/s', 'at least 0.8'), ('up', 'upload, MB/s', 'at least 0.8'), ('down_cpu', 'download, MB a second of CPU time', ''),
                            ('up_cpu', 'upload, MB a second of CPU time', ''), ('ping', 'ping of the gateway, average, ms', 'at most 1.5'), ('least', 'the fastest ping, ms', '')):
        ours, theirs = middle['emu'][what], middle['QEMU'][what]
        lines.append(f'| {text} | {ours:.2f} | {theirs:.2f} | **{ours / theirs:.2f}** | {aim} |\n')
    lines.append('\nEach run: ' + '; '.join(f'{system} {", ".join("/".join(f"{run[what]:.2f}" for what in run) for run in each)}' for system, each in runs.items()) + '.\n')
    write_report(given.out, 'network.md', ''.join(lines))
    return 0


if __name__ == '__main__': sys.exit(main())
