"""Our own BIOS (emu/bios), by boot sectors that call its services; each test names the service of the IBM PS/2 and PC BIOS Interface Technical Reference,
or the specification of its extension."""
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emu.bios.modes import MODES
from emu.options import Drive
from tests.bios_machine import KEEP, Run, boot, disk, sector
from tests.conftest import ALL
from tests.vga_modes import MODES as BY_MANUAL

CF, ZF = 1, 0x40
SCREEN = {3: 'text 80x25, 9x16 (mode 3)', 1: 'text 40x25, 9x16 (mode 1)', 4: 'CGA 320x200 (mode 4)', 6: 'CGA 640x200 (mode 6)', 0x0f: '640x350 mono (mode F)',
          0x10: '640x350x16 (mode 10)', 0x12: '640x480x16 (mode 12)', 0x13: '320x200x256 (mode 13)'}


# --- where a boot sector begins, and what there is ------------------------------------------------------------------------------------

def test_boot_sector(tmp_path: Path) -> None:
    """INT 19h: at 0000:7C00 with the drive in DL; the BIOS has said who it is."""
    run = boot(tmp_path, 'mov [0x8000], dl; mov [0x8002], cs; call l1; l1: pop ax; sub ax, offset l1; mov [0x8004], ax')
    assert run.words(3) == [0x80, 0, 0] and 'emu BIOS, 16 MB' in run.text() and 'Booting from hard disk' in run.text()


def test_memory_and_equipment(tmp_path: Path) -> None:
    """INT 12h, 11h, INT 15h 88h, E801h: 639 KB, 15 MB above the first, VGA, coprocessor, mouse."""
    run = boot(tmp_path, KEEP + 'int 0x12; keep ax; int 0x11; keep ax; mov ah, 0x88; int 0x15; keep ax; mov ax, 0xe801; int 0x15; keep ax; keep bx', memory=64 << 20)
    low, equipment, extended, below_16, above_16 = run.words(5)
    assert low == 639 and equipment & 0x36 == 0x26 and (extended, below_16, above_16) == (63 * 1024, 15 * 1024, 48 * 16)


def test_memory_map(tmp_path: Path) -> None:
    """INT 15h E820h (ACPI 6, 15.1): entries until EBX is 0; RAM below 640 KB and from 1 MB to the end, BIOS reserved."""
    run = boot(tmp_path, '''mov di, 0x8000; xor ebx, ebx
        l1: mov eax, 0xe820; mov ecx, 20; mov edx, 0x534d4150; int 0x15; jc l2; cmp eax, 0x534d4150; jne l2; add di, 20; test ebx, ebx; jnz l1
        l2: mov [0x7ff0], di''')
    count = (run.words(1, 0x7ff0)[0] - 0x8000) // 20
    entries = [struct.unpack_from('<QQI', run.bytes(20 * count), 20 * n) for n in range(count)]
    assert (0, 0x9fc00, 1) in entries and (1 << 20, 15 << 20, 1) in entries and any(kind == 2 and first <= 0xf0000 < first + size for first, size, kind in entries)


def test_fixed_entries(tmp_path: Path) -> None:
    """Programs look at F000:FFFE (model) and jump to entries of the first PC's BIOS; INT 15h C0h points to the system's description."""
    run = boot(tmp_path, KEEP + '''mov ah, 0xc0; int 0x15; keep bx; mov ax, es:[bx]; keep ax; mov al, es:[bx + 2]; keep ax
        pushf; push cs; push offset l1; push 0xf000; push 0xf841; .att_syntax; lretw; .intel_syntax noprefix; l1: keep ax''')
    place, length, model, size = run.words(4)
    assert place == 0xe6f5 and length == 8 and model & 0xff == 0xfc and size == 639


# --- disks ------------------------------------------------------------------------------------------------------------------------------

def test_read_by_cylinder(tmp_path: Path) -> None:
    """INT 13h 08h and 02h: the shape; cylinder 1 begins after heads x sectors."""
    run = boot(tmp_path, KEEP + '''mov ah, 8; mov dl, 0x80; int 0x13; keep cx; keep dx
        mov ax, 0x0202; mov cx, 0x0101; mov dx, 0x0080; mov bx, 0x9000; int 0x13; flags; keep ax''', sectors=4096)
    shape, heads, flags, status = run.words(4)
    assert shape & 63 == 63 and heads == 15 << 8 | 1 and not flags & CF and status >> 8 == 0
    assert run.bytes(4, 0x9000) == struct.pack('<I', 16 * 63) and run.bytes(4, 0x9200) == struct.pack('<I', 16 * 63 + 1)


