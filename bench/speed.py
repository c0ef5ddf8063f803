"""How fast the guest kernels of bench/guest run under emu, under QEMU (TCG) and natively: a table and a plot in bench/reports/.

One multiboot image and one Linux program are linked from the same objects; only real mode's kernels are C in the latter. A kernel runs in a process of its own under
each system in turn, which also compares the checksums. Timed is what lies between the lines START and END as they arrive, so starting up does not count, but all
translating does: nothing is kept from one run to the next. `emu setup` runs before.
"""
import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

import matplotlib
from _watch import EMU, QEMU, REPORTS, ROOT, Failure, Watched, host, qemu_version
from tqdm import tqdm

matplotlib.use('Agg')
import matplotlib.pyplot as plt  # noqa: E402

GUEST = Path(__file__).parent / 'guest'
KERNELS = {
    'sieve': 'sieve of Eratosthenes', 'crc32': 'CRC-32 by table', 'matrix': 'integer matrix product', 'quicksort': 'quicksort',
    'fibonacci': 'recursive Fibonacci',
    'bytecode': 'bytecode interpreter, indirect jumps', 'strings': 'rep movs, rep stos', 'x87': 'x87: five bodies', 'rewrite': 'code that rewrites itself',
    'together': 'code, data and stack in one page',
    'functions': '16,000 small functions in turn', 'real_sieve': 'real mode: sieve', 'real_calls': 'real mode: far calls and pointers',
    'protected_calls': '16-bit protected mode: far calls and pointers', 'protected_ints': '16-bit protected mode: INT, IRET, POPF, STI',
}
CFLAGS = ('-m32 -O2 -march=i686 -mno-sse -mno-mmx -mfpmath=387 -ffreestanding -fno-pic -fno-stack-protector -fno-asynchronous-unwind-tables '
          '-fcf-protection=none -fno-tree-loop-distribute-patterns -Wall -Wextra -Werror').split()
SHARED = ('bench.c', 'integer.c', 'bytecode.c', 'strings.c', 'x87.c', 'code.S')
DEBUG_EXIT, ENDED = 0xf4, 0x10 * 2 + 1
TIMEOUT = 120  # seconds for one kernel


WHY = {  # what profiles have shown (perf record -e cpu-clock) of kernels that may be slower than under QEMU
    'functions': 'Each of 48,000 blocks is executed 400 times in all. Making their translations takes a tenth of the time (1 to 2 us each); the rest is bound by the '
                 'caches of the host: a call is two lookups, then come two or three blocks, some 600 bytes of code, that were not used for 16,000 calls. The first 16 rounds are '
                 'interpreted, at a third of the speed of translations.',
}


@dataclass
class System:
    """Something that runs a kernel: `command(words, stats file)`, and what came of it."""

    name: str
    command: Callable[[str, Path], list[str]]
    exit_code: int = ENDED
    seconds: dict[str, list[float]] = field(default_factory=dict)
    checksum: dict[str, str] = field(default_factory=dict)
    stats: dict[str, dict] = field(default_factory=dict)

    def best(self, kernel: str) -> float | None:
        """The median of the runs."""
        return statistics.median(self.seconds[kernel]) if self.seconds.get(kernel) else None


def build(folder: Path) -> tuple[Path, Path]:
    """The multiboot image and the native program, of the same objects."""
    objects = {name: folder / f'{name}.o' for name in (*SHARED, 'start.S', 'guest.c', 'real.S')}
    for name, path in objects.items():
        subprocess.run(['gcc', *CFLAGS, '-c', '-o', path, GUEST / name], check=True)
    shared = [objects[name] for name in SHARED]
    image, native = folder / 'image', folder / 'native'
    link = ['gcc', '-m32', '-no-pie', '-Wl,--no-warn-rwx-segments']
    bare = ['-nostdlib', '-static', '-Wl,--build-id=none', '-T', GUEST / 'guest.ld', objects['start.S'], objects['guest.c'], objects['real.S']]
    subprocess.run([*link, *bare, *shared, '-o', image], check=True)
    subprocess.run([*link, '-O2', '-o', native, GUEST / 'native.c', *shared], check=True)
    return image, native


