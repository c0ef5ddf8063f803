"""The `emu` command, also as `python -m emu`: Ctrl-C is one line from its first moment on, while the modules are imported."""
import sys


def main() -> int:
    """Its exit code."""
    try:
        from emu import cli
        return cli.main()
    except KeyboardInterrupt:
        print('emu: interrupted', file=sys.stderr)
        return 1


if __name__ == '__main__': sys.exit(main())
