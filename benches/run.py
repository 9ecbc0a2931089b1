#!/usr/bin/env python3
"""Benchmarks of Doorward beside its peers, in one run on one machine. See README.md in this folder."""

import argparse
import contextlib
import json
import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import peers
import processes
import report
import sections
from processes import Failed

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGES = {
    "nginx": "nginx-light", "haproxy": "haproxy", "caddy": "caddy", "wrk": "wrk",
    "openssl": "openssl", "gcc": "gcc libc6-dev",
}
QUIET_PERCENT = 10  # what others may take of the machine before the figures mean little
POLICY_RC = "/usr/sbin/policy-rc.d"
COLUMNS = ["nginx", "nginx-log", "haproxy", "caddy", "doorward-cookie", "doorward-token"]


class Plan:
    """How much of everything."""

    def __init__(self, quick):
        self.rounds = 1 if quick else 3
        self.small_seconds = 3 if quick else 8
        self.bulk_bytes = (1 << 28) if quick else (1 << 30)
        self.handshake_seconds = 2 if quick else 3
        self.connections = 32
        self.streams = 1000
        self.deadline = 110 if quick else 460


class Run:
    """What all sections share: folder, certificate, upstream, clients' environment."""

    def __init__(self, args, folder):
        self.folder = folder
        self.plan = Plan(args.quick)
        self.plan.rounds = args.rounds or self.plan.rounds
        self.plan.deadline = args.deadline or self.plan.deadline
        self.workers = args.workers or os.cpu_count() or 1
        self.files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.doorward = os.path.abspath(args.doorward)
        self.doorward_user = args.doorward_user
        self.doorward_args = args.doorward_args
        self.phc = args.phc
        self.until = time.monotonic() + self.plan.deadline
        self.results = {}
        self.lost = set()  # peers that could not be started or gave wrong answers
        self.notes = []
        self.tls = {}
        self.pem = os.path.join(folder, "server.pem")
        self.upstream = os.path.join(folder, "up.sock")
        self.client_env = {**os.environ, "OPENSSL_CONF": os.path.join(folder, "client.cnf")}

    def prepare(self):
        """Writes what every peer and client needs."""
        with open(self.client_env["OPENSSL_CONF"], "w", encoding="ascii") as file:
            # One version, one cipher and one key exchange for all clients, so that no peer wins by choosing another.
            file.write("openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = tls\n[tls]\n"
                       "MinProtocol = TLSv1.3\nCiphersuites = TLS_AES_128_GCM_SHA256\nGroups = X25519\n")
        certificate(self.folder, self.pem)

    def note(self, text):
        """Says something that the reader of the result must know."""
        if text not in self.notes:
            self.notes.append(text)
            say(f"! {text}")

    def lose(self, kind, fault):
        """Gives a peer up for the rest of the run."""
        self.lost.add(kind)
        self.note(f"{kind.name} left out: {fault}")

    def allot(self, name, left):
        """When a section must end, so that those `left` get their share of the time."""
        total = sum(sections.SECTIONS[other].share for other in left)
        now = time.monotonic()
        return now + max(0.0, self.until - now) * sections.SECTIONS[name].share / total


def say(text):
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


