"""A device's registers as a block of memory that Python and compiled code see alike, and the texts on them (docs/texts.md, "Devices").

A module of this package describes one kind of device: a class `Registers` of fields, as in State's LAYOUT, and of methods that are texts, first `read(self, port, w)` and
`write(self, port, w, v)`. The device's class in emu/hw is derived from it, so that in Python they are its own. What texts cannot do is in other methods of the
device, without arguments: compiled code calls Python for those that `CALLS` names.
"""
import ctypes
from functools import cache
from typing import TYPE_CHECKING, Any

from emu.isa.state import TYPES, Field


def fields(layout: str) -> list[tuple[str, Any]]:
    """Lines of: name  bits  count  what, as in State's LAYOUT -> what ctypes wants."""
    words = [line.split()[:3] for line in layout.strip().splitlines()]
    return [(name, TYPES[int(bits)] if count == '1' else TYPES[int(bits)] * int(count)) for name, bits, count in words]


class Block(ctypes.Structure):
    """What every block begins with. `KIND` is the device's number in emu/ports/__init__.py."""

    _fields_ = fields("""
kind    64  1   KIND
number  64  1   the device's place in the bus's list
""")
    KIND = 0
    CALLS: tuple[str, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self.kind = self.KIND

    @property
    def address(self) -> int:
        """Where the block lies."""
        return ctypes.addressof(self)

    if TYPE_CHECKING:
        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...


@cache
def field(block: type[Block], name: str) -> Field:
    """Where a field lies, as State's fields are described."""
    kind = next(kind for part in block.__mro__ for other, kind, *_ in part.__dict__.get('_fields_', ()) if other == name)
    one = getattr(kind, '_type_', None) if issubclass(kind, ctypes.Array) else kind
    assert one
    size = ctypes.sizeof(one)
    return Field(getattr(block, name).offset, 8 * size, getattr(kind, '_length_', 1) if one is not kind else 1, size)
