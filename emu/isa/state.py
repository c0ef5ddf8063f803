"""State: the one binary layout of a virtual CPU, seen alike by Python, by the texts and by generated code.

`LAYOUT` is the only description: name, bits, count, what it is. 64-bit fields are signed, narrower ones unsigned, on both sides.
The eager engine's machine `m` is a `State`; compiled code gets its address. Offsets follow from the order.
"""
import ctypes
import mmap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

ES, CS, SS, DS, FS, GS, LDTR, TR = range(8)  # indexes of selector, base, limit, access and reach
TLB_BITS = 12
TLB_ENTRIES = 1 << TLB_BITS  # for each of the two TLBs: supervisor's, then user's

# Lines of: name  bits  count  what. The TLB's three interleave: one entry is 16 bytes.
LAYOUT = f"""
reg             32  9   eax ecx edx ebx esp ebp esi edi, and a zero: the base or index of an address that has none
eip             32  1   while a text runs: of the next instruction
eflags          32  1   all flags but CF PF AF ZF SF OF, which are in result and carries (emu/isa/flags.py)
result          64  1   ZF, SF and PF are read off it
carries         64  1   CF, OF and AF are read off it
selector        32  8   ES CS SS DS FS GS LDTR TR
base            32  8   the hidden part of the segment registers
limit           32  8   in bytes, the last valid offset (or below the first, expand-down)
access          32  8   bits 8 to 23 of the descriptor's high half: type S DPL P .... AVL 0 D/B G in bits 0 to 15
reach           32  8   bit 0: every 32-bit offset may be read; bit 1: every one may be written: no check is needed
reading         64  8   the last offset that may be read, where a comparison with it is the whole check; else -1
writing         64  8   and written
gdt_base        32  1   GDTR
gdt_limit       32  1
idt_base        32  1   IDTR
idt_limit       32  1
cr0             32  1
cr2             32  1
cr3             32  1
cr4             32  1
dr              32  8   debug registers
cpl             32  1   current privilege level
user            32  1   1 at CPL 3, which uses the user TLB, else 0
protected       32  1   1 in protected mode without VM
vm86            32  1   1 in virtual-8086 mode
code32          32  1   1 where CS.D says 32 bits
stack_mask      32  1   0xFFFFFFFF or 0xFFFF, by SS.B
mode            32  1   the translations' mode key (emu/isa/segments.py update_mode)
fault_vector    32  1   of the Fault being raised
fault_code      32  1
external        32  1   1 while an external event is delivered: the EXT bit of error codes
halted          32  1   1 after HLT, until an interrupt
shutdown        32  1   1 after a triple fault
hit             32  1   debug conditions that the instruction met, as bits of DR6 (emu/isa/debug.py)
resume          32  1   not 0: RF was set when the instruction began
shadow          32  1   the number of the instruction, as clock.retired counts, that follows MOV SS or POP SS
irq             32  1   the interrupt controller's INTR line
nmi             32  1   a non-maskable interrupt waits
nmi_blocked     32  1   not 0: for an IRET, since another is being handled
ferr            32  1   the FERR# pin went active; the machine has not seen it yet
ignne           32  1   the IGNNE# pin
a20             32  1   mask of physical addresses: 0xFFFFFFFF or 0xFFEFFFFF
page_map        64  1   host address of 2**20 64-bit words, one a physical page: host address of the page + PAGE_* bits, or 0: a device's
code_map        64  1   host address of 2**20 64-bit words, one a physical page: bit n: code was decoded in its n-th 64 bytes
blob_map        64  1   the same for what was translated
cache           64  1   host address of the translation cache's header (emu/tcache/layout.py); 0: there is none
ram             64  1   host address of RAM's first byte, of physical address 0
vga             64  1   host address of the display adapter's block (emu/mem/vga.py), or 0: there is none
ports           64  1   host address of the table of devices whose registers are texts (emu/ports), or 0: Python answers for all
pic             64  1   host address of the interrupt controllers' block (emu/ports/pic.py), or 0: Python acknowledges interrupts
pit             64  1   host address of counter 0's block (emu/ports/pit.py), or 0: Python does what its edges do
asked           32  1   not 0: the slice was ended for Python
budget          64  1   instructions that may still retire in this slice
floor           64  1   the interpreter returns where the budget has come down to this
deferred        64  1   instructions taken off the budget to end the slice early
retired         64  1   instructions retired in all earlier slices
sysenter_cs     32  1   MSRs 174h to 176h
sysenter_esp    32  1
sysenter_eip    32  1
pdpte           64  4   PAE's page-directory pointers, loaded with CR3
fpu_mantissa    64  12  physical registers R0 to R7, then four temporaries; each 16 bytes: mantissa, sign and exponent
fpu_exponent    16  12
fpu_control     32  1
fpu_status      32  1   without TOP
fpu_top         32  1
fpu_empty       32  1   bit n: register Rn is empty
fpu_ip          32  1   last instruction's and operand's addresses
fpu_cs          32  1
fpu_dp          32  1
fpu_ds          32  1
fpu_opcode      32  1   its 11 bits
xmm_low         64  8   XMM0 to XMM7, each 16 bytes: bits 0 to 63, 64 to 127
xmm_high        64  8
mxcsr           32  1   control bits, and flags: those raised since compiled code was entered are in the host's (emu/isa/crossing.py)
host_mxcsr      32  1   the host's own, while the guest's is in use; else 0
host_fpu_control 32 1   that of the x87
simd            32  1   who may be executed now: MMX SSE ... (emu/isa/segments.py update_mode)
msr             64  16  machine-specific registers that are only remembered (emu/isa/system.py numbers them)
cpu_family      32  1   CPUID leaf 1 EAX
cpu_features    32  1   CPUID leaf 1 EDX
cpuid_max       32  1
cpu_vendor      32  3   CPUID leaf 0 EBX EDX ECX
cpu_name        32  12  CPUID leaves 80000002h to 80000004h; all 0: not there
call_port_in    64  1   host function pointers: what the primitives call
call_port_out   64  1
call_port_in_block  64 1
call_port_out_block 64 1
call_mmio_read  64  1
call_mmio_write 64  1
call_outside    64  1
call_log_interrupt 64 1
call_log_code   64  1
call_x87        64  1
logging         32  1   LOG_* bits: what is logged
reason          32  1   how a translation left: 0: look the next block up; 2: optimise this one; 3 + n: interpret n instructions
threshold       32  1   executions after which a block is asked for; 0: never
wanted          64  1   host address of a block that became hot
index           64  1   host address of the translation index,
code            64  1   and of code memory, less one
lookup          64  1   host addresses of where translations go on from an EIP in t0: to the translation there,
leave           64  1   or out to the interpreter (emu/jit/interpreter.py),
failed          64  1   or where a text that was called has raised
calls           64  32  host addresses of the outlined texts that translations call (emu/jit/calls.py)
changes         32  1   how often translations were dropped or the TLBs flushed by who called back: a jump that was chained before may be wrong
records         64  1   host address of the interpreter's decoded records
heat            64  1   host address of the block counters
translated      64  1   instructions retired in translations
cycles          64  1   the host's clock cycles spent interpreting,
device_cycles   64  1   and in callbacks,
making          64  1   and making translations
slice           64  1   the budget that this slice began with
slice_end       64  1   the guest time up to which it goes, if it takes what it should
until           64  1   the guest time up to which slices follow one another without Python (emu/jit/pacing.py),
deadline        64  1   and that of Python's earliest timer
asleep          64  1   the host's time since guest time 0 when the CPU went to sleep
tick            64  1   nanoseconds of guest time an instruction takes; 0: guest time follows the host's clock (emu/isa/clock.py)
skipped         64  1   with a tick: nanoseconds that passed while halted
time            64  1   without: guest time when it was last read,
epoch           64  1   the host's clock at guest time 0,
looked          64  1   the instructions retired by `time`,
rate            64  1   and how many are executed in 2**20 nanoseconds
clock_gettime   64  1   host address of the C library's function
trace_at        64  1   where the next execution of a translation is recorded (emu/tcache/trace.py),
trace_end       64  1   and where there is no more room for it
counts          64  16  statistics kept by compiled code
handlers        64  1   host address of the interpreter's handlers, one for each form
fetch_pointer   64  1   host address of fetch_buffer
fetch_buffer    8   32  the bytes of an instruction that crosses a page
tlb_used        32  {TLB_ENTRIES >> 4}  bit n & 31 of word n >> 5: entry n of the TLB may hold a page;
tlb_global      32  {TLB_ENTRIES >> 4}  and it is global: a new CR3 leaves it
tlb_large       32  32  bit n & 31 of word n >> 5: entries may be parts of a large page in the n-th 4 MB
tlb_read        32  {2 * TLB_ENTRIES}
tlb_write       32  {2 * TLB_ENTRIES}
tlb_addend      64  {2 * TLB_ENTRIES}
countdown       32  262144  executions until a translation is worth optimising; by them its uses are counted
"""

