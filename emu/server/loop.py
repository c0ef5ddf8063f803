"""The event loop: everything that the machine's thread serves besides the CPU: serial lines, the control socket, and what asks to end the run.

The machine waits in it while the CPU is halted or stopped (`poll(timeout)`), and looks at it about once a millisecond while the CPU runs (`poll()`). Callbacks run in
that thread, between two slices, and must not wait. They are called again for as long as the file is ready: who does not want to read now stops watching.
`after` is for what is due by the host's clock (the guest's own is emu/hw/clock.py): a picture for a viewer, a packet's retransmission.
Made of select(2): epoll counts whole milliseconds, too coarse for a guest's timers, and takes no regular files, which standard input may be.
Left out therefore: descriptors of 1024 and above, which `watch` refuses with OSError.
"""
import heapq
import os
import select
import signal
import time
from typing import Callable

DESCRIPTORS = 1024  # FD_SETSIZE
# What ends a process that does not catch it, and what others send: people, `timeout`, `ulimit -t`; signal(7).
ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGABRT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGTERM, signal.SIGVTALRM, signal.SIGPROF,
          signal.SIGXCPU, signal.SIGPWR)

Callback = Callable[[], object]


class Alarm:
    """Something due at a moment of time.monotonic(); `cancel` makes it never happen."""

    def __init__(self, when: float, callback: Callback):
        self.when, self.callback = when, callback

    def __lt__(self, other: 'Alarm') -> bool:
        return self.when < other.when

    def cancel(self) -> None:
        """It stays in the heap until it would have been due."""
        self.callback = never


def never() -> None:
    """What a cancelled alarm does."""


class Loop:
    """`quit` is set once somebody has asked for the end of the run: the user, a signal."""

    def __init__(self) -> None:
        self.files: dict[int, tuple[Callback | None, Callback | None]] = {}  # descriptor -> its callbacks
        self.readers: list[int] = []  # those that are watched for something to read,
        self.writers: list[int] = []  # and for room
        self.alarms: list[Alarm] = []
        self.quit = False
        self.awake, self.waker = os.pipe()
        for end in (self.awake, self.waker): os.set_blocking(end, False)
        self.watch(self.awake, self.awoken)

    def watch(self, file: int, read: Callback | None = None, write: Callback | None = None) -> None:
        """From now on calls `read` while there is something to read (or the end of it), `write` while there is room; replaces what was said of this descriptor before."""
        if file >= DESCRIPTORS: raise OSError(f'too many open files: descriptor {file}; up to {DESCRIPTORS - 1} can be waited for')
        self.files.pop(file, None)
        if read or write: self.files[file] = read, write
        self.readers = [known for known, (read, _) in self.files.items() if read]
        self.writers = [known for known, (_, write) in self.files.items() if write]

    def after(self, seconds: float, callback: Callback) -> Alarm:
        """Calls it once, when so much of the host's time has passed, or soon after."""
        alarm = Alarm(time.monotonic() + seconds, callback)
        heapq.heappush(self.alarms, alarm)
        return alarm

    def poll(self, timeout: float | None = 0) -> bool:
        """Serves what is ready or due, after waiting up to `timeout` seconds for it (None: for as long as it takes); whether anything was."""
        if self.alarms:
            left = max(self.alarms[0].when - time.monotonic(), 0)
            timeout = left if timeout is None else min(timeout, left)
        readable, writable, _ = select.select(self.readers, self.writers, (), timeout)
        ready = [(file, self.files[file], n) for n, files in enumerate((readable, writable)) for file in files]
        for file, callbacks, n in ready:
            if self.files.get(file) is callbacks: callbacks[n]()  # type: ignore[misc]  # a callback may have ended or changed what comes after it
        return self.ring() or bool(ready)

    def ring(self) -> bool:
        """The alarms that are due; whether there were any. What they set in turn waits for the next look."""
        now, due = time.monotonic(), []
        while self.alarms and self.alarms[0].when <= now: due.append(heapq.heappop(self.alarms))
        for alarm in due: alarm.callback()
        return bool(due)

    def wait_for_room(self, file: int) -> bool:
        """Waits until something can be written to a descriptor; False: it cannot, and the run is to end."""
        while True:
            if select.select([] if self.quit else [self.awake], [file], [], 0 if self.quit else None)[1]: return True
            if self.quit: return False
            self.awoken()

    def wake(self) -> None:
        """Ends a wait; for signal handlers and other threads."""
        try:
            os.write(self.waker, b'w')
        except BlockingIOError:  # it is full: the loop will wake
            pass

    def awoken(self) -> None:
        """Somebody wrote into the pipe."""
        try:
            os.read(self.awake, 4096)
        except BlockingIOError:
            pass

    def ask_to_quit(self) -> None:
        """Ends the run at the end of its slice, or of its sleep."""
        self.quit = True
        self.wake()

    def close(self) -> None:
        """Gives the descriptors back; those watched belong to others."""
        os.close(self.awake)
        os.close(self.waker)


def signals(loop: Loop) -> Callable[[], None]:
    """The signals of ENDING ask the run to end from now on, until the returned function is called; but not one that was ignored: `nohup emu run` outlives its terminal."""
    before = {number: signal.signal(number, lambda *_: loop.ask_to_quit()) for number in ENDING if signal.getsignal(number) not in (signal.SIG_IGN, None)}

    def undo() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)
    return undo
