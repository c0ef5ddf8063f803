"""The window: `emu view ADDRESS`, or `python -m frontends.sdl ADDRESS`. SDL 2 by PySDL2; it speaks frontends/protocol.py and imports nothing of the emulator."""
