"""Compiling what is compiled once: the interpreter's modules, in parallel processes, kept as object files in the user's cache directory.

LLVM runs in child processes only: its fatal errors abort. The key covers our sources, llvmlite's version and the host CPU.
"""
import ctypes
import hashlib
import os
import sys
import time
from functools import cache
from typing import TYPE_CHECKING, Callable, Iterator

import llvmlite
import llvmlite.binding as llvm
from tqdm import tqdm

from emu import cache as store
from emu.errors import EmuError, warn
from emu.jit import sources
from emu.jit.workers import Workers

if TYPE_CHECKING:
    from emu.jit.stencils import Kind

SOURCES = ('isa/*.py', 'mem/*.py', 'ports/*.py', 'decoder/*.py',
           *(f'jit/{name}.py' for name in ('lower', 'fetch', 'dispatch', 'pacing', 'copying', 'calls', 'interpreter', 'build')))
MORE = {'interpreter': [f'tcache/{name}.py' for name in ('layout', 'index', 'links', 'policies', 'dropping', 'entering', 'replay', 'limits')],
        'optimise': ['tcache/image.py']}

llvm.set_option('emu', '--fixup-byte-word-insts=false')  # LLVM 22's pass turns `mov dx, [m]` into `movzx edx, [m]` where EDX is live: LEAVE_16 lost EBP's high half


@cache
def machine(jit: bool = False, codemodel: str = 'default') -> llvm.TargetMachine:
    """LLVM's code generator for this host."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=llvm.get_host_cpu_name(), opt=2, reloc='static' if codemodel == 'small' else 'default', codemodel=codemodel, jit=jit)


def compile_module(ir: str, codemodel: str = 'jitdefault', level: int = 2) -> bytes:
    """IR text -> object file."""
    tm = machine(codemodel == 'jitdefault', codemodel)
    module = llvm.parse_assembly(ir)
    passes = llvm.create_pass_builder(tm, llvm.create_pipeline_tuning_options(speed_level=level))
    passes.getModulePassManager().run(module, passes)
    return tm.emit_object(module)


@cache
def version(name: str) -> str:
    """Names everything that compiled code depends on."""
    h = hashlib.sha256(f'{llvmlite.__version__} {sys.version_info[:2]} {llvm.get_host_cpu_name()}'.encode())
    for pattern in (*SOURCES, f'jit/{name}.py', *MORE.get(name, ())):
        for data in sources.matching(pattern): h.update(data)
    return h.hexdigest()[:20]


def compiled(name: str, make: Callable[[], tuple[list[str], str]], codemodel: str) -> tuple[list[bytes], str]:
    """The object files of the modules that `make` gives the IR of, and its notes, from the cache or made now."""
    path = lambda n: store.directory('compiled', f'{name}-{version(name)}', str(n))  # noqa: E731
    if (count := store.read(path('count'))) is not None and (notes := store.read(path('notes'))) is not None:
        found = [store.read(path(n)) for n in range(int(count))]
        if all(found):
            return [f for f in found if f], notes.decode()
    sources, text = make()
    objects = list(tqdm(in_parallel(sources, codemodel), total=len(sources), desc=f'compiling the {name}', unit='module', disable=None, file=sys.stderr))
    files = {n: data for n, data in enumerate(objects)} | {'notes': text.encode(), 'count': str(len(objects)).encode()}
    if not all([store.write(path(n), data) for n, data in files.items()]):
        warn(f'{store.directory()} cannot be written: the {name} will be compiled again')
    return objects, text


def in_parallel(sources: list[str], codemodel: str) -> Iterator[bytes]:
    """Compiles modules in as many processes as there are cores."""
    workers = Workers(os.cpu_count() or 1)
    for job in [workers.submit(compile_module, ir, codemodel) for ir in sources]:
        while not job.done(): workers.poll(None)
        obj = job.result()
        if obj is None:
            raise EmuError('LLVM died while it compiled the interpreter; a worker has said why')
        yield obj
    workers.close()


class Compiled:
    """The loaded interpreter: addresses of its functions by name."""

    def __init__(self, objects: list[bytes]):
        machine()
        tm = llvm.Target.from_default_triple().create_target_machine(cpu=llvm.get_host_cpu_name(), opt=2, codemodel='jitdefault', jit=True)
        self.engine = llvm.create_mcjit_compiler(llvm.parse_assembly(''), tm)
        for data in objects:
            self.engine.add_object_file(llvm.ObjectFileRef.from_data(data))
        self.engine.finalize_object()

    def address(self, name: str) -> int:
        """The host address of a function."""
        found = self.engine.get_function_address(name)
        assert found, f'no function {name}'
        return found

    def function(self, name: str, arguments: int, faults: bool = False) -> Callable[..., int]:
        """A function of i64s, callable from Python with the GIL held."""
        return ctypes.PYFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * arguments)(self.address(name))


@cache
def interpreter() -> Compiled:
    """The interpreter, compiled if need be."""
    from emu.jit import interpreter as generator
    return Compiled(compiled('interpreter', generator.modules, 'jitdefault')[0])


@cache
def stencils() -> tuple[list[bytes], 'dict[str, Kind]']:
    """The stencils' object files and their kinds, compiled if need be."""
    from emu.jit import stencils as generator
    objects, notes = compiled('stencils', generator.modules, 'small')
    return objects, generator.read_kinds(notes)


def setup(engine: str = 'optimise') -> float:
    """Makes everything that is compiled once for an engine; seconds it took."""
    start = time.monotonic()
    if engine != 'eager':
        interpreter()
    if engine in ('stencils', 'optimise'):
        stencils()
    return time.monotonic() - start
