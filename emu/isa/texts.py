"""TEXTS: the name of every instruction's text -> the function, from all modules of emu/isa. Engines import it; texts never do."""
import inspect
import pkgutil
import re
from importlib import import_module
from typing import Any, Callable

import emu.isa


def collect() -> dict[str, Callable[..., Any]]:
    """Every function whose name is all capitals, by name; no two modules may share one."""
    texts: dict[str, Callable[..., Any]] = {}
    for found in pkgutil.iter_modules(emu.isa.__path__):
        if found.name == 'texts': continue
        module = import_module('emu.isa.' + found.name)
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__ and re.fullmatch('[A-Z][A-Z0-9_]*', name):
                assert name not in texts, f'two texts are called {name}'
                texts[name] = function
    return texts


TEXTS = collect()
