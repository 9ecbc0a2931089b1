"""The clients that wrk cannot play: long bodies, tunnels, handshakes, idle streams, and the check before it all.

Run as a process of its own (by sections.py), so that its CPU time is nobody else's, with OPENSSL_CONF set so that every
client speaks the same TLS. Prints one line of JSON.
"""

import argparse
import json
import os
import socket
import ssl
import sys
import threading
import time

TIMEOUT = 60
BLOCK = 1 << 20

JSON_PATH = "/v1.47/containers/json"
DOWN_PATH = "/v1.47/images/bench/get"
UP_PATH = "/v1.47/images/load"
TUNNEL_PATH = "/v1.47/containers/bench/attach"
STREAM_PATH = "/v1.47/events"


class Broken(Exception):
    """The peer did not answer as it must."""


def tls_context():
    """A client that checks no certificate: the run measures proxies, not PKI, and all share one self-signed one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def connect(port, context):
    """A TLS connection. Small writes go at once: with Nagle's algorithm a peer would be charged for delayed ACKs."""
    raw = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(raw)


class Client:
    """One TLS connection and as much HTTP/1.1 as the checks need."""

    def __init__(self, port, context=None, headers=()):
        self.sock = connect(port, context or tls_context())
        self.port = port
        self.headers = list(headers)
        self.held = b""

    def send_head(self, method, target, extra=()):
        """Sends the head of a request."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", *self.headers, *extra, "", ""]
        self.sock.sendall("\r\n".join(lines).encode())

    def read_head(self):
        """Reads the head of an answer: status, and header fields by lower-case name."""
        while b"\r\n\r\n" not in self.held:
            self._more()
        head, self.held = self.held.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        fields = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            fields.setdefault(name.strip().lower(), []).append(value.strip())
        return int(lines[0].split()[1]), fields

    def read_exactly(self, count):
        """Reads and returns `count` bytes."""
        while len(self.held) < count:
            self._more()
        data, self.held = self.held[:count], self.held[count:]
        return data

    def drain(self, count):
        """Reads and forgets `count` bytes."""
        left = count - min(count, len(self.held))
        self.held = self.held[count - left:]
        block = memoryview(bytearray(BLOCK))
        while left:
            got = self.sock.recv_into(block, min(left, BLOCK))
            if not got:
                raise Broken(f"closed with {left} bytes to come")
            left -= got

    def answer(self):
        """Reads a whole answer; returns status, fields and body."""
        status, fields = self.read_head()
        if "content-length" in fields:
            return status, fields, self.read_exactly(int(fields["content-length"][0]))
        if fields.get("transfer-encoding") == ["chunked"]:
            return status, fields, self._chunks()
        return status, fields, b""

    def close(self):
        """Closes without ceremony."""
        self.sock.close()

    def _chunks(self):
        body = b""
        while True:
            while b"\r\n" not in self.held:
                self._more()
            size, self.held = self.held.split(b"\r\n", 1)
            length = int(size.split(b";")[0], 16)
            body += self.read_exactly(length)
            self.read_exactly(2)
            if not length:
                return body

    def _more(self):
        data = self.sock.recv(65536)
        if not data:
            raise Broken(f"closed early, after {self.held[:200]!r}")
        self.held += data


def expect(status, wanted, what):
    """Raises unless the status is the one that was wanted."""
    if status != wanted:
        raise Broken(f"{what}: status {status} instead of {wanted}")


def open_tunnel(port, query, headers):
    """A connection that left HTTP through the proxy."""
    client = Client(port, headers=headers)
    client.send_head("POST", TUNNEL_PATH + query, ["Connection: Upgrade", "Upgrade: tcp"])
    status, _ = client.read_head()
    expect(status, 101, "tunnel")
    return client


def open_stream(port, context, headers):
    """A connection with an answer that has begun and never ends."""
    client = Client(port, context, headers)
    client.send_head("GET", STREAM_PATH)
    status, _ = client.read_head()
    expect(status, 200, "stream")
    return client


def check(args):
    """Holds the peer to right answers before it is timed: a proxy that fails fast would win every table."""
    client = Client(args.port, headers=args.header)
    tls, cipher = client.sock.version(), client.sock.cipher()[0]
    for _ in range(2):  # twice on one connection: keep-alive
        client.send_head("GET", JSON_PATH)
        status, _, body = client.answer()
        expect(status, 200, "small answer")
        if json.loads(body)[0]["Names"] != ["/boring_feynman"]:
            raise Broken(f"small answer: {body[:100]!r}")
    size = 3_000_001
    client.send_head("GET", f"{DOWN_PATH}?bytes={size}")
    status, fields = client.read_head()
    expect(status, 200, "bulk down")
    if fields.get("content-length") != [str(size)]:
        raise Broken("bulk down: the length was not passed on")
    client.drain(size)
    client.send_head("POST", UP_PATH, [f"Content-Length: {size}"])
    send_zeros(client, size)
    status, _, body = client.answer()
    expect(status, 200, "bulk up")
    if json.loads(body) != {"bytes": size}:
        raise Broken(f"bulk up: {body[:100]!r}")
    client.close()
    tunnel = open_tunnel(args.port, "", args.header)
    for text in (b"hello", b"again"):
        tunnel.sock.sendall(text)
        if tunnel.read_exactly(len(text)) != text:
            raise Broken("tunnel: another echo")
    tunnel.close()
    open_stream(args.port, None, args.header).close()
    return {"tls": tls, "cipher": cipher}


def send_zeros(client, count):
    """Sends `count` zero bytes."""
    block = bytes(BLOCK)
    while count:
        part = min(count, BLOCK)
        client.sock.sendall(block if part == BLOCK else block[:part])
        count -= part


def body(args):
    """One long body, the connection made before the clock starts."""
    client = Client(args.port, headers=args.header)
    start = time.monotonic()
    if args.direction == "up":
        client.send_head("POST", UP_PATH, [f"Content-Length: {args.bytes}"])
        send_zeros(client, args.bytes)
        status, _, text = client.answer()
        expect(status, 200, "body up")
        if json.loads(text) != {"bytes": args.bytes}:
            raise Broken(f"body up: {text[:100]!r}")
    else:
        client.send_head("GET", f"{DOWN_PATH}?bytes={args.bytes}")
        status, _ = client.read_head()
        expect(status, 200, "body down")
        client.drain(args.bytes)
    seconds = time.monotonic() - start
    client.close()
    return {"seconds": seconds}


def tunnel(args):
    """Pushes bytes one way through a tunnel; the upstream counts them, or the client does."""
    client = open_tunnel(args.port, f"?{args.direction}={args.bytes}", args.header)
    start = time.monotonic()
    if args.direction == "up":
        send_zeros(client, args.bytes)
        if client.read_exactly(5) != b"done\n":
            raise Broken("tunnel: no word that all arrived")
    else:
        client.drain(args.bytes)
    seconds = time.monotonic() - start
    client.close()
    return {"seconds": seconds}


def one_handshake(port, context):
    """A full handshake, the client's Finished included, and an orderly end on both sides."""
    sock = connect(port, context)
    if sock.session_reused:
        raise Broken("the session was resumed")
    try:
        # Waits until the server has answered our close, so it has seen Finished and has sent its tickets.
        sock.unwrap().close()
    except (ssl.SSLError, OSError):
        sock.close()  # the server closed without close_notify, which is its own affair


