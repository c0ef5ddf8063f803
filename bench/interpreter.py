"""How fast emu's interpreter alone runs the guest kernels of bench/guest, and how fast Bochs, an interpreter too, runs them: a table in bench/reports/.

Both run the same machine code: emu loads the multiboot image of speed.py, Bochs has it as its ROM (guest/rom.S), so neither a BIOS nor a disk is needed.
A speed is the number of instructions as emu counts them, all of a run's, over the time from the line START to the line END as they arrive; what is outside
of the two is some thousand instructions. Bochs' clock is not tied to the host's. Its display is the VNC server of Debian's package, to which nobody connects.
"""
import argparse
import os
import re
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _watch import EMU, REPORTS, ROOT, host
from speed import DEBUG_EXIT, GUEST, KERNELS, System, build, compared, measure
from tqdm import tqdm

WORK = {  # how much each does, for some seconds at most
    'sieve': 20, 'crc32': 20, 'matrix': 40, 'quicksort': 4, 'fibonacci': 8, 'bytecode': 2000000, 'strings': 1000, 'x87': 30000, 'rewrite': 100000,
    'together': 10000000, 'functions': 300,
}
ROM_SIZE, VIDEO_ROM_SIZE = 1 << 20, 512
SHUT_DOWN = 1  # Bochs' exit code then
BOCHSRC = '''
megs: 64
romimage: file={folder}/rom
vgaromimage: file={folder}/video_rom
com1: enabled=1, mode=file, dev=/dev/stdout
cpu: count=1, ips=100000000
clock: sync=none
vga: extension=none
display_library: rfb, options="timeout=0"
sound: driver=dummy
log: {folder}/log
'''


def emu(image: Path) -> System:
    """No engine above the interpreter."""
    return System('emu', lambda words, stats: [*EMU, 'run', '-engine', 'interpreter', '-m', '64', '-kernel', str(image), '-append', words, '-serial', 'stdio',
                                               '-display', 'none', '-no-reboot', '-debug-exit', hex(DEBUG_EXIT), '-stats', str(stats)])


def bochs(image: Path, folder: Path, program: str, debugger: bool) -> System:
    """A ROM is made for each run, as the command line is in it. Built with its debugger, as Debian's is, Bochs waits for a command first."""
    (folder / 'bochsrc').write_text(BOCHSRC.format(folder=folder))
    (folder / 'video_rom').write_bytes(bytes(VIDEO_ROM_SIZE))  # there has to be one
    (folder / 'continue').write_text('continue\n')

    def command(words: str, stats: Path) -> list[str]:
        rom(image, folder, words)
        return [program, '-q', '-f', str(folder / 'bochsrc'), *(['-rc', str(folder / 'continue')] if debugger else [])]
    return System('Bochs', command, SHUT_DOWN)


def rom(image: Path, folder: Path, words: str) -> None:
    """Bochs' ROM: the part of the image that is loaded, and what enters it."""
    elf, contents, linked = image.read_bytes(), folder / 'contents', folder / 'rom.o'
    entry, headers = struct.unpack_from('<2I', elf, 24)  # e_entry, e_phoff (System V ABI, chapter 4)
    offset, load, _, length = struct.unpack_from('<4I', elf, headers + 4)  # p_offset, p_vaddr, p_paddr, p_filesz of the only segment
    contents.write_bytes(elf[offset:offset + length])
    given = {'IMAGE': f'"{contents}"', 'LENGTH': length, 'LOAD': load, 'ENTRY': entry, 'WORDS': f'"{words}"', 'SIZE': ROM_SIZE}
    subprocess.run(['gcc', '-m32', *(f'-D{name}={value}' for name, value in given.items()), '-c', '-o', linked, GUEST / 'rom.S'], check=True)
    subprocess.run(['ld', '-m', 'elf_i386', f'-Ttext={(1 << 32) - ROM_SIZE:#x}', '-e', '0', '--oformat', 'binary', '-o', folder / 'rom', linked], check=True)


def mips(system: System, kernel: str, instructions: int) -> float:
    """Millions of instructions a second, by the median of the runs; 0 if there is none."""
    return instructions / seconds / 1e6 if (seconds := system.best(kernel)) else 0


