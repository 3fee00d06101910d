"""Faults of the world around a running download job: the network, stopped processes, clocks, disks,
memory, operators. Each test ends with the same question: is all as if nothing had happened?"""

import collections
import itertools
import signal
import subprocess
import sys
import time

import pytest

from fleet import BIN, PATIENCE_S, wait_for
from proxy import Proxy
from storm import seeded

LEASE_S = 10


def count_events(fleet, job):
    lines = fleet.vlmq("events", job, "--json").lines()
    return collections.Counter(line["name"] for line in lines)


def check_no_losses(fleet, job):
    """No lease was taken away: not in the job's events, not in its tasks, not in a broker's log."""
    assert count_events(fleet, job)["task.lost"] == 0
    tasks = fleet.vlmq("show", job, "--tasks", "--json").lines()
    assert tasks and all(task.get("losses", 0) == 0 for task in tasks)
    assert not any("lease.lost" in broker.text() for broker in fleet.brokers)


def wait_done(fleet, job, more):
    """Until so many more tasks are done."""
    now = fleet.job(job)
    wanted = now["tasks_done"] + more
    assert wanted < now["tasks_total"], "the job is too small for its faults"
    wait_for(lambda: fleet.job(job)["tasks_done"] >= wanted, f"{more} more tasks are done")


def watch_begun(fleet, job, *options):
    """A watch that knows its job: to find it is a request of its own, with its own time."""
    watch = fleet.spawn("watch", job, *options)
    wait_for(lambda: job in watch.text() or "tasks" in watch.text(), "the watch has begun")
    return watch


def pause(seconds):
    """How long a fault lasts is part of the fault."""
    time.sleep(seconds)


# The network.


@pytest.fixture
def proxies():
    made = []

    def make(*target):
        made.append(Proxy(*target))
        return made[-1]

    yield make
    for proxy in made:
        proxy.close()


def network_faults(chance):
    """(name, how it begins, how long it lasts), each once, in random order."""
    ways = ("up", "down")
    faults = [
        ("reset", lambda p: p.reset(), chance.uniform(0.1, 0.5)),
        ("refuse", lambda p: p.refuse(), chance.uniform(0.1, 1.5)),
        ("hole", lambda p: p.hole(), chance.uniform(1.0, 4.5)),
        ("delay", lambda p: p.delay(delay_s), chance.uniform(1.0, 2.5)),
        ("throttle", lambda p: p.throttle(rate), chance.uniform(1.0, 2.5)),
        *((f"hole {way}", lambda p, way=way: p.hole(way), chance.uniform(1, 4.5)) for way in ways),
        *((f"half {way}", lambda p, way=way: p.halve(way), chance.uniform(0.1, 1)) for way in ways),
    ]
    delay_s, rate = chance.uniform(0.05, 3.0), chance.choice((200, 2000, 20000))
    chance.shuffle(faults)
    return faults


def test_network_cuts_holes_and_delays(fleet, folder, calm, proxies):
    """Two brokers, each behind a proxy, and each with a proxy between it and Redis; every fault
    comes once on either side, at one broker or at both."""
    chance = seeded("network")
    fleet.start_redis()
    links = {"front": [], "redis": []}
    for _ in range(2):
        links["redis"].append(proxies(str(fleet.redis_socket)))
        broker = fleet.start_broker(redis=f"tcp://127.0.0.1:{links['redis'][-1].port}")
        host, port = broker.address.removeprefix("tcp://").split(":")
        links["front"].append(proxies(host, int(port)))
    fronts = [f"tcp://127.0.0.1:{proxy.port}" for proxy in links["front"]]
    fleet.env["VLMQ_BROKER"] = ",".join(fronts)
    for _ in range(2):
        fleet.start_worker(brokers=",".join(fronts))
    output = folder / "stormy"
    job = calm.begin(fleet, output, pace_ms=1000)
    watch = watch_begun(fleet, job)
    deck = [("front", f) for f in network_faults(chance)]
    deck += [("redis", f) for f in network_faults(chance)]
    chance.shuffle(deck)
    for link, (name, begin, seconds) in deck:
        chosen = chance.choice([links[link], [chance.choice(links[link])]])
        if name == "reset":
            chosen = links[link]  # so that nobody comes through without a move
        print(f"{link} x{len(chosen)} {name} {seconds:.1f} s")
        assert watch.running(), watch.text()
        for proxy in chosen:
            begin(proxy)
        pause(seconds)
        for proxy in chosen:
            proxy.heal()
    calm.finish(fleet, job, output)
    assert watch.wait(PATIENCE_S) == 0, watch.text()
    assert all(proxy.taken > 1 for proxy in itertools.chain(*links.values()))
    assert all("worker.moved" in worker.text() for worker in fleet.workers)


