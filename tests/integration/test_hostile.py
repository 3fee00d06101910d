"""Clients that mean no good, each in a process of its own (hostile.py): while they attack, everyone
else is served as ever, and the broker neither falls nor grows."""

import subprocess
import sys
import threading

import pytest

from fleet import PATIENCE_S, ROOT, wait_for

# Sanitizers keep freed memory back for a while; that is not the broker's.
QUIET = {"ASAN_OPTIONS": "quarantine_size_mb=8:malloc_context_size=0"}
MIB = 1024 * 1024
# Hundreds of connections with a full frame each and what ZeroMQ keeps for them; far below what
# the machine of a broker has, far above what an honest fleet of this size needs.
GROWTH_MAX = 256 * MIB
ATTACKS = {  # what each must have done at least, or nothing was shown
    "garbage": 100,
    "oversized": 10,
    "halves": 100,
    "tiny": 100000,
    "crowd": 600,
    "silent": 600,
    "deaf": 500,
}


def resident(process):
    with open(f"/proc/{process.pid}/status") as status:
        line = next(line for line in status if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


class Attack:
    def __init__(self, name, broker, job):
        host, port = broker.address.removeprefix("tcp://").split(":")
        argv = [sys.executable, str(ROOT / "tests/integration/hostile.py"), name, host, port, job]
        pipe = subprocess.PIPE
        self.child = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        line = self.child.stdout.readline()
        assert line == "in full swing\n", self.child.communicate()

    def running(self):
        return self.child.poll() is None

    def end(self):
        """How much it has done."""
        out, err = self.child.communicate(timeout=PATIENCE_S * 2)
        assert self.child.returncode == 0, err
        return int(out)


@pytest.mark.parametrize("name", ATTACKS)
def test_nobody_else_is_harmed(fleet, name):
    fleet.start_redis()
    broker = fleet.start_broker(env=QUIET)
    fleet.start_worker("--slots", 4)
    long_job = fleet.submit("probe", "--tasks", 1000)
    fleet.wait_job(long_job)
    before = resident(broker)
    running = fleet.submit("probe", "--tasks", 3, "--task-ms", 4000, "--items", 40)
    attack = Attack(name, broker, long_job)
    most = 0
    try:
        for _ in range(3):
            assert fleet.vlmq("run", "probe", "--tasks", 20).status == 0
            assert long_job in fleet.vlmq("ls").out
            assert fleet.vlmq("status").status == 0
            most = max(most, resident(broker))
        assert name == "tiny" or attack.running()
    finally:
        done = attack.end()
    assert done >= ATTACKS[name]
    assert broker.running()
    assert fleet.wait_job(running)["state"] == "done"
    events = fleet.vlmq("events", running, "--json").lines()
    assert not [event for event in events if event["name"] in ("task.lost", "task.failed")]
    assert fleet.vlmq("run", "probe", "--tasks", 20).status == 0
    most = max(most, resident(broker))
    print(f"{name}: {done} done, broker {before // MIB} MiB before, {most // MIB} MiB at most")
    assert most - before < GROWTH_MAX
    wait_for(lambda: len(fleet.vlmq("workers", "--json").lines()) == 1, "the worker stayed")


def test_broker_that_is_brought_down(fleet):
    """Whoever is let in can do it (docs/operations.md, section 2). With a supervisor that starts it
    anew, work goes on. (A task that was being handed out may count a loss.)"""
    fleet.start()
    job = fleet.submit("probe", "--tasks", 40, "--task-ms", 1000, "--items", 10)
    ended = threading.Event()

    def supervise():
        while not ended.wait(0.1):
            if not fleet.brokers[-1].running():
                fleet.restart_broker(fleet.brokers[-1])

    supervisor = threading.Thread(target=supervise)
    supervisor.start()
    attack = Attack("beats", fleet.brokers[0], job)
    try:
        assert fleet.vlmq("watch", job).status == 0
        attacks = attack.end()
        now = fleet.job(job)
    finally:
        ended.set()
        supervisor.join()
    print(f"{attacks} attacks, {len(fleet.brokers) - 1} falls")
    assert attacks >= 3
    assert now["state"] == "done" and now["tasks_done"] == 42
    assert now["progress"]["items"] == 400
