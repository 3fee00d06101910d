"""Redis away, restarting, read-only, slow, volatile, with a password: nothing lost, nothing hangs,
every client gets a clear answer, and work goes on by itself. A full one is in test_faults.py."""

import os
import signal

from fleet import wait_for


def ping(fleet):
    return fleet.vlmq("status", "--json", check=False)


def test_killed_redis_comes_back_and_work_goes_on(fleet, folder):
    fleet.start(workers=2)
    job = fleet.submit("probe", "--tasks", 200, "--task-ms", 30, "--output", folder / "out")
    for _ in range(3):
        wait_for(lambda: fleet.job(job)["tasks_total"] > 1, "planned")
        fleet.redis.kill()
        answer = fleet.vlmq("show", job, "--timeout", "1s", check=False)
        assert answer.status in (4, 7), answer
        assert "redis" in answer.err.lower(), answer
        fleet.restart_redis()
    assert fleet.wait_job(job)["state"] == "done"
    assert len(list((folder / "out").glob("*.txt"))) == 200


def test_submit_during_an_outage_waits_and_succeeds(fleet):
    fleet.start()
    fleet.redis.kill()
    client = fleet.spawn("run", "probe", "--tasks", 3, "--timeout", "60s")
    wait_for(lambda: "redis.lost" in fleet.brokers[0].text(), "the broker noticed")
    fleet.restart_redis()
    assert client.wait(60) == 0, client.text()


def test_read_only_redis_is_told_and_left(fleet):
    fleet.start()
    fleet.cli("replicaof", "127.0.0.1", "1")
    wait_for(
        lambda: fleet.vlmq("submit", "probe", "--timeout", "1s", check=False).status != 0, "refused"
    )
    refused = fleet.vlmq("submit", "probe", "--timeout", "1s", check=False)
    assert "read" in refused.err.lower() or "replica" in refused.err.lower(), refused
    fleet.cli("replicaof", "no", "one")
    result = fleet.vlmq("run", "probe", "--timeout", "60s")
    assert result.status == 0


def test_slow_redis_hangs_nobody(fleet):
    fleet.start()
    job = fleet.submit("probe", "--tasks", 10, "--task-ms", 200)
    fleet.redis.send(signal.SIGSTOP)
    answer = fleet.vlmq("show", job, "--timeout", "3s", check=False, timeout=30)
    assert answer.status in (4, 7), answer
    fleet.redis.send(signal.SIGCONT)
    assert fleet.wait_job(job)["state"] == "done"


def test_volatile_redis_is_refused_with_a_sentence(fleet):
    fleet.start_redis(appendonly=False)
    broker = fleet.start_broker()
    assert broker.wait(20) == 3
    assert "appendonly" in broker.text()
    fleet.redis.kill()
    fleet.start_redis(policy="allkeys-lru")
    broker = fleet.start_broker()
    assert broker.wait(20) == 3
    assert "noeviction" in broker.text()
    fleet.brokers.clear()
    fleet.start_broker("--allow-volatile")
    fleet.start_worker()
    assert fleet.vlmq("run", "probe").status == 0


def test_password_database_and_tcp(fleet, folder):
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    fleet.start_redis("--requirepass", "secret-word")
    fleet.cli("--no-auth-warning", "-a", "secret-word", "config", "set", "port", port)
    refused = fleet.start_broker(redis=f"tcp://127.0.0.1:{port}")
    assert refused.wait(20) == 3
    assert "password" in refused.text().lower() or "auth" in refused.text().lower()
    secret = folder / "password"
    secret.write_text("secret-word\n")
    os.chmod(secret, 0o600)
    fleet.brokers.clear()
    broker = fleet.start_broker(
        "--redis-password-file", secret, "--redis-database", "3", redis=f"tcp://127.0.0.1:{port}"
    )
    fleet.start_worker()
    assert fleet.vlmq("run", "probe").status == 0
    assert "secret-word" not in broker.text()
    sizes = fleet.cli("--no-auth-warning", "-a", "secret-word", "info", "keyspace")
    assert "db3" in sizes and "db0" not in sizes