MMX, MMX_OF_SSE, MMX_OF_SSE2, SSE, SSE2 = 1, 2, 4, 8, 16  # bits of simd, and the constant `needs`: by registers, and the extension that brought an instruction
PAIRS = {'fpu_mantissa': 'fpu_exponent', 'xmm_low': 'xmm_high'}  # two fields that interleave, 16 bytes for each element
COUNTERS = 1 << 18  # countdowns of translations, 32 bits each, behind the TLB: within reach of a displacement
LOG_CODE, LOG_INTERRUPTS = 1, 2  # bits of logging: each decoded instruction, each delivery of an interrupt or exception
PAGE_READ, PAGE_WRITE = 1, 2  # bits of a page_map word: directly readable (RAM, ROM), directly writable (RAM)
TLB_BASE = 8192
COUNTERS_BASE = TLB_BASE + 2 * TLB_ENTRIES * 16


@dataclass(frozen=True)
class Field:
    """Where a field lies: offset and stride in bytes, width in bits, number of elements."""

    offset: int
    bits: int
    count: int
    stride: int


def lay_out() -> tuple[dict[str, Field], int]:
    """Offsets for LAYOUT, and the size of the whole."""
    fields, at = {}, 0
    name = ''
    for line in LAYOUT.strip().splitlines():
        before = name
        name, bits, count = line.split()[0], int(line.split()[1]), int(line.split()[2])
        size = bits // 8
        if name in ('tlb_read', 'tlb_write', 'tlb_addend'):
            fields[name] = Field(TLB_BASE + {'tlb_read': 0, 'tlb_write': 4, 'tlb_addend': 8}[name], bits, count, 16)
            continue
        if name == 'countdown':
            fields[name] = Field(COUNTERS_BASE, bits, count, 4)
            continue
        if name in PAIRS:
            at = -(-at // 16) * 16
            fields[name] = Field(at, bits, count, 16)
            at += 16 * count
        elif before in PAIRS: fields[name] = Field(fields[before].offset + 8, bits, count, 16)
        else:
            at = -(-at // size) * size
            fields[name] = Field(at, bits, count, size)
            at += size * count
    assert at <= TLB_BASE
    return fields, COUNTERS_BASE + 4 * COUNTERS


FIELDS, SIZE = lay_out()
TYPES = {8: ctypes.c_uint8, 16: ctypes.c_uint16, 32: ctypes.c_uint32, 64: ctypes.c_int64}


class Words:
    """An array field, indexed like a list."""

    def __init__(self, address: int, field: Field):
        self.address, self.field, self.type = address, field, TYPES[field.bits]

    def __getitem__(self, n: int) -> int:
        return self.type.from_address(self.address + self.place(n)).value

    def __setitem__(self, n: int, value: int) -> None:
        self.type.from_address(self.address + self.place(n)).value = int(value)

    def __len__(self) -> int:
        return self.field.count

    def place(self, n: int) -> int:
        """Byte offset of element n from the State's start."""
        if not 0 <= n < self.field.count:
            raise IndexError(n)
        return self.field.offset + n * self.field.stride


class State:
    """A virtual CPU's state in SIZE bytes of host memory at `address`; every field of LAYOUT is an attribute. `bus` is the machine around it."""

    def __init__(self, bus: Any = None):
        self.memory = mmap.mmap(-1, SIZE)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self.bus = bus
        for name, field in FIELDS.items():
            if field.count > 1:
                setattr(self, name, Words(self.address, field))
            else:
                setattr(self, '_' + name, TYPES[field.bits].from_address(self.address + field.offset))

    if TYPE_CHECKING:
        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...


def scalar(cell: str) -> property:
    """A field of one element: the value of its ctypes object."""
    def get(self: State) -> int:
        return getattr(self, cell).value

    def put(self: State, value: int) -> None:
        getattr(self, cell).value = int(value)
    return property(get, put)


for _name, _field in FIELDS.items():
    if _field.count == 1:
        setattr(State, _name, scalar('_' + _name))
