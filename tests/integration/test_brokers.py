"""Two brokers at once, their keys; the protocol as another implementation sees it. Brokers that die
or stand still are in test_faults.py, clients that attack in test_hostile.py."""

import os

from fleet import ROOT, python, wait_for


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


def test_messages_that_no_program_should_send_are_refused(fleet):
    fleet.start()
    done = python(
        ROOT / "tests/integration/python_client.py", fleet.addresses, "garbage", timeout=60
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert fleet.vlmq("run", "probe", "--tasks", 5).status == 0
    assert fleet.brokers[0].running()
