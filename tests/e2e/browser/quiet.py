"""A network that does not change under the browser.

Chromium gives up what it is loading whenever an interface comes or goes (ERR_NETWORK_CHANGED), and each container that
another test starts brings one. So, as root, the browser gets a network namespace of its own, which holds a loopback
interface and nothing else; what it sends to a gateway's port there goes through a socket file to the real one.
"""

import atexit
import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from urllib.parse import urlsplit

CLONE_NEWNET = 0x40000000
# Ports outside that others stand for: a test may have another server answer for a while.
elsewhere = {}


def is_possible():
    return os.geteuid() == 0


def leave_the_machines_network(base, *others):
    """Moves the calling thread, and so the browser that it starts, out of the machine's network. Needs root."""
    if not is_possible():
        return
    ports = [urlsplit(base).port, *others]
    folder = tempfile.mkdtemp(prefix="doorward-browser-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    paths = {port: os.path.join(folder, str(port)) for port in ports}
    for port, path in paths.items():
        outside = socket.socket(socket.AF_UNIX)
        outside.bind(path)
        outside.listen(64)
        # A namespace belongs to a thread: this one stays behind, with all that it starts.
        serve(outside, lambda port=port: socket.create_connection(("127.0.0.1", elsewhere.get(port, port))))
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "no network namespace can be made")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for port, path in paths.items():
        serve(socket.create_server(("127.0.0.1", port), backlog=64), lambda path=path: to_file(path))


def to_file(path):
    """A connection to a socket file."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    return sock


def serve(listener, connect):
    """Relays whatever comes, in threads that end with the program."""

    def accept():
        while True:
            near, _ = listener.accept()
            try:
                far = connect()
            except OSError:
                near.close()
                continue
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=pump, args=(source, target), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def pump(source, target):
    """One direction, to its end."""
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