def systems(image: Path, native: Path, engines: list[str], qemu: bool) -> list[System]:
    """emu with each engine as the highest, QEMU, the host."""
    def command(program: list[str], words: str) -> list[str]:
        return [*program, '-m', '64', '-kernel', str(image), '-append', words, '-serial', 'stdio', '-display', 'none', '-no-reboot']

    def emu(engine: str) -> Callable[[str, Path], list[str]]:
        return lambda words, stats: [*command([*EMU, 'run', '-archive', 'off'], words), '-debug-exit', hex(DEBUG_EXIT), '-engine', engine, '-stats', str(stats)]
    found = [System('emu' if engine == 'optimise' else f'emu {engine}', emu(engine)) for engine in engines]
    device = f'isa-debug-exit,iobase={DEBUG_EXIT:#x},iosize=4'
    if qemu: found.append(System('QEMU', lambda words, stats: [*command(QEMU, words), '-device', device]))
    return [*found, System('native', lambda words, stats: [str(native), words], exit_code=0)]


def run(command: list[str], exit_code: int) -> tuple[float, str]:
    """Seconds from the line START to the line END, and its checksum."""
    with Watched(command) as program:
        start, _ = program.wait_for(rb'START \S+', TIMEOUT)
        end, checksum = program.wait_for(rb'END \S+ (\w+)\r?\n', TIMEOUT)
        if (code := program.finish(10)) != exit_code: raise Failure(f'exit code {code}; {program.last()}')
    return end - start, checksum.decode()


def measure(system: System, kernel: str, words: str, folder: Path) -> None:
    """One run; a failure is told and leaves a gap."""
    stats = folder / 'stats.json'
    stats.unlink(missing_ok=True)
    try:
        seconds, checksum = run(system.command(words, stats), system.exit_code)
    except Failure as failure:
        tqdm.write(f'{system.name}: {kernel}: {failure}')
        return
    system.seconds.setdefault(kernel, []).append(seconds)
    system.checksum[kernel] = checksum
    if stats.exists(): system.stats[kernel] = json.loads(stats.read_text())


def compared(found: list[System], kernels: list[str]) -> bool:
    """Whether all checksums agree; says which do not."""
    good = True
    for kernel in kernels:
        sums = {system.name: system.checksum[kernel] for system in found if kernel in system.checksum}
        if len(set(sums.values())) > 1:
            good = False
            print(f'{kernel}: checksums differ: {sums}')
    return good


def table(found: list[System], kernels: list[str]) -> str:
    """Seconds, and each system's speed as a multiple of QEMU's, or of the native one."""
    base = next((system for system in found if system.name == 'QEMU'), found[-1])
    others = [system for system in found if system is not base]
    head = ['kernel', *(f'{system.name}, s' for system in found), *(f'{system.name} : {base.name}' for system in others)]
    rows = [head, ['---', *['---:'] * (len(head) - 1)]]
    for kernel in kernels:
        times = [system.best(kernel) for system in found]
        own = base.best(kernel)
        ratios = [f'{own / t:.2f}' if own and (t := system.best(kernel)) else '-' for system in others]
        rows.append([KERNELS[kernel], *(f'{t:.3f}' if t else '-' for t in times), *ratios])
    return ''.join(f'| {" | ".join(row)} |\n' for row in rows)


def profile(found: list[System], kernels: list[str]) -> str:
    """What emu says of each kernel: where the time went, and the cache's totals."""
    def numbers(part: dict) -> str:
        return ', '.join(f'{name} {value:,.4g}' for name, value in part.items() if isinstance(value, (int, float)) and value)
    out = ''
    for system in found:
        for kernel in kernels:
            if not (stats := system.stats.get(kernel)): continue
            instructions, wall = stats['guest'].get('instructions', 0), system.best(kernel) or 0
            out += (f'- **{kernel}**, {system.name}: {instructions / 1e6:,.0f} million instructions, {instructions / wall / 1e6:,.0f} MIPS. '
                    f'Seconds: {numbers(stats["time"])}. Cache: {numbers(stats["cache"])}.\n')
    return out


