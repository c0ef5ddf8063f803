"""Worker processes: LLVM runs in them, because its fatal errors abort, and so that the guest goes on meanwhile.

A worker is a fork of this process, so that it is ready at once: importing everything anew takes a third of a second. It keeps its two pipes and stderr of what was
open, reads pickled (function, arguments) from one pipe and answers pickled results on the other, until the first ends. One that died is replaced; its call gives None.
No threads: one that waits for an answer may not get Python's lock for a second, as the machine's thread lets go of it only in passing. So somebody has to `poll`.
"""
import fcntl
import os
import pickle
import select
import signal
import warnings
from collections import deque
from concurrent.futures import Future
from typing import Any, BinaryIO, Callable, NoReturn


class Worker:
    """A process, and what it is at."""

    def __init__(self, nice: int):
        (calls, to), (back, answers) = os.pipe(), os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', DeprecationWarning)  # "multi-threaded": the child needs nothing of other threads
            self.pid = os.fork()
        if self.pid == 0: live(calls, answers, nice)
        os.close(calls)
        os.close(answers)
        self.calls, self.answers = os.fdopen(to, 'wb'), os.fdopen(back, 'rb')
        self.job: Future[Any] | None = None

    def begin(self, job: 'Future[Any]', call: bytes) -> None:
        """Gives it a call; it waits for one."""
        self.job = job
        try:
            self.calls.write(call)
            self.calls.flush()
        except BrokenPipeError: pass  # then the answer ends too

    def answer(self) -> Any:
        """What came of the call; raises EOFError if the process has died."""
        try: return pickle.load(self.answers)
        except pickle.UnpicklingError: raise EOFError from None

    def end(self) -> None:
        """Kills the process, whatever it is at."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.answers.close()
        try: self.calls.close()
        except BrokenPipeError: pass  # of what it has not read


class Workers:
    """`count` processes, started now; `nice` lowers their priority."""

    def __init__(self, count: int, nice: int = 0):
        self.nice = nice
        self.waiting: deque[tuple[Future[Any], bytes]] = deque()
        self.poller = select.poll()
        self.workers: dict[int, Worker] = {}  # by the descriptors of their answers
        for _ in range(count): self.start()

    def start(self) -> None:
        """One more process."""
        worker = Worker(self.nice)
        self.workers[worker.answers.fileno()] = worker
        self.poller.register(worker.answers, select.POLLIN)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> 'Future[Any]':
        """The result to come of a module-level function; None if the worker died of it."""
        job: Future[Any] = Future()
        self.waiting.append((job, pickle.dumps((function, arguments))))
        self.assign()
        return job

    def assign(self) -> None:
        """Gives what waits to those that are free."""
        for worker in self.workers.values():
            if self.waiting and not worker.job: worker.begin(*self.waiting.popleft())

    def poll(self, timeout: float | None = 0) -> None:
        """Takes in what is done, after waiting up to `timeout` milliseconds for something (None: for as long as it takes)."""
        for file, _ in self.poller.poll(timeout):
            worker = self.workers[file]
            job = worker.job
            try: result = worker.answer()
            except EOFError:
                result = None
                self.poller.unregister(file)
                self.workers.pop(file).end()
                self.start()
            worker.job = None
            self.assign()
            if job: job.set_result(result)

    def close(self) -> None:
        """Ends the processes, whatever they are at; what was not done is not waited for."""
        for worker in self.workers.values(): worker.end()
        self.workers.clear()
        self.waiting.clear()


def live(calls: int, answers: int, nice: int) -> NoReturn:
    """A worker's life; at its end nothing of its parent's is run. Ctrl-C is the parent's business."""
    code = 1
    try:
        for number in signal.valid_signals():
            if callable(signal.getsignal(number)): signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        calls, answers = (fcntl.fcntl(pipe, fcntl.F_DUPFD, 4) for pipe in (calls, answers))
        os.dup2(calls, 0)
        os.dup2(answers, 3)
        os.dup2(2, 1)  # whatever prints must not print into the answers
        os.closerange(4, os.sysconf('SC_OPEN_MAX'))
        os.nice(nice)
        with open(0, 'rb') as asked, open(3, 'wb') as answer: serve(asked, answer)
        code = 0
    except (KeyboardInterrupt, BrokenPipeError): pass  # the parent is ending, and says why
    except BaseException:
        import traceback
        traceback.print_exc()
    finally:
        os._exit(code)


def serve(asked: BinaryIO, answer: BinaryIO) -> None:
    """Answers calls until there are no more."""
    while True:
        try: function, arguments = pickle.load(asked)
        except EOFError: return
        pickle.dump(function(*arguments), answer)
        answer.flush()
