"""Worker processes: what they answer, that one that dies is replaced, and what they keep of their parent."""
import os
import signal
import subprocess
import sys
from concurrent.futures import Future
from typing import Any

from emu.jit.workers import Workers


def result(workers: Workers, job: 'Future[Any]') -> Any:
    """What came of a job, when it has come."""
    while not job.done(): workers.poll(None)
    return job.result()


def die(number: int) -> None:
    """What an LLVM that aborts does to its process."""
    os.kill(os.getpid(), number)


def descriptors() -> list[str]:
    """What this process has open, but for what it looks with."""
    return [os.readlink(path) for path in (f'/proc/self/fd/{n}' for n in os.listdir('/proc/self/fd')) if os.path.exists(path)]


def test_calls_are_answered_in_processes_of_their_own() -> None:
    workers = Workers(2)
    jobs = [workers.submit(pow, 3, n) for n in range(20)]
    assert [result(workers, job) for job in jobs] == [3 ** n for n in range(20)]
    large = os.urandom(300_000)  # more than a pipe holds
    assert result(workers, workers.submit(bytes.hex, large)) == large.hex()
    assert result(workers, workers.submit(os.getpid)) != os.getpid()
    workers.close()
    workers.close()


def test_one_that_dies_answers_none_and_is_replaced() -> None:
    workers = Workers(1)
    first = result(workers, workers.submit(os.getpid))
    jobs = [workers.submit(die, signal.SIGKILL), workers.submit(int, 'no number'), workers.submit(os.getpid)]
    assert [result(workers, job) for job in jobs[:2]] == [None, None]
    assert result(workers, jobs[2]) not in (first, None)
    workers.close()


def test_it_has_nothing_open_of_its_parents() -> None:
    """A disk image or a socket must not stay open, or locked, in a process that has nothing to do with it."""
    with open(__file__) as file:
        assert file.name in descriptors()
        workers = Workers(1)
        found = result(workers, workers.submit(descriptors))
        workers.close()
    assert __file__ not in found and len([name for name in found if name.startswith('pipe:')]) <= 4  # its two, and perhaps stdout and stderr


def test_interrupting_the_parent_does_not_end_it() -> None:
    """Ctrl-C goes to all processes of a terminal."""
    workers = Workers(1)
    pid = result(workers, workers.submit(os.getpid))
    os.kill(pid, signal.SIGINT)
    assert result(workers, workers.submit(os.getpid)) == pid
    workers.close()


def test_a_parent_that_has_gone_is_no_error() -> None:
    """Ctrl-C while the interpreter is compiled: the parent says so, in one line; its workers say nothing."""
    program = 'import time; from emu.jit.workers import Workers; Workers(1).submit(time.sleep, 0.5)'
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, timeout=60)  # until stderr, which the worker has too, is closed
    assert (done.returncode, done.stderr) == (0, '')
