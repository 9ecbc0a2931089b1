"""Starting, watching, accounting and ending child processes, by the kernel's own books in /proc."""

import ctypes
import os
import signal
import subprocess
import time

TICK = os.sysconf("SC_CLK_TCK")
PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    """A program could not be run, or did not do what it must."""


def _die_with_parent():
    """Runs in the child before exec: nothing that this run starts may outlive it, not even after SIGKILL."""
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def start(argv, log, env=None, cwd=None):
    """Starts a child in a process group of its own, its output appended to the file `log`."""
    with open(log, "ab") as out:
        try:
            return subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, cwd=cwd,
                start_new_session=True, preexec_fn=_die_with_parent,
            )
        except OSError as fault:
            raise Failed(f"{argv[0]}: {fault}") from fault


def client(argv, env=None, stdin=subprocess.DEVNULL):
    """Starts a load generator whose output is read."""
    try:
        return subprocess.Popen(
            argv, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, text=True,
            preexec_fn=_die_with_parent,
        )
    except OSError as fault:
        raise Failed(f"{argv[0]}: {fault}") from fault


def finish(child, timeout):
    """Waits for a load generator; returns its output."""
    try:
        out, err = child.communicate(timeout=timeout)
    except subprocess.TimeoutExpired as slow:
        raise Failed(f"{child.args[0]} took longer than {timeout:.0f} s") from slow
    finally:
        kill([child])
    if child.returncode != 0:
        raise Failed(f"{child.args[0]} ended with {child.returncode}: {(out + err).strip()[-300:]}")
    return out


def kill(children):
    """Ends load generators that still run."""
    for child in children:
        if child.poll() is None:
            child.kill()
            child.communicate()


def _stat(pid):
    """The fields of /proc/PID/stat from the third on; None when the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None


def tree(root):
    """The ids of `root` and all its living descendants."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(entry)):
            children.setdefault(int(fields[1]), []).append(int(entry))
    found, queue = [], [root]
    while queue:
        pid = queue.pop()
        found.append(pid)
        queue += children.get(pid, [])
    return found


def cpu_seconds(root):
    """User and system time of a process tree, ended and awaited children included."""
    ticks = 0
    for pid in tree(root):
        if fields := _stat(pid):
            ticks += sum(int(field) for field in fields[11:15])  # utime stime cutime cstime
    return ticks / TICK


def machine_busy_seconds():
    """Time that all cores spent on anything since boot."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICK


def _kib(path, field):
    try:
        with open(path, encoding="ascii") as file:
            for line in file:
                if line.startswith(field):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


def resident_kib(root):
    """Memory of a process tree: pages shared by its members are counted once (Pss)."""
    return sum(_kib(f"/proc/{pid}/smaps_rollup", "Pss:") for pid in tree(root))


def reset_peak(root):
    """Lets the peaks start anew; returns what is resident now (KiB, shared pages counted in each process)."""
    now = 0
    for pid in tree(root):
        try:
            with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as file:
                file.write("5")
        except OSError:
            pass
        now += _kib(f"/proc/{pid}/status", "VmRSS:")
    return now


def peak_kib(root):
    """Sum of the peaks of a process tree since `reset_peak`."""
    return sum(_kib(f"/proc/{pid}/status", "VmHWM:") for pid in tree(root))


def stop(child, patience=8.0):
    """Ends a child that `start` made, with all its descendants: asks first, then insists. Only ids of our own."""
    family = {pid: _started(pid) for pid in tree(child.pid)}
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(patience)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    for pid, born in family.items():
        if pid == child.pid or born is None:
            continue
        end = time.monotonic() + 2
        while _started(pid) == born and time.monotonic() < end:
            time.sleep(0.02)
        if _started(pid) == born:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


def _started(pid):
    """When a process was born, which tells it from a later one of the same id; None when it is gone or a zombie."""
    fields = _stat(pid)
    return None if fields is None or fields[0] == "Z" else fields[19]
