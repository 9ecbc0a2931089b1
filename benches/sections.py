"""What is measured, one function a section. Each takes one sample of one target; run.py repeats them in turn."""

import json
import os
import subprocess
import sys
import time

import load
import processes
from processes import Failed

HERE = os.path.dirname(os.path.abspath(__file__))
GIB = 1 << 30
SETTLE = 0.3  # seconds that a peer gets to close what the last client left


class Cost:
    """CPU and wall time of a piece of work, as a `with` block."""

    def __init__(self, target):
        self.pid = target.server.child.pid
        self.cpu = self.wall = 0.0

    def __enter__(self):
        self.cpu = -processes.cpu_seconds(self.pid)
        self.wall = -time.monotonic()
        return self

    def __exit__(self, *_):
        self.wall += time.monotonic()
        self.cpu += processes.cpu_seconds(self.pid)


def header_options(target, option):
    """The target's credentials as options of a client."""
    return [part for header in target.headers for part in (option, header)]


def own_client(run, target, mode, *more):
    """Starts load.py."""
    argv = [sys.executable, os.path.join(HERE, "load.py"), mode, "--port", str(target.server.port)]
    return processes.client(
        argv + header_options(target, "--header") + list(more), env=run.client_env, stdin=subprocess.PIPE
    )


def check(run, target):
    """Right answers first. Returns the TLS version and cipher that a client gets."""
    return own_result(own_client(run, target, "check"), 60)


def own_result(child, timeout):
    """What load.py found."""
    try:
        result = json.loads(processes.finish(child, timeout).strip().splitlines()[-1])
    except (IndexError, ValueError) as fault:
        raise Failed(f"no result from load.py: {fault}") from fault
    if "error" in result:
        raise Failed(result["error"])
    return result


def wrk(run, target, seconds):
    """Keep-alive requests for a small JSON answer."""
    url = f"https://127.0.0.1:{target.server.port}{load.JSON_PATH}"
    argv = ["wrk", "--latency", "-t1", f"-c{run.plan.connections}", f"-d{seconds}s"]
    argv += ["-s", os.path.join(HERE, "report.lua"), *header_options(target, "-H"), url]
    out = processes.finish(processes.client(argv, env=run.client_env), seconds + 20)
    lines = [line for line in out.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise Failed(f"wrk gave no result: {out[-200:]}")
    result = json.loads(lines[0][len("RESULT "):])
    if result["status"] or result["broken"] or not result["requests"]:
        raise Failed(f"wrk: {result['status']} wrong answers and {result['broken']} faults in {result['requests']}")
    return result


def small(run, target):
    """Requests per second, CPU per request, p99."""
    lines_before = log_lines(target)
    with Cost(target) as cost:
        result = wrk(run, target, run.plan.small_seconds)
    hold_to_log(target, lines_before, result["requests"])
    return {
        "rps": result["requests"] / (result["duration"] / 1e6),
        "cpu_us": cost.cpu / result["requests"] * 1e6,
        "p50_us": result["p50"],
        "p99_us": result["p99"],
    }


def small_warm_up(run, target):
    """Connections to the upstream made, caches filled, code paged in."""
    wrk(run, target, 1)


def log_lines(target):
    """How many lines the request log has; 0 without one."""
    path = target.server.request_log
    if path is None or not os.path.exists(path):
        return 0
    lines = 0
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            lines += block.count(b"\n")
    return lines


def hold_to_log(target, before, requests):
    """A peer that claims to log must have written a line for each request; then the log is emptied."""
    path = target.server.request_log
    if path is None:
        return
    end = time.monotonic() + 3
    while (written := log_lines(target) - before) < requests and time.monotonic() < end:
        time.sleep(0.1)
    if written < requests:
        raise Failed(f"{target.name}: {written} log lines for {requests} requests")
    os.truncate(path, 0)


def both_ways(run, target, mode):
    """Bytes through one connection, each way in its turn: MB per second, CPU per GiB."""
    sample = {}
    for way in ("down", "up"):
        with Cost(target) as cost:
            child = own_client(run, target, mode, "--direction", way, "--bytes", str(run.plan.bulk_bytes))
            result = own_result(child, 70)
        sample[f"{way}_mbs"] = run.plan.bulk_bytes / 1e6 / result["seconds"]
        sample[f"{way}_cpu_ms"] = cost.cpu * 1e3 * GIB / run.plan.bulk_bytes
    return sample


def bulk(run, target):
    """A body down and a body up, and how much the peer's memory grew meanwhile."""
    pid = target.server.child.pid
    resident = processes.reset_peak(pid)
    sample = both_ways(run, target, "body")
    return {**sample, "growth_mib": max(0, processes.peak_kib(pid) - resident) / 1024}


def tunnel(run, target):
    """Bytes through an upgraded connection."""
    return both_ways(run, target, "tunnel")


def handshake(run, target):
    """Full TLS handshakes from two client processes; no request is made."""
    with Cost(target) as cost:
        more = ["--seconds", str(run.plan.handshake_seconds)]
        children = [own_client(run, target, "handshakes", *more) for _ in range(2)]
        try:
            results = [own_result(child, run.plan.handshake_seconds + 20) for child in children]
        finally:
            processes.kill(children)
    count = sum(result["count"] for result in results)
    if not count:
        raise Failed("no handshake was made")
    return {
        "per_s": sum(result["count"] / result["seconds"] for result in results),
        "cpu_us": cost.cpu / count * 1e6,
    }


def resting(server):
    """Resident memory (KiB) of a peer that nobody uses."""
    time.sleep(SETTLE)
    return processes.resident_kib(server.child.pid)


def streams(run, target, idle):
    """What idle streams add to a peer that needed `idle` KiB when it was fresh.

    The cost of one stream is counted from just before the streams: a login, which costs a password hash its memory, is
    no part of it.
    """
    before = resting(target.server)
    count = run.plan.streams
    child = own_client(run, target, "streams", "--count", str(count))
    try:
        opened = json.loads(child.stdout.readline() or "{}")
        if opened.get("open") != count:
            raise Failed(f"idle streams: {opened}")
        loaded = resting(target.server)
        held = own_result(child, 30)
    finally:
        processes.kill([child])
    if held["alive"] != count:
        raise Failed(f"only {held['alive']} of {count} streams were alive at the end")
    return {"idle_mib": idle / 1024, "loaded_mib": loaded / 1024, "stream_kib": (loaded - before) / count}


class Section:
    """How a section is run."""

    def __init__(self, sample, share, warm_up=None, primary_only=True):
        self.sample = sample
        self.share = share  # of the time of the run, relative to the other sections
        self.warm_up = warm_up  # before the first sample
        self.primary_only = primary_only


SECTIONS = {
    "memory": Section(streams, 1),
    "small": Section(small, 5, small_warm_up, primary_only=False),
    "handshake": Section(handshake, 1.5),
    "bulk": Section(bulk, 3),
    "tunnel": Section(tunnel, 2.5),
}
