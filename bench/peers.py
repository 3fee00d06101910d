"""peers: the whole life of a no-op task in other queues, on this machine, in this run.

beanstalkd with a C client over one connection (200-byte jobs: put, reserve, delete), Celery and RQ
on Redis with their own workers, and vlmq. They do not promise the same: beanstalkd -f0 and Redis
with appendfsync always keep what they have acknowledged, the others may lose the last of it; Celery
as delivered acknowledges a task before it runs. A task of vlmq is one of a job of many or, in its
last row, a job of its own, which is planned and closed: three tasks.
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import time

import throughput
from lib import fleet as fleets
from lib import machine, table

NAME = "peers"
HELP = "beanstalkd, Celery and RQ beside vlmq"
PYTHON = "/usr/bin/python3"  # Debian's, which has the packages
NOOP = pathlib.Path(__file__).resolve().parent / "support" / "noop.py"
IN_FLIGHT = (1, 16, 128)
BINLOGS = (("no binlog", ()), ("binlog, as delivered (fsync 50 ms)", ("-b",)))
BINLOGS += (("binlog, fsync each (-f0)", ("-b", "-f0")),)
REDIS_PLAIN = ("no", "no")  # fsync, append-only: Redis as delivered
REDIS_SAFE = ("always", "yes")
# name, system of noop.py, Redis, tasks
PYTHONS = (
    ("Celery prefork, as delivered", "celery-prefork", REDIS_PLAIN, 3000),
    ("Celery solo, as delivered", "celery-solo", REDIS_PLAIN, 3000),
    ("Celery acks_late, prefetch 1, fsync always", "celery-durable", REDIS_SAFE, 600),
    ("RQ SimpleWorker, as delivered", "rq-simple", REDIS_PLAIN, 1000),
    ("RQ SimpleWorker, fsync always", "rq-simple", REDIS_SAFE, 1000),
    ("RQ forking worker, fsync always", "rq-fork", REDIS_SAFE, 300),
)
PATIENCE_S = 120


def arguments(parser):
    parser.add_argument("--tasks", type=int, default=20000, help="tasks of a job (20000)")
    parser.add_argument("--runs", type=int, default=5, help="repetitions (5)")
    parser.add_argument("--only", metavar="TEXT", help="only rows with this text")


def missing():
    """What --setup would install."""
    checks = {"beanstalkd": bool(shutil.which("beanstalkd"))}
    for name in ("celery", "rq", "redis"):
        done = subprocess.run([PYTHON, "-c", f"import {name}"], capture_output=True, check=False)
        checks[f"python3-{name}"] = done.returncode == 0
    return [name for name, there in checks.items() if not there]


def cpu_tree_s(pid):
    """CPU seconds of a process, its living children, and those that it has waited for."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    ticks = int(fields[13]) + int(fields[14])
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    own = machine.cpu_s(pid) + ticks / machine.TICKS_PER_S
    return own + sum(cpu_tree_s(int(child)) for child in children)


class Beanstalkd:
    def __init__(self, options, in_flight, jobs):
        self.in_flight, self.jobs = in_flight, jobs
        with fleets.owned(fleets.Fleet()) as self.fleet:
            self.socket = self.fleet.sockets / "beanstalkd"
            argv = ["beanstalkd", "-l", f"unix:{self.socket}", *options[:1]]
            argv += [self.fleet.folder, *options[1:]] if options else []
            self.server = self.fleet.start("beanstalkd", argv)
            fleets.wait_for(self.socket.exists, "beanstalkd listens")

    def run(self):
        meter = fleets.CpuMeter(server=self.server)
        argv = [fleets.program("bench_beanstalk"), "--socket", self.socket]
        said = fleets.tool(*argv, "--jobs", self.jobs, "--in-flight", self.in_flight)
        return {
            "rate": said["jobs"] / said["wall_us"] * 1e6,
            "server": meter.read()["server"] / said["jobs"] * 1e6,
            "others": said["cpu_us"] / said["jobs"],
        }


