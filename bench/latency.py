"""latency: how soon something happens on a fleet that has nothing else to do, or a lot.

1. From the submission of an interactive job to the first instruction of its task, on a warm worker:
   idle; while a million tasks are queued and every batch slot is busy; and while the same worker
   works through a million no-op tasks as fast as it can. A C client and a real worker, both read
   CLOCK_MONOTONIC (bench/latency.c, bench/support/starts.h). Such a job is planned first, so two
   tasks are taken one after the other. Beside it: the same calls of the Redis functions, one after
   the other, without broker, worker and network; and the machine alone: the syncs and the
   wake-ups of threads and processes that are on the way.
2. From the SIGKILL of a worker to the start of its task on another one.
3. The local fleet: `vlmq up` from nothing, `vlmq run probe --tasks 1`, and what it costs at rest.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from lib import fleet as fleets
from lib import machine, table

NAME = "latency"
HELP = "submission to start, a dead worker's task, the local fleet"
PARTS = ("start", "death", "local")
BARE_RUNS = 100
BATCH_TASKS = 1000000
SLOTS = 4
SYNCS, WAKES = 2, 20  # commits until the task starts; threads that wake another on the way
LEASE_S = 10


def arguments(parser):
    parser.add_argument("--part", choices=PARTS, help="only this part")
    parser.add_argument("--samples", type=int, default=500, help="interactive jobs (500)")
    parser.add_argument("--deaths", type=int, default=5, help="workers killed (5)")
    parser.add_argument("--idle-s", type=float, default=30, help="seconds at rest (30)")
    parser.add_argument("--queued", type=int, default=BATCH_TASKS, help="batch tasks (1000000)")


def ms(us):
    return f"{us / 1000:.2f}"


class Starts:
    """The pipe on which workers tell the starts of tasks."""

    def __init__(self):
        self.read_fd, self.write_fd = os.pipe()
        self.lines = os.fdopen(self.read_fd)

    def of(self, job, seconds=60):
        """The next start of a work task of the job: pid and monotonic seconds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            name, phase, _, attempt, pid, at_us = self.lines.readline().split()
            if name == job and phase == "0":
                return int(pid), int(attempt), int(at_us) / 1e6
        raise fleets.Failed(f"job {job} does not start")

    def close(self):
        self.lines.close()
        os.close(self.write_fd)


# 1. Submission to start.


def bare_starts():
    """The same without broker, worker and network, on a Redis of its own."""
    with fleets.Fleet() as f:
        f.start_redis()
        argv = [fleets.program("bench_bare_loop"), "--redis", f.redis_address]
        argv += ["--tasks", 1, "--batch", 1, "--take", 1, "--jobs", BARE_RUNS]
        return fleets.tool(*argv)["start_us"]


def machine_alone(fleet):
    return machine.path_us(fleet.folder, SYNCS, WAKES, BARE_RUNS)


def samples(fleet, starts, count):
    argv = [fleets.program("bench_latency"), "--broker", fleet.address, "--runs", count]
    return fleets.tool(*argv, stdin=starts.read_fd)["samples"]


def queue_batch(fleet, count, task_ms):
    """A batch job that has so many tasks ready, with all batch slots at work on it."""
    job = fleet.vlmq("submit", "probe", "--tasks", count, "--task-ms", task_ms)[0].split()[0]
    planned = lambda: fleet.job(job)["tasks_total"] > count
    fleets.wait_for(planned, "the batch job is planned", 600, pause_s=0.5)
    return job


def drop(fleet, job):
    fleet.vlmq("cancel", job)
    fleets.wait_for(lambda: fleet.job(job)["state"] == "cancelled", "the batch job is cancelled")


def start_rows(name, values, floor):
    """One row of the table for each span of the samples."""
    spans = ("answer", "plan starts", "task starts", "job seen done")
    rows = []
    for i, span in enumerate(spans):
        column = [sample[i] for sample in values]
        p50, p99 = (table.percentile(column, share) for share in (0.5, 0.99))
        ratio = f"{p50 / table.percentile(floor, 0.5):.2f}" if i == 2 else "-"
        rows.append([name, span, len(column), ms(p50), ms(p99), ms(max(column)), ratio])
    return rows


def start(o):
    starts, rows = Starts(), []
    with fleets.Fleet() as f:
        f.start_redis()
        f.start_broker()
        f.start_workers(1, "--slots", SLOTS, starts_fd=starts.write_fd)
        samples(f, starts, 50)  # warm-up
        floor, alone = bare_starts(), machine_alone(f)
        idle = samples(f, starts, o.samples)
        floor += bare_starts()
        alone += machine_alone(f)
        job = queue_batch(f, o.queued, 600000)
        busy = samples(f, starts, o.samples)
        drop(f, job)
        job = f.vlmq("submit", "probe", "--tasks", o.queued)[0].split()[0]
        fleets.wait_for(lambda: f.job(job)["tasks_done"] > 10, "the batch job is planned", 600)
        flood = samples(f, starts, o.samples)
        if not f.job(job)["tasks_ready"]:
            raise fleets.Failed("the batch job ended before the samples: take a larger --queued")
        floor += bare_starts()
        alone += machine_alone(f)
    starts.close()
    queues = {"idle": idle, f"{o.queued} queued, slots busy": busy, "worked through": flood}
    for name, values in queues.items():
        rows += start_rows(name, values, floor)
    columns = ["queue", "submission until", "n", "p50 ms", "p99 ms", "max ms", "of bare"]
    beside = []
    for name, what, spans in (
        ("machine alone", f"{SYNCS} syncs, {WAKES} wake-ups", alone),
        ("bare loop", "task is taken", floor),
    ):
        p50, p99 = (table.percentile(spans, share) for share in (0.5, 0.99))
        ratio = f"{p50 / table.percentile(floor, 0.5):.2f}"
        beside.append([name, what, len(spans), ms(p50), ms(p99), ms(max(spans)), ratio])
    notes = ["of bare: p50 beside the same Redis functions one after the other, fsync always"]
    rows = beside + rows
    print(table.render("interactive job on a warm worker", columns, rows, notes), flush=True)
    return [dict(zip(columns, row)) for row in rows]


