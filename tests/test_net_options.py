"""-nic, -netdev, -device: QEMU's spelling; what makes no sense is one line."""
import socket

import pytest

from emu.net.options import Forward, Netdev, Networks, Nic, Target, networks, parse_device, parse_hostfwd, parse_netdev, parse_nic
from tests.test_cli import one_line, options, usage_error  # noqa: F401


def test_one_line_gives_a_network(options) -> None:  # noqa: F811
    """-nic as QEMU's users write it."""
    given = options('-kernel', 'k', '-nic', 'user,model=ne2k_pci,hostfwd=tcp::2222-:22,hostfwd=udp:127.0.0.1:53-10.0.2.16:5353,restrict=on')
    made = Netdev('user', 'nic0', hostfwd=(Forward('tcp', '0.0.0.0', 2222, '10.0.2.15', 22), Forward('udp', '127.0.0.1', 53, '10.0.2.16', 5353)), restrict=True)
    assert given.networks == Networks((made,), (Nic('ne2k_pci', 'nic0'),))
    assert options('-kernel', 'k', '-nic', 'none').networks == Networks()


def test_netdev_and_device(options) -> None:  # noqa: F811
    """Two cards in two networks, found by their names."""
    given = options('-netdev', 'user,id=a,tftp=/srv,bootfile=b', '-device', 'ne2k_isa,netdev=b,iobase=0x340,irq=9,mac=52:54:00:00:00:01',
                    '-netdev', 'socket,id=b,connect=localhost:99', '-device', 'ne2k_pci,netdev=a')
    assert given.networks.netdevs == (Netdev('user', 'a', tftp='/srv', bootfile='b'), Netdev('socket', 'b', connect=('127.0.0.1', 99)))
    isa, pci = given.networks.cards()
    assert (isa.mac, isa.iobase, isa.irq) == (bytes.fromhex('525400000001'), 0x340, 9) and pci.mac == bytes.fromhex('525400123457')


def test_places_and_addresses_that_nobody_gave() -> None:
    """Cards count on from 52:54:00:12:34:56; ISA boards take the usual places."""
    cards = networks([parse_nic('user,model=ne2k_isa')] * 2, [], []).cards()
    assert [(card.iobase, card.irq, card.mac) for card in cards] == [(0x300, 5, bytes.fromhex('525400123456')), (0x320, 10, bytes.fromhex('525400123457'))]


def test_forwards() -> None:
    assert parse_hostfwd(':127.0.0.1:80-:8080') == Forward('tcp', '127.0.0.1', 80, '10.0.2.15', 8080)
    assert parse_netdev('user,id=n,guestfwd=tcp:10.0.2.100:80-tcp:localhost:81,guestfwd=:10.0.2.100:82-unix:/a,,b').guestfwd == (
        Target('10.0.2.100', 80, ('127.0.0.1', 81)), Target('10.0.2.100', 82, '/a,b'))
    assert parse_netdev('socket,id=n,listen=:1234').listen == ('0.0.0.0', 1234)
    assert parse_device('ne2k_pci').netdev == ''


@pytest.mark.parametrize('words, said', [
    (('-nic', 'usr'), "'usr'; there are user, socket"),
    (('-nic', 'user,model=e1000'), "'e1000'; there are ne2k_pci, ne2k_isa"),
    (('-nic', 'user,colour=red'), "'colour'"),
    (('-nic', 'user,mac=1:2'), "'1:2' is no address"),
    (('-nic', 'user,mac=53:54:00:12:34:56'), 'group'),
    (('-nic', 'user,hostfwd=2222-22'), 'hostfwd=2222-22'),
    (('-nic', 'user,hostfwd=tcp::99999-:22'), "'99999'"),
    (('-nic', 'user,hostfwd=tcp:example.org:80-:22'), "'example.org' is no IPv4 address"),
    (('-nic', 'user,hostfwd=tcp::80-192.168.0.1:22'), '10.0.2.0/24'),
    (('-nic', 'user,hostfwd=tcp::2222-:22,hostfwd=tcp:127.0.0.1:2222-:23'), 'two forward tcp port 2222'),
    (('-nic', 'user,guestfwd=tcp:10.0.2.15:80-tcp:1.2.3.4:80'), "'10.0.2.15'"),
    (('-nic', 'user,restrict=maybe'), 'restrict=maybe'),
    (('-nic', 'user,restrict=on,restrict=off'), 'twice'),
    (('-nic', 'user,loss=2'), 'loss=2'),
    (('-nic', 'user,bootfile=' + 'x' * 128), '127'),
    (('-nic', 'model=ne2k_pci'), 'kind'),
    (('-nic', ''), 'kind'),
    (('-nic', 'socket'), 'either'),
    (('-nic', 'socket,listen=:1,connect=:2'), 'either'),
    (('-nic', 'socket,connect=1234'), '[HOST]:PORT'),
    (('-netdev', 'user'), 'id='),
    (('-device', 'ne2k_isa,iobase=0x301'), 'multiple'),
    (('-device', 'ne2k_isa,irq=99'), "'99'"),
    (('-device', 'ne2k_isa,irq=13'), 'irq=13'),
    (('-device', 'rtl8139'), "'rtl8139'")])
def test_values_that_make_no_sense(capsys, words: tuple[str, ...], said: str) -> None:
    """One line, exit code 2."""
    assert said in usage_error(capsys, 'run', *words)


@pytest.mark.parametrize('words, said', [
    (('-device', 'ne2k_pci,netdev=x'), "'x'"),
    (('-netdev', 'user,id=x'), "no card is in network 'x'"),
    (('-netdev', 'user,id=x', '-netdev', 'user,id=x'), 'two networks'),
    (('-netdev', 'user,id=x', '-device', 'ne2k_pci,netdev=x', '-device', 'ne2k_pci,netdev=x'), 'has a card already'),
    (('-device', 'ne2k_isa,iobase=0x300', '-device', 'ne2k_isa,iobase=0x300'), 'two cards at iobase 0x300'),
    (('-device', 'ne2k_pci') * 9, 'room for 8')])
def test_options_that_do_not_go_together(capsys, words: tuple[str, ...], said: str) -> None:
    """One line, exit code 1."""
    from emu.cli import main
    assert main(['run', *words]) == 1
    assert said in one_line(capsys)


def test_a_port_that_is_taken(capsys) -> None:
    """hostfwd on a port of somebody else's; a directory and a partner that are not there: one line, before the guest runs."""
    from emu.cli import main
    with socket.create_server(('127.0.0.1', 0)) as other:
        port = other.getsockname()[1]
        for nic, said in ((f'user,hostfwd=tcp:127.0.0.1:{port}-:22', 'address already in use'), ('user,tftp=/nowhere', 'no such directory'),
                          ('user,dump=/nowhere/x', 'no such file'), (f'socket,listen=127.0.0.1:{port}', 'address already in use'), ('socket,connect=127.0.0.1:1', 'refused')):
            assert main(['run', '-serial', 'null', '-nic', nic]) == 1
            assert said in one_line(capsys)
