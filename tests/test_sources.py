"""Whoever edits emu's sources while it runs changes nothing of that run, nor of what it keeps for others (emu/jit/sources.py)."""
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import emu

EDIT = """
import emu
from pathlib import Path
def edit():
    for path in Path(emu.__file__).parent.glob('*/*.py'): path.write_text('#' + chr(10) * 9 + path.read_text())
"""
COMPILED = """
import ast, hashlib
from emu.jit import build, lower, optimise
from emu.isa.texts import TEXTS
{}
lowered = ''.join(ast.dump(lower.tree(text)) for text in TEXTS.values())
print(build.version('interpreter'), build.version('stencils'), optimise.version(), hashlib.sha256(lowered.encode()).hexdigest())
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Our sources, to be edited."""
    shutil.copytree(Path(emu.__file__).parent, tmp_path / 'emu', ignore=shutil.ignore_patterns('__pycache__'))
    return tmp_path


def python(tree: Path, program: str) -> str:
    """What it prints."""
    return subprocess.run([sys.executable, '-c', program], cwd=tree, env={'PYTHONPATH': str(tree)}, stdout=subprocess.PIPE, text=True, check=True).stdout


def test_what_is_compiled_is_what_was_imported(tree: Path) -> None:
    """Lines added at a file's top: each text was lowered as one that stood further up, ADC as ADD, and a guest that ran panicked."""
    before = python(tree, EDIT + COMPILED.format(''))
    assert python(tree, EDIT + COMPILED.format('edit()')) == before
    assert python(tree, EDIT + COMPILED.format('')) != before  # another name for what is compiled then
