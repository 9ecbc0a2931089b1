#!/usr/bin/env python3
"""Can a stranger tell an unknown user, a locked user and a wrong password apart?

Makes Unix accounts and a PAM service, starts a gateway on loopback, sends the same wrong logins again and again in
random order, and compares what comes back: status, headers, body and prompts must be the same, and the times must
not tell. Everything it made is removed in the end. Needs root.

    benches/timing.py                              200 samples of each kind, about a minute
    benches/timing.py --samples 1000 --door form   more of them, through the login form
    benches/timing.py --option=--pam-serialize     an option for `doorward serve`

Exit code: 0 nothing tells them apart, 1 something does, 2 it could not be measured.
"""

import argparse
import base64
import concurrent.futures
import contextlib
import http.client
import json
import math
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent
PASSWORD = "right horse battery"
KINDS = ("unknown", "wrong", "locked")
DOORS = ("api", "form", "basic")
# A rank test's z beyond this comes by chance once in 370 comparisons of equal things.
SUSPICIOUS = 3.0


def main():
    options = arguments()
    if os.geteuid() != 0:
        sys.exit("timing: needs root, to make accounts and a PAM service file")
    random.seed(options.seed)
    with accounts(options.people) as people, service() as name, gateway(options, name) as port:
        shapes = {door: {kind: shape(port, door, kind, people) for kind in KINDS} for door in DOORS}
        prompts = {kind: first_question(port, kind, people) for kind in KINDS}
        samples = measure(options, port, people)
    return report(options, shapes, prompts, samples)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=200, help="of each kind (default 200)")
    parser.add_argument("--door", choices=DOORS, default="api", help="where the time is taken (default api)")
    parser.add_argument("--delay", default="400ms", help="of a refusal: more than a password hash costs (default 400ms)")
    parser.add_argument("--parallel", type=int, default=4, help="logins at the same time (default 4)")
    parser.add_argument("--people", type=int, default=4, help="accounts of each kind (default 4)")
    parser.add_argument("--program", default=TREE / "target/release/doorward", help="the gateway")
    parser.add_argument("--option", action="append", default=[], help="one more option for `doorward serve`")
    parser.add_argument("--shapes-only", action="store_true", help="print the times, but let them decide nothing")
    parser.add_argument("--seed", type=int, default=time.time_ns())
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser.parse_args()


# --- What is measured --------------------------------------------------------------------------------------------


def measure(options, port, people):
    """Seconds of each login, by kind. In random order, so that whatever else happens on the machine hits all alike."""
    plan = [kind for kind in KINDS for _ in range(options.samples)]
    random.shuffle(plan)

    def one(kind):
        user, password = who(kind, people)
        begun = time.perf_counter()
        status = ask(port, options.door, user, password)[0]
        return kind, time.perf_counter() - begun, status

    samples = {kind: [] for kind in KINDS}
    with concurrent.futures.ThreadPoolExecutor(options.parallel) as pool:
        for kind, seconds, status in pool.map(one, plan):
            if status != 401:
                stop(f"a login was answered with {status}, not 401: other limits of the gateway are in the way")
            samples[kind].append(seconds)
    return samples


def who(kind, people):
    """A name, and a password that is wrong for it: for a locked user, the right one is."""
    if kind == "unknown":
        return f"dwu{random.randrange(10**6):06}", PASSWORD
    return random.choice(people[kind]), PASSWORD if kind == "locked" else "wrong horse battery"


def shape(port, door, kind, people):
    """All that a stranger can compare, without what differs between any two answers."""
    user, password = who(kind, people)
    status, headers, body = ask(port, door, user, password)
    request_id = dict(headers).get("x-request-id", "no such text")
    body = body.replace(user, "USER").replace(request_id, "ID")
    headers = [(name, re.sub(r".*", "…", value, count=1) if name in ("date", "x-request-id", "content-length") else value)
               for name, value in headers]
    return {"status": status, "headers": headers, "body": body}


def first_question(port, kind, people):
    status, _, body = send(port, "/_doorward/api/v1/login", {"Content-Type": "application/json"},
                           json.dumps({"user": who(kind, people)[0]}))
    question = json.loads(body)
    question.pop("conversation", None)
    return {"status": status, "question": question}


SECRET = r'name="csrf_token" value="([^"]+)"'


def ask(port, door, user, password):
    if door == "api":
        body = json.dumps({"user": user, "password": password})
        return send(port, "/_doorward/api/v1/login", {"Content-Type": "application/json"}, body)
    if door == "form":
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin",
                   "Sec-Fetch-Mode": "navigate", "Accept": "text/html"}
        page = send(port, "/_doorward/login", headers, None)
        secret = re.search(SECRET, page[2]).group(1)
        headers["Cookie"] = dict(page[1])["set-cookie"].split(";")[0]
        fields = {"user": user, "password": password, "csrf_token": secret}
        status, answered, text = send(port, "/_doorward/login", headers, urllib.parse.urlencode(fields))
        return status, answered, re.sub(SECRET, "", text)
    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    return send(port, "/version", {"Authorization": f"Basic {pair}"}, None)


