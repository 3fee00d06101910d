"""throughput: no-op tasks per second, whole life, against a bare loop of the same Redis functions.

One job of the probe kind whose tasks do nothing is submitted with `vlmq run`; a worker's planning
task adds its tasks, workers take and end them, and the closing task ends the job. Time is that
between the submission and the end of the job, by Redis' clock. The bare loop does the same calls of
Redis' functions over one connection, as many of them in each commit as it likes: no program that
uses these functions can be faster. Both run in turn on servers of their own, in the same run.
"""

import contextlib
import json
import os
import sys

from lib import fleet as fleets
from lib import machine, table
from lib.profile import Profile

NAME = "throughput"
HELP = "no-op tasks per second, whole life, and CPU of each process"
GRID = [(1, 1), (1, 64), (1, 112), (8, 16), (64, 16)]  # workers, slots of each
BARE_BATCHES = (64, 256)
PARTS = ("redis", "broker", "workers", "client")


def arguments(parser):
    parser.add_argument("--workers", type=int, help="only so many workers")
    parser.add_argument("--slots", type=int, help="slots of each worker: tasks it runs at once")
    parser.add_argument("--fsync", choices=("always", "everysec", "no"), help="only this setting")
    parser.add_argument("--tasks", type=int, default=20000, help="tasks of a job (20000)")
    parser.add_argument("--runs", type=int, default=5, help="repetitions (5)")
    parser.add_argument("--worker-log", default="info", help="log level of the workers (info)")
    parser.add_argument("--broker-log", default="info", help="log level of the broker (info)")
    parser.add_argument("--no-bare", action="store_true", help="without the bare loop")
    parser.add_argument("--profile", metavar="DIR", help="perf reports of each process go there")


