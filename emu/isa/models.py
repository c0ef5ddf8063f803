"""The processors of `-cpu`: what CPUID tells about each, and what RESET leaves in EDX (AP-485; SDM 2A, CPUID).

Only what is emulated is announced: no local APIC, MTRRs, PAT, machine checks or VME. MMX, SSE and SSE2 are there where a model has them; no other instructions
are taken away from older models, but CR4, EFLAGS.AC and ID and CPUID follow the model. DAZ comes with SSE2.
"""
from typing import NamedTuple

from emu.isa.state import State

FPU, DE, PSE, TSC, MSR, PAE, CX8, SEP, PGE, CMOV, CLFSH, MMX, FXSR, SSE, SSE2 = (1 << bit for bit in (0, 2, 3, 4, 5, 6, 8, 11, 13, 15, 19, 23, 24, 25, 26))  # leaf 1, EDX
P5 = FPU | DE | PSE | TSC | MSR | CX8
P6 = P5 | PAE | PGE | CMOV
P2 = P6 | SEP | MMX | FXSR
P4 = P2 | SSE | SSE2 | CLFSH


class Model(NamedTuple):
    """`signature` is leaf 1's EAX: family, model, stepping. `leaves`: the highest one; 0: no CPUID. `name`: leaves 80000002h to 80000004h."""

    signature: int
    features: int
    leaves: int
    name: str = ''


MODELS = {
    '386':        Model(0x0308, 0, 0),
    '486':        Model(0x0480, FPU, 1),
    'pentium':    Model(0x052c, P5, 1),
    'pentiumpro': Model(0x0619, P6 | SEP, 2),
    'pentium2':   Model(0x0652, P2, 2),
    'pentium3':   Model(0x0673, P2 | SSE, 2),
    'pentium4':   Model(0x0f29, P4, 2, 'Intel(R) Pentium(R) 4 CPU'),
    'default':    Model(0x0633, P4, 2, 'emu i686'),
}
MODELS['qemu32'] = MODELS['default']


def apply(m: State, name: str) -> None:
    """Makes m the processor of this name; call it before reset."""
    model = MODELS[name]
    m.cpu_family, m.cpu_features, m.cpuid_max = model.signature, model.features, model.leaves
    for n, word in enumerate(words('GenuineIntel', 3)):
        m.cpu_vendor[n] = word
    for n, word in enumerate(words(model.name, 12)):
        m.cpu_name[n] = word


def words(text: str, count: int) -> list[int]:
    """A string as little-endian dwords, padded with zeros."""
    data = text.encode().ljust(4 * count, b'\0')
    return [int.from_bytes(data[at:at + 4], 'little') for at in range(0, 4 * count, 4)]