def table(found: list[System], instructions: dict[str, int]) -> str:
    """Speeds, and emu's as a multiple of the other's."""
    head = ['loop', 'million instructions', *(f'{system.name}, MIPS' for system in found), *(f'emu : {other.name}' for other in found[1:])]
    rows = [head, ['---', *['---:'] * (len(head) - 1)]]
    for kernel, count in instructions.items():
        own, *others = speeds = [mips(system, kernel, count) for system in found]
        rows.append([KERNELS[kernel], f'{count / 1e6:,.0f}', *(f'{speed:.1f}' if speed else '-' for speed in speeds),
                     *(f'{own / other:.2f}' if other else '-' for other in others)])
    return ''.join(f'| {" | ".join(row)} |\n' for row in rows)


def ratio(found: list[System], instructions: dict[str, int]) -> str:
    """The geometric mean over the loops that both ran, but for the one that says how REP is done, not how instructions are."""
    pairs = [(mips(found[0], k, n), mips(other, k, n)) for other in found[1:] for k, n in instructions.items() if k != 'strings']
    ratios = [own / other for own, other in pairs if own and other]
    return f'Geometric mean of emu : Bochs, without rep movs: {statistics.geometric_mean(ratios):.2f}.\n' if ratios else ''


def output(*command: str) -> str:
    """What a program writes, to either stream."""
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout


def version(text: str) -> str:
    """Bochs' own, of its banner."""
    found = re.search(r'Bochs x86 Emulator (\S+)', text)
    return f'Bochs {found[1]}' if found else 'Bochs'


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument('kernels', nargs='*', help=f'some of {" ".join(WORK)}, as in `sieve` or `sieve=20` (how much it does)')
    arguments.add_argument('--repeat', type=int, default=3, help='runs of each, of which the median counts (default 3)')
    arguments.add_argument('--bochs', default='bochs-bin', help='the program (default: that of Debian\'s package bochs)')
    arguments.add_argument('--no-bochs', action='store_true')
    arguments.add_argument('--out', type=Path, default=REPORTS, help='where the report goes')
    given = arguments.parse_args()
    words = {word.split('=')[0]: word for word in given.kernels or WORK}
    if unknown := set(words) - set(WORK): arguments.error(f'no kernel {min(unknown)}; there are {" ".join(WORK)}')
    words = {kernel: word if '=' in word else f'{kernel}={WORK[kernel]}' for kernel, word in words.items()}
    if not (given.no_bochs or shutil.which(given.bochs)):
        print(f'there is no {given.bochs} (apt install bochs, or --no-bochs)', file=sys.stderr)
        return 1
    options = '' if given.no_bochs else output(given.bochs, '--help')
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        try:
            image, _ = build(folder)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f'the kernels cannot be built (gcc with -m32 is needed: gcc-multilib): {error}', file=sys.stderr)
            return 1
        subprocess.run([*EMU, 'setup'], cwd=ROOT, check=True)
        found = [emu(image), *([] if given.no_bochs else [bochs(image, folder, given.bochs, '-rc ' in options)])]
        for kernel in tqdm(words, unit='kernel', disable=None):
            for _ in range(given.repeat):
                for system in found: measure(system, kernel, words[kernel], folder)
    instructions = {kernel: stats['guest']['instructions'] for kernel, stats in found[0].stats.items()}
    good = all(len(system.seconds.get(kernel, [])) == given.repeat for system in found for kernel in words) and compared(found, list(words))
    other = '' if given.no_bochs else f' {version(options)}{", built with its debugger (without it, it may be faster)" if "-rc " in options else ""};'
    report = (f'# Speed of the interpreter alone\n\n{host()};{other} {time.strftime("%Y-%m-%d")}; load average before: {load:.1f}.\n'
              f'Medians of {given.repeat} runs. A REP with all its iterations counts as one instruction, for both. '
              f'{"Checksums agree." if good else "Some FAILED or DIFFER."}\n\n'
              f'{table(found, instructions)}\n{ratio(found, instructions)}')
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / 'interpreter.md').write_text(report)
    print(report)
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main())
