"""Packages of Debian, for i386 where nothing else is said, through this machine's own apt: its sources, its keys, its proxy. apt verifies every signature.

apt works in a state directory of its own, so nothing of the system changes and root is not needed. `APT::Status-Fd` gives the progress.
"""
import os
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Mapping, NamedTuple

from tqdm import tqdm

from emu.errors import EmuError

ARCHITECTURE = 'i386'


class Package(NamedTuple):
    """A downloaded .deb."""

    path: Path
    version: str

    def read(self, member: str) -> bytes:
        """The contents of one file in it, such as './bin/busybox'."""
        with subprocess.Popen(['dpkg-deb', '--fsys-tarfile', self.path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as unpack:
            try:
                with tarfile.open(fileobj=unpack.stdout, mode='r|') as archive:
                    for info in archive:
                        if info.name == member and (file := archive.extractfile(info)): return file.read()
            except tarfile.TarError as error:
                raise EmuError(f'{self.path.name}: damaged: {error}') from None
            finally:
                unpack.kill()  # what comes after the file is not wanted
        raise EmuError(f'{self.path.name}: there is no {member} in it')

    def unpack(self, folder: Path) -> None:
        """All files, under a folder."""
        done = subprocess.run(['dpkg-deb', '-x', self.path, folder], capture_output=True, text=True, errors='replace')
        if done.returncode: raise EmuError(f'{self.path.name}: cannot be unpacked: {(done.stderr.strip() or "damaged").splitlines()[-1]}')


def versions(packages: Mapping[str, Package]) -> dict[str, str]:
    """The version of each package."""
    return {name: package.version for name, package in packages.items()}


class Apt:
    """apt with a private state under `parent`, for the length of a `with`; all packages are gone after it."""

    def __init__(self, parent: Path, architecture: str = ARCHITECTURE):
        self.parent, self.architecture = parent, architecture

    def __enter__(self) -> 'Apt':
        self.temporary = tempfile.TemporaryDirectory(dir=self.parent, prefix='apt.')
        self.root = root = Path(self.temporary.name)
        for folder in ('lists/partial', 'archives/partial', 'packages'): (root / folder).mkdir(parents=True)
        (root / 'status').touch()
        settings = {
            'Dir::State::Lists': root / 'lists', 'Dir::State::status': root / 'status', 'Dir::Cache': root, 'Dir::Cache::Archives': root / 'archives',
            'APT::Architecture': self.architecture, 'APT::Architectures': self.architecture, 'Debug::NoLocking': 1, 'APT::Sandbox::User': 'root',
            'Acquire::Languages': 'none', 'Acquire::Retries': 2,
        }
        self.options = [word for name, value in settings.items() for word in ('-o', f'{name}={value}')]
        self.errors = ''
        self.run('update', title='package lists')  # an index of some other archive may be missing; what matters is asked for below
        return self

    def __exit__(self, *exception: object) -> None:
        self.temporary.cleanup()

    def dependency(self, package: str, pattern: str) -> str:
        """The name of the first package it depends on that matches the pattern."""
        text = self.ask('depends', package)
        if found := re.search(rf'^ *Depends: ({pattern})$', text, re.MULTILINE): return found[1]
        raise self.failure(package)

    def download(self, *names: str) -> dict[str, Package]:
        """The packages of these names."""
        folder = self.root / 'packages'
        status = self.run('download', '-y', *names, title='packages', cwd=folder)
        found = packages(folder)
        if missing := [name for name in names if name not in found]: raise self.failure(missing[0])
        if status: raise self.failure(names[0])
        return {name: found[name] for name in names}

    def closure(self, *names: str) -> dict[str, Package]:
        """The packages of these names and all that they depend on."""
        status = self.run('install', '-y', '--no-install-recommends', '--download-only', *names, title='packages')
        if status: raise self.failure(names[0] if len(names) == 1 else 'a package')
        return packages(self.root / 'archives')

    def ask(self, *words: str) -> str:
        """What apt-cache prints."""
        return subprocess.run(['apt-cache', *self.options, *words], env=environment(), capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout

    def run(self, *words: str, title: str, cwd: Path | None = None) -> int:
        """apt-get with a progress bar; its exit status. What it complains of goes to `errors`."""
        reader, writer = os.pipe()
        command = ['apt-get', '-q', *self.options, '-o', f'APT::Status-Fd={writer}', *words]
        log = self.root / 'log'
        try:
            with log.open('wb') as out:
                process = subprocess.Popen(command, cwd=cwd, env=environment() | {'TMPDIR': str(self.root)}, stdin=subprocess.DEVNULL, stdout=out, stderr=out, pass_fds=[writer])
        except FileNotFoundError:
            os.close(reader)
            raise EmuError('guests are made from Debian packages through apt, and there is no apt-get on this machine') from None
        finally:
            os.close(writer)
        try:
            show(reader, title)
        finally:
            process.terminate()  # at an interrupt; it is over otherwise
            status = process.wait()
        self.errors += log.read_text(errors='replace')
        return status

    def failure(self, package: str) -> EmuError:
        """Why there is no such package, in apt's words."""
        said = re.findall(r'^(?:E|W|Err): ?(.*)', self.errors, re.MULTILINE) or ['no package of that name in its sources']
        best = next((line for line in said if re.search(r'resolv|connect|fetch|authent|sign', line)), said[0])
        return EmuError(f'apt cannot get {package} for {self.architecture} (is there network?): {best}')


def packages(folder: Path) -> dict[str, Package]:
    """The .deb files in a folder, named NAME_VERSION_ARCHITECTURE.deb, in order of their names."""
    split = {path: path.name.split('_') for path in sorted(folder.glob('*.deb'))}
    return {name: Package(path, version.replace('%3a', ':')) for path, (name, version, _) in split.items()}


def show(reader: int, title: str) -> None:
    """A progress bar from lines `dlstatus:NUMBER:PERCENT:TEXT`, until apt ends."""
    with open(reader) as lines, tqdm(total=100, desc=title, unit='%', bar_format='{desc}: {percentage:3.0f}% |{bar}| {elapsed}', disable=None) as bar:
        for line in lines:
            if (fields := line.split(':'))[0] == 'dlstatus': bar.update(min(float(fields[2]), 100) - bar.n)
        bar.update(100 - bar.n)


def environment() -> dict[str, str]:
    """apt's answers are read, so they are in English."""
    return {**os.environ, 'LC_ALL': 'C', 'DEBIAN_FRONTEND': 'noninteractive'}
