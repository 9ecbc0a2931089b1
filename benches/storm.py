#!/usr/bin/env python3
"""What 500 wrong logins at once cost those who are already in, and those who log in meanwhile. See README.md here."""

import argparse
import contextlib
import http.client
import json
import math
import os
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import peers
import processes
import report
import run as bench
from processes import Failed

HERE = os.path.dirname(os.path.abspath(__file__))
BAR = 1.10  # the storm's p99 in times of the calm one's
CLIENTS = 8  # connections of the traffic that is measured
RATE = 25  # requests per second of each
PAUSE = 0.1  # seconds between two honest logins
CALM = "calm"
SERVICE_FOLDER = "/etc/pam.d"

# name, guesses come, words
STORMS = [
    (CALM, None, "no wrong logins"),
    ("one address", "one", "all from one address"),
    ("many addresses", "many", "each from an address of its own, so that no ban holds them"),
]
FIGURES = [
    ("proxied_p50_ms", "proxied request: median", "ms", 2),
    ("proxied_p99_ms", "proxied request: p99", "ms", 2),
    ("login_p50_ms", "login of somebody else: median", "ms", 0),
    ("login_p99_ms", "login of somebody else: p99", "ms", 0),
    ("logins_lost", "logins of others that failed", "", 0),
    ("guesses", "wrong logins sent", "", 0),
    ("checked", "of these, passwords looked at", "", 0),
]


class Doorward(peers.Doorward):
    """Behind a terminator that names the clients, so that guessers and honest people have different addresses."""

    def command(self):
        argv = super().command() + ["--trusted-proxy", "127.0.0.1"]
        if self.run.service is None:
            return argv
        at = argv.index("--users")
        return argv[:at] + ["--pam-service", self.run.service] + argv[at + 2:]

    def log_in(self):
        """One honest login by the API; returns its status."""
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=30, context=peers.blind_context())
        body = json.dumps({"user": self.run.user, "password": self.run.password})
        try:
            headers = {"Content-Type": "application/json", "X-Forwarded-For": "192.0.2.7"}
            connection.request("POST", "/_doorward/api/v1/login", body, headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    def login_token(self):
        body = json.dumps({"user": self.run.user, "password": self.run.password})
        status, _, text = self.post("/_doorward/api/v1/login", body, {"Content-Type": "application/json"})
        if status != 200:
            raise Failed(f"no token: {status} {text[:200]!r}; {self.tail()}")
        return json.loads(text)["token"]


def percentile(values, share):
    """The value that `share` of all are not above: the nearest one that was measured."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def proxied(run, server, token, seconds):
    """Times of proxied requests at a steady rate, in milliseconds; a faster server does not get more to do."""
    log = os.path.join(run.folder, f"h2load-{time.monotonic_ns()}.txt")
    argv = [
        "h2load", "--h1", f"--clients={CLIENTS}", f"--rps={RATE}", f"--duration={seconds}", f"--log-file={log}",
        "--header", f"Authorization: Bearer {token}", f"https://127.0.0.1:{server.port}/containers/json",
    ]
    processes.finish(processes.client(argv, env=run.client_env), seconds + 60)
    with open(log, encoding="ascii") as file:
        rows = [line.split("\t") for line in file]
    os.unlink(log)
    wrong = [row[1] for row in rows if row[1] != "200"]
    if wrong or not rows:
        raise Failed(f"{len(wrong)} of {len(rows)} proxied requests failed, the first with {wrong[:1]}")
    return [int(row[2]) / 1000 for row in rows]


class Honest(threading.Thread):
    """Logs in again and again, one login after another."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server = server
        self.times, self.lost = [], 0
        self.over = threading.Event()

    def run(self):
        while not self.over.is_set():
            begun = time.monotonic()
            if self.server.log_in() == 200:
                self.times.append((time.monotonic() - begun) * 1000)
            else:
                self.lost += 1
            self.over.wait(PAUSE)


def start_storm(run, server, spread, seconds):
    """Guesses over as many connections as were asked for, a new one as soon as one is answered."""
    argv = ["wrk", "-t1", f"-c{run.guessers}", f"-d{seconds}s", "--timeout", "30s", "-s",
            os.path.join(HERE, "storm.lua"), f"https://127.0.0.1:{server.port}/"]
    return processes.client(argv, env={**run.client_env, "STORM_SPREAD": "1" if spread == "many" else "0"})


def sample(run, spread):
    """One phase on a fresh gateway: its counters must know nothing of the phase before."""
    server = Doorward(run)
    storm = None
    try:
        server.start()
        token = server.login_token()
        if spread is not None:
            storm = start_storm(run, server, spread, run.seconds + 6)
            time.sleep(3)  # connections and handshakes are not what is asked about
        honest = Honest(server)
        honest.start()
        times = proxied(run, server, token, run.seconds)
        honest.over.set()
        honest.join(35)
        result = {
            "proxied_p50_ms": statistics.median(times), "proxied_p99_ms": percentile(times, 0.99),
            "login_p50_ms": percentile(honest.times, 0.5), "login_p99_ms": percentile(honest.times, 0.99),
            "logins_lost": honest.lost, "guesses": 0, "checked": 0,
        }
        if storm is not None:
            found = processes.finish(storm, run.seconds + 60)
            found = json.loads(next(line for line in found.splitlines() if line.startswith("RESULT "))[7:])
            result |= {"guesses": found["refused"] + found["dropped"], "checked": found["refused"]}
        return result
    finally:
        if storm is not None:
            processes.kill([storm])
        server.stop()


@contextlib.contextmanager
def pam_account(run):
    """A Unix account and a PAM service for the run, both removed after it."""
    run.user, run.service = f"dwstorm{os.getpid()}", f"doorward-storm-{os.getpid()}"
    path = os.path.join(SERVICE_FOLDER, run.service)
    try:
        bench.tool(["useradd", "--no-create-home", "--shell", "/usr/sbin/nologin", run.user])
        subprocess.run(["chpasswd"], input=f"{run.user}:{run.password}\n", text=True, check=True, timeout=20)
        with open(path, "w", encoding="ascii") as file:
            file.write("auth required pam_unix.so\naccount required pam_unix.so\n")
        yield
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path)
        subprocess.run(["userdel", "--force", run.user], capture_output=True, timeout=20, check=False)