def wait_leases(fleet, job, count):
    wait_for(lambda: fleet.job(job)["tasks_leased"] >= count, f"{count} tasks run")


def test_late_burst_and_hang_up(fleet, proxies):
    """What a worker said for seconds arrives at once, more than the broker takes in at a time, and
    the connection breaks right behind it. libzmq's heartbeats would not survive that."""
    fleet.start_redis()
    broker = fleet.start_broker()
    host, port = broker.address.removeprefix("tcp://").split(":")
    proxy = proxies(host, int(port))
    fleet.start_worker("--slots", 32, brokers=f"tcp://127.0.0.1:{proxy.port}")
    beats = 0
    for _ in range(3):
        job = fleet.submit("probe", "--tasks", 32, "--task-ms", 1500)
        wait_leases(fleet, job, 32)
        taken = proxy.taken
        proxy.hoard()
        pause(4.5)  # each task is done, and a transport that beats does so twice
        beats += proxy.hoarded().count(b"PING")
        proxy.burst()
        wait_for(lambda: proxy.taken > taken, "the worker comes back")
        assert broker.running(), broker.text()
        assert fleet.wait_job(job)["state"] == "done"
        check_no_losses(fleet, job)
    assert beats == 0


# Processes that stop and go on.


def test_stopped_worker_comes_back_as_a_zombie(fleet, folder, calm):
    """It stands still for longer than its leases, others do its tasks, and it goes on where it
    stood: what it does then changes nothing."""
    fleet.start()
    zombie = fleet.workers[0]
    output = folder / "stormy"
    job = calm.begin(fleet, output, pace_ms=100)
    wait_leases(fleet, job, 2)
    zombie.send(signal.SIGSTOP)
    fleet.start_worker("--slots", 4)
    calm.pace(0)
    fleet.vlmq("watch", job)
    assert count_events(fleet, job)["task.lost"] == 2
    published = {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in output.glob("*")}
    job_before = fleet.job(job)
    zombie.send(signal.SIGCONT)
    wait_for(lambda: "lease.lost" in zombie.text(), "it learns that its leases are gone")
    # It can still be given work; when that is done, what it had left has gone.
    fleet.workers[1].stop()
    assert fleet.vlmq("run", "probe", "--tasks", 4).status == 0
    attempts = output / "_vlmq" / "attempt"
    wait_for(lambda: not any(attempts.rglob("*")), "no attempt's file is left")
    after = {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in output.glob("*")}
    assert after == published
    for job_now in (job_before, fleet.job(job)):
        assert {**job_now, "now_ms": 0} == {**job_before, "now_ms": 0}
    calm.finish(fleet, job, output)


def test_stopped_brokers(fleet, folder, calm):
    """One stands still for longer than a lease, and work goes on by the other; then both do."""
    fleet.start_redis()
    first, second = fleet.start_broker(), fleet.start_broker()
    for _ in range(2):
        fleet.start_worker()
    output = folder / "stormy"
    job = calm.begin(fleet, output, pace_ms=800)
    for stopped, other in ((first, second), (second, first)):
        stopped.send(signal.SIGSTOP)
        since = time.monotonic()
        wait_done(fleet, job, 3)
        assert fleet.vlmq("run", "probe", "--tasks", 3, "--interactive").status == 0
        if stopped is second:
            other.send(signal.SIGSTOP)
        pause(max(0, since + LEASE_S * 1.2 - time.monotonic()))
        for broker in (stopped, other):
            broker.send(signal.SIGCONT)
    calm.finish(fleet, job, output)


def test_stopped_redis(fleet, folder, calm):
    """It stands still for longer than a lease. Nobody could renew, so nobody is to blame."""
    fleet.start(2)
    output = folder / "stormy"
    job = calm.begin(fleet, output, pace_ms=400)
    wait_leases(fleet, job, 4)
    fleet.redis.send(signal.SIGSTOP)
    pause(LEASE_S * 1.2)
    fleet.redis.send(signal.SIGCONT)
    wait_done(fleet, job, 4)
    calm.finish(fleet, job, output)