# 2. Death.


def one_death(fleet, starts, workers):
    """Seconds from the SIGKILL of the worker that has the task to its next start."""
    argv = ("submit", "probe", "--tasks", 1, "--task-ms", 120000)
    job = fleet.vlmq(*argv)[0].split()[0]
    pid, _, _ = starts.of(job)
    time.sleep(random.uniform(0.5, LEASE_S / 2))  # anywhere between two renewals
    killed = next(worker for worker in workers if worker.pid == pid)
    killed_at = time.monotonic()
    killed.end(signal.SIGKILL)
    _, attempt, started_at = starts.of(job)
    if attempt < 2:  # a lease that was offered to the dead one and came back makes it three
        raise fleets.Failed(f"attempt {attempt} came after a death")
    workers.remove(killed)
    fleet.vlmq("cancel", job)
    return started_at - killed_at


def death(o):
    starts, spans = Starts(), []
    with fleets.Fleet() as f:
        f.start_redis()
        f.start_broker()
        workers = [f.start_workers(1, starts_fd=starts.write_fd) for _ in range(2)]
        for number in range(o.deaths):
            spans.append(one_death(f, starts, workers))
            workers.append(f.start_workers(1, starts_fd=starts.write_fd))
            print(f"  death {number + 1} of {o.deaths}", file=sys.stderr)
    starts.close()
    spread = table.Spread(spans)
    row = [len(spans), spread.text(), LEASE_S, f"{spread.median / LEASE_S:.2f}"]
    columns = ["deaths", "s until the task starts elsewhere", "lease s", "of the lease"]
    print(table.render("SIGKILL of a worker", columns, [row]), flush=True)
    return {"seconds": spread.json(), "lease_s": LEASE_S}


# 3. The local fleet.


def client(folder, *args):
    """Runs vlmq as a person does; the wall seconds of the command."""
    argv = [str(fleets.program("vlmq")), *args, "--fleet", str(folder)]
    env = {name: value for name, value in os.environ.items() if not name.startswith("VLMQ_")}
    begun = time.perf_counter()
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=env)
    span = time.perf_counter() - begun
    if done.returncode:
        raise fleets.Failed(f"{' '.join(argv)}: {done.stderr}")
    return span


def up_and_down(count):
    spans = []
    for _ in range(count):
        folder = tempfile.mkdtemp(prefix="vlmq-bench-")
        try:
            spans.append(client(folder, "up"))
        finally:
            client(folder, "down")
            shutil.rmtree(folder, ignore_errors=True)
    return spans


def at_rest(folder, seconds):
    """CPU and memory of the parts while nothing is asked of them."""
    parts = ("redis", "broker", "worker-cpu")
    pids = {part: int(open(f"{folder}/{part}.pid").read().split()[0]) for part in parts}
    time.sleep(2)  # what the last job left to do
    before = {part: machine.cpu_s(pid) for part, pid in pids.items()}
    time.sleep(seconds)
    return {
        part: {
            "cpu_percent": (machine.cpu_s(pid) - before[part]) / seconds * 100,
            "rss_mib": machine.rss_bytes(pid) / 2**20,
        }
        for part, pid in pids.items()
    }


def exec_floor(count):
    """Wall seconds of starting the client for nothing."""
    spans = []
    for _ in range(count):
        begun = time.perf_counter()
        subprocess.run([fleets.program("vlmq"), "--version"], capture_output=True, check=True)
        spans.append(time.perf_counter() - begun)
    return spans


def local(o):
    ups = table.Spread(up_and_down(7))
    folder = tempfile.mkdtemp(prefix="vlmq-bench-")
    try:
        client(folder, "up")
        client(folder, "run", "probe", "--tasks", "1")
        runs = [client(folder, "run", "probe", "--tasks", "1") for _ in range(50)]
        rest = at_rest(folder, o.idle_s)
    finally:
        client(folder, "down")
        shutil.rmtree(folder, ignore_errors=True)
    floor = table.Spread(exec_floor(50))
    p50, p99 = (table.percentile(runs, share) * 1e3 for share in (0.5, 0.99))
    rows = [
        ["vlmq --version", f"{floor.median * 1e3:.1f}", f"{floor.values[-1] * 1e3:.1f}", "-"],
        ["vlmq up, new folder", f"{ups.median * 1e3:.0f}", f"{ups.values[-1] * 1e3:.0f}", "1000"],
        ["vlmq run probe --tasks 1", f"{p50:.1f}", f"{max(runs) * 1e3:.1f}", "50"],
    ]
    columns = ["command", "median ms", "max ms", "aim ms"]
    print(table.render("the local fleet, wall time of commands", columns, rows), flush=True)
    rows = [[p, f"{r['cpu_percent']:.3f}", f"{r['rss_mib']:.1f}"] for p, r in rest.items()]
    title = f"the local fleet at rest for {o.idle_s:.0f} s"
    print(table.render(title, ["part", "CPU %", "RSS MiB"], rows), flush=True)
    return {
        "up_s": ups.json(),
        "run_ms": {"p50": p50, "p99": p99, "max": max(runs) * 1e3},
        "rest": rest,
    }


def run(o):
    wanted = [o.part] if o.part else PARTS
    return {part: globals()[part](o) for part in wanted}