def certificate(folder, pem):
    """One self-signed P-256 certificate with its key for all peers."""
    key, crt = os.path.join(folder, "key.pem"), os.path.join(folder, "crt.pem")
    tool(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
          "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", crt])
    with open(os.open(pem, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as joined:
        for path in (crt, key):
            with open(path, "rb") as part:
                shutil.copyfileobj(part, joined)


def tool(argv):
    """Runs a short helper to its end."""
    try:
        subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60)
    except subprocess.CalledProcessError as fault:
        raise Failed(f"{argv[0]}: {fault.stderr.strip()[-400:]}") from fault
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise Failed(f"{argv[0]}: {fault}") from fault


@contextlib.contextmanager
def upstream(run):
    """Builds the upstream and keeps it running."""
    program = os.path.join(run.folder, "upstream")
    tool(["gcc", "-O2", "-o", program, os.path.join(HERE, "upstream.c")])
    child = processes.start([program, run.upstream], os.path.join(run.folder, "upstream.txt"))
    try:
        end = time.monotonic() + 5
        while not os.path.exists(run.upstream):
            if child.poll() is not None or time.monotonic() > end:
                raise Failed("the upstream did not start")
            time.sleep(0.02)
        yield
    finally:
        processes.stop(child)


@contextlib.contextmanager
def targets(run, kinds, wanted, primary_only):
    """Starts the peers afresh, holds each to right answers, and yields those that gave them."""
    servers, ready = [], []
    try:
        for kind in kinds:
            server = kind(run)
            servers.append(server)
            try:
                server.start()
                for target in server.targets():
                    if target.name in wanted and (target.primary or not primary_only):
                        run.tls[target.name] = sections.check(run, target)
                        ready.append(target)
            except Failed as fault:
                run.lose(kind, fault)
        yield ready
    finally:
        for server in servers:
            server.stop()


def measure(run, name, kinds, wanted, until):
    """One section: its rounds, the peers in turn within each, so that noise meets all alike."""
    section = sections.SECTIONS[name]
    found = run.results.setdefault(name, {})
    with targets(run, kinds, wanted, section.primary_only) as ready:
        for target in ready if section.warm_up else []:
            guarded(run, target, section.warm_up)
        for number in range(1, run.plan.rounds + 1):
            started = time.monotonic()
            for target in ready:
                result = guarded(run, target, section.sample)
                found.setdefault(target.name, []).append(result)
                say_sample(f"{name} {number} {target.name}", result)
            now = time.monotonic()
            if number < run.plan.rounds and now + (now - started) > until:
                run.note(f"{name}: time allowed for {number} of {run.plan.rounds} rounds only")
                return


def measure_memory(run, kinds, wanted):
    """Memory of each peer just started, alone and unchecked: the check would leave its traces in it."""
    found = run.results.setdefault("memory", {})
    for kind in kinds:
        server = kind(run)
        try:
            server.start()
            idle = sections.resting(server)
            for target in server.targets():
                if target.name in wanted and target.primary:
                    result = guarded(run, target, lambda run, target: sections.streams(run, target, idle))
                    found.setdefault(target.name, []).append(result)
                    say_sample(f"memory {target.name}", result)
        except Failed as fault:
            run.lose(kind, fault)
        finally:
            server.stop()


def guarded(run, target, work):
    """A sample, or None with a note: one peer's fault does not end the run."""
    try:
        return work(run, target)
    except Failed as fault:
        run.note(f"{target.name}: {fault}")
        return None


def say_sample(what, result):
    """One line of progress."""
    if result:
        say(f"  {what}: " + ", ".join(f"{key} {value:,.1f}" for key, value in result.items()))


def machine():
    """What this ran on, in one line."""
    model = memory = system = "unknown"
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), platform.machine())
    with contextlib.suppress(OSError), open("/proc/meminfo", encoding="ascii") as file:
        memory = f"{int(file.readline().split()[1]) / (1 << 20):.0f} GiB"
    with contextlib.suppress(OSError), open("/etc/os-release", encoding="utf-8") as file:
        system = dict(line.strip().split("=", 1) for line in file if "=" in line).get("PRETTY_NAME", "").strip('"')
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        virtual = ", virtual machine" if " hypervisor" in file.read() else ""
    return f"{model}, {os.cpu_count()} cores{virtual}, {memory}, {system}, Linux {platform.release()}"


def install():
    """Installs the programs that are missing, by apt, without letting the packages start their services."""
    missing = [package for program, package in PACKAGES.items() if find(program) is None]
    if not missing:
        return
    packages = " ".join(missing).split()
    argv = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
    if os.geteuid() != 0:
        raise Failed(f"not root; run this first: {' '.join(argv)}")
    say(f"installing {' '.join(packages)}")
    held = not os.path.exists(POLICY_RC)
    if held:
        with open(os.open(POLICY_RC, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o755), "w", encoding="ascii") as file:
            file.write("#!/bin/sh\nexit 101\n")
    try:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["apt-get", "update"], argv):
            done = subprocess.run(command, env=environment, stdout=sys.stderr, timeout=900, check=False)
        if done.returncode != 0:
            raise Failed(f"apt-get ended with {done.returncode}")
    finally:
        if held:
            os.unlink(POLICY_RC)