def test_followers_outlast_an_outage_of_redis(fleet):
    """It stands still for longer than a request of theirs may take; each is told once, and again
    when it is over. A question of a moment fails with the reason."""
    fleet.start()
    short = ("--timeout", "3s")
    job = fleet.submit("probe", "--tasks", 6, "--task-ms", 2000)
    followers = [
        watch_begun(fleet, job, *short),
        watch_begun(fleet, job, "--json", *short),
        fleet.spawn("events", job, "--follow", *short),
        fleet.spawn("run", "probe", "--tasks", 6, "--task-ms", 2000, *short),
    ]
    wait_for(lambda: "job.submitted" in followers[2].text(), "the feed is read")
    wait_for(lambda: "tasks" in followers[3].text(), "its job is watched")
    fleet.redis.send(signal.SIGSTOP)
    asked = fleet.vlmq("show", job, *short, check=False)
    assert asked.status == 4 and "Redis is away" in asked.err, asked
    for follower in followers:
        wait_for(
            lambda follower=follower: "asking again" in follower.text() or not follower.running(),
            "it is told",
        )
        assert follower.running(), follower.text()
    fleet.redis.send(signal.SIGCONT)
    for follower in followers:
        assert follower.wait(PATIENCE_S) == 0, follower.text()
        text = follower.text()
        assert text.count("asking again") == text.count("the fleet answers again") == 1, text
        assert "Redis is away" in text, text


def test_ctrl_c_ends_a_watch_during_an_outage(fleet):
    fleet.start()
    job = fleet.submit("probe", "--tasks", 4, "--task-ms", 60000)
    watch = watch_begun(fleet, job, "--timeout", "1s")
    for broker in fleet.brokers:
        broker.send(signal.SIGSTOP)
    wait_for(lambda: "asking again" in watch.text() or not watch.running(), "it is told")
    watch.send(signal.SIGINT)
    assert watch.wait(PATIENCE_S) == 130, watch.text()
    for broker in fleet.brokers:
        broker.send(signal.SIGCONT)
    fleet.vlmq("cancel", job)


# The clock.


def fake_clock(folder):
    """A clock for Redis that the returned function moves against the real one."""
    file = folder / "clock"

    def move(seconds):
        with open(file, "r+b" if file.exists() else "wb") as clock:
            clock.write(seconds.to_bytes(8, sys.byteorder, signed=True))

    move(0)
    return move, {"LD_PRELOAD": str(BIN / "tests" / "fake_clock.so"), "FAKE_CLOCK": str(file)}


def redis_time(fleet):
    return int(fleet.cli("time").split()[0])


def test_jumping_clock(fleet, folder, calm):
    """Redis' clock goes an hour ahead and then two back while tasks run: no lease ends by it."""
    move_clock, env = fake_clock(folder)
    fleet.start_redis(env=env)
    broker = fleet.start_broker()
    for _ in range(2):
        fleet.start_worker()
    output = folder / "stormy"
    # Each task runs for ten seconds and sees more than one jump.
    job = calm.begin(fleet, output, pace_ms=400)
    for i, seconds in enumerate((3600, -3600, 0)):
        wait_leases(fleet, job, 4)
        move_clock(seconds)
        assert abs(redis_time(fleet) - time.time() - seconds) < 60
        wait_for(
            lambda: broker.text().count("redis.clock_jumped") == i + 1, "the broker has noticed"
        )
        wait_done(fleet, job, 2)
    calm.finish(fleet, job, output)
    check_no_losses(fleet, job)
    # A worker that dies just before the clock goes back: its lease would end in an hour only.
    probe = fleet.submit("probe", "--tasks", 1, "--task-ms", 60000)
    wait_for(lambda: fleet.job(probe)["tasks_total"] == 2, "planned")
    wait_leases(fleet, probe, 1)
    for worker in fleet.workers:
        worker.kill()
    move_clock(-3600)
    fleet.start_worker()
    wait_for(lambda: count_events(fleet, probe)["task.lost"] == 1, "its lease ends all the same")
    wait_leases(fleet, probe, 1)
    fleet.vlmq("cancel", probe)


# No room.


