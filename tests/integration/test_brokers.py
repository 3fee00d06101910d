"""Two brokers at once, either may die; the protocol as another implementation sees it."""

import os
import signal
import socket
import struct

from fleet import ROOT, Process, python, wait_for


def test_either_of_two_brokers_may_die(fleet, folder):
    fleet.start_redis()
    first, second = fleet.start_broker(), fleet.start_broker()
    fleet.start_worker()
    fleet.start_worker()
    job = fleet.submit("probe", "--tasks", 300, "--task-ms", 20, "--output", folder / "out")
    client = fleet.spawn("watch", job)
    for _ in range(2):
        wait_for(lambda: fleet.job(job)["tasks_total"] > 1, "planned")
        first.kill()
        fleet.vlmq("show", job)
        fleet.brokers.remove(first)
        first = fleet.restart_broker(first)
        second.kill()
        fleet.vlmq("show", job)
        fleet.brokers.remove(second)
        second = fleet.restart_broker(second)
    assert fleet.wait_job(job)["state"] == "done"
    assert client.wait(60) == 0, client.text()
    assert len(list((folder / "out").glob("*.txt"))) == 300


def test_stopped_broker_is_left_for_the_other(fleet):
    fleet.start_redis()
    first, second = fleet.start_broker(), fleet.start_broker()
    fleet.start_worker()
    first.send(signal.SIGSTOP)
    assert fleet.vlmq("run", "probe", "--tasks", 5).status == 0
    first.send(signal.SIGCONT)
    second.send(signal.SIGSTOP)
    assert fleet.vlmq("run", "probe", "--tasks", 5).status == 0
    second.send(signal.SIGCONT)


def test_worker_of_one_broker_gets_jobs_of_the_other(fleet):
    fleet.start_redis()
    first, second = fleet.start_broker(), fleet.start_broker()
    fleet.start_worker(brokers=second.address)
    fleet.env["VLMQ_BROKER"] = first.address
    assert fleet.vlmq("run", "probe", "--tasks", 5).status == 0
    job = fleet.submit("probe", "--tasks", 1, "--task-ms", 600000)
    wait_for(
        lambda: fleet.job(job)["tasks_total"] == 2 and fleet.job(job)["tasks_leased"] == 1,
        "running",
    )
    fleet.vlmq("cancel", job)
    fleet.wait_job(job, "cancelled", seconds=8)


def test_broker_beyond_loopback_needs_keys(fleet):
    fleet.start_redis()
    broker = fleet.start_broker(address="tcp://0.0.0.0:*")
    assert broker.wait(20) in (2, 4)
    assert "--insecure" in broker.text() and "--key-file" in broker.text()


def test_keys_and_roles(fleet, folder):
    fleet.start_redis()
    for server in ("broker", "other"):
        fleet.vlmq("keygen", folder / f"{server}.key")
    for name, server, role in (
        ("client", "broker", "client"),
        ("worker", "broker", "worker"),
        ("stranger", "other", "client"),
    ):
        fleet.vlmq(
            "keygen", folder / f"{name}.key", "--server", folder / f"{server}.key", "--role", role
        )
    assert os.stat(folder / "broker.key").st_mode & 0o077 == 0
    fleet.start_broker("--key-file", folder / "broker.key")
    fleet.start_worker("--key-file", folder / "worker.key")
    assert fleet.vlmq("run", "probe", "--key-file", folder / "client.key").status == 0
    # A worker may not submit; a stranger and a keyless client get no answer.
    denied = fleet.vlmq("ls", "--key-file", folder / "worker.key", "--timeout", "5s", check=False)
    assert denied.status == 6, denied
    for options in (["--key-file", folder / "stranger.key"], []):
        answer = fleet.vlmq("ls", *options, "--timeout", "2s", check=False)
        assert answer.status in (4, 6, 7), answer


def test_second_implementation_submits_and_watches(fleet):
    fleet.start()
    done = python(
        ROOT / "tests/integration/python_client.py",
        fleet.addresses,
        "submit-and-watch",
        "probe",
        "tasks=5",
        "task_ms=10",
        timeout=120,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert '"done"' in done.stdout.lower() or "JOB_DONE" in done.stdout


def test_other_version_is_answered_with_both_versions(fleet):
    fleet.start()
    done = python(
        ROOT / "tests/integration/python_client.py", fleet.addresses, "version", "99", timeout=60
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert "99" in done.stdout and "1" in done.stdout and "version" in done.stdout.lower()


def test_garbage_harms_nobody(fleet):
    fleet.start()
    host, port = fleet.addresses.removeprefix("tcp://").rsplit(":", 1)
    for data in (
        b"GET / HTTP/1.1\r\n\r\n",
        os.urandom(4096),
        b"\xff" + b"\0" * 8 + b"\x7f\x03" + b"\0" * 53,
        struct.pack(">Q", 1 << 62) * 100,
    ):
        with socket.create_connection((host, int(port))) as sock:
            try:
                sock.sendall(data)
            except OSError:
                pass
    idle = [socket.create_connection((host, int(port))) for _ in range(50)]
    done = python(
        ROOT / "tests/integration/python_client.py", fleet.addresses, "garbage", timeout=60
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert fleet.vlmq("run", "probe", "--tasks", 5).status == 0
    assert fleet.brokers[0].running() and isinstance(fleet.brokers[0], Process)
    for sock in idle:
        sock.close()