def test_read_by_block(tmp_path: Path) -> None:
    """EDD 1.1: 41h says it is there, 42h reads by the packet, 48h tells size and bytes of a sector."""
    run = boot(tmp_path, KEEP + '''mov ah, 0x41; mov bx, 0x55aa; mov dl, 0x80; int 0x13; flags; keep bx; keep cx
        push si; mov si, offset packet; mov ah, 0x42; int 0x13; pop si; flags
        push si; mov si, 0xa000; mov word ptr [si], 26; mov ah, 0x48; int 0x13; pop si; flags; jmp l3
        packet: .byte 16, 0; .word 3, 0x0010, 0x0900; .quad 2000
        l3:''', sectors=2048)
    flags, signature, bits, read, told = run.words(5)
    assert not (flags | read | told) & CF and signature == 0xaa55 and bits & 1
    assert run.bytes(4, 0x9010) == struct.pack('<I', 2000) and run.bytes(4, 0x9410) == struct.pack('<I', 2002)
    assert struct.unpack_from('<QH', run.bytes(26, 0xa000), 16) == (2048, 512)


def test_write_reaches_the_image(tmp_path: Path) -> None:
    """INT 13h 03h and 43h."""
    boot(tmp_path, '''mov ax, 0x0301; mov cx, 0x0005; mov dx, 0x0080; mov bx, 0x7c00; int 0x13
        mov si, offset packet; mov ah, 0x43; mov dl, 0x80; int 0x13; jmp l3
        packet: .byte 16, 0; .word 1, 0x7c00, 0; .quad 77
        l3:''')
    data = (tmp_path / 'disk').read_bytes()
    assert data[4 * 512:5 * 512] == data[77 * 512:78 * 512] == data[:512] and len(data) == 2048 * 512


@pytest.mark.parametrize('call, status', [
    ('mov ax, 0x0201; mov cx, 0x0040; mov dx, 0x0080', 4),  # sector 0
    ('mov ax, 0x0201; mov cx, 0xff01; mov dx, 0x0080', 4),  # behind the end
    ('mov ax, 0x0201; mov cx, 0x0001; mov dx, 0x0081', 1),  # no such drive
    ('mov ax, 0x7700; mov dx, 0x0080', 1)])                 # no such function
def test_disk_errors(tmp_path: Path, call: str, status: int) -> None:
    """CF, the status in AH, and 01h gives it again."""
    run = boot(tmp_path, KEEP + f'mov bx, 0x9000; {call}; int 0x13; flags; keep ax; mov ah, 1; mov dl, 0x80; int 0x13; keep ax')
    flags, ax, again = run.words(3)
    assert flags & CF and ax >> 8 == status and (again >> 8 == status or '81' in call)


def test_an_image_shorter_than_its_partition_table_says(tmp_path: Path) -> None:
    """It boots; what lies behind its end is an error for the program (01h, as SeaBIOS tells it), and 48h tells how long the disk really is."""
    path = Path(disk(tmp_path / 'disk', KEEP + '''push si; mov si, offset packet; mov ah, 0x42; mov dl, 0x80; int 0x13; pop si; flags; keep ax
        push si; mov si, 0xa000; mov word ptr [si], 26; mov ah, 0x48; mov dl, 0x80; int 0x13; pop si; jmp l3
        packet: .byte 16, 0; .word 2, 0x9000, 0; .quad 4000
        l3:''', 100))
    data = bytearray(path.read_bytes())
    data[446:462] = struct.pack('<B3sB3sII', 0x80, bytes((1, 1, 0)), 0x0e, b'\xfe\xff\xff', 63, 1_000_000)
    path.write_bytes(data + b'an odd end')
    run = Run(Drive(str(path)))
    flags, ax = run.words(2)
    assert flags & CF and ax >> 8 == 1 and struct.unpack('<Q', run.bytes(8, 0xa010)) == (101,) and path.read_bytes() == data + b'an odd end'


