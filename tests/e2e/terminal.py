"""Drives a command on a pseudo terminal, as a person at a keyboard would.

terminal.py resize -- COMMAND...
    COMMAND starts a shell on a 24x80 terminal. Prints the size that the shell sees, before and after the window
    grows to 51x133, and how the command ended.
terminal.py dialogue EXPECT SEND [EXPECT SEND]... -- COMMAND...
    Waits for each EXPECT (case does not matter) and types SEND and Enter. Prints the transcript; exits as COMMAND does.
"""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

LIMIT = 60  # seconds until a missing answer is a failure


class Terminal:
    def __init__(self, command):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            time.sleep(0.05)  # the window has its size before the command looks
            os.execvp(command[0], command)
        self.seen = ""
        self.resize(24, 80)

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def send(self, text):
        os.write(self.fd, text.encode())

    def read(self, seconds):
        """Takes what the command printed; False at its end."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # EIO: the other side of the terminal is closed
            return False
        self.seen += data.decode(errors="replace")
        return bool(data)

    def expect(self, pattern, nudge=None):
        """Waits for a pattern in what comes next; `nudge` is typed again every half second until it is there."""
        deadline, next_nudge = time.monotonic() + LIMIT, 0
        while not (match := re.search(pattern, self.seen, re.IGNORECASE)):
            now = time.monotonic()
            if now > deadline:
                self.fail(f"no {pattern!r}")
            if nudge and now >= next_nudge:
                # The client may not have listened yet when its window changed.
                os.kill(self.pid, signal.SIGWINCH)
                self.send(nudge)
                next_nudge = now + 0.5
            if not self.read(0.1) and not re.search(pattern, self.seen, re.IGNORECASE):
                self.fail(f"the command ended before {pattern!r}")
        self.seen = self.seen[match.end():]
        return match

    def end(self):
        deadline = time.monotonic() + LIMIT
        while self.read(0.1):
            if time.monotonic() > deadline:
                self.fail("the command does not end")
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def fail(self, reason):
        os.kill(self.pid, signal.SIGKILL)
        sys.exit(f"{reason} in {self.seen!r}")


def resize(command):
    terminal = Terminal(command)
    terminal.expect(r"[#$] ")
    # The client sends the first size when the shell runs already: ask until it is there.
    terminal.expect(r"\s24 80\r?\n", nudge="stty size\r")
    print("24 80")
    terminal.resize(51, 133)
    found = terminal.expect(r"\s(51 133)\r?\n", nudge="stty size\r")
    print(found.group(1))
    terminal.send("exit 4\r")
    print("exit", terminal.end())


def dialogue(pairs, command):
    terminal, transcript = Terminal(command), ""
    for expected, answer in zip(pairs[::2], pairs[1::2]):
        before = terminal.seen
        terminal.expect(expected)
        transcript += before
        terminal.send(answer + "\r")
    code = terminal.end()
    print(transcript + terminal.seen)
    sys.exit(code)


def main():
    split = sys.argv.index("--")
    verb, rest, command = sys.argv[1], sys.argv[2:split], sys.argv[split + 1:]
    if verb == "resize":
        resize(command)
    elif verb == "dialogue" and rest and len(rest) % 2 == 0:
        dialogue(rest, command)
    else:
        sys.exit(__doc__)


main()