def find(program):
    """Where a program is, looking also where only root looks."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round, under 2 minutes: a check, not a measure")
    parser.add_argument("--install", action="store_true", help="install what is missing by apt (root)")
    parser.add_argument("--only", default=",".join(sections.SECTIONS), help="sections (default: %(default)s)")
    parser.add_argument("--peers", default=",".join(kind.name for kind in peers.SERVERS),
                        help="peers or columns (default: %(default)s)")
    parser.add_argument("--rounds", type=int, help="rounds of each section")
    parser.add_argument("--deadline", type=int, metavar="SECONDS",
                        help="start no further round that would end later (each section has one at least)")
    parser.add_argument("--workers", type=int, help="workers or threads of each peer (default: the number of cores)")
    parser.add_argument("--doorward", default=os.path.join(HERE, "..", "target", "release", "doorward"),
                        help="the binary (default: target/release/doorward)")
    parser.add_argument("--doorward-user", default="nobody", help="user it runs as when started as root")
    parser.add_argument("--doorward-args", default="", help="more options for `doorward serve`")
    parser.add_argument("--phc", help="another argon2id string of the run's password, see peers.py")
    parser.add_argument("--json", metavar="FILE", help="write all samples there")
    parser.add_argument("--markdown", action="store_true", help="print a block ready for a README")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a bar is missed or was not measured")
    parser.add_argument("--keep", action="store_true", help="keep the run's folder (configurations, outputs)")
    args = parser.parse_args()
    args.only = chosen(parser, args.only, sections.SECTIONS)
    args.peers = chosen(parser, args.peers, [kind.name for kind in peers.SERVERS] + COLUMNS)
    return args


def chosen(parser, text, known):
    """The words of a comma-separated option."""
    words = [word for word in text.split(",") if word]
    for word in words:
        if word not in known:
            parser.error(f"unknown: {word} (known: {', '.join(dict.fromkeys(known))})")
    return words


def select(run, names):
    """The peers to start, as far as they are installed, and the columns to fill."""
    kinds = []
    wanted = [column for column in COLUMNS if column in names or column.rpartition("-")[0] in names and "door" in column]
    for kind in peers.SERVERS:
        if not any(column == kind.name or column.startswith(kind.name + "-") and kind is peers.Doorward
                   for column in wanted):
            continue
        if kind.path(run) is None:
            run.note(f"{kind.name} left out: {run.doorward if kind is peers.Doorward else kind.program} is not there")
            continue
        kinds.append(kind)
    return kinds, wanted


def raise_file_limit():
    """A thousand streams need more descriptors than many shells allow."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def print_result(run, facts, args):
    """The result on standard output."""
    rows = report.table(run.results, COLUMNS)
    lines = [
        f"Machine: {facts['machine']}. {run.workers} workers each.",
        f"Peers: {', '.join(f'{name} {version}' for name, version in facts['versions'].items())}.",
        f"{facts['date']}, {run.plan.rounds} round(s), bodies of {run.plan.bulk_bytes >> 20} MiB, "
        f"{run.plan.connections} connections, {run.plan.streams} idle streams; "
        f"other programs used {facts['foreign_cpu_percent']:.0f} % of the machine meanwhile.",
    ]
    verdicts = report.verdicts(run.results)
    if args.markdown:
        print("\n".join(["  \n".join(lines), "", report.markdown(rows), ""]))
        print("\n".join(f"- {state}: {text}" for state, text in verdicts))
        notes = [f"- note: {text}" for text in run.notes]
    else:
        print("\n".join([*lines, "", report.markdown(rows), "", "Bars:"]))
        print("\n".join(f"  {state.upper():<12}  {text}" for state, text in verdicts))
        notes = [f"Note: {text}" for text in run.notes]
    print("\n".join(notes))
    return all(state == "pass" for state, _ in verdicts)


def write_json(run, facts, path):
    """All samples, for whoever wants to compute differently."""
    with open(path, "w", encoding="utf-8") as file:
        json.dump({**facts, "tls": run.tls, "plan": vars(run.plan), "workers": run.workers, "notes": run.notes,
                   "results": run.results, "bars": report.verdicts(run.results)}, file, indent=1, ensure_ascii=False)
        file.write("\n")


def bench(args, folder):
    """The whole run in a folder of its own."""
    run = Run(args, folder)
    kinds, wanted = select(run, args.peers)
    started, busy, own = time.monotonic(), processes.machine_busy_seconds(), processes.cpu_seconds(os.getpid())
    run.prepare()
    with upstream(run):
        for at, name in enumerate(args.only):
            say(f"{name} ({time.monotonic() - started:.0f} s)")
            # The second nginx differs by its access log alone, which only the small answers are about.
            alive = [kind for kind in kinds
                     if kind not in run.lost and (name == "small" or kind is not peers.NginxLog)]
            if name == "memory":
                measure_memory(run, alive, wanted)
            else:
                measure(run, name, alive, wanted, run.allot(name, args.only[at:]))
    seconds = time.monotonic() - started
    foreign = processes.machine_busy_seconds() - busy - (processes.cpu_seconds(os.getpid()) - own)
    facts = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "versions": {kind.name: kind.version(run) for kind in kinds if kind is not peers.NginxLog},
        "seconds": round(seconds),
        "foreign_cpu_percent": max(0.0, 100 * foreign / seconds / (os.cpu_count() or 1)),
    }
    if facts["foreign_cpu_percent"] > QUIET_PERCENT:
        run.note(f"other programs used {facts['foreign_cpu_percent']:.0f} % of the machine: run again on a quiet one")
    say(f"done in {seconds:.0f} s")
    met = print_result(run, facts, args)
    if args.json:
        write_json(run, facts, args.json)
    return met


def main():
    """Runs; ends all children on every way out."""
    args = arguments()
    # SIGTERM and a closed terminal unwind like Ctrl-C does, through the `finally` blocks that end the children.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda got, _: sys.exit(128 + got))
    folder = None
    try:
        if args.install:
            install()
        raise_file_limit()
        folder = tempfile.mkdtemp(prefix="doorward-bench-")
        os.chmod(folder, 0o755)  # the peers' workers, which run as nobody, reach the upstream's socket
        met = bench(args, folder)
    except Failed as fault:
        say(f"bench: {fault}")
        return 2
    except KeyboardInterrupt:
        return 130
    finally:
        if folder and args.keep:
            say(f"kept {folder}")
        elif folder:
            shutil.rmtree(folder, ignore_errors=True)
    return 1 if args.strict and not met else 0


if __name__ == "__main__":
    sys.exit(main())
