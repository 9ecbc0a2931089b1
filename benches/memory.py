#!/usr/bin/env python3
"""What strangers, and people with one password, can make of the gateway's memory. See README.md here.

    python3 benches/memory.py [--doorward target/debug/doorward] [--only half-heads,readyz]

Each attack meets a fresh gateway with two event loops in front of a toy engine, over raw sockets. Printed is what its
process holds at most (VmHWM) beyond what it held before, and what else the attack counts.
"""

import argparse
import base64
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

from peers import BENCH_PASSWORD, BENCH_PHC, BENCH_USER

HERE = os.path.dirname(os.path.abspath(__file__))
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, WINDOW_UPDATE, CONTINUATION = 0, 1, 4, 8, 9


class Engine:
    """Answers everything with a line, and counts connections."""

    def __init__(self, path):
        self.connections = 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        os.chmod(path, 0o666)
        self.listener.listen(512)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                stream, _ = self.listener.accept()
                self.connections += 1
                threading.Thread(target=self.serve, args=(stream,), daemon=True).start()

    @staticmethod
    def serve(stream):
        with contextlib.suppress(OSError), stream:
            read = b""
            while chunk := stream.recv(65536):
                read += chunk
                while b"\r\n\r\n" in read:
                    read = read.split(b"\r\n\r\n", 1)[1]
                    stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")


