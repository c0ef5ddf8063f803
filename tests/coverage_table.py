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
ORACLE_TESTS = ['tests/test_against_host.py', 'tests/test_silicon_80286.py']
ORACLES = ('host', '80286', '386EX')
HEAD = '''# Coverage

What the tests compare with real processors: the host CPU in user mode (tests/test_against_host.py), a Harris 80C286 and an Intel 386EX in real mode
(tests/test_silicon_80286.py). A form is an instruction with its operands' width and kinds (emu/decoder/table.py), a row all forms of one text; `least`: the fewest cases that
any one of its forms had with an oracle, the rest are sums. Written by `python -m tests.coverage_table`.
'''
ELSEWHERE = {  # forms without an oracle: why, and where they are tested
    'TOO_LONG': 'the host has other limits on redundant prefixes: tests/test_decoder.py',
    'RDTSC': 'time: tests/test_system_texts.py', 'RDPMC': 'Linux allows it or not: tests/test_system_texts.py', 'CPUID': 'another processor: tests/test_system_texts.py',
    'SYSENTER': 'enters the host\'s kernel: tests/test_system_texts.py', 'SYSEXIT': 'the same', 'INT1': 'hypervisors disagree: tests/test_system_texts.py',
    **dict.fromkeys(('SGDT', 'SIDT', 'SLDT', 'STR', 'SMSW'), 'UMIP forbids them in user mode: tests/test_system_texts.py'),
    'BSWAP': 'undefined with 16 bits (SDM 2)',
}


def measure(everything: bool) -> Counter[tuple[str, str, str]]:
    """Runs the oracle tests: (form, engine, oracle) -> cases."""
    with tempfile.NamedTemporaryFile() as out:
        environment = os.environ | {'EMU_COVERAGE': out.name} | ({'EMU_TEST_ALL': '1'} if everything else {})
        subprocess.run([sys.executable, '-m', 'pytest', '-q', *ORACLE_TESTS], cwd=ROOT, env=environment, check=True)
        return Counter({(form, engine, oracle): n for form, engine, oracle, n in json.loads(Path(out.name).read_text())})


def table(cases: Counter[tuple[str, str, str]]) -> str:
    """The document."""
    columns = [(engine, oracle) for engine in ENGINES for oracle in ORACLES if any(key[1:] == (engine, oracle) for key in cases)]
    lines = [HEAD, '| text | forms | least | ' + ' | '.join(f'{engine}, {oracle}' for engine, oracle in columns) + ' |', '| --- ' * (3 + len(columns)) + '|']
    for text in sorted({form.text for form in FORMS}):
        names = [form.name for form in FORMS if form.text == text]
        least = min(sum(cases[name, e, o] for o in ORACLES) for name in names for e in ENGINES)
        lines.append(f'| {text} | {len(names)} | {least} | ' + ' | '.join(str(sum(cases[name, *column] for name in names) or '-') for column in columns) + ' |')
    total = [sum(n for key, n in cases.items() if key[1:] == column) for column in columns]
    lines += [f'| **all** | {len(FORMS)} | | ' + ' | '.join(map(str, total)) + ' |', '', '## Gaps', '', 'Forms that no oracle sees:', '']
    for form in FORMS:
        if not any(cases[form.name, e, o] for e in ENGINES for o in ORACLES): lines.append(f'- {form.name}: {ELSEWHERE.get(form.text, "not tested")}')
    lines += ['', 'The x87 opcode register is left out. Real mode is compared for what the 286 has; virtual-8086 mode, privilege levels, tasks and paging have tests of their',
              'own, against the manual. What a 386 does otherwise than a 286 is listed, with its section, in tests/test_silicon_80286.py (`otherwise`).']
    return '\n'.join(lines) + '\n'


if __name__ == '__main__':
    (ROOT / 'docs' / 'coverage.md').write_text(table(measure('share' not in sys.argv)))