def test_read_only_disk_is_not_written(tmp_path: Path) -> None:
    """Status 03h: write protected."""
    path = disk(tmp_path / 'disk', KEEP + 'mov ax, 0x0301; mov cx, 2; mov dx, 0x0080; mov bx, 0x7c00; int 0x13; flags; keep ax')
    before = Path(path).read_bytes()
    flags, ax = Run(Drive(path, readonly=True)).words(2)
    assert flags & CF and ax >> 8 == 3 and Path(path).read_bytes() == before


def cd(path: Path, image: bytes, media: int, count: int) -> Drive:
    """A CD with an El Torito catalog and the image at block 20."""
    record = b'\0CD001\1EL TORITO SPECIFICATION'.ljust(0x47, b'\0') + struct.pack('<I', 19)
    validation = bytearray(struct.pack('<BBH24sHBB', 1, 0, 0, b'emu', 0, 0x55, 0xaa))
    validation[28:30] = struct.pack('<H', -sum(struct.unpack('<16H', validation)) & 0xffff)
    entry = struct.pack('<BBHBBHI', 0x88, media, 0, 0, 0, count, 20)
    data = bytes(17 * 2048) + record.ljust(2048, b'\0') + bytes(2048) + (bytes(validation) + entry).ljust(2048, b'\0') + image
    path.write_bytes(data.ljust(-(-len(data) // 2048) * 2048, b'\0'))
    return Drive(str(path), index=2, media='cdrom', readonly=True)


EMULATION = 'push si; mov si, 0xa000; mov ax, 0x4b01; int 0x13; pop si; flags'


def test_cd_without_emulation(tmp_path: Path) -> None:
    """El Torito: the image at 7C0h:0, DL has the CD's number, 42h reads blocks of 2048 bytes, 4B01h tells."""
    program = sector(KEEP + f'''keep dx; push si; mov si, offset packet; mov ah, 0x42; int 0x13; pop si; flags; {EMULATION}; jmp l3
        packet: .byte 16, 0; .word 1, 0x9000, 0; .quad 17
        l3:''')
    run = Run(cd(tmp_path / 'cd', program.ljust(2048, b'\0'), 0, 4), order='d')
    drive, read, told = run.words(3)
    assert drive & 0xff >= 0xe0 and not (read | told) & CF and run.bytes(6, 0x9000) == b'\0CD001'
    assert run.bytes(3, 0xa001)[:2] == bytes((0, drive & 0xff))


def test_cd_with_floppy_emulation(tmp_path: Path) -> None:
    """El Torito: the image is drive 0, of 18 sectors a track, and cannot be written."""
    program = sector(KEEP + '''keep dx; mov ah, 8; int 0x13; keep cx; keep dx; mov ax, 0x0201; mov cx, 2; mov dx, 0; mov bx, 0x9000; int 0x13; flags
        mov ax, 0x0301; mov cx, 2; mov dx, 0; int 0x13; keep ax''') + b'second' + bytes(506)
    drive, shape, heads, read, write = Run(cd(tmp_path / 'cd', program.ljust(1440 << 10, b'\0'), 2, 1), order='d').words(5)
    assert drive & 0xff == 0 and shape == 79 << 8 | 18 and heads >> 8 == 1 and not read & CF and write >> 8 == 3


# --- the screen --------------------------------------------------------------------------------------------------------------------------

def test_teletype(tmp_path: Path) -> None:
    """INT 10h 0Eh: line feed, return, backspace; the last row scrolls; 03h says where the cursor is."""
    run = boot(tmp_path, KEEP + '''mov ax, 3; int 0x10; mov cx, 30
        l1: mov di, offset text; l2: mov al, [di]; test al, al; jz l3; mov ah, 0x0e; xor bx, bx; int 0x10; inc di; jmp l2; l3: loop l1
        mov ah, 3; mov bh, 0; int 0x10; keep dx; jmp l4
        text: .asciz "X\\bHello\\r\\n"
        l4:''')
    lines = run.text().split('\n')
    assert lines[:24] == ['Hello'] * 24 and run.words(1) == [24 << 8]


def test_write_and_read_characters(tmp_path: Path) -> None:
    """INT 10h 02h, 09h, 08h, 13h, 06h."""
    run = boot(tmp_path, KEEP + '''mov ax, 3; int 0x10
        mov ah, 2; mov bh, 0; mov dx, 0x050a; int 0x10; mov ax, 0x0941; mov bx, 0x001e; mov cx, 3; int 0x10; mov ah, 8; int 0x10; keep ax
        mov ax, 0x1301; mov bx, 0x0007; mov cx, 4; mov dx, 0x0702; mov bp, offset text; int 0x10; mov ah, 3; int 0x10; keep dx
        mov ax, 0x0601; mov bh, 0x07; mov cx, 0x0500; mov dx, 0x074f; int 0x10; jmp l4
        text: .ascii "emu!"
        l4:''')
    lines = run.text().split('\n')
    assert run.words(2) == [0x1e41, 0x0706] and lines[6] == '  emu!' and not any(lines[7:]) and 'A' not in run.text()


@pytest.mark.parametrize('number', sorted(SCREEN))
def test_modes(tmp_path: Path, number: int) -> None:
    """INT 10h 00h: the registers are those of the manual's table (IBM VGA Technical Reference); 0Fh tells mode and columns."""
    run = boot(tmp_path, KEEP + f'mov ax, {number}; int 0x10; mov ah, 0x0f; int 0x10; keep ax')
    r, (misc, sequencer, crtc, attribute, graphics) = run.pc.vga.registers, BY_MANUAL[SCREEN[number]]
    assert r.misc == misc[0] and bytes(r.sequencer)[1:5:2] + bytes(r.sequencer)[4:5] == sequencer[1::2] + sequencer[4:] and bytes(r.attribute[0x10:0x14]) == attribute[:4]
    place = slice(0, 10), slice(12, 14), slice(16, 24)  # but the cursor
    assert all(bytes(r.crtc[part]) == crtc[part] for part in place[::2]) and bytes(r.graphics[:9])[4:6] + bytes(r.graphics[:9])[8:] == graphics[4:6] + graphics[8:]
    assert run.words(1) == [MODES[number].columns << 8 | number]


@pytest.mark.parametrize('number, colour', [(4, 3), (6, 1), (0x0d, 12), (0x0e, 9), (0x10, 14), (0x11, 1), (0x12, 5), (0x13, 200)])
def test_dots_and_characters_in_graphics(tmp_path: Path, number: int, colour: int) -> None:
    """INT 10h 0Ch, 0Dh: a dot that is written is read; 0Ah and 08h: a character that is written is recognised."""
    run = boot(tmp_path, KEEP + f'''mov ax, {number}; int 0x10; mov ax, {0x0c00 | colour}; mov bh, 0; mov cx, 101; mov dx, 57; int 0x10; mov ah, 0x0d; int 0x10; keep ax
        mov ah, 2; mov bh, 0; mov dx, 0x0203; int 0x10; mov ax, 0x0951; mov bx, {colour}; mov cx, 1; int 0x10; mov ah, 8; int 0x10; keep ax''')
    dot, character = run.words(2)
    assert dot & 0xff == colour and character & 0xff == ord('Q')
    frame = run.pc.vga.frame()
    assert frame.any()


def test_scrolling_graphics(tmp_path: Path) -> None:
    """INT 10h 06h in a planar mode moves what is there by rows of characters."""
    run = boot(tmp_path, KEEP + '''mov ax, 0x12; int 0x10; mov ah, 2; mov bh, 0; mov dx, 0x0500; int 0x10; mov ax, 0x0957; mov bx, 3; mov cx, 1; int 0x10
        mov ax, 0x0602; mov bh, 0; xor cx, cx; mov dx, 0x1d4f; int 0x10; mov ah, 2; mov bh, 0; mov dx, 0x0300; int 0x10; mov ah, 8; int 0x10; keep ax''')
    assert run.words(1)[0] & 0xff == ord('W')


def test_palette(tmp_path: Path) -> None:
    """INT 10h 1010h, 1015h: a colour register is what it was set to; 1007h reads an attribute register."""
    run = boot(tmp_path, KEEP + '''mov ax, 0x1010; mov bx, 200; mov dh, 1; mov cx, 0x0203; int 0x10; xor cx, cx
        mov ax, 0x1015; mov bx, 200; int 0x10; keep cx; keep dx; mov ax, 0x1007; mov bl, 6; int 0x10; keep bx''')
    cx, dx, bx = run.words(3)
    assert cx == 0x0203 and dx >> 8 == 1 and bx >> 8 == 0x14


def test_fonts(tmp_path: Path) -> None:
    """INT 10h 1112h: 8 lines a character make 50 rows; 1130h points to a font."""
    run = boot(tmp_path, KEEP + 'mov ax, 0x1112; mov bl, 0; int 0x10; mov ax, 0x1130; mov bh, 3; int 0x10; keep cx; keep dx; mov ax, es:[bp + 0x41 * 8 + 2]; keep ax')
    height, last, glyph = run.words(3)
    assert height == 8 and last & 0xff == 49 and glyph and len(run.text().split('\n')) >= 50


def test_vbe(tmp_path: Path) -> None:
    """VBE 2.0, 4.3 to 4.6: the controller, a mode's description, the mode with a linear frame buffer; the picture has its size."""
    run = boot(tmp_path, KEEP + '''mov dword ptr [0x9000], 0x32454256; mov di, 0x9000; mov ax, 0x4f00; int 0x10; keep ax
        mov ax, 0x4f01; mov cx, 0x112; mov di, 0xa000; int 0x10; keep ax; mov ax, 0x4f02; mov bx, 0x4112; int 0x10; keep ax; mov ax, 0x4f03; int 0x10; keep bx''')
    assert run.words(4) == [0x4f, 0x4f, 0x4f, 0x4112] and run.bytes(6, 0x9000) == b'VESA\0\2'
    pitch, width, height, bits = struct.unpack('<HHH3xB', run.bytes(10, 0xa010)[:6] + run.bytes(4, 0xa016)[:4])
    assert (pitch, width, height) == (640 * 3, 640, 480) and run.bytes(1, 0xa019)[0] == 24 and bits == 24
    assert int.from_bytes(run.bytes(4, 0xa028), 'little') == run.pc.vga.memory.frame_buffer != 0 and run.pc.vga.frame().shape[:2] == (480, 640)


# --- keys, mouse, clock --------------------------------------------------------------------------------------------------------------------

def typed(*keys: tuple[str, bool]):
    """Presses and releases keys, one every 3 slices, once the program has set a byte at 7FF0h."""
    waiting, count = list(keys), [0]

    def during(run: Run) -> None:
        if not waiting or not run.bytes(1, 0x7ff0)[0]: return
        count[0] += 1
        if count[0] % 3 == 0: run.pc.i8042.keyboard.key(*waiting.pop(0))
    return during


READ = 'mov byte ptr [0x7ff0], 1; mov cx, {}; l1: mov ah, {}; int 0x16; keep ax; loop l1'


@pytest.mark.parametrize('keys, words', [
    ([('a', True), ('a', False), ('shift', True), ('b', True), ('b', False), ('shift', False)], [0x1e61, 0x3042]),
    ([('ctrl', True), ('c', True), ('c', False), ('ctrl', False), ('alt', True), ('f1', True), ('f1', False), ('alt', False)], [0x2e03, 0x6800]),
    ([('caps_lock', True), ('caps_lock', False), ('x', True), ('x', False), ('1', True), ('1', False)], [0x2d58, 0x0231]),
    ([('up', True), ('up', False), ('ret', True), ('ret', False)], [0x48e0, 0x1c0d])])
def test_keys(tmp_path: Path, keys: list[tuple[str, bool]], words: list[int]) -> None:
    """INT 09h and INT 16h 10h: scan code and ASCII (IBM PC/AT Technical Reference, "Keyboard")."""
    assert boot(tmp_path, KEEP + READ.format(len(words), 0x10), during=typed(*keys)).words(len(words)) == words


def test_keys_for_old_programs(tmp_path: Path) -> None:
    """INT 16h 00h: the grey keys look like those of the keypad; 01h says with ZF whether one waits."""
    run = boot(tmp_path, KEEP + 'mov ah, 1; int 0x16; flags; ' + READ.format(1, 0), during=typed(('up', True), ('up', False)))
    assert run.words(1)[0] & ZF and run.words(2)[1] == 0x4800


def test_ticks_and_time(tmp_path: Path) -> None:
    """INT 1Ah 00h counts 18.2 ticks a second; INT 15h 86h waits; 02h is the clock's time in BCD."""
    run = boot(tmp_path, KEEP + '''mov ah, 0; int 0x1a; push dx; mov cx, 15; mov dx, 0x4240; mov ah, 0x86; int 0x15; flags
        mov ah, 0; int 0x1a; pop ax; sub dx, ax; keep dx; mov ah, 2; int 0x1a; keep cx''')
    flags, ticks, time = run.words(3)
    assert not flags & CF and 17 <= ticks <= 20 and time == 0  # 1.0 seconds; the clock starts at midnight under -icount


@pytest.mark.parametrize('call', ['mov ah, 1; int 0x16', 'mov ah, 0; int 0x1a', 'mov ax, 0x0201; mov cx, 1; mov dx, 0x80; mov bx, 0x9000; int 0x13'])
def test_the_clock_ticks_for_callers_that_have_interrupts_off(tmp_path: Path, call: str) -> None:
    """INT 13h, 16h and 1Ah let interrupts in, as IBM's do (STI is their first instruction): iPXE polls for a key so, and waits for the count at 40:6Ch."""
    run = boot(tmp_path, KEEP + f'''cli; mov al, 0x34; out 0x43, al; xor al, al; out 0x40, al; mov al, 1; out 0x40, al; mov di, [0x46c]; mov bp, 20000
        l1: {call}; cmp [0x46c], di; jne l2; dec bp; jnz l1; l2: keep bp''')
    assert run.words(1) != [0]


def test_pci(tmp_path: Path) -> None:
    """PCI BIOS 2.1: presence, finding a device, reading its configuration."""
    run = boot(tmp_path, KEEP + '''mov ax, 0xb101; int 0x1a; flags; keep dx
        mov ax, 0xb102; mov cx, 0x1237; mov dx, 0x8086; xor si, si; int 0x1a; mov ax, 0xb109; mov di, 0; int 0x1a; mov si, 0x8004; keep cx; keep bx''')
    flags, signature, vendor, place = run.words(4)
    assert not flags & CF and signature == 0x4350 and vendor == 0x8086 and place == 0


def test_mouse(tmp_path: Path) -> None:
    """INT 15h C2h: the handler is called with status, X and Y on the stack."""
    moved = [False]

    def during(run: Run) -> None:
        if run.bytes(1, 0x7ff0)[0] and not moved[0]:
            moved[0] = True
            run.pc.i8042.mouse.move(5, 3)
    run = boot(tmp_path, '''mov ax, 0xc205; mov bh, 3; int 0x15; mov ax, 0xc207; mov bx, offset handler; int 0x15; mov ax, 0xc200; mov bh, 1; int 0x15
        mov byte ptr [0x7ff0], 1; l1: hlt; cmp byte ptr [0x7ff1], 0; je l1; jmp l2
        handler: push bp; mov bp, sp; mov ax, [bp + 12]; mov cs:[0x8000], ax; mov ax, [bp + 10]; mov cs:[0x8002], ax; mov ax, [bp + 8]; mov cs:[0x8004], ax
        mov byte ptr cs:[0x7ff1], 1; pop bp; .att_syntax; lretw; .intel_syntax noprefix
        l2:''', during=during)
    status, x, y = run.words(3)
    assert status & 0x28 == 0x28 and x == 5 and y == 0xfd  # down is negative


# --- whatever a program asks ----------------------------------------------------------------------------------------------------------------

CALL = st.tuples(st.sampled_from([0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x1a]), st.integers(0, 255), *[st.integers(0, 0xffff)] * 5)


@settings(max_examples=200 if ALL else 25, deadline=None, suppress_health_check=list(HealthCheck))
@given(calls=st.lists(CALL, min_size=1, max_size=12))
def test_any_call(tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[int, ...]]) -> None:
    """Nothing a program passes ends the machine: each call returns, or waits for a key."""
    source = 'mov sp, 0x7a00; '
    for n, ah, al, bx, cx, dx, di in calls:
        if n == 0x16 and ah in (0, 0x10, 0x20) or n == 0x15 and ah in (0x86, 0x87) or (n, ah) == (0x13, 3): continue
        source += f'mov ax, {ah << 8 | al & 0xff}; mov bx, {bx}; mov cx, {cx}; mov dx, {dx}; mov di, {di}; mov si, 0x8000; push ds; push 0x2000; pop es; int {n}; pop ds; '
    folder = tmp_path_factory.mktemp('any')
    boot(folder, source)


def test_nothing_to_boot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """INT 18h: says so, on stderr too, since there may be no window, and waits for a key."""
    path = tmp_path / 'empty'
    path.write_bytes(bytes(1 << 20))

    def during(run: Run) -> None:
        if 'No bootable medium' in run.text(): run.machine.code = 0
    assert 'No bootable medium' in Run(Drive(str(path)), during=during).text()
    assert capsys.readouterr().err == 'emu: the BIOS finds no bootable medium\n'

