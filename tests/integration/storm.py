"""Kills parts of a fleet with SIGKILL at random moments, from a seed, and starts them again.

Strikes are paced by the job's progress, so that they are spread over its whole life on any
machine: while a strike is due, the job is slowed down; after it, the job is let go until it has
come as far as the next strike wants. A strike kills one part, or two at the same moment, and starts
them again after a random while. What is killed is drawn from a deck, so that every kind has its
share. Many strikes come right after the commit of a shard, when the most is under way.

Three losses make a task dead, by design: one that kills its workers must not kill all of them.
Here the tasks are innocent, so a worker that executes a task with two losses is spared. To be sure
of it, the worker is stopped first, then its tasks are looked at, and then it is killed or goes on:
a task that was leased to it while it stood still has not begun, and is not charged for its death.
"""

import collections
import json
import os
import random
import signal
import time

from fleet import BIN, wait_for

KILLS = int(os.environ.get("VLMQ_KILLS", "40"))
DECK = ["broker"] * 3 + ["worker"] * 4 + ["redis"] * 3
DOUBLE = 0.3  # of the strikes hit two parts
SPREAD = 0.93  # of the shards are committed when the last strikes come
AT_END = 2  # of the kills come when all are
AT_COMMIT = 0.5  # of them come right after a commit, the others at any moment
DELAY_S = 0.2  # at most so long until one of the others
COMMIT_S = 0.5  # so long a commit is waited for
REPORT_S = 0.03  # at most so long after it
DOWN_S = 0.4  # at most so long until the parts are started again
LOSSES_SPARED = 2


def seeded(what):
    """A random source; VLMQ_SEED repeats a run's draws."""
    seed = int(os.environ.get("VLMQ_SEED") or random.randrange(1 << 32))
    print(f"{what}: VLMQ_SEED={seed}")
    return random.Random(seed)


def check_watched(client):
    """A vlmq run or watch with --json that saw it all: it ends by itself, with the final state."""
    assert client.wait() == 0, client.text()[-2000:]
    lines = [json.loads(line) for line in client.text().splitlines() if line.startswith("{")]
    assert lines[-1]["job"]["state"] == "done", lines[-1]


def check_uncharged(fleet, job):
    """Kills and what Redis forgot are nobody's failures."""
    tasks = fleet.vlmq("show", job, "--tasks", "--json").lines()
    assert [task for task in tasks if task["failures"]] == []


class Storm:
    """Over a fleet that it sets up: brokers on a port and on a unix socket, workers, Redis."""

    def __init__(self, fleet, chance, jobs, workers=3, slots=2):
        self.fleet, self.chance, self.jobs, self.slots = fleet, chance, jobs, slots
        self.killed, self.spared = collections.Counter(), 0
        self.deck = []
        fleet.start_redis()
        fleet.start_broker()
        fleet.start_broker(address=f"ipc://{fleet.folder}/broker.sock")
        self.addresses = fleet.addresses
        for _ in range(workers):
            self.start_worker()

    def start_worker(self):
        # Not waited for: perhaps no broker is there to greet it.
        argv = [BIN / "vlmq-worker", "--broker", self.addresses, "--slots", self.slots]
        self.fleet.workers.append(self.fleet.add("worker", argv, ready=False))

    def start_broker(self, dead):
        """On the same address. A connection of anybody's may sit on its port for a moment."""

        def started():
            broker = self.fleet.restart_broker(dead)
            if broker.ready_line:
                return broker
            self.fleet.brokers.remove(broker)
            assert broker.wait() == 4, broker.text()
            return None

        wait_for(started, f"a broker listens on {dead.address} again")

    # Victims: each is a process and what starts another one in its place.

    def draw(self):
        if not self.deck:
            self.deck = DECK[:]
            self.chance.shuffle(self.deck)
        return self.deck.pop()

    def losses(self, worker):
        """The most that any task has which this worker holds."""
        tasks = []
        for job in self.jobs:
            shown = self.fleet.vlmq("show", job, "--tasks", "--json", check=False)
            assert shown.status in (0, 3), shown.err
            tasks += shown.lines() if shown.status == 0 else []  # not submitted yet
        held = [
            t["losses"]
            for t in tasks
            if t["state"] == "leased" and f"/{worker.pid}/" in t["worker"]
        ]
        return max(held, default=0)

    def pick_worker(self):
        """A worker, stopped, that may be killed; None: all of them must be spared now."""
        workers = self.fleet.workers[:]
        self.chance.shuffle(workers)
        for worker in workers:
            worker.send(signal.SIGSTOP)
            if self.losses(worker) < LOSSES_SPARED:
                return worker
            worker.send(signal.SIGCONT)
            self.spared += 1
        return None

    def victim(self, kind):
        fleet = self.fleet
        if kind == "worker":
            worker = self.pick_worker()
            if worker:
                fleet.workers.remove(worker)
                return worker, self.start_worker
            kind = "broker"
        broker = self.chance.choice(fleet.brokers)
        fleet.brokers.remove(broker)
        return broker, lambda: self.start_broker(broker)

    def strike(self, kinds):
        # Workers first: whether they may be killed is asked while the fleet still answers. There
        # is only one Redis.
        kinds = sorted(kinds, reverse=True)
        victims = [self.victim(kind) for kind in kinds if kind != "redis"]
        victims += [(self.fleet.redis, self.fleet.restart_redis)] * ("redis" in kinds)
        for process, _ in victims:
            assert process.running(), f"{process.name} has ended by itself\n{process.text()}"
            process.kill()
            self.killed[process.name.split("-")[0]] += 1
        time.sleep(self.chance.random() * DOWN_S)
        for _, start in victims:
            start()

    def await_commit(self, progress):
        """Until a shard is committed: its publishing, the report to the queue and the answer to it
        follow within milliseconds."""
        before, end = progress(), time.monotonic() + COMMIT_S
        while progress() == before and time.monotonic() < end:
            time.sleep(0.001)
        time.sleep(self.chance.random() * REPORT_S)

    def blow(self, progress, total, slow=lambda on: None, kills=KILLS):
        """Kills until there were so many. progress(): how many of the shards are committed; with
        all of them, the job has only to be closed. slow(True) slows the job down."""
        while self.killed.total() < kills:
            left = kills - self.killed.total()
            target = int(total * SPREAD * (1 - left / kills)) if left > AT_END else total
            wait_for(lambda: progress() >= target, f"{target} of {total} shards", 300)
            if self.chance.random() < AT_COMMIT:
                self.await_commit(progress)
                slow(True)
            else:
                slow(True)
                time.sleep(self.chance.random() * DELAY_S)
            kinds = [self.draw()]
            if self.chance.random() < DOUBLE and self.killed.total() < kills - 1:
                kinds.append(self.draw())
            self.strike(kinds)
            slow(False)
        print(f"killed {dict(self.killed)}, spared {self.spared} workers")