def reasons(found: list[System], kernels: list[str]) -> str:
    """For each kernel that is slower than under QEMU: where emu's time goes, from its own counts, and what profiles have shown."""
    emu, qemu = (next((system for system in found if system.name == name), None) for name in ('emu', 'QEMU'))
    if not emu or not qemu: return ''
    out = ''
    for kernel in kernels:
        own, other = emu.best(kernel), qemu.best(kernel)
        if not own or not other or own <= other or not (stats := emu.stats.get(kernel)): continue
        spent, cache, instructions = stats['time'], stats['cache'], stats['guest']['instructions']
        parts = {'making translations': spent['decoding and patching'], 'interpreting (with devices)': spent['interpreting']}
        inside = spent['running'] - sum(parts.values())
        made, lookups = max(cache.get('compiles', 0), 1), cache.get('lookups', 0)
        out += (f'- **{kernel}**: {spent["running"]:.2f} s, of which '
                + ', '.join(f'{seconds:.2f} s {what}' for what, seconds in parts.items() if seconds > 0.01 * spent['running'])
                + f', {inside:.2f} s in translations. {made:,} were made, in {parts["making translations"] / made * 1e6:.1f} us each, for {instructions / made:,.0f} instructions '
                f'each; {lookups:,} lookups, one for {instructions / max(lookups, 1):,.0f} instructions; {inside / instructions * 1e9:.2f} ns an instruction in translations. '
                f'{WHY.get(kernel, "")}\n')
    return '## Slower than QEMU, and why\n\n' + (out or 'None of these kernels.\n') + '\n'


def plot(found: list[System], kernels: list[str], path: Path) -> None:
    """Bars of each system's speed, QEMU's being 1."""
    base = next((system for system in found if system.name == 'QEMU'), found[-1])
    figure, axes = plt.subplots(figsize=(10, 5))
    width = 0.8 / len(found)
    for n, system in enumerate(found):
        speeds = [(base.best(k) or 0) / (system.best(k) or float('inf')) for k in kernels]
        axes.bar([x + (n - (len(found) - 1) / 2) * width for x in range(len(kernels))], speeds, width, label=system.name)
    axes.axhline(1, color='gray', linewidth=0.5)
    axes.set(yscale='log', ylabel=f'speed, {base.name} = 1', title='Guest kernels')
    axes.set_xticks(range(len(kernels)), kernels, rotation=30, ha='right')
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument('kernels', nargs='*', help=f'some of {" ".join(KERNELS)}, as in `sieve` or `sieve=20` (how much it does)')
    arguments.add_argument('--repeat', type=int, default=3, help='runs of each, of which the median counts (default 3)')
    arguments.add_argument('--engine', action='append', choices=('interpreter', 'stencils', 'optimise'), help='highest engine of emu; may be repeated')
    arguments.add_argument('--no-emu', action='store_true')
    arguments.add_argument('--no-qemu', action='store_true')
    arguments.add_argument('--out', type=Path, default=REPORTS, help='where the report goes')
    given = arguments.parse_args()
    words = {word.split('=')[0]: word for word in given.kernels or KERNELS}
    if unknown := set(words) - set(KERNELS): arguments.error(f'no kernel {min(unknown)}; there are {" ".join(KERNELS)}')
    engines = [] if given.no_emu else given.engine or ['optimise']
    kernels = list(words)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        try:
            found = systems(*build(folder), engines, not given.no_qemu)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f'the kernels cannot be built (gcc with -m32 is needed: gcc-multilib): {error}', file=sys.stderr)
            return 1
        if engines: subprocess.run([*EMU, 'setup'], cwd=ROOT, check=True)
        for kernel in tqdm(kernels, unit='kernel', disable=None):
            for _ in range(given.repeat):
                for system in found: measure(system, kernel, words[kernel], folder)
    good = compared(found, kernels)
    given.out.mkdir(parents=True, exist_ok=True)
    report = (f'# Speed of guest kernels\n\n{host()}; {qemu_version()}; {time.strftime("%Y-%m-%d")}.\n'
              f'Medians of {given.repeat} runs; the last columns are speeds, larger is faster. Checksums {"agree" if good else "DIFFER"}.\n\n'
              f'{table(found, kernels)}\n![plot](speed.png)\n\n{reasons(found, kernels)}## Where the time goes\n\n{profile(found, kernels)}')
    (given.out / 'speed.md').write_text(report)
    plot(found, kernels, given.out / 'speed.png')
    print(report)
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main())