def grid(o):
    if not o.workers and not o.slots:
        return GRID
    if o.workers and not o.slots:
        slots = {workers: slots for workers, slots in GRID}
        return [(o.workers, slots.get(o.workers, max(1, 256 // o.workers)))]
    return [(o.workers or 1, o.slots)]


class Bare:
    """A Redis of its own for the bare loop."""

    def __init__(self, fsync):
        with fleets.owned(fleets.Fleet()) as self.fleet:
            self.fleet.start_redis(fsync)

    def run(self, tasks, batch):
        meter = fleets.CpuMeter(redis=self.fleet.redis)
        said = fleets.tool(
            fleets.program("bench_bare_loop"),
            *("--redis", self.fleet.redis_address, "--tasks", tasks),
            *("--batch", batch, "--take", batch),
        )
        if said["tasks_done"] != tasks + 1:  # of the loop: the planning task came before
            raise fleets.Failed(f"{said['tasks_done']} of {tasks} tasks done")
        self.fleet.cli("flushdb")
        return {
            "rate": tasks / said["wall_us"] * 1e6,
            "redis": meter.read()["redis"] / tasks * 1e6,
            "client": said["cpu_us"] / tasks,
        }


class Full:
    """Redis, a broker and one process of workers."""

    def __init__(self, fsync, workers, slots, o):
        options = ("--slots", slots, "--log-level", o.worker_log)
        with fleets.owned(fleets.Fleet()) as f:
            f.start_redis(fsync)
            f.start_broker("--log-level", o.broker_log)
            start = f.start_worker if workers == 1 else lambda *a: f.start_workers(workers, *a)
            self.fleet, self.workers = f, start(*options)

    def run(self, tasks, profile=None):
        f = self.fleet
        parts = {"redis": f.redis, "broker": f.broker, "workers": self.workers}
        meter = fleets.CpuMeter(**parts)
        with Profile(profile, **parts) if profile else contextlib.nullcontext():
            said, client_s = f.vlmq("run", "probe", "--tasks", tasks, "--json")
            used = meter.read()
        job = json.loads(said.splitlines()[-1])["job"]
        check(job, tasks)
        span_ms = job["ended_at_ms"] - job["submitted_at_ms"]
        f.vlmq("purge", job["id"])
        cpu = {name: used[name] / tasks * 1e6 for name in used}
        return {"rate": tasks / span_ms * 1e3, **cpu, "client": client_s / tasks * 1e6}


def check(job, tasks):
    """Every task is done and counted once; planning and closing are tasks too."""
    counted = sum(c["value"] for c in job["counters"] if c["name"] == "probe.items")
    if job["tasks_done"] != tasks + 2 or counted != tasks:
        raise fleets.Failed(f"{job['tasks_done']} of {tasks + 2} done, {counted} counted")


def measure(fsync, configurations, o):
    """All configurations in turn, as often as asked for; the first round is a warm-up."""
    fulls, runs = {}, {}
    with contextlib.ExitStack() as stack:
        bare = None if o.no_bare else Bare(fsync)
        if bare:
            stack.enter_context(bare.fleet)
        for workers, slots in configurations:
            fulls[workers, slots] = full = Full(fsync, workers, slots, o)
            stack.enter_context(full.fleet)
        for number in range(o.runs + 1):
            tasks = o.tasks if number else max(1000, o.tasks // 10)
            for batch in BARE_BATCHES if bare else ():
                keep(runs, ("bare", batch), number, bare.run(tasks, batch))
            for key, full in fulls.items():
                last = number == o.runs and o.profile
                profile = f"{o.profile}/{fsync}-{key[0]}x{key[1]}" if last else None
                # One task at a time takes long, and ten times less says the same.
                count = tasks if key != (1, 1) else max(100, tasks // 10)
                keep(runs, key, number, full.run(count, profile))
            print(f"  {fsync}: round {number} of {o.runs}", file=sys.stderr)
    return runs


def keep(runs, key, number, result):
    if number:
        runs.setdefault(key, []).append(result)


def spread(results, name):
    return table.Spread([result[name] for result in results])


def of_bare(runs, results):
    """Beside the best bare loop of the same round, for each round; None: there was no bare loop."""
    bare = [rounds for key, rounds in runs.items() if key[0] == "bare"]
    if not bare:
        return None
    best = [max(result["rate"] for result in row) for row in zip(*bare)]
    return table.Spread([result["rate"] / limit for result, limit in zip(results, best)])


def row_of(key, results, ratio):
    """A line of the table, and the same as data."""
    cpu = {name: spread(results, name) for name in PARTS if name in results[0]}
    rate, total = spread(results, "rate"), sum(value.median for value in cpu.values())
    name = f"bare loop, {key[1]} in a commit" if key[0] == "bare" else f"{key[0]} x {key[1]}"
    texts = [cpu[part].text() if part in cpu else "-" for part in PARTS]
    data = {
        "name": name,
        "tasks_per_s": rate.json(),
        "of_bare": ratio.json() if ratio else None,
        "cpu_us_per_task": {part: value.json() for part, value in cpu.items()},
    }
    shown = ratio.text() if ratio else "-"
    return [name, rate.text(), shown, *texts, table.number(total)], data


def report(fsync, runs, o):
    """One table for one setting of fsync."""
    rows, data = [], []
    for key, results in runs.items():
        row, values = row_of(key, results, of_bare(runs, results))
        rows.append(row)
        data.append({"fsync": fsync, **values})
    columns = ["workers x slots", "tasks/s", "of bare", *(f"{p} us" for p in PARTS), "all us"]
    title = f"throughput, appendfsync {fsync}: {o.tasks} tasks, median [min-max] of {o.runs} runs"
    notes = [
        "us: CPU microseconds per task of that process",
        "of bare: beside the best bare loop of the same round; 1 x 1 has a tenth of the tasks",
        f"load average after: {machine.load():.2f}",
    ]
    print(table.render(title, columns, rows, notes), flush=True)
    return data


def run(o):
    os.sync()
    data = []
    for fsync in [o.fsync] if o.fsync else ["always", "everysec"]:
        data += report(fsync, measure(fsync, grid(o), o), o)
    return data
