"""The keys of a PC keyboard: QEMU's names for them, the scan codes of sets 2 and 3 (IBM PS/2 Hardware Interface Technical Reference, "Keyboard", scan code
tables), what a controller makes of set 2, and which keys a US layout types a character with. All of it is data; set 1 is set 2 translated.

Left out: keys of other machines (F13 to F24, Sun's), and layouts other than US.
"""

# Name, set 2 (E0 in front where the key has it), set 3 (00: none). Print Screen, Pause and SysRq are made of others' codes in set 2: keyboard.py.
TABLE = """
    esc 76 08           f1 05 07            f2 06 0f            f3 04 17            f4 0c 1f            f5 03 27            f6 0b 2f            f7 83 37
    f8 0a 3f            f9 01 47            f10 09 4f           f11 78 56           f12 07 5e           print e07c 57       scroll_lock 7e 5f   pause e07e 62
    grave_accent 0e 0e  1 16 16             2 1e 1e             3 26 26             4 25 25             5 2e 2e             6 36 36             7 3d 3d
    8 3e 3e             9 46 46             0 45 45             minus 4e 4e         equal 55 55         backspace 66 66
    tab 0d 0d           q 15 15             w 1d 1d             e 24 24             r 2d 2d             t 2c 2c             y 35 35             u 3c 3c
    i 43 43             o 44 44             p 4d 4d             bracket_left 54 54  bracket_right 5b 5b backslash 5d 5c
    caps_lock 58 14     a 1c 1c             s 1b 1b             d 23 23             f 2b 2b             g 34 34             h 33 33             j 3b 3b
    k 42 42             l 4b 4b             semicolon 4c 4c     apostrophe 52 52    ret 5a 5a
    shift 12 12         less 61 13          z 1a 1a             x 22 22             c 21 21             v 2a 2a             b 32 32             n 31 31
    m 3a 3a             comma 41 41         dot 49 49           slash 4a 4a         shift_r 59 59
    ctrl 14 11          meta_l e01f 8b      alt 11 19           spc 29 29           alt_r e011 39       meta_r e027 8c      compose e02f 8d     ctrl_r e014 58
    insert e070 67      home e06c 6e        pgup e07d 6f        delete e071 64      end e069 65         pgdn e07a 6d
    up e075 63          left e06b 61        down e072 60        right e074 6a
    num_lock 77 76      kp_divide e04a 77   kp_multiply 7c 7e   kp_subtract 7b 84   kp_7 6c 6c          kp_8 75 75          kp_9 7d 7d          kp_add 79 7c
    kp_4 6b 6b          kp_5 73 73          kp_6 74 74          kp_1 69 69          kp_2 72 72          kp_3 7a 7a          kp_0 70 70          kp_decimal 71 71
    kp_enter e05a 79    kp_comma 6d 00      kp_equals 0f 00
    ro 51 00            yen 6a 00           henkan 64 00        muhenkan 67 00      hiragana 13 00
    power e037 00       sleep e03f 00       wake e05e 00        mail e048 00        calculator e02b 00  computer e040 00    mediaselect e050 00
    ac_home e03a 00     ac_back e038 00     ac_forward e030 00  ac_refresh e020 00  ac_bookmarks e018 00 find e010 00       stop e028 00
    audionext e04d 00   audioprev e015 00   audiostop e03b 00   audioplay e034 00   audiomute e023 00   volumeup e032 00    volumedown e021 00
"""
_words = TABLE.split()
SET_2 = {name: bytes.fromhex(code) for name, code in zip(_words[::3], _words[1::3])}
SET_3 = {name: int(code, 16) for name, code in zip(_words[::3], _words[2::3]) if code != '00'}
NAMES = frozenset((*SET_2, 'sysrq'))
ALIASES = {'enter': 'ret', 'return': 'ret', 'escape': 'esc', 'space': 'spc', 'period': 'dot', 'asterisk': 'kp_multiply', 'menu': 'compose', 'ctrl_l': 'ctrl', 'control': 'ctrl',
           'shift_l': 'shift', 'alt_l': 'alt', 'altgr': 'alt_r', 'super': 'meta_l', 'meta': 'meta_l', 'del': 'delete', 'ins': 'insert', 'page_up': 'pgup', 'page_down': 'pgdn',
           'capslock': 'caps_lock', 'numlock': 'num_lock', 'katakanahiragana': 'hiragana', 'less_than': 'less'}

