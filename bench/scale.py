"""scale: what a task costs when there are very many, and a thousand workers on one broker.

1. Redis' memory for a queued and for a finished task, beside the usual way (a hash of six fields
   and an entry in a sorted set for each task).
2. CPU and wall time per task with a million tasks queued, in one job and in a thousand jobs, beside
   the same with a few thousand: for the Redis functions alone, and for the whole fleet.
3. A thousand real workers connected to one broker: memory and CPU at rest, throughput and latency,
   beside eight workers in the same run.
"""

import contextlib
import json
import sys
import time

import latency
import throughput
from lib import fleet as fleets
from lib import table

NAME = "scale"
HELP = "a million tasks, a thousand workers"
PARTS = ("memory", "cost", "workers")
FEW = 1000  # queued at the least while the small queue is measured
WINDOW = 4000  # tasks that one measurement is about
WARM = 500
USUAL = """
for i = 1, 100000 do
    local task = 'task:' .. i
    redis.call('HSET', task, 'state', 'ready', 'name', string.format('%05d', i), 'attempts', 0,
        'worker', '', 'lease', '', 'payload', 'rows ' .. i)
    redis.call('ZADD', 'ready', i, task)
end
"""
USUAL_TASKS = 100000


def arguments(parser):
    parser.add_argument("--part", choices=PARTS, help="only this part")
    parser.add_argument("--many", type=int, default=1000000, help="tasks queued (1000000)")
    parser.add_argument("--connected", type=int, default=1000, help="workers (1000)")
    parser.add_argument("--runs", type=int, default=5, help="repetitions (5)")
    parser.add_argument("--tasks", type=int, default=20000, help="tasks of a job (20000)")
    parser.add_argument("--samples", type=int, default=500, help="interactive jobs (500)")
    parser.add_argument("--idle-s", type=float, default=30, help="seconds at rest (30)")


def bare(fleet, *options):
    argv = (fleets.program("bench_bare_loop"), "--redis", fleet.redis_address)
    return fleets.tool(*argv, "--batch", 256, "--take", 256, *options)


# 1. Memory.


def used_bytes(fleet):
    fleet.cli("memory", "purge")
    return int(fleet.redis_info("memory")["used_memory"])


def usual_way():
    """Bytes of a task that has keys of its own."""
    with fleets.Fleet() as f:
        f.start_redis("no", appendonly="no")
        before = used_bytes(f)
        f.cli("eval", USUAL, 0)
        return (used_bytes(f) - before) / USUAL_TASKS


def memory(o):
    with fleets.Fleet() as f:
        f.start_redis("everysec")
        bare(f, "--tasks", 1000)  # what does not grow with the tasks is there from now on
        before = used_bytes(f)
        job = bare(f, "--tasks", o.many, "--plan-only")["job"]
        queued = (used_bytes(f) - before) / o.many
        print("  memory: a million tasks are queued", file=sys.stderr)
        done = bare(f, "--job", job, "--tasks", o.many)  # fails unless all are done and counted
        finished = (used_bytes(f) - before) / o.many
    usual = usual_way()
    rows = [
        ["usual way", f"{usual:.1f}", "1.00"],
        ["queued", f"{queued:.1f}", f"{queued / usual:.2f}"],
        ["finished", f"{finished:.1f}", f"{finished / usual:.2f}"],
    ]
    notes = [
        "usual way: a hash of six fields and an entry of a sorted set for each task",
        f"{o.many} tasks with names of 5 to 6 bytes and no payload, {done['tasks_done']} ended",
    ]
    print(table.render("Redis' memory", ["task", "bytes", "of usual"], rows, notes), flush=True)
    return {"queued": queued, "finished": finished, "usual": usual}


# 2. Cost.


class Functions:
    """The Redis functions alone, on a queue that is kept long or made short each time."""

    def __init__(self, fleet, many):
        self.fleet, self.many = fleet, many
        self.job = bare(fleet, "--tasks", many, "--plan-only")["job"] if many else None

    def measure(self):
        job = self.job
        if not job:
            job = bare(self.fleet, "--tasks", WINDOW + FEW, "--plan-only")["job"]
        meter = fleets.CpuMeter(redis=self.fleet.redis)
        said = bare(self.fleet, "--job", job, "--stop-after", WINDOW, "--tasks", 1)
        used, done = meter.read(), said["tasks_done"]
        return {"redis": used["redis"] / done * 1e6, "wall": said["wall_us"] / done}


