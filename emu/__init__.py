"""emu: a PC emulator. The command is emu/cli.py, the machine emu/machine.py."""

__version__ = '0.1.0'