def handshakes(args):
    """Full handshakes for some seconds, from some threads (OpenSSL works outside the interpreter's lock)."""
    counts, faults = [0] * args.threads, []
    end = time.monotonic() + args.seconds

    def work(index):
        context = tls_context()
        try:
            while time.monotonic() < end:
                one_handshake(args.port, context)
                counts[index] += 1
        except (Broken, OSError) as fault:
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(args.threads)]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise Broken(f"handshake {sum(counts) + 1}: {faults[0]}")
    return {"count": sum(counts), "seconds": time.monotonic() - start}


def streams(args):
    """Opens idle streams, says so, and holds them until standard input ends."""
    context = tls_context()
    held = [open_stream(args.port, context, args.header) for _ in range(args.count)]
    print(json.dumps({"open": len(held)}), flush=True)
    sys.stdin.read()
    # A stream that was cut meanwhile would make the memory figure a lie.
    alive = 0
    for client in held:
        client.sock.setblocking(False)
        try:
            client.sock.recv(1)
        except ssl.SSLWantReadError:
            alive += 1
        except OSError:
            pass
    return {"alive": alive}


def main():
    """Reads the command line and runs one client."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=["check", "body", "tunnel", "handshakes", "streams"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--header", action="append", default=[])
    parser.add_argument("--direction", choices=["up", "down"], default="up")
    parser.add_argument("--bytes", type=int, default=1 << 30)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--count", type=int, default=1000)
    args = parser.parse_args()
    modes = {"check": check, "body": body, "tunnel": tunnel, "handshakes": handshakes, "streams": streams}
    try:
        print(json.dumps(modes[args.mode](args)), flush=True)
    except (Broken, OSError, ValueError) as fault:
        print(json.dumps({"error": f"{type(fault).__name__}: {fault}"}), flush=True)
        os._exit(0)  # the fault is the result; this skips the orderly close of a thousand sockets


if __name__ == "__main__":
    main()
