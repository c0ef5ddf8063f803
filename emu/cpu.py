"""The virtual CPU: State, the engines that move it, and the slices in which they do.

A slice is a budget of instructions up to the next timer event; between slices interrupts are delivered and time is looked at. Compiled code calls
back for ports, devices' memory and writes to code; a callback that fails is recorded and ends the slice, it never unwinds compiled code.
"""
import ctypes
import time
from collections import deque
from functools import partial
from pathlib import Path
from typing import Any, Callable, Mapping, NamedTuple

import numpy as np

from emu.decoder import record
from emu.decoder.table import FORMS
from emu.errors import EmuError
from emu.isa import interrupts, models, x87_control
from emu.isa.clock import retired
from emu.isa.flags import IF, RF, TF
from emu.isa.reset import reset
from emu.isa.slices import stop
from emu.isa.state import CS, FIELDS, State
from emu.jit import build, calls, dispatch, eager, fetch, optimise, pacing
from emu.jit.copying import LONGEST
from emu.jit.lower import CALLBACKS
from emu.jit.patch import Translator
from emu.jit.regions import Part, Region, region
from emu.jit.workers import Workers
from emu.mem.memory import Memory, zeroed
from emu.mem.paging import tlb_entry
from emu.ports.lines import set_intr
from emu.tcache import entering, layout
from emu.tcache.archive import Archive
from emu.tcache.cache import Blob, Key, TranslationCache
from emu.tcache.header import address_of
from emu.tcache.image import Image
from emu.tcache.index import INDEX_BITS, ROW
from emu.tcache.memory import CodeMemory
from emu.tcache.revival import Revival
from emu.tcache.trace import Recorder

HOT = 16  # executions of a block before it is translated
WARM = 100_000  # executions of a translation before it is optimised
SELDOM = 64  # a block executed less than WARM / SELDOM times is not worth a place in a region
PATIENCE = 10  # times WARM, for what was not hot when this guest ran before
NEVER = 1 << 30  # executions
MOST_LOOKED = 1 << 16  # blocks of which it is known what they were when they were last asked for
QUEUE = 16  # regions that may wait for the worker
REVIVABLE = 16 << 20  # bytes of optimised translations that can be revived, if the cache is not smaller
LIBC = ctypes.CDLL(None)


class Job(NamedTuple):
    """A region being optimised: the guest's code as it was when it was chosen, and the translations that it makes up for."""

    key: Key
    region: Region
    code: list[bytes]
    covered: list[Key]