class Whole:
    """The fleet; jobs are planned by the bare loop, so that only taking and ending is measured."""

    def __init__(self, jobs, tasks):
        self.jobs, self.tasks, self.workers = jobs, tasks, None
        with fleets.owned(fleets.Fleet()) as self.fleet:
            self.fleet.start_redis("everysec")
            self.fleet.start_broker()

    def plan(self):
        bare(self.fleet, "--jobs", self.jobs, "--tasks", self.tasks, "--plan-only")
        seen = lambda: self.broker()["jobs_active"] >= self.jobs
        fleets.wait_for(seen, "the broker has found the jobs", pause_s=0.2)

    def broker(self):
        return json.loads(self.fleet.vlmq("status", "--json")[0])["broker"]

    def wait_done(self, count):
        """Waits until so many tasks are done, and says how many really are."""
        done = lambda: (lambda now: now if now >= count else 0)(self.broker()["tasks_done"])
        return fleets.wait_for(done, f"{count} tasks are done", pause_s=0.03)

    def measure(self):
        """A window of the work on a queue; the workers come for it and go after it."""
        f = self.fleet
        base = self.broker()["tasks_done"]
        self.workers = f.start_workers(8, "--slots", 16)
        first = self.wait_done(base + WARM)
        parts = {"redis": f.redis, "broker": f.broker, "workers": self.workers}
        meter, begun = fleets.CpuMeter(**parts), time.perf_counter()
        done = self.wait_done(first + WINDOW) - first
        used, wall_s = meter.read(), time.perf_counter() - begun
        self.workers.end()
        cost = {name: used[name] / done * 1e6 for name in used}
        return {**cost, "wall": wall_s / done * 1e6}


class Few(Whole):
    """A short queue: a new job each time; what was left of the last one is cancelled."""

    def __init__(self):
        super().__init__(1, 2 * WARM + WINDOW + FEW)

    def measure(self):
        self.plan()
        result = super().measure()
        for line in self.fleet.vlmq("ls", "--active", "--json")[0].splitlines():
            self.fleet.vlmq("cancel", json.loads(line)["id"])
        idle = lambda: self.broker()["jobs_active"] == 0
        fleets.wait_for(idle, "the short queue is gone", pause_s=0.2)
        return result


def cost_rows(name, results, base):
    """A row; base: the results with a short queue."""
    cells = [name]
    for part in ("redis", "broker", "workers", "wall"):
        if part not in results[0]:
            cells.append("-")
            continue
        spread = table.Spread([result[part] for result in results])
        pairs = zip(results, base)
        times = table.Spread([result[part] / short[part] for result, short in pairs])
        ratio = "" if results is base else f" = {times.median:.2f}x"
        cells.append(spread.text() + ratio)
    return cells