def table(results):
    """Rows of the table, heading first: the calm in figures, the storms in figures and times of the calm."""
    rows = [["", *(name for name, _, _ in STORMS)]]
    for figure, heading, unit, digits in FIGURES:
        row = [heading]
        calm = [found and found[figure] for found in results[CALM]]
        for name, _, _ in STORMS:
            values = [found and found[figure] for found in results[name]]
            middle = report.median(values)
            text = "–" if middle is None else f"{middle:,.{digits}f} {unit}".strip()
            times = report.ratio(values, calm) if name != CALM and unit else None
            row.append(text if times is None else f"{times:.2f} × ({text})")
        rows.append(row)
    return rows


def verdicts(results):
    """(state, text) of each bar."""
    for figure, words in (("proxied_p99_ms", "proxied requests"), ("login_p99_ms", "other people's logins")):
        calm = [found and found[figure] for found in results[CALM]]
        for name, _, _ in STORMS[1:]:
            times = report.ratio([found and found[figure] for found in results[name]], calm)
            text = f"p99 of {words}, storm from {name}: at most {BAR:.2f} × calm"
            if times is None:
                yield "not measured", text
            else:
                yield "pass" if times <= BAR else "fail", f"{text}: {times:.2f}"


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round, about 40 s: a check, not a measure")
    parser.add_argument("--pam", action="store_true",
                        help="check passwords through PAM, with a Unix account for the run (root)")
    parser.add_argument("--guessers", type=int, default=500, help="wrong logins at once (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=12, help="of each phase (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="event loops (default: one per core)")
    parser.add_argument("--doorward", default=os.path.join(HERE, "..", "target", "release", "doorward"),
                        help="the binary (default: target/release/doorward)")
    parser.add_argument("--doorward-user", default="nobody", help="user it runs as when started as root")
    parser.add_argument("--doorward-args", default="", help="more options for `doorward serve`")
    parser.add_argument("--json", metavar="FILE", help="write all samples there")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a bar is missed or was not measured")
    args = parser.parse_args()
    if args.pam and os.geteuid() != 0:
        parser.error("--pam needs root, to make an account and a PAM service")
    if args.quick:
        args.rounds, args.seconds = 1, 5
    args.deadline, args.phc = 600, None
    return args


def rounds(run, args):
    """All phases in turn, so that what disturbs the machine meets all alike."""
    results = {name: [] for name, _, _ in STORMS}
    for number in range(1, args.rounds + 1):
        for name, spread, words in STORMS:
            try:
                found = sample(run, spread)
            except Failed as fault:
                run.note(f"{name}, round {number}: {fault}")
                found = None
            results[name].append(found)
            bench.say_sample(f"round {number}, {words}", {k: v for k, v in (found or {}).items() if v is not None})
    return results


def measure(args, folder):
    """The whole run in a folder of its own; whether all bars are met."""
    run = bench.Run(args, folder)
    run.guessers, run.seconds, run.service = args.guessers, args.seconds, None
    run.user, run.password = peers.BENCH_USER, peers.BENCH_PASSWORD
    run.prepare()
    for program in ("h2load", "wrk", "openssl", "gcc"):
        if bench.find(program) is None:
            raise Failed(f"{program} is missing: scripts/install-deps.sh bench")
    with bench.upstream(run), pam_account(run) if args.pam else contextlib.nullcontext():
        results = rounds(run, args)
    checker = "PAM (pam_unix)" if args.pam else "user file (argon2id)"
    print(f"Machine: {bench.machine()}. {args.workers} event loops, passwords by {checker}.")
    print(f"{time.strftime('%Y-%m-%d')}, {args.rounds} round(s) of {args.seconds} s, {args.guessers} wrong logins at once, "
          f"{CLIENTS * RATE} proxied requests per second, extra options: {shlex.join(shlex.split(args.doorward_args)) or 'none'}.")
    print("\n" + report.markdown(table(results)) + "\n\nBars:")
    found = list(verdicts(results))
    print("\n".join(f"  {state.upper():<12}  {text}" for state, text in found))
    print("".join(f"Note: {text}\n" for text in run.notes), end="")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump({"machine": bench.machine(), "results": results, "bars": found, "notes": run.notes}, file, indent=1)
    return all(state == "pass" for state, _ in found)


def main():
    """Runs; ends all children on every way out."""
    args = arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda got, _: sys.exit(128 + got))
    folder = tempfile.mkdtemp(prefix="doorward-storm-")
    os.chmod(folder, 0o755)
    try:
        bench.raise_file_limit()
        met = measure(args, folder)
    except Failed as fault:
        bench.say(f"storm: {fault}")
        return 2
    except KeyboardInterrupt:
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if args.strict and not met else 0


if __name__ == "__main__":
    sys.exit(main())