class Cpu:
    """One CPU over `memory`; `bus` answers its ports and devices' memory (emu/hw/bus.py); `engine` limits the levels that are used."""

    counting = True  # of translations' uses: off only to measure what it costs

    def __init__(self, memory: Memory, bus: Any, model: str = 'default', engine: str = 'optimise',
                 cache_size: int = 64 << 20, cache_policy: str = 'generational', cache_sizes: Mapping[str, int] | None = None,
                 archive: Archive | None = None):
        self.memory, self.model, self.engine = memory, model, engine
        self.state = m = State(self)
        m.tick = m.rate = 1
        self.now, self.begin, self.allot, self.rest, self.wake = (partial(text, m) for text in pacing.TEXTS)  # who runs the CPU says how time passes (emu/isa/clock.py)
        self.error: BaseException | None = None
        self.ferr: Callable[[], None] = lambda: None  # called when the FERR# pin goes active
        self.log: Any = None  # emu/log.py
        self.each_block: Callable[[], None] | None = None  # called before each block, which is interpreted then
        self.make_all = False
        self.asked: set[Key] = set()  # regions that the worker has to do
        self.put_off: set[Key] = set()  # that have to be hotter than others
        self.finished: deque[tuple[Job, tuple[bytes | None, float] | None]] = deque()  # what it is done with
        self.spent = {'decoding and patching': 0.0, 'llvm, in the worker': 0.0}
        m.page_map, m.code_map = memory.page_map.ctypes.data, memory.code_map.ctypes.data
        m.ram = memory.host
        memory.remapped = self.flush
        self.tables()
        if engine != 'eager':
            self.connect(build.interpreter())
        self.cache: TranslationCache | None = None
        self.worker: Workers | None = None
        self.recorder: Recorder | None = None
        self.revival = Revival(min(REVIVABLE, cache_size // 4), archive)
        if engine in ('stencils', 'optimise'):
            self.start_translating(cache_size, cache_policy, cache_sizes or {})
        self.bus = bus
        self.reset()

    # --- what compiled code works on ------------------------------------------------------------------------------------------

    def tables(self) -> None:
        """The interpreter's records, the translation index and the heat counters."""
        m = self.state
        self.records = np.frombuffer(zeroed(record.SIZE << fetch.RECORD_BITS), np.int64).reshape(-1, record.SIZE // 8)
        self.records[:] = -1
        self.index = zeroed(ROW << INDEX_BITS)
        self.heat = np.zeros(1 << 16, np.uint16)
        self.blob_map = np.zeros_like(self.memory.code_map)
        m.blob_map = self.blob_map.ctypes.data
        m.records, m.index, m.heat = self.records.ctypes.data, address_of(self.index), self.heat.ctypes.data
        m.fetch_pointer = m.address + FIELDS['fetch_buffer'].offset

    def connect(self, code: build.Compiled) -> None:
        """Addresses of handlers into State, functions for Python."""
        m = self.state
        self.handlers = np.array([code.address('h.' + form.name) for form in FORMS], np.int64)
        m.handlers = self.handlers.ctypes.data
        self.c_run, self.c_step = code.function('run', 1), code.function('step', 1)
        self.c_take_interrupt, self.c_handle_fault = code.function('take_interrupt', 2), code.function('handle_fault', 1)
        self.clocks = code.function('cycles', 0)
        m.clock_gettime = ctypes.cast(LIBC.clock_gettime, ctypes.c_void_p).value
        self.now, self.begin, self.allot, self.rest, self.wake = (partial(code.function(text.__name__, 1), m.address) for text in pacing.TEXTS)
        self.c_attend, self.c_doze = code.function('attend', 1), code.function('doze', 1)
        self.began = self.clocks(), time.perf_counter()
        self.c_translate = code.function('translate', 4)
        self.c_flush, self.c_decode = code.function('flush_tlb', 1), code.function('decode_block', 5)
        self.memory.code_written = partial(code.function('code_written', 2), m.address)

    def start_translating(self, size: int, policy: str, sizes: Mapping[str, int]) -> None:
        """The two ways out of translations, the cache, the translator."""
        m, code = self.state, build.interpreter()
        m.lookup, m.leave, m.failed = code.address('lookup'), code.address('leave'), code.address('failed')
        for name, n in calls.NUMBERS.items(): m.calls[n] = code.address(name)
        self.cache = TranslationCache(m, CodeMemory(size), size, policy, sizes)
        self.translator = Translator(*build.stencils(), self.decode)
        self.c_translate_block = code.function('translate_block', 3)
        self.scratch = np.zeros(LONGEST * record.SIZE, np.uint8)
        self.scratch_address = self.scratch.ctypes.data
        self.looked: dict[int, bytes] = {}  # host address of a block -> what was there when it was last asked for in vain
        m.threshold = HOT
        self.worker = Workers(1) if self.engine == 'optimise' else None
        if self.worker:
            self.worker.submit(optimise.ready)  # its first use of LLVM takes longer
        h = self.cache.header
        h[layout.WORK], h[layout.RAM_SIZE], h[layout.COUNTING] = self.translator.address, self.memory.size, self.counting
        h[layout.BEGIN], h[layout.KNOWN] = (WARM, self.revival.filter.ctypes.data) if self.worker else (NEVER, 0)

    def record(self, path: Path | None) -> None:
        """Records all that is executed of translations from now on, which are made anew; None: no longer. Between slices only."""
        if not self.cache: raise EmuError(f'-engine {self.engine} makes no translations')
        if self.recorder: self.recorder.close()
        for blob in list(self.cache): self.cache.drop(blob, 'replaced')
        self.recorder = Recorder(path, self.state, self.cache) if path else None
        self.cache.header[layout.ASK] = path is not None
        self.translator.count('COUNT', *['RECORD'] if path else [])

    @property
    def at_once(self) -> bool:
        """Whether everything is optimised when it is first translated, in this process: for tests."""
        return self.make_all

    @at_once.setter
    def at_once(self, value: bool) -> None:
        self.make_all = value
        self.revival.filter[:] = 255  # so that compiled code asks for each

    @property
    def bus(self) -> Any:
        """What answers ports and devices' memory; a table of ports comes with it (emu/ports)."""
        return self._bus

    @bus.setter
    def bus(self, bus: Any) -> None:
        self._bus, m = bus, self.state
        for name in CALLBACKS.keys() - vars(Cpu).keys(): setattr(self, name, getattr(bus, name, None))
        if self.engine == 'eager': return
        table = getattr(bus, 'table', None)
        m.ports = ctypes.addressof(table) if table else 0
        self.callbacks = []
        for name, count in CALLBACKS.items():
            call = ctypes.PYFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * (count - 1))(self.guarded(getattr(self, name), count - 1))
            self.callbacks.append(call)
            setattr(m, 'call_' + name, ctypes.cast(call, ctypes.c_void_p).value)

    def guarded(self, method: Callable[..., int | None], count: int) -> Callable[..., int]:
        """A callback that never raises. Two and three arguments are spelled out: a call by *arguments takes longer than all the rest."""
        def failed(error: BaseException) -> int:  # reported after the slice, by run()
            self.error = self.error or error
            self.end_slice()
            return -1

        def two(a: int, b: int) -> int:
            try: return method(a, b) or 0
            except BaseException as error: return failed(error)

        def three(a: int, b: int, c: int) -> int:
            try: return method(a, b, c) or 0
            except BaseException as error: return failed(error)

        def others(*arguments: int) -> int:
            try: return method(*arguments) or 0
            except BaseException as error: return failed(error)
        return two if count == 2 else three if count == 3 else others

    def log_interrupt(self, vector: int, code: int, kind: int) -> None:
        self.log.interrupt(vector, code, kind)

    def log_code(self, p: int, n: int) -> None:
        self.log.code(p, n)

    # --- lines from the machine ---------------------------------------------------------------------------------------------------

    def set_irq(self, level: bool) -> None:
        """The interrupt controller's output."""
        set_intr(self.state, level)

    def nmi(self) -> None:
        self.state.nmi = 1
        self.end_slice()

    def set_a20(self, enabled: bool) -> None:
        self.state.a20 = 0xffffffff if enabled else 0xffefffff
        self.flush()

    def flush(self) -> None:
        """Drops the TLBs."""
        self.state.changes += 1
        if self.engine != 'eager':
            self.c_flush(self.state.address)
        else:
            from emu.mem.paging import flush_tlb
            flush_tlb(self.state)

    def reset(self) -> None:
        """RESET; then FNINIT, which a PC's BIOS does at once and SeaBIOS, made for virtual machines, leaves out."""
        models.apply(self.state, self.model)
        reset(self.state)
        x87_control.reset(self.state)

    def close(self) -> None:
        """Nobody waits for what is still being optimised."""
        if self.worker: self.worker.close()
        if self.recorder: self.recorder.close()
        self.revival.close()

    def end_slice(self) -> None:
        """The engine returns after the instruction it is at."""
        self.state.asked = 1
        stop(self.state)

    def retired(self) -> int:
        """Instructions retired since power-on."""
        return int(retired(self.state))

    # --- running --------------------------------------------------------------------------------------------------------------

    def interrupt(self, acknowledge: Callable[[], int]) -> None:
        """Delivers what is pending and allowed: NMI, unless one is being handled (SDM 3A 6.7.1), then the interrupt controller's vector."""
        m = self.state
        if m.nmi and not m.nmi_blocked:
            m.nmi, m.nmi_blocked = 0, 1
            self.take(2)
        elif m.pit: self.c_attend(m.address)
        elif m.irq and m.eflags & IF: self.take(acknowledge())
        if m.hit: eager.trap(m, self.handle_fault)

    def take(self, vector: int) -> None:
        if self.engine == 'eager':
            interrupts.take_interrupt(self.state, vector)
        else:
            self.c_take_interrupt(self.state.address, vector)

    def handle_fault(self, m: State) -> None:
        """Delivers the exception that State names."""
        if self.engine == 'eager':
            interrupts.handle_fault(m)
        else:
            self.c_handle_fault(m.address)

    def run(self, budget: int) -> int:
        """Runs up to `budget` instructions, and slices that follow (`go_on` in emu/jit/pacing.py); how many retired. Ends early at HLT, shutdown and what `stop` asks for."""
        m = self.state
        stepping = self.engine != 'eager' and m.eflags & (TF | RF)
        if stepping: budget = 1
        m.slice, m.budget, m.deferred, m.asked = budget, budget, 0, 0
        if self.engine == 'eager':
            while m.budget > 0:
                if self.each_block: self.each_block()
                eager.step(m)
        elif stepping or self.each_block:
            while m.budget > 0:
                if self.each_block: self.each_block()
                self.trace()
        else:
            while why := self.c_run(m.address):
                if why == 2: self.translate()
                else: self.warm()
            if m.hit: eager.trap(m, self.handle_fault)
            if self.asked: self.collect()
        done = int(m.slice - m.budget - m.deferred)
        m.retired += done
        m.slice = m.budget = m.deferred = 0
        if m.ferr:
            m.ferr = 0
            self.ferr()
        if self.error:
            raise self.error
        return done

    def doze(self) -> int:
        """After a sleep: runs what a timer of compiled code's wakes. How many of the host's nanoseconds to sleep then; negative: there is something else to look at."""
        left = int(self.c_doze(self.state.address))
        if left == pacing.LOOK - 2: self.translate()
        elif left < pacing.LOOK: self.warm()
        if self.asked: self.collect()
        return left

    def trace(self) -> None:
        """One instruction with TF or RF set; else to the end of a block."""
        m = self.state
        eager.prepare(m)
        self.c_step(m.address)
        eager.conclude(m, self.handle_fault)

    # --- translating ------------------------------------------------------------------------------------------------------------

    def decode(self, p: int, room: int) -> bytes:
        """The records of the basic block at host address p, as the current mode decodes it."""
        n = self.c_decode(self.state.address, self.scratch_address, p, room, LONGEST)
        return ctypes.string_at(self.scratch_address, n * record.SIZE)

    def translate(self) -> None:
        """The block at CS:EIP became hot, and compiled code has not translated it by itself."""
        assert self.cache
        started = time.perf_counter()
        m = self.state
        key = m.wanted, m.eip, m.mode
        asked = entering.TAKE_OVER
        compiled = self.cache.compiles
        while why := self.c_translate_block(m.address, key[0], asked):
            if why < 0: self.translator.learn(-1 - why, m.mode)
            elif why == entering.SETTLE:
                if self.is_restless(key[0]):
                    self.c_step(m.address)
                    break
                asked = why
            elif why == entering.REVIVE:
                if self.make_at_once(key) if self.at_once else self.revive(key, self.translator.length): break
                asked = why
            elif found := self.cache.find(key): self.cache.memory.use(found.place)
        if self.recorder and self.cache.compiles > compiled and (found := self.cache.find(key)) and not found.optimised:
            self.recorder.made(found, time.perf_counter() - started)
        self.spent['decoding and patching'] += time.perf_counter() - started

    def is_restless(self, p: int) -> bool:
        """Whether the code at host address p, which is rewritten again and again, is still: it is interpreted until it is the same at two requests for it, one after the other."""
        assert self.cache
        restless = [g for g in sorted({p >> 6, entering.next_granule(p)}) if self.cache.is_restless(g)]
        now = b''.join(ctypes.string_at(g << 6, 64) for g in restless)
        if self.looked.get(p) != now:
            if len(self.looked) > MOST_LOOKED: self.looked.clear()
            self.looked[p] = now
            return True
        self.looked.pop(p, None)
        for g in restless: self.cache.settled(g)
        return False

    # --- optimising: hot blocks go to a worker process, and come back as better translations ----------------------------------

    def warm(self) -> None:
        """The countdown of the block at CS:EIP is over, or there is no room to record that it is executed."""
        assert self.cache
        m = self.state
        if self.recorder and self.recorder.drain(): return
        p = self.host_address()
        if not p:  # a chained jump led here, and data took the page's place in the TLB
            self.c_translate(m.address, (m.base[CS] + m.eip) & 0xffffffff, m.user, 0)
            p = self.host_address()
        blob = self.cache.find((p, m.eip, m.mode))
        if not blob: return  # the page is another one by now, or none, and the guest has not said so: it goes on by a walk
        key, count_from = blob.key, self.cache.count_from
        if not self.worker: return count_from(blob.number, NEVER)
        full = len(self.asked) >= QUEUE
        count_from(blob.number, WARM if full else NEVER)
        if key in self.asked: return
        if self.revive(key, blob.length) or full: return
        if self.revival.known_guest() and key not in self.put_off:
            self.put_off.add(key)
            return count_from(blob.number, WARM * PATIENCE)
        self.revival.missed()
        if not self.part(key, m.eip): return  # it is one instruction, which calls a text: nothing to optimise
        covered: list[Blob] = []
        chosen = region(m.eip, partial(self.neighbour, key, covered), p & 4095)
        for other in covered: count_from(other.number, NEVER)
        what = Job(key, chosen, self.guest_bytes(key, chosen), [other.key for other in covered])
        self.asked.add(key)
        job = self.worker.submit(optimise.compile_region, chosen, m.mode)
        job.add_done_callback(lambda job: None if job.cancelled() else self.finished.append((what, job.result())))

    def neighbour(self, first: Key, covered: list[Blob], eip: int) -> Part | None:
        """The block at EIP in the page of `first`, if it has a translation that is often executed, which is noted; else None."""
        assert self.cache
        p, start, mode = first
        if not (found := self.cache.find((p + eip - start, eip, mode))): return None
        if not found.optimised:
            left = self.cache.countdown[found.number]
            if 0 <= left <= WARM and WARM - left < WARM // SELDOM: return None
            covered.append(found)
        return self.part(first, eip)

    def part(self, first: Key, eip: int) -> Part | None:
        """The block at EIP in the page of `first`, if there is something to optimise."""
        p = first[0] + eip - first[1]
        block = self.translator.block(p, min(4096 - (p & 4095), (1 << 32) - eip), first[2])
        return Part(eip, block) if block else None

    def guest_bytes(self, key: Key, chosen: Region) -> list[bytes]:
        """The code a region is made of, as it is now."""
        return [ctypes.string_at(key[0] + part.eip - key[1], part.length) for part in chosen.parts.values()]

    def collect(self) -> None:
        """Takes in what the worker has finished, unless the guest's bytes have changed meanwhile."""
        assert self.cache and self.worker
        self.worker.poll()
        while self.finished:
            what, answer = self.finished.popleft()
            self.asked.remove(what.key)
            for key in what.covered:  # who still comes to them by other ways is counted anew
                if (other := self.cache.find(key)) and not other.optimised: self.cache.count_from(other.number, WARM)
            obj, seconds = answer or (None, 0.0)
            self.spent['llvm, in the worker'] += seconds
            if not obj or not (image := optimise.image(obj, what.region, what.key[2], what.code, seconds)): continue
            self.revival.keep(image)
            if self.guest_bytes(what.key, what.region) == what.code: self.take_in(image, what.key)

    def revive(self, key: Key, length: int) -> bool:
        """Takes in an optimised translation that was made before, of the same bytes, for one whose first block is `length` bytes; whether there is one."""
        image = self.revival.find(key[2], key[0], key[1], length, ctypes.string_at)
        return image is not None and self.take_in(image, key)

    def take_in(self, image: Image, key: Key) -> bool:
        """Adds an optimised translation to the cache, for a place with the bytes it was made of; False: it has no room for it."""
        assert self.cache
        made = optimise.made(image, key, self.translator, self.cache.number(), 'RECORD' if self.recorder else 'USED')
        if not self.cache.take_in(made) or not (found := self.cache.find(key)): return False
        self.cache.memory.use(found.place)
        if self.recorder: self.recorder.made(found, made.cost)
        return True

    def make_at_once(self, key: Key) -> bool:
        """Has a block optimised in this process, if there is something to optimise; whether that is in the cache."""
        if not self.part(key, key[1]): return False
        chosen = region(key[1], partial(self.part, key), key[0] & 4095)
        obj, seconds = optimise.compile_region(chosen, key[2])
        image = optimise.image(obj, chosen, key[2], self.guest_bytes(key, chosen), seconds) if obj else None
        return image is not None and self.take_in(image, key)

    def host_address(self) -> int:
        """Where CS:EIP lies in host memory, if the TLB knows; else 0."""
        m = self.state
        a = (m.base[CS] + m.eip) & 0xffffffff
        n = tlb_entry(a, m.user)
        return m.tlb_addend[n] + a if m.tlb_read[n] == a & 0xfffff000 else 0

    def times(self) -> dict[str, float]:
        """Seconds spent, for --stats; interpreting includes the devices."""
        if self.engine == 'eager': return self.spent
        m, second = self.state, (self.clocks() - self.began[0]) / (time.perf_counter() - self.began[1])
        making = self.spent['decoding and patching'] + m.making / second
        return {'devices': m.device_cycles / second, **self.spent, 'decoding and patching': making, 'reviving and archiving': self.revival.spent,
                'interpreting': m.cycles / second}

    def statistics(self) -> dict[str, Any]:
        """The cache's part of --stats."""
        m = self.state
        if not self.cache:
            return {}
        return {'lookups': m.counts[dispatch.LOOKUPS], 'hits': m.counts[dispatch.HITS], 'translated_instructions': m.translated,
                'coverage': m.translated / max(self.retired(), 1), **self.revival.statistics(), **self.cache.statistics()}