class Python:
    """A Redis, one worker of the system, and one that submits, at the same time."""

    def __init__(self, system, redis, tasks):
        self.system, self.tasks = system, tasks
        with fleets.owned(fleets.Fleet()) as self.fleet:
            self.fleet.start_redis(redis[0], appendonly=redis[1])

    def run(self):
        f = self.fleet
        argv = [PYTHON, str(NOOP)]
        options = [self.system, f.sockets / "redis", self.tasks]
        worker = f.start("worker", [*argv, "worker", *options])
        said = lambda word: re.search(rf"^{word}(.*)$", worker.log.read_text(), re.M)
        fleets.wait_for(lambda: said("READY"), f"{self.system} is ready")
        time.sleep(0.5)  # it listens a moment after it says so
        redis_s, worker_s = f.redis.cpu_s(), cpu_tree_s(worker.pid)
        submitted = fleets.tool(*argv, "submit", *options)
        fleets.wait_for(lambda: said("DONE"), f"{self.system} has ended all tasks", PATIENCE_S)
        used = cpu_tree_s(worker.pid) - worker_s + submitted["cpu_s"]
        span = float(said("DONE")[1]) - submitted["begun"]
        redis_s = f.redis.cpu_s() - redis_s
        worker.end()
        self.verify_empty()
        return {
            "rate": self.tasks / span,
            "server": redis_s / self.tasks * 1e6,
            "others": used / self.tasks * 1e6,
        }

    def verify_empty(self):
        """Nothing may be left in a queue: else a task has run twice, or was not needed."""
        for key in ("celery", "unacked", "rq:queue:default"):
            length = self.fleet.cli("llen" if key != "unacked" else "hlen", key).strip()
            if length != "0":
                raise fleets.Failed(f"{self.system} has left {length} entries in {key}")


class Vlmq:
    """throughput's measurement; client, broker and workers are the others."""

    def __init__(self, fsync, workers, slots, tasks):
        self.full = throughput.Full(fsync, workers, slots, Logs)
        self.fleet, self.tasks = self.full.fleet, tasks

    def run(self):
        said = self.full.run(self.tasks)
        others = said["broker"] + said["workers"] + said["client"]
        return {"rate": said["rate"], "server": said["redis"], "others": others}


class VlmqJobs(Vlmq):
    """A job for each task."""

    def done(self):
        return json.loads(self.fleet.vlmq("status", "--json")[0])["broker"]["tasks_done"]

    def run(self):
        f, full = self.fleet, self.full
        wanted = self.done() + 3 * self.tasks
        meter = fleets.CpuMeter(redis=f.redis, broker=f.broker, workers=full.workers)
        begun = time.monotonic()
        argv = [fleets.program("bench_jobs"), "--broker", f.address, "--jobs", self.tasks]
        said = fleets.tool(*argv)
        fleets.wait_for(lambda: self.done() >= wanted, "all jobs are done", PATIENCE_S, 0.05)
        span, used = time.monotonic() - begun, meter.read()
        if self.done() != wanted:
            raise fleets.Failed(f"{self.done() - wanted} tasks too many were done")
        others = used["broker"] + used["workers"] + said["cpu_us"] / 1e6
        return {
            "rate": self.tasks / span,
            "server": used["redis"] / self.tasks * 1e6,
            "others": others / self.tasks * 1e6,
        }


class Logs:
    """Options of a fleet for throughput.Full: as delivered."""

    broker_log = worker_log = "info"


def systems(o):
    """Name and maker of everything that is compared."""
    yield "vlmq, 8 x 16, fsync always", lambda: Vlmq("always", 8, 16, o.tasks)
    yield "vlmq, 8 x 16, fsync everysec", lambda: Vlmq("everysec", 8, 16, o.tasks)
    yield "vlmq, a job for each task, fsync always", lambda: VlmqJobs("always", 8, 16, 2000)
    for name, options in BINLOGS:
        for in_flight in IN_FLIGHT:
            jobs = o.tasks if in_flight > 1 and "-f0" not in options else o.tasks // 10
            label = f"beanstalkd, {name}, {in_flight} in flight"
            yield label, lambda a=options, b=in_flight, c=jobs: Beanstalkd(a, b, c)
    for name, system, redis, tasks in PYTHONS:
        yield name, lambda a=system, b=redis, c=tasks: Python(a, b, c)


def measure(o):
    """Each system in turn, alone on the machine; the first run of each is a warm-up."""
    runs = {}
    for name, make in systems(o):
        if o.only and o.only not in name:
            continue
        system = make()
        with system.fleet:
            for number in range(o.runs + 1):
                throughput.keep(runs, name, number, system.run())
        print(f"  peers: {name}", file=sys.stderr)
    return runs


def run(o):
    absent = missing()
    if absent:
        raise fleets.Failed(f"{', '.join(absent)} not installed: bench/run --setup")
    runs = measure(o)
    first = table.Spread([result["rate"] for result in next(iter(runs.values()))]).median
    rows = []
    for name, results in runs.items():
        rate, server, others = (
            table.Spread([result[key] for result in results])
            for key in ("rate", "server", "others")
        )
        rows.append([name, rate.text(), f"{rate.median / first:.2f}", server.text(), others.text()])
    columns = ["system", "tasks/s", "of the first", "server CPU us", "other CPU us"]
    notes = [
        "server: beanstalkd or Redis; other: clients, workers and, of vlmq, the broker",
        f"median [min-max] of {o.runs} runs; load average after: {machine.load():.2f}",
    ]
    print(table.render("whole life of a no-op task", columns, rows, notes), flush=True)
    return runs