class Gateway:
    """A gateway as a child process."""

    def __init__(self, program, secure, extra=()):
        self.folder = tempfile.mkdtemp(prefix="doorward-memory-")
        os.chmod(self.folder, 0o755)
        self.engine = Engine(os.path.join(self.folder, "engine.sock"))
        users = os.path.join(self.folder, "users.toml")
        with open(users, "w", encoding="ascii") as file:
            file.write(f'[users.{BENCH_USER}]\npassword = "{BENCH_PHC}"\n')
        if os.geteuid() == 0:
            shutil.chown(users, "nobody")
        os.chmod(users, 0o600)
        argv = [
            program, "serve", "--use-login", "--listen", "127.0.0.1:0", "--workers", "2", "--no-throttle",
            "--engine", f"unix://{self.folder}/engine.sock", "--users", users, "--log", "off",
            "--state", f"{self.folder}/state", "--runtime-dir", f"{self.folder}/run",
        ]
        argv += ["--autocert", "localhost,127.0.0.1"] if secure else ["--assume-secure"]
        self.output = open(os.path.join(self.folder, "output.txt"), "wb")
        env = {"PATH": os.environ["PATH"], "HOME": "/", "DOORWARD_USER": "nobody"}
        self.child = subprocess.Popen([*argv, *extra], env=env, stdout=self.output, stderr=self.output)
        self.secure = secure
        self.port = self.find_port()
        self.pid = self.find_pid()

    def find_port(self):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with open(self.output.name, encoding="utf-8", errors="replace") as file:
                text = file.read()
            if found := re.search(r"127\.0\.0\.1:(\d+)", text):
                return int(found.group(1))
            if self.child.poll() is not None:
                raise SystemExit(f"the gateway ended: {text}")
            time.sleep(0.05)
        raise SystemExit("the gateway does not listen")

    def find_pid(self):
        """Started by root, the launcher's child named doorward faces the network."""
        if os.geteuid() != 0:
            return self.child.pid
        for pid in os.popen(f"ps -o pid=,comm= --ppid {self.child.pid}").read().splitlines():
            number, name = pid.split()
            if name == "doorward":
                return int(number)
        return self.child.pid

    def status(self, name):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            return int(re.search(rf"{name}:\s+(\d+)", file.read()).group(1)) / 1024

    def reset_peak(self):
        with open(f"/proc/{self.pid}/clear_refs", "w", encoding="ascii") as file:
            file.write("5")

    def connect(self, alpn=None):
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self.secure:
            return raw
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if alpn:
            context.set_alpn_protocols([alpn])
        return context.wrap_socket(raw, server_hostname="localhost")

    def call(self, method, path, body, headers):
        stream = self.connect()
        data = (body or "").encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: gate.example\r\nConnection: close\r\nContent-Length: {len(data)}\r\n"
        stream.sendall((head + "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n").encode() + data)
        answer = http.client.HTTPResponse(stream, method=method)
        answer.begin()
        return answer, answer.read()

    def token(self):
        body = json.dumps({"user": BENCH_USER, "password": BENCH_PASSWORD})
        answer, text = self.call("POST", "/_doorward/api/v1/login", body, {"Content-Type": "application/json"})
        assert answer.status == 200, (answer.status, text)
        return json.loads(text)["token"]

    def cookie(self):
        form = urllib.parse.urlencode({"user": BENCH_USER, "password": BENCH_PASSWORD})
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin",
                   "Sec-Fetch-Mode": "navigate"}
        page, text = self.call("GET", "/_doorward/login", None, {"Accept": "text/html"})
        form += "&csrf_token=" + text.split(b'name="csrf_token" value="')[1].split(b'"')[0].decode()
        headers["Cookie"] = page.headers["set-cookie"].split(";")[0]
        answer, text = self.call("POST", "/_doorward/login", form, headers)
        assert answer.status == 303, (answer.status, text)
        return answer.headers["set-cookie"].split(";")[0]

    def stop(self):
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(20)
        except subprocess.TimeoutExpired:
            self.child.kill()
        self.output.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def frame(kind, flags, stream, payload=b""):
    """A frame of HTTP/2 (RFC 9113 section 4.1)."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    """A header that is not indexed (RFC 7541 section 6.2.2)."""
    def text(word):
        assert len(word) < 127
        return bytes([len(word)]) + word
    return b"\x00" + text(name.encode()) + text(value.encode())


def head(method, path, more=()):
    """A header block."""
    fields = [(":method", method), (":scheme", "https"), (":authority", "gate.example"), (":path", path), *more]
    return b"".join(literal(*field) for field in fields)


def ask_all(gateway, requests):
    """Sends requests on one connection, one after the other, and gives the statuses."""
    stream = gateway.connect()
    statuses = set()
    for request in requests:
        stream.sendall(request)
        answer = http.client.HTTPResponse(stream, method="GET")
        answer.begin()
        answer.read()
        statuses.add(answer.status)
        if answer.headers.get("connection") == "close":
            stream = gateway.connect()
    return statuses


def bearer_spaces(gateway):
    """One token behind 3,000 different numbers of spaces."""
    token = gateway.token()
    yield
    head = "GET /version HTTP/1.1\r\nHost: gate.example\r\nAuthorization: Bearer"
    requests = (f"{head}{' ' * (50_000 + n)}{token}\r\n\r\n".encode() for n in range(3000))
    yield f"statuses {ask_all(gateway, requests)}"


def cookie_spellings(gateway):
    """One cookie in 8,000 spellings."""
    name, value = gateway.cookie().split("=", 1)
    yield
    plain = urllib.parse.unquote(value)
    full = [f"%{byte:02X}" for byte in plain.encode()]
    def spelled(number):
        return "".join(full[at] if number >> at & 1 else plain[at].replace("/", "%2F").replace("=", "%3D")
                       for at in range(len(plain)))
    head = "GET /version HTTP/1.1\r\nHost: gate.example\r\nCookie: "
    # The lower bits count, the upper ones are spelled out.
    tail = (1 << len(plain)) - (1 << 20)
    requests = (f"{head}{name}={spelled(tail | n)}\r\n\r\n".encode() for n in range(8000))
    yield f"statuses {ask_all(gateway, requests)}"


def half_heads(gateway):
    """500 heads of 60 KB that never end."""
    yield
    held = []
    refused = 0
    for _ in range(500):
        try:
            stream = gateway.connect()
            stream.sendall(b"GET / HTTP/1.1\r\nHost: gate.example\r\n")
            for number in range(60):
                stream.sendall(f"X-{number}: {'a' * 990}\r\n".encode())
            held.append(stream)
        except OSError:
            refused += 1
    time.sleep(2)
    yield f"{refused} refused at once, {count_closed(held)} of {len(held)} closed"


def count_closed(streams):
    """How many of them the other side has closed."""
    closed = 0
    for stream in streams:
        stream.settimeout(0.01)
        try:
            while chunk := stream.recv(65536):
                pass
            closed += not chunk
        except TimeoutError:
            pass
        except OSError:
            closed += 1
    return closed


def h2_open(gateway, settings=b""):
    stream = gateway.connect("h2")
    stream.sendall(PREFACE + frame(SETTINGS, 0, 0, settings) + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 30)))
    return stream


BASIC = ("authorization", "Basic " + base64.b64encode(f"{BENCH_USER}:wrong".encode()).decode())


def send(stream, data):
    """Sends as much as the other side takes; does not wait for ever."""
    stream.settimeout(3)
    with contextlib.suppress(OSError):
        stream.sendall(data)


def h2_bodies(gateway):
    """40 connections, each with 8 uploads of 1 MB whose wrong password is being checked."""
    yield
    held = [h2_open(gateway) for _ in range(40)]
    threads = []
    for stream in held:
        block = head("POST", "/images/load", [BASIC])
        uploads = range(1, 17, 2)
        data = b"".join(frame(HEADERS, 4, number, block) for number in uploads)
        data += b"".join(frame(DATA, 0, number, b"x" * 16000) for _ in range(60) for number in uploads)
        threads.append(threading.Thread(target=send, args=(stream, data)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    yield ""


def h2_waiting(gateway):
    """100 connections, each with 128 logins of 800 header lines whose bodies never come."""
    yield
    held = []
    for _ in range(100):
        with contextlib.suppress(OSError):
            stream = h2_open(gateway)
            data = b""
            first = b"\x40" + bytes([1]) + b"x" + bytes([1]) + b"y"  # enters the table as number 62
            for number in range(1, 257, 2):
                block = head("POST", "/_doorward/api/v1/login", [("content-type", "application/json")])
                block += (first if number == 1 else b"\xbe") + b"\xbe" * 799
                data += frame(HEADERS, 4, number, block)
            held.append(stream)
            send(stream, data)
    time.sleep(2)
    yield f"{count_closed(held)} of {len(held)} closed"


def h2_unread(gateway):
    """100 connections, each with 128 answers of 60 KB that its client does not take."""
    yield
    held = []
    for _ in range(100):
        with contextlib.suppress(OSError):
            stream = h2_open(gateway, struct.pack(">HI", 4, 0))
            block = head("GET", "/_doorward/api/v1/openapi.json")
            send(stream, b"".join(frame(HEADERS, 5, number, block) for number in range(1, 257, 2)))
            held.append(stream)
    time.sleep(2)
    yield f"{count_closed(held)} of {len(held)} closed"


def h2_trickle(gateway):
    """300 connections with a header block of 30 KB that is never ended."""
    yield
    held = []
    for _ in range(300):
        with contextlib.suppress(OSError):
            stream = h2_open(gateway)
            block = head("GET", "/") + b"".join(literal(f"x-{n}", "a" * 100) for n in range(140))
            send(stream, frame(HEADERS, 0, 1, block[:16000]) + frame(CONTINUATION, 0, 1, block[16000:]))
            held.append(stream)
    time.sleep(2)
    yield f"{count_closed(held)} of {len(held)} closed"


def handshakes(gateway):
    """1,500 TLS handshakes of which 60 KB came and the rest does not."""
    yield
    held = []
    hello = b"\x01\x00\xff\xf0" + b"\x03\x03" + b"r" * 60_000
    records = b"".join(b"\x16\x03\x01" + struct.pack(">H", len(part)) + part
                       for part in (hello[at:at + 16_000] for at in range(0, len(hello), 16_000)))
    for _ in range(1500):
        with contextlib.suppress(OSError):
            stream = socket.create_connection(("127.0.0.1", gateway.port), timeout=20)
            held.append(stream)
            send(stream, records)
    time.sleep(1)
    yield f"{count_closed(held)} of {len(held)} closed"


def idle_strangers(gateway):
    """3,000 connections that said nothing after their handshake."""
    yield
    held = []
    for _ in range(3000):
        with contextlib.suppress(OSError):
            held.append(gateway.connect())
    time.sleep(1)
    yield f"{count_closed(held)} of {len(held)} closed"


def readyz(gateway):
    """Eight clients ask whether it is ready, for five seconds."""
    yield
    before = gateway.engine.connections
    asked = [0] * 8
    end = time.monotonic() + 5
    def client(number):
        stream = gateway.connect()
        while time.monotonic() < end:
            stream.sendall(b"GET /_doorward/readyz HTTP/1.1\r\nHost: gate.example\r\n\r\n")
            answer = http.client.HTTPResponse(stream, method="GET")
            answer.begin()
            answer.read()
            asked[number] += 1
    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    yield f"asked {sum(asked)} times, {gateway.engine.connections - before} connections to the engine"


def logins(gateway):
    """300 logins of one person, each used once."""
    yield
    tokens = [gateway.token() for _ in range(300)]
    head = "GET /version HTTP/1.1\r\nHost: gate.example\r\nAuthorization: Bearer "
    alive = 0
    for token in tokens:
        stream = gateway.connect()
        stream.sendall(f"{head}{token}\r\n\r\n".encode())
        answer = http.client.HTTPResponse(stream, method="GET")
        answer.begin()
        alive += answer.status == 200
    yield f"{alive} of {len(tokens)} alive"


# name, over TLS, what is done
ATTACKS = [
    ("bearer-spaces", False, bearer_spaces),
    ("cookie-spellings", False, cookie_spellings),
    ("half-heads", False, half_heads),
    ("half-heads-tls", True, half_heads),
    ("handshakes", True, handshakes),
    ("idle-strangers", True, idle_strangers),
    ("h2-bodies", True, h2_bodies),
    ("h2-waiting", True, h2_waiting),
    ("h2-unread", True, h2_unread),
    ("h2-trickle", True, h2_trickle),
    ("readyz", False, readyz),
    ("logins", False, logins),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--doorward", default=os.path.join(os.path.dirname(HERE), "target/debug/doorward"))
    parser.add_argument("--only", default="", help="names, comma separated")
    args = parser.parse_args()
    only = set(filter(None, args.only.split(",")))
    print("| attack | before | at most | after | |\n|---|---:|---:|---:|---|", flush=True)
    for name, secure, attack in ATTACKS:
        if only and name not in only:
            continue
        gateway = Gateway(os.path.abspath(args.doorward), secure)
        try:
            steps = attack(gateway)
            next(steps)
            before = gateway.status("VmRSS")
            gateway.reset_peak()
            said = next(steps)
            peak, after = gateway.status("VmHWM"), gateway.status("VmRSS")
            print(f"| {name} | {before:.0f} MiB | +{peak - before:.1f} MiB | +{after - before:.1f} MiB | {said} |", flush=True)
        finally:
            gateway.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