def sides_of(stack, o):
    """What the cost is measured of, by name; those after a comma stand beside those without."""
    redis = [stack.enter_context(fleets.Fleet()) for _ in range(2)]
    for fleet in redis:
        fleet.start_redis("everysec")
    wholes = {
        "fleet": lambda: Few(),
        "fleet, many": lambda: Whole(1, o.many),
        "fleet, many jobs": lambda: Whole(1000, o.many // 1000),
    }
    sides = {"functions": Functions(redis[0], 0), "functions, many": Functions(redis[1], o.many)}
    for name, make in wholes.items():
        sides[name] = side = make()
        stack.enter_context(side.fleet)
        if "many" in name:
            side.plan()
    return sides


def cost(o):
    runs = {}
    with contextlib.ExitStack() as stack:
        sides = sides_of(stack, o)
        for number in range(o.runs + 1):
            for name, side in sides.items():
                throughput.keep(runs, name, number, side.measure())
            print(f"  cost: round {number} of {o.runs}", file=sys.stderr)
    names = {
        "functions": f"Redis functions, {FEW} to {FEW + WINDOW} queued",
        "functions, many": f"Redis functions, {o.many} queued",
        "fleet": f"fleet, {FEW} to {FEW + WINDOW + WARM} queued",
        "fleet, many": f"fleet, {o.many} queued in 1 job",
        "fleet, many jobs": f"fleet, {o.many} queued in 1000 jobs",
    }
    rows = [cost_rows(names[key], runs[key], runs[key.split(",")[0]]) for key in runs]
    columns = ["us per task", "redis CPU", "broker CPU", "workers CPU", "wall"]
    notes = [
        "8 workers of 16 slots, appendfsync everysec; x: beside the short queue, round by round"
    ]
    print(table.render("cost of a task by length of the queue", columns, rows, notes), flush=True)
    return runs


# 3. Workers.


def connect(fleet, count, starts):
    """So many workers in processes of at most 250; what it took."""
    begun, left, processes = time.perf_counter(), count, []
    while left:
        part = min(left, 250)
        options = ("--slots", 2, "--log-level", "warn")
        processes.append(fleet.start_workers(part, *options, starts_fd=starts.write_fd))
        left -= part
    return processes, time.perf_counter() - begun


def sum_cpu(processes):
    return sum(process.cpu_s() for process in processes)


def with_workers(count, o):
    """A fleet with so many workers connected, measured in every way."""
    starts = latency.Starts()
    with fleets.Fleet() as f:
        f.start_redis()
        f.start_broker()
        lone = f.broker.rss_bytes()
        processes, connect_s = connect(f, count, starts)
        grown = f.broker.rss_bytes()
        time.sleep(2)
        before = {"broker": f.broker.cpu_s(), "redis": f.redis.cpu_s(), "w": sum_cpu(processes)}
        time.sleep(o.idle_s)
        idle = {
            "broker": f.broker.cpu_s() - before["broker"],
            "redis": f.redis.cpu_s() - before["redis"],
            "workers": sum_cpu(processes) - before["w"],
        }
        spans = [sample[2] for sample in latency.samples(f, starts, o.samples)]
    starts.close()
    quiet = throughput.Full("always", count, 2, Quiet)  # nobody listens to starts there
    with quiet.fleet:
        quiet.run(2000)
        rates = table.Spread([quiet.run(o.tasks)["rate"] for _ in range(o.runs)])
    return {
        "connect_s": connect_s,
        "rss_mib": grown / 2**20,
        "kib_each": (grown - lone) / count / 1024,
        "idle_percent": {part: used / o.idle_s * 100 for part, used in idle.items()},
        "start_ms": {
            "p50": table.percentile(spans, 0.5) / 1e3,
            "p99": table.percentile(spans, 0.99) / 1e3,
        },
        "rates": rates,
    }


class Quiet:
    """Options of a fleet for throughput.Full."""

    broker_log, worker_log = "info", "warn"


def workers(o):
    results = {count: with_workers(count, o) for count in (8, o.connected)}
    few = results[8]["rates"].median
    rows = []
    for count, r in results.items():
        idle = r["idle_percent"]
        rows.append(
            [
                count,
                f"{r['connect_s']:.2f}",
                f"{r['rss_mib']:.1f} ({r['kib_each']:.1f} KiB each)",
                *(f"{idle[part]:.2f}" for part in ("broker", "redis", "workers")),
                f"{r['start_ms']['p50']:.2f} / {r['start_ms']['p99']:.2f}",
                r["rates"].text(),
                f"{r['rates'].median / few:.2f}",
            ]
        )
        r["rates"] = r["rates"].json()
    columns = [
        "workers",
        "connected in s",
        "broker RSS MiB",
        "broker CPU % idle",
        "redis",
        "workers",
    ]
    columns += ["interactive start p50/p99 ms", "tasks/s", "of 8 workers"]
    print(table.render("workers connected to one broker, fsync always", columns, rows), flush=True)
    return results


def run(o):
    wanted = [o.part] if o.part else PARTS
    return {part: globals()[part](o) for part in wanted}