# What the controller makes of set 2: row, then column.
SET_2_TO_1 = bytes.fromhex("""
    ff 43 41 3f 3d 3b 3c 58 64 44 42 40 3e 0f 29 59  65 38 2a 70 1d 10 02 5a 66 71 2c 1f 1e 11 03 5b
    67 2e 2d 20 12 05 04 5c 68 39 2f 21 14 13 06 5d  69 31 30 23 22 15 07 5e 6a 72 32 24 16 08 09 5f
    6b 33 25 17 18 0b 0a 60 6c 34 35 26 27 19 0c 61  6d 73 28 74 1a 0d 62 6e 3a 36 1c 1b 75 2b 63 76
    55 56 77 78 79 7a 0e 7b 7c 4f 7d 4b 47 7e 7f 6f  52 53 50 4c 4d 48 01 45 57 4e 51 4a 37 49 46 54
    80 81 82 41 54""") + bytes(range(0x85, 0x100))

# Keys by their codes of set 1, with E0h in the high byte: what a controller that translates lets a program see. Pause is the E0 46 that Ctrl with it sends.
BY_SET_1 = {SET_2_TO_1[code[-1]] | code[0] << 8 & 0xff00 * (len(code) > 1): name for name, code in SET_2.items()} | {0x54: 'sysrq'}

GREY = frozenset(('insert', 'home', 'pgup', 'delete', 'end', 'pgdn', 'up', 'left', 'down', 'right'))  # twins of the keypad, told from it by shifts that nobody pressed

# Set 3, key types at power-on ("Scan Code Set 3"): these tell of their release, those of nothing but being pressed, the rest repeat.
MAKE_BREAK = frozenset(('caps_lock', 'shift', 'shift_r', 'ctrl', 'alt'))
MAKE_ONLY = frozenset((
    'alt_r', 'ctrl_r', 'insert', 'home', 'end', 'pgup', 'pgdn', 'num_lock', *(f'kp_{n}' for n in range(10)), 'kp_divide', 'kp_multiply', 'kp_subtract', 'kp_decimal', 'kp_enter',
    'esc', *(f'f{n}' for n in range(1, 13)), 'print', 'scroll_lock', 'pause', 'meta_l', 'meta_r', 'compose'))

_unshifted = dict(zip("`-=[]\\;',./ \n\t\b\x1b", (
    'grave_accent', 'minus', 'equal', 'bracket_left', 'bracket_right', 'backslash', 'semicolon', 'apostrophe', 'comma', 'dot', 'slash', 'spc', 'ret', 'tab', 'backspace', 'esc')))
_unshifted |= {c: c for c in '0123456789abcdefghijklmnopqrstuvwxyz'} | {'\r': 'ret', '\x7f': 'backspace'}
_shifted = {upper: _unshifted[lower] for upper, lower in zip('~!@#$%^&*()_+{}|:"<>?', "`1234567890-=[]\\;',./")} | {c.upper(): c for c in 'abcdefghijklmnopqrstuvwxyz'}
US = {c: (name,) for c, name in _unshifted.items()} | {c: ('shift', name) for c, name in _shifted.items()}  # character -> keys pressed together


def canonical(name: str) -> str | None:
    """The name of a key in this file, from itself, an alias, or a US layout's character in any case; None: no such key."""
    name = name if len(name) == 1 else name.lower()
    name = ALIASES.get(name, name)
    if name in NAMES: return name
    typed = US.get(name.lower() if name.isalpha() else name)
    return typed[0] if typed and len(typed) == 1 else None
