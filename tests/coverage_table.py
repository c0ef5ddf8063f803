"""Writes docs/coverage.md: instruction forms x engines x oracles, and how many cases were compared. Run: python -m tests.coverage_table [share]

It runs the oracle tests (everything; with `share`, what `make test` runs) and counts what they compared.
"""
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from emu.decoder.table import FORMS
from tests.harness import ENGINES

ROOT = Path(__file__).parents[1]
ORACLE_TESTS = ['tests/test_against_host.py', 'tests/test_silicon_80286.py', 'tests/test_engines_agree.py']
PROCESSORS = ('host', '80286', '386EX')
MODES = ('eager, kernel', 'eager, real', 'eager, v86')  # the eager engine as the oracle of the others
HEAD = '''# Coverage

What each engine is compared with, and in how many cases: real processors (the host CPU in user mode, tests/test_against_host.py; a Harris 80C286 and an Intel
386EX in real mode, tests/test_silicon_80286.py), and the eager engine, which ran the same cases against them, for what they cannot show (CPL 0, real and
virtual-8086 mode: tests/test_engines_agree.py).

A form is an instruction with its operands' width and kinds (emu/decoder/table.py), a row all forms of one text. `least`: the fewest cases that any one of its forms
had with a real processor, in the engine that had fewest; the columns are sums. Written by `python -m tests.coverage_table`: {run}.
'''
ELSEWHERE = {  # forms that no processor here can show: why
    'TOO_LONG': 'tests/test_decoder.py',
    'RDTSC': 'time', 'RDPMC': 'Linux allows it or not', 'CPUID': 'another processor', 'SYSENTER': "enters the host's kernel", 'SYSEXIT': 'not for user mode',
    'INT1': 'a hypervisor in between pushes the instruction\'s own address', **dict.fromkeys(('SGDT', 'SIDT', 'SLDT', 'STR', 'SMSW'), 'UMIP forbids it in user mode'),
    'BSWAP': 'undefined with 16 bits (SDM 2)',
}

GAPS = [
    'The x87 opcode register is not compared: the host keeps it for unmasked exceptions only. Flags and results that the manual leaves undefined are not',
    'compared (tests/undefined.py), nor where an AMD host does otherwise than the manual: INS and OUTS with a count of 0, LOOPcc under a REP prefix, which of two pages',
    'faults first (tests/cases.py `alike`, tests/test_against_host.py `TWO_PLACES`).',
    'RCPPS and RSQRTPS give what the host gives: the manual bounds their error only. Whether a faulting instruction has entered the MMX state is not compared.',
    'What a 386 does otherwise than a 286 is listed, with its section, in tests/test_silicon_80286.py (`otherwise`). EFLAGS.AC with CR0.AM: tests/test_breakpoints.py,',
    'tests/test_bochs.py alone.',
    'Privilege levels, gates, tasks and paging are compared with the manual, Bochs and QEMU: tests/test_bochs.py, tests/test_system_texts.py, tests/test_paging.py;',
    'on all engines: tests/test_system_programs.py, tests/test_breakpoints.py.',
]


def measure(everything: bool) -> Counter[tuple[str, str, str]]:
    """Runs the oracle tests: (form, engine, oracle) -> cases."""
    with tempfile.NamedTemporaryFile() as out:
        environment = os.environ | {'EMU_COVERAGE': out.name} | ({'EMU_TEST_ALL': '1'} if everything else {})
        subprocess.run([sys.executable, '-m', 'pytest', '-q', *ORACLE_TESTS], cwd=ROOT, env=environment, check=True)
        return Counter({(form, engine, oracle): n for form, engine, oracle, n in json.loads(Path(out.name).read_text())})


def table(cases: Counter[tuple[str, str, str]], run: str) -> str:
    """The document."""
    columns = [(engine, oracle) for oracle in PROCESSORS + MODES for engine in ENGINES if any(key[1:] == (engine, oracle) for key in cases)]
    lines = [HEAD.format(run=run), '| text | forms | least | ' + ' | '.join(f'{engine} - {oracle}' for engine, oracle in columns) + ' |', '| --- ' * (3 + len(columns)) + '|']
    for text in sorted({form.text for form in FORMS}):
        names = [form.name for form in FORMS if form.text == text]
        least = min(sum(cases[name, engine, p] for p in PROCESSORS) for name in names for engine in ENGINES)
        lines.append(f'| {text} | {len(names)} | {least or "-"} | ' + ' | '.join(str(sum(cases[name, *column] for name in names) or '-') for column in columns) + ' |')
    total = [sum(n for key, n in cases.items() if key[1:] == column) for column in columns]
    lines += [f'| **all** | {len(FORMS)} | | ' + ' | '.join(map(str, total)) + ' |', '', '## Gaps', '', 'Forms that no real processor is asked about:', '']
    lines += [f'- {form.name}: {ELSEWHERE[form.text]}' for form in FORMS if not any(cases[form.name, e, p] for e in ENGINES for p in PROCESSORS)]
    lines += ['', *GAPS]
    return '\n'.join(lines) + '\n'


if __name__ == '__main__':
    share = 'share' in sys.argv
    (ROOT / 'docs' / 'coverage.md').write_text(table(measure(not share), 'the share of `make test`' if share else 'the whole of `make test-all`'))
