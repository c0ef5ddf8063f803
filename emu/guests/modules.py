"""Kernel modules for an initramfs, and the files that modprobe reads: modules.dep and modules.alias (modules.dep(5), depmod(8)).

A module says in its section .modinfo, as `depends=a,b` and `alias=PATTERN`, what it needs and what it serves, so depmod is not needed. In names `-` is as `_`.
Left out: compressed modules (Debian 12 has none) and soft dependencies.
"""
import struct
from pathlib import Path
from typing import Iterable, Mapping

NULL = b'\0'


def choose(root: Path, names: Iterable[str]) -> dict[str, bytes]:
    """The modules of these names under a folder and all that they need, by their paths in it, with modules.dep and modules.alias.

    A name that no module has is built into the kernel, and left out.
    """
    there = {normal(path.stem): path for path in sorted(root.rglob('*.ko'))}
    wanted = [normal(name) for name in names]
    data: dict[str, bytes] = {}
    needs: dict[str, list[str]] = {}
    aliases: list[tuple[str, str]] = []
    while wanted:
        name = wanted.pop()
        if name in data or name not in there: continue
        data[name] = there[name].read_bytes()
        said = modinfo(data[name])
        needs[name] = [normal(other) for words in said.get('depends', []) for other in words.split(',') if other]
        aliases += ((pattern, name) for pattern in said.get('alias', []))
        wanted += needs[name]
    paths = {name: str(there[name].relative_to(root)) for name in sorted(data)}
    lines = (f'{path}: {" ".join(paths[other] for other in closure(name, needs))}'.rstrip() for name, path in paths.items())
    texts = {'modules.dep': ''.join(f'{line}\n' for line in lines), 'modules.alias': ''.join(f'alias {pattern} {name}\n' for pattern, name in sorted(aliases))}
    return {paths[name]: data[name] for name in paths} | {name: text.encode() for name, text in texts.items()}


def closure(name: str, needs: Mapping[str, list[str]]) -> list[str]:
    """All that a module needs, each before what it needs itself: the order of modules.dep, which is loaded from its end. Built-in ones are left out."""
    found: list[str] = []

    def visit(one: str) -> None:
        for other in needs[one]:
            if other in needs and other not in found:
                visit(other)
                found.append(other)
    visit(name)
    return found[::-1]


def modinfo(module: bytes) -> dict[str, list[str]]:
    """The section .modinfo of an ELF file of 32 bits (System V ABI, chapter 4), strings KEY=VALUE: the values of each key."""
    table, = struct.unpack_from('<I', module, 32)
    size, number, names = struct.unpack_from('<HHH', module, 46)
    sections = [struct.unpack_from('<IIIIII', module, table + size * index) for index in range(number)]  # name, type, flags, address, offset, size
    start = sections[names][4]
    for name, _, _, _, offset, length in sections:
        if module.startswith(b'.modinfo' + NULL, start + name):
            found: dict[str, list[str]] = {}
            for text in module[offset:offset + length].split(NULL):
                key, _, value = text.decode(errors='replace').partition('=')
                found.setdefault(key, []).append(value)
            return found
    return {}


def normal(name: str) -> str:
    """A module's name as the kernel has it."""
    return name.replace('-', '_')
