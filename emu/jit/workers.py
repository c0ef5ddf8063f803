"""Worker processes: LLVM runs in them, because its fatal errors abort, and so that the guest goes on meanwhile.

A worker is `python -m emu.jit.workers`: it reads pickled (function, arguments) from stdin and answers pickled results on stdout, until stdin ends. One that
died is started anew for the next call; its own call gives None.
"""
import os
import pickle
import signal
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable

PACKAGE = Path(__file__).resolve().parents[2]


class Workers:
    """`count` processes, started when they are needed; `nice` lowers their priority."""

    def __init__(self, count: int, nice: int = 0):
        self.threads = ThreadPoolExecutor(count)  # each waits for one process
        self.own = threading.local()
        self.nice = nice
        self.processes: list[subprocess.Popen[bytes]] = []

    def submit(self, function: Callable[..., Any], *arguments: Any) -> 'Future[Any]':
        """The result to come of a module-level function; None if the worker died of it."""
        return self.threads.submit(self.call, function, arguments)

    def call(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Runs in a thread: asks its process and waits."""
        process = getattr(self.own, 'process', None)
        if process is None or process.poll() is not None:
            environment = os.environ | {'PYTHONPATH': os.pathsep.join([str(PACKAGE), *filter(None, [os.environ.get('PYTHONPATH')])])}
            process = subprocess.Popen([sys.executable, '-m', 'emu.jit.workers', str(self.nice)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                                          env=environment)
            self.own.process = process
            self.processes.append(process)
        assert process.stdin and process.stdout
        try:
            pickle.dump((function, arguments), process.stdin)
            process.stdin.flush()
            return pickle.load(process.stdout)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            process.kill()
            return None

    def close(self) -> None:
        """Ends the processes, whatever they are at; what was not done is not waited for."""
        self.threads.shutdown(wait=False, cancel_futures=True)
        for process in self.processes:
            process.kill()


def main() -> None:
    """A worker's life. Ctrl-C is the parent's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(int(sys.argv[1]))
    answers = os.fdopen(os.dup(1), 'wb')
    os.dup2(2, 1)  # whatever prints must not print into the answers
    while True:
        try:
            function, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        pickle.dump(function(*arguments), answers)
        answers.flush()


if __name__ == '__main__':
    main()
