"""Linux in the guest, with Debian's drivers, on the user network: what a user of it sees. Wrong bytes anywhere in card, TCP or NAT would change a sum."""
import subprocess
import time
import urllib.request
from pathlib import Path

from tests import net_host
from tests.conftest import ALL
from tests.net_host import content, free_port, md5, server

SIZE = 100_000_000 if ALL else 5_000_000

SCRIPT = """
ping -c 3 10.0.2.2 | grep received
ping -c 1 -s 3000 10.0.2.2 | grep received
nslookup localhost. | grep Server
wget -qO /big http://10.0.2.2:{port}/big; md5sum /big
nc 10.0.2.2 {sink} </big
wget -qO- http://10.0.2.2:{closed}/ || echo REFUSED
mkdir /www; mv /big /www/big; httpd -p 80 -h /www
echo SERVING
until netstat -tn | grep -q ':80 .*ESTAB'; do sleep 0.1; done
while netstat -tn | grep -q ':80 .*ESTAB'; do sleep 0.1; done
echo "DROPPED $(cut -d: -f2 /proc/net/dev | awk 'NR > 2 {{ n += $3 + $4 + $11 + $12 }} END {{ print n }}')"
"""


def test_downloads_uploads_and_serves(tmp_path: Path) -> None:
    """DHCP, pings (one in fragments), a download and an upload through the host's loopback, which is allowed, a port that refuses, and the guest's own server through hostfwd."""
    data = content(SIZE)
    port = free_port()
    served: list[bytes] = []
    with server({'/big': data}) as (host, sink, taken):
        def fetch(wait) -> None:
            wait('^SERVING')
            for _ in range(50):  # httpd may need a moment
                try:
                    served.append(urllib.request.urlopen(f'http://127.0.0.1:{port}/big', timeout=300).read())
                    break
                except OSError: time.sleep(0.2)
        nic = f'allow-loopback=on,hostfwd=tcp:127.0.0.1:{port}-:80,dump={tmp_path}/dump.pcap'
        log = net_host.run(tmp_path, SCRIPT.format(port=host, sink=sink, closed=free_port()), nic, fetch, 512 if ALL else 256)
    assert 'NET-READY 10.0.2.15' in log and '3 packets transmitted, 3 packets received' in log and '1 packets transmitted, 1 packets received' in log, log
    assert f'{md5(data)}  /big' in log and f'TOOK {len(data)}' in log and 'REFUSED' in log and '10.0.2.3' in log, log
    assert [md5(one) for one in taken] == [md5(data)] == [md5(one) for one in served] and 'DROPPED 0' in log, log
    net_host.assert_no_malformed_packet(tmp_path / 'dump.pcap')


LOSSY = """
wget -qO /big http://10.0.2.2:{port}/big; md5sum /big
nc 10.0.2.2 {sink} </big
"""


def test_survives_loss(tmp_path: Path) -> None:
    """One frame in a hundred is lost, in both directions: slower, but not a wrong byte."""
    data = content(SIZE // 2)

    with server({'/big': data}) as (host, sink, taken):
        log = net_host.run(tmp_path, LOSSY.format(port=host, sink=sink), f'allow-loopback=on,loss=0.01,dump={tmp_path}/dump.pcap')
    assert f'{md5(data)}  /big' in log and f'TOOK {len(data)}' in log and [md5(one) for one in taken] == [md5(data)], log
    net_host.assert_no_malformed_packet(tmp_path / 'dump.pcap')


def test_the_isa_board(tmp_path: Path) -> None:
    """Debian's `ne`, told of the ports and the IRQ, finds the board and gets an address; a download by it has the right sum. `/init` has no driver to ask DHCP by at first."""
    (tmp_path / 'data').write_bytes(content(1_000_000))
    script = 'modprobe ne io=0x340 irq=10;ip link set eth0 up;udhcpc -q -n -i eth0 -s /etc/dhcp.sh;wget -qO- 10.0.2.2/data|md5sum;grep eth0 /proc/interrupts'
    words = net_host.linux(f'end=poweroff modules=1 net=dhcp run={script.replace(" ", "${IFS}")}', '-nic', f'user,model=ne2k_isa,iobase=0x340,irq=10,http={tmp_path}')
    log = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors='replace', timeout=net_host.PATIENCE).stdout
    assert 'NE2000 found at 0x340, using IRQ 10' in log and 'NET-READY 10.0.2.15' in log and md5(content(1_000_000)) in log, log