def send(port, path, headers, body):
    headers = {**headers, "X-Forwarded-Proto": "https", "Connection": "close"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET" if body is None else "POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, [(n.lower(), v) for n, v in answer.getheaders()], answer.read().decode()


# --- What it means -----------------------------------------------------------------------------------------------


def report(options, shapes, prompts, samples):
    differ = [f"{door}: {kind} differs from wrong in {key}" for door, kinds in shapes.items() for kind in KINDS
              for key in ("status", "headers", "body") if kinds[kind][key] != kinds["wrong"][key]]
    differ += [f"{kind} is asked something else than wrong" for kind in KINDS if prompts[kind] != prompts["wrong"]]
    figures = {kind: figures_of(values) for kind, values in samples.items()}
    pairs = [compare(a, b, samples) for a, b in (("unknown", "wrong"), ("locked", "wrong"), ("unknown", "locked"))]
    jitter = max(figure["q3"] - figure["q1"] for figure in figures.values())
    tell = [pair for pair in pairs if pair["medians_apart"] > jitter or abs(pair["z"]) > SUSPICIOUS]
    if options.json:
        print(json.dumps({"samples": options.samples, "door": options.door, "milliseconds": figures, "jitter": jitter,
                          "pairs": pairs, "differ": differ, "times_tell": bool(tell)}, indent=2))
    else:
        show(options, figures, pairs, jitter, differ, tell)
    return 1 if differ or (tell and not options.shapes_only) else 0


def figures_of(values):
    q1, median, q3 = (1000 * value for value in statistics.quantiles(values, n=4))
    return {"min": 1000 * min(values), "q1": q1, "median": median, "q3": q3, "max": 1000 * max(values)}


def compare(a, b, samples):
    """The Mann-Whitney rank test: `right` is how often a guess from two single answers would be right; 50 % is chance."""
    ranked = sorted([(value, a) for value in samples[a]] + [(value, b) for value in samples[b]])
    m, n = len(samples[a]), len(samples[b])
    u = sum(rank for rank, (_, kind) in enumerate(ranked, 1) if kind == a) - m * (m + 1) / 2
    z = (u - m * n / 2) / math.sqrt(m * n * (m + n + 1) / 12)
    apart = 1000 * abs(statistics.median(samples[a]) - statistics.median(samples[b]))
    return {"pair": [a, b], "medians_apart": apart, "z": z, "right": max(u, m * n - u) / (m * n)}


def show(options, figures, pairs, jitter, differ, tell):
    print(f"{options.samples} samples each at the door '{options.door}', in milliseconds\n")
    print(f"{'':10}{'min':>9}{'quartile':>10}{'median':>9}{'quartile':>10}{'max':>9}")
    for kind, f in figures.items():
        print(f"{kind:10}{f['min']:9.1f}{f['q1']:10.1f}{f['median']:9.1f}{f['q3']:10.1f}{f['max']:9.1f}")
    print(f"\njitter (largest distance of the quartiles): {jitter:.1f} ms")
    for pair in pairs:
        print(f"{pair['pair'][0]} and {pair['pair'][1]}: medians {pair['medians_apart']:.1f} ms apart, z = {pair['z']:+.2f}; "
              f"a guess is right in {100 * pair['right']:.0f} % of cases")
    print("\nstatus, headers, body, prompts: " + ("the same" if not differ else "; ".join(differ)))
    print("times: " + ("tell them apart" if tell else "do not tell them apart"))


# --- What it stands on -------------------------------------------------------------------------------------------


@contextlib.contextmanager
def accounts(number):
    """People with a password (hashed as the machine's passwd would) of whom half are locked."""
    people = {kind: [f"dwb{kind[0]}{os.getpid()}-{i}" for i in range(number)] for kind in ("wrong", "locked")}
    try:
        for kind, names in people.items():
            for name in names:
                run("useradd", "-M", name)
                run("chpasswd", "-c", "YESCRYPT", text=f"{name}:{PASSWORD}\n")
                if kind == "locked":
                    run("usermod", "-L", name)
        yield people
    finally:
        for names in people.values():
            for name in names:
                subprocess.run(["userdel", "-f", name], capture_output=True, check=False)


@contextlib.contextmanager
def service():
    path = Path(f"/etc/pam.d/doorward-timing-{os.getpid()}")
    try:
        # Without pam_unix's own delay of 2 s, which would replace a shorter one of the gateway; the gateway's default
        # replaces that of pam_unix.
        path.write_text("auth required pam_unix.so nodelay\naccount required pam_unix.so\n")
        path.chmod(0o644)
        yield path.name
    finally:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def gateway(options, name):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        command = [options.program, "serve", "--use-login", "--assume-secure", "--trusted-proxy", "127.0.0.1",
                   "--listen", "127.0.0.1:0", "--engine", f"unix://{folder}/no-engine.sock", "--log", "off",
                   "--state", f"{folder}/state", "--runtime-dir", f"{folder}/run", "--pam-service", name,
                   "--login-failure-delay", options.delay, "--no-throttle", "--user", user(), *options.option]
        child = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        try:
            said = []
            for line in child.stderr:
                said.append(line)
                if found := re.search(r'"address":"http://127\.0\.0\.1:(\d+)"', line):
                    # Somebody must go on reading, or the gateway would wait for it.
                    with concurrent.futures.ThreadPoolExecutor(1) as reader:
                        reader.submit(lambda: [None for _ in child.stderr])
                        try:
                            yield int(found[1])
                        finally:
                            child.terminate()
                    return
            stop("the gateway did not start:\n" + "".join(said))
        finally:
            child.terminate()
            child.wait()


def user():
    known = subprocess.run(["getent", "passwd", "doorward"], capture_output=True, check=False).returncode == 0
    return "doorward" if known else "nobody"


def run(*command, text=None):
    for _ in range(300):
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        if "lock" not in done.stderr:
            break
        time.sleep(0.1)
    stop(f"{' '.join(command)}: {done.stderr.strip()}")


def stop(text):
    print(f"timing: {text}", file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    sys.exit(main())
