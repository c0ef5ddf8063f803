"""What keyboard and mouse share on their side of a PS/2 port (IBM PS/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device Controller"): commands, of
which some want an argument, their answers, and messages of the device's own.

A message (the scan codes of a key, a packet of the mouse) is not torn: an answer waits until the message on the cable is over, then goes before all others.
"""
from collections import deque
from typing import Callable

ACK, RESEND, PASSED = 0xfa, 0xfe, 0xaa
ANSWERS = 16  # bytes of answers that a device keeps for a guest that does not read


class Device:
    """`ready` is called when there is a byte for the controller, which takes it with `take`."""

    identity = b''  # the answer to F2h
    after_test = b''  # what follows the self-test's result

    def __init__(self, ready: Callable[[], None]):
        self.ready = ready
        self.sending: deque[int] = deque()  # what is left of the message on the cable
        self.answers: deque[int] = deque()
        self.messages: deque[bytes] = deque()
        self.last = 0  # byte sent
        self.argument_of: int | None = None
        self.defaults()

    def defaults(self) -> None:
        """The state after a reset, or F6h."""

    def reset(self) -> None:
        """Power-on, after the self-test."""
        self.clear()
        self.answers.clear()
        self.argument_of = None
        self.last = 0
        self.defaults()

    # --- to the controller ---------------------------------------------------------------------------------------------------------

    def clear(self) -> None:
        """Messages are forgotten."""
        self.sending.clear()
        self.messages.clear()

    def waiting(self) -> bool:
        """Whether there is a byte for the controller."""
        return bool(self.sending or self.answers or self.messages)

    def take(self) -> int:
        """The next byte; there is one."""
        if not self.sending and not self.answers: self.sending.extend(self.messages.popleft())
        self.last = (self.sending or self.answers).popleft()
        if not self.waiting(): self.emptied()
        return self.last

    def emptied(self) -> None:
        """All has been taken."""

    def put(self, *data: int) -> None:
        """An answer."""
        if len(self.answers) + len(data) <= ANSWERS: self.answers.extend(data)
        self.ready()

    def say(self, message: bytes) -> None:
        """A message."""
        self.messages.append(message)
        self.ready()

    # --- from the controller -------------------------------------------------------------------------------------------------------

    def write(self, v: int) -> None:
        """A command or an argument."""
        command, self.argument_of = self.argument_of, None
        if command is not None: self.argument(command, v)
        else: self.command(v)

    def command(self, v: int) -> None:
        """Commands that both know."""
        if v == 0xff:
            self.reset()
            self.put(ACK, PASSED, *self.after_test)
        elif v == 0xfe: self.put(self.last)
        elif v == 0xf2: self.put(ACK, *self.identity)
        else: self.put(RESEND)

    def argument(self, command: int, v: int) -> None:
        """The byte after a command that wants one."""
        self.put(ACK)