@pytest.fixture
def small_disk(folder):
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("no right to mount a small disk here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=False)


def fill(path):
    with open(path, "wb", buffering=0) as filler:
        try:
            while True:
                filler.write(b"\0" * 65536)
        except OSError:
            pass


def test_full_disk_is_told_and_work_goes_on_when_there_is_room(fleet, calm, small_disk):
    fleet.start()
    output = small_disk / "stormy"
    job = calm.begin(fleet, output, pace_ms=100)
    wait_leases(fleet, job, 2)
    fill(small_disk / "filler")
    wait_for(lambda: "no space" in fleet.vlmq("logs", job).out.lower(), "the full disk is told")
    wait_for(lambda: "disk.full" in fleet.workers[0].text(), "the worker takes no more")
    (small_disk / "filler").unlink()
    calm.finish(fleet, job, output)


def redis_bytes(fleet):
    lines = fleet.cli("info", "memory").splitlines()
    return int(next(line for line in lines if line.startswith("used_memory:")).split(":")[1])


def test_full_redis_refuses_submits_and_lets_running_work_finish(fleet, folder, calm):
    fleet.start()
    output = folder / "stormy"
    job = calm.begin(fleet, output, pace_ms=100)
    # Over four fifths full, and well under full: the broker keeps the rest for what runs.
    fleet.cli("config", "set", "maxmemory", int(redis_bytes(fleet) * 1.2))
    submit = ["submit", "probe", "--timeout", "1s"]
    wait_for(lambda: fleet.vlmq(*submit, check=False).status != 0, "submissions are refused")
    refused = fleet.vlmq(*submit, check=False)
    assert "memory" in refused.err.lower() or "full" in refused.err.lower(), refused
    # A repeated submit is not a new job: it is answered all the same.
    again = fleet.submit(*calm.argv(output), "--id", job)
    assert again == job
    # Full to the brim, and no byte may be added but by what runs.
    fleet.cli("config", "set", "maxmemory", redis_bytes(fleet) // 2)
    wait_done(fleet, job, 3)
    assert fleet.vlmq(*submit, check=False).status != 0
    calm.finish(fleet, job, output)
    check_no_losses(fleet, job)
    fleet.cli("config", "set", "maxmemory", 0)
    wait_for(lambda: fleet.vlmq(*submit, check=False).status == 0, "accepted again")
    assert fleet.vlmq("run", "probe").status == 0


# Operators.


def tasks_taken(fleet, broker):
    """How many tasks this broker has handed out."""
    status = fleet.vlmq("status", "--json", "--broker", broker.address).json()
    return status["broker"]["tasks_taken"]


def test_two_brokers_stop_in_turns_under_load(fleet, folder, calm):
    """Work is spread over both; each is asked to leave, is killed and comes back, in random order,
    and whoever watches sees the end."""
    chance = seeded("brokers")
    fleet.start_redis()
    brokers = [fleet.start_broker(), fleet.start_broker()]
    # A worker picks one of the brokers it knows; two know only one, so that each has work.
    for address in (None, None, *(broker.address for broker in brokers)):
        fleet.start_worker("--slots", 1, brokers=address)
    output = folder / "stormy"
    job = calm.begin(fleet, output, pace_ms=100)
    wait_for(lambda: all(tasks_taken(fleet, broker) > 1 for broker in brokers), "both are at work")
    watch = watch_begun(fleet, job)
    turns = list(itertools.product((0, 1), ("SIGTERM", "SIGKILL"))) * 2
    chance.shuffle(turns)
    for which, name in turns:
        print(f"broker {which} {name}")
        if name == "SIGTERM":
            assert brokers[which].stop() == 0
        else:
            brokers[which].kill()
        wait_done(fleet, job, 1)
        fleet.brokers.remove(brokers[which])
        brokers[which] = fleet.restart_broker(brokers[which])
    assert watch.running(), "the job outlasts the turns"
    calm.finish(fleet, job, output)
    assert watch.wait(PATIENCE_S) == 0, watch.text()


def test_drained_workers_hand_back_what_they_cannot_finish(fleet, folder, calm):
    """One is told by a signal, one from afar, one has time enough; nothing is counted as lost."""
    fleet.start_redis()
    fleet.start_broker()
    hasty = fleet.start_worker("--drain-s", "2s")
    remote = fleet.start_worker("--drain-s", "2s")
    patient = fleet.start_worker("--drain-s", "120s")
    output = folder / "stormy"
    job = calm.begin(fleet, output, pace_ms=100)
    calm.pace(600)
    wait_leases(fleet, job, 6)
    hasty.send(signal.SIGTERM)
    fleet.vlmq("workers", "--drain", remote.ready_line.split()[1])
    assert hasty.wait(PATIENCE_S) == 0 and remote.wait(PATIENCE_S) == 0
    assert count_events(fleet, job)["task.yielded"] >= 2
    calm.pace(100)
    fleet.start_worker()
    patient.send(signal.SIGTERM)
    assert patient.wait(PATIENCE_S) == 0
    calm.finish(fleet, job, output)
    check_no_losses(fleet, job)


def test_drained_worker_leaves_its_cursors(fleet):
    """The next attempt goes on where the last one was told to yield."""
    fleet.start(1, "--drain-s", "1s")
    job = fleet.submit("probe", "--tasks", 1, "--task-ms", 60000, "--items", 600)
    before = wait_for(
        lambda: (lambda items: items if items > 20 else 0)(fleet.job(job)["progress"]["items"]),
        "it has counted a while",
    )
    assert fleet.workers[0].stop() == 0
    fleet.start_worker()
    items = wait_for(lambda: fleet.job(job)["progress"]["items"], "it counts again")
    assert items >= before
    check_no_losses(fleet, job)
    fleet.vlmq("cancel", job)
    fleet.wait_job(job, "cancelled")
