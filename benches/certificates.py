#!/usr/bin/env python3
"""What a request by client certificate costs beside one by token, with one certificate issued and with many.

    python3 benches/certificates.py [--issued 1000] [--requests 60000] [--rounds 5]

Two gateways of one build stand before one upstream, each with a CA of its own (`--client-ca own`): one CA issued a single
certificate, the other many, of which one is revoked. They take turns within each round, each once by token and once by
certificate; a ratio is taken within its round, then the median over the rounds. CPU is the gateway's own.
"""

import argparse
import concurrent.futures
import os
import pwd
import shutil
import signal
import ssl
import statistics
import subprocess
import sys
import tempfile
import time

import load
import peers
import processes
import run as bench
from processes import Failed

CLIENTS = 2
REVOKED = "revoked"


class Guarded(peers.Doorward):
    """Doorward that also lets in by certificate; its CA issued so many."""

    def __init__(self, run, issued):
        self.issued = issued
        self.name = f"doorward-{issued}"
        super().__init__(run)

    def command(self):
        argv = super().command()
        self.ca("init", "--no-passphrase")
        if os.geteuid() == 0:
            # As the manual says for a gateway whose user is not `doorward`.
            group = pwd.getpwnam(self.run.doorward_user).pw_gid
            for name, mode in (("", 0o750), ("ca.pem", 0o640), ("index", 0o640), ("crl.pem", 0o640)):
                path = os.path.join(self.state, "ca", name)
                os.chown(path, -1, group)
                os.chmod(path, mode)
        began = time.monotonic()
        self.ca("client", peers.BENCH_USER, "--out", self.files)
        for number in range(self.issued - 1):
            name = REVOKED if number == 0 else f"client-{number}"
            self.ca("client", name, "--out", os.path.join(self.folder, "clients", name))
        if self.issued > 1:
            self.ca("revoke", REVOKED, "--yes")
        bench.say(f"{self.issued} certificate(s) issued in {time.monotonic() - began:.1f} s")
        return argv + ["--client-ca", "own"]

    @property
    def files(self):
        """The folder of the one client that comes in."""
        return os.path.join(self.folder, "client")

    def ca(self, *arguments):
        """`doorward ca` in this gateway's state folder."""
        bench.tool([self.path(self.run), "ca", *arguments, "--state", self.state])

    def context(self, files):
        """TLS that shows the certificate of these files; None shows none."""
        context = load.tls_context()
        if files:
            context.load_cert_chain(os.path.join(files, "cert.pem"), os.path.join(files, "key.pem"))
        return context

    def check(self):
        """The doors do what is measured: a good certificate opens, a revoked one and none do not."""
        revoked = os.path.join(self.folder, "clients", REVOKED)
        for files, wanted in ((self.files, 200), (None, 401), (revoked, 401)):
            if files == revoked and self.issued == 1:
                continue
            client = load.Client(self.port, self.context(files))
            client.send_head("GET", load.JSON_PATH)
            load.expect(client.answer()[0], wanted, f"{self.name} by {files}")
            client.close()


def spend(port, files, headers, count):
    """One client: so many requests one after the other on one connection. Runs in a process of its own."""
    context = load.tls_context()
    if files:
        context.load_cert_chain(os.path.join(files, "cert.pem"), os.path.join(files, "key.pem"))
    client = load.Client(port, context, headers)
    for _ in range(count):
        client.send_head("GET", load.JSON_PATH)
        load.expect(client.answer()[0], 200, "a request")
    client.close()


def cost(pool, server, files, headers, count):
    """Microseconds of the gateway's CPU for a request."""
    before = processes.cpu_seconds(server.child.pid)
    share = count // CLIENTS
    done = [pool.submit(spend, server.port, files, headers, share) for _ in range(CLIENTS)]
    for one in done:
        one.result()
    return (processes.cpu_seconds(server.child.pid) - before) / (share * CLIENTS) * 1e6


def measure(args, folder):
    """All rounds; prints the table."""
    run = bench.Run(args, folder)
    run.prepare()
    with bench.upstream(run), concurrent.futures.ProcessPoolExecutor(CLIENTS) as pool:
        servers = [Guarded(run, 1), Guarded(run, args.issued)]
        try:
            ways = {}
            for server in servers:
                server.start()
                server.check()
                token = [f"Authorization: Bearer {server.login_token()}"]
                ways[f"token, {server.issued} issued"] = (server, None, token)
                ways[f"certificate, {server.issued} issued"] = (server, server.files, [])
            samples = {name: [] for name in ways}
            for number in range(args.rounds + 1):
                for name, way in ways.items():
                    sample = cost(pool, *way, args.requests)
                    if number:  # the first round only warms up
                        samples[name].append(sample)
                bench.say(f"round {number} of {args.rounds}")
        finally:
            for server in servers:
                server.stop()
    first = samples[next(iter(samples))]
    print(f"Machine: {bench.machine()}. {run.workers} workers; {args.rounds} rounds of {args.requests} requests each.\n")
    print("| | CPU for a request | beside the first, in the same round |\n|---|---:|---:|")
    for name, values in samples.items():
        ratios = [value / base for value, base in zip(values, first)]
        print(f"| {name} | {statistics.median(values):.1f} µs | {statistics.median(ratios):.2f} "
              f"({min(ratios):.2f} to {max(ratios):.2f}) |")


def arguments():
    """Those of the run, and what the shared parts ask for."""
    here = os.path.dirname(bench.HERE)
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--issued", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=60_000, help="in one sample")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--doorward", default=os.path.join(here, "target/release/doorward"))
    parser.add_argument("--doorward-user", default="nobody")
    parser.add_argument("--workers", type=int, default=0)
    parser.set_defaults(quick=False, deadline=0, doorward_args="", phc="")
    return parser.parse_args()


def main():
    """Runs; ends all children on every way out."""
    args = arguments()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    folder = tempfile.mkdtemp(prefix="doorward-bench-")
    os.chmod(folder, 0o755)  # the gateway, which runs as nobody, reaches the upstream's socket
    try:
        measure(args, folder)
    except (Failed, load.Broken, OSError, ssl.SSLError, subprocess.SubprocessError) as fault:
        bench.say(f"bench: {fault}")
        return 2
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
