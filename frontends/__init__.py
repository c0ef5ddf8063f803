"""Programs that show a machine: they import nothing of `emu`, and speak protocol.py to it (docs/protocol.md)."""
