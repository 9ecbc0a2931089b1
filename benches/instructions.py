#!/usr/bin/env python3
"""How many instructions a small proxied answer takes, by token and by session, of one build or of several.

    python3 benches/instructions.py [PROGRAM...]

Each PROGRAM (by default target/release/doorward) runs under `valgrind --tool=callgrind` with one worker, TLS and its
request log on, before the upstream of these benchmarks. What is printed is the difference between runs of few and of many
requests, for one request: start, login and handshake are in both. Noise of the machine does not count; two runs differ by
less than a hundredth. `--keep FOLDER` keeps callgrind's files, for callgrind_annotate. The columns beside the first show ratios to the first program. A minute for each program.
"""

import argparse
import os
import pwd
import re
import shlex
import shutil
import sys
import tempfile

import load
import peers
import processes
import run as bench
from processes import Failed

FEW, MANY = 100, 4100


class Counted(peers.Doorward):
    """Doorward under callgrind, as a user without rights: root would start more processes."""

    def command(self):
        argv = super().command()
        if os.geteuid() == 0:
            user = pwd.getpwnam(self.run.doorward_user)
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            at = argv.index("--user")
            del argv[at:at + 2]
            prefix = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        else:
            prefix = []
        out = os.path.join(self.folder, "callgrind.out")
        return [*prefix, "valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", *argv]

    def login_cookie(self):
        """Builds from before the forms' secrets take the bare form."""
        try:
            return super().login_cookie()
        except Failed:
            form = f"user={peers.BENCH_USER}&password={peers.BENCH_PASSWORD}&next=/"
            headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"https://127.0.0.1:{self.port}"}
            status, fields, text = self.post("/_doorward/login", form, headers)
            for value in fields.get_all("Set-Cookie") or []:
                if value.startswith("__Host-doorward="):
                    return value.split(";")[0]
            raise Failed(f"doorward gave no session: {status} {text[:200]!r}") from None

    def instructions(self):
        """All that were counted, once it has ended."""
        with open(os.path.join(self.folder, "callgrind.out"), encoding="utf-8") as file:
            found = re.search(r"^(?:summary|totals): (\d+)", file.read(), re.MULTILINE)
        if not found:
            raise Failed(f"callgrind counted nothing: {self.tail()}")
        return int(found.group(1))


def count(run, program, door, requests):
    """Instructions of a whole run with so many requests."""
    run.doorward = program
    server = Counted(run)
    server.start()
    try:
        headers = {
            "token": lambda: f"Authorization: Bearer {server.login_token()}",
            "cookie": lambda: f"Cookie: {server.login_cookie()}",
        }
        client = load.Client(server.port, headers=[headers[door]()])
        for _ in range(requests):
            client.send_head("GET", load.JSON_PATH)
            load.expect(client.answer()[0], 200, "a request")
        client.close()
    finally:
        server.stop()
    if run.keep:
        name = f"{programs_name(program)}-{door}-{requests}.out".replace("/", "-")
        shutil.copyfile(os.path.join(server.folder, "callgrind.out"), os.path.join(run.keep, name))
    return server.instructions()


def programs_name(program):
    """The end of its path, as builds differ by folder."""
    return "/".join(program.split(os.sep)[-2:])


def table(run, programs):
    """Prints one row for each door."""
    print("| | " + " | ".join(map(programs_name, programs)) + " |\n|---|" + "---:|" * len(programs))
    for door in ("token", "cookie"):
        cells, first = [], None
        for program in programs:
            few, many = (count(run, program, door, requests) for requests in (FEW, MANY))
            each = (many - few) / (MANY - FEW)
            first = first or each
            cells.append(f"{each:,.0f} ({each / first:.3f})")
            bench.say(f"{door}, {program}: {cells[-1]}")
        print(f"| {door} | " + " | ".join(cells) + " |")


def main():
    """Command line."""
    default = os.path.join(bench.HERE, "..", "target", "release", "doorward")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", nargs="*", metavar="PROGRAM", default=[default])
    parser.add_argument("--doorward-user", default="nobody", help="user it runs as when started as root")
    parser.add_argument("--doorward-args", default="", help="more arguments for it")
    parser.add_argument("--keep", metavar="FOLDER", help="keep callgrind's files there")
    args = parser.parse_args()
    if not shutil.which("valgrind"):
        sys.exit("instructions.py: valgrind is not installed")
    args.quick, args.rounds, args.deadline, args.workers, args.phc = True, 1, 3600, 1, None
    args.doorward = args.programs[0]
    folder = tempfile.mkdtemp(prefix="doorward-bench-")
    try:
        os.chmod(folder, 0o755)
        run = bench.Run(args, folder)
        run.prepare()
        run.keep = args.keep
        with bench.upstream(run):
            table(run, [os.path.abspath(program) for program in args.programs])
    except Failed as fault:
        sys.exit(f"instructions.py: {shlex.quote(str(fault))}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
