"""python -m frontends.sdl ADDRESS."""
import argparse
import os
import sys
import warnings
from typing import NoReturn

from frontends.client import Client, Ended, connect
from frontends.protocol import VIEW_ONLY

warnings.filterwarnings('ignore', message='Using SDL2 binaries')


def main() -> NoReturn:
    """The command line. Exit code 1 and a line on stderr where there is no machine, or no desktop."""
    arguments = argparse.ArgumentParser(prog='emu view', description='A window on a machine.')
    arguments.add_argument('address')
    arguments.add_argument('--view-only', action='store_true', help='look and listen only')
    arguments.add_argument('--owner', action='store_true', help='ask what becomes of the machine when the window is closed')
    arguments.add_argument('--title', help="the window's (default: the machine's name)")
    given = arguments.parse_args()
    try:
        machine = Client(connect(given.address), f'window of {os.environ.get("USER", "somebody")}', given.view_only)
        assert machine.welcome and machine.ready
    except Ended as error:
        sys.exit(f'emu view: {error}')
    from frontends.sdl.screen import SdlError
    from frontends.sdl.window import Window
    try:
        window = Window(machine, given.title or machine.welcome['name'], given.owner, given.view_only or bool(machine.ready['flags'] & VIEW_ONLY))
    except SdlError as error:
        sys.exit(f'emu view: no window can be opened: {error}')
    try:
        window.run()
    except Ended as error:
        if str(error) != 'the machine has ended': print(f'emu view: {error}', file=sys.stderr)
    except KeyboardInterrupt:
        pass
    finally:
        window.screen.close()
    sys.exit(0)


if __name__ == '__main__':
    main()
