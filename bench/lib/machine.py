"""The machine that is measured: its description, and the CPU time of its processes.

CPU time comes from the kernel's clock of the process (nanoseconds, all threads, also those that
have ended), so it is exact where wall time on a shared machine is not.
"""

import os
import pathlib
import platform
import random
import re
import socket
import statistics
import subprocess
import tempfile
import time

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
SYNCS = 200


def cpu_s(pid):
    """CPU seconds of a living process: the clock that clock_getcpuclockid(3) names."""
    return time.clock_gettime(((~pid) << 3) | 2)


def rss_bytes(pid):
    fields = pathlib.Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * PAGE_BYTES


def threads_count(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


def load():
    """The machine's load average of the last minute."""
    return os.getloadavg()[0]


def busy_share(seconds=0.5):
    """How much of the machine others use right now, 0 to 1, measured while we sleep."""

    def sample():
        fields = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
        numbers = [int(field) for field in fields]
        return sum(numbers) - numbers[3] - numbers[4], sum(numbers)

    busy, total = sample()
    time.sleep(seconds)
    busy_now, total_now = sample()
    return (busy_now - busy) / max(1, total_now - total)


def sync_us(folder):
    """Median microseconds of appending 4 KiB and fdatasync: the floor under appendfsync always."""
    spans = []
    with tempfile.TemporaryFile(dir=folder) as file:
        block = b"x" * 4096
        for _ in range(SYNCS):
            start = time.perf_counter()
            os.write(file.fileno(), block)
            os.fdatasync(file.fileno())
            spans.append((time.perf_counter() - start) * 1e6)
    return statistics.median(spans)


def path_us(folder, syncs, wakes, count, pause_s=0.02):
    """Microseconds of so many syncs of 4 KiB and wake-ups of the other of two processes, one after
    the other on a machine at rest; count samples. No program with that path can be faster."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if not child:
        ours.close()
        while theirs.recv(1):
            theirs.send(b"x")
        os._exit(0)
    theirs.close()
    spans = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(count):
            time.sleep(random.uniform(0, pause_s))
            start = time.perf_counter()
            for _ in range(wakes // 2):
                ours.send(b"x")
                ours.recv(1)
            for _ in range(syncs):
                os.write(file.fileno(), b"x" * 4096)
                os.fdatasync(file.fileno())
            spans.append((time.perf_counter() - start) * 1e6)
    ours.close()
    os.waitpid(child, 0)
    return spans


def first_match(pattern, text, otherwise="unknown"):
    found = re.search(pattern, text, re.M)
    return found.group(1).strip() if found else otherwise


def output_of(*argv):
    try:
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return ""


def describe(folder):
    """What a reader must know to compare numbers."""
    cpu = pathlib.Path("/proc/cpuinfo").read_text()
    memory = pathlib.Path("/proc/meminfo").read_text()
    return {
        "cpu": first_match(r"^model name\s*:\s*(.*)$", cpu),
        "mhz": float(first_match(r"^cpu MHz\s*:\s*(.*)$", cpu, "0")),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(first_match(r"^MemTotal:\s*(\d+)", memory, "0")) / 2**20, 1),
        "kernel": platform.release(),
        "virtual": "hypervisor" in cpu,
        "redis": first_match(r"v=(\S+)", output_of("redis-server", "--version")),
        "sync_us": round(sync_us(folder), 1),
        "load": load(),
        "busy": round(busy_share(), 3),
    }


def headline(m):
    return (
        f"machine   {m['cpu']}{' (virtual)' if m['virtual'] else ''}, {m['cores']} cores, "
        f"{m['memory_gib']} GiB, Linux {m['kernel']}, Redis {m['redis']}\n"
        f"disk      4 KiB append + fdatasync: {m['sync_us']:.0f} us (median of {SYNCS})\n"
        f"before    load average {m['load']:.2f}, {m['busy']:.0%} of the cores busy"
    )
