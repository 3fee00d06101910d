"""Each exit of a task, with real workers: done, retried, dead, blamed on the device, lost,
poisonous, cancelled. Those that are yielded by a drained worker are in test_faults.py."""

import signal
import time

from fleet import wait_for


def events(fleet, job):
    return [e["name"] for e in fleet.vlmq("events", job, "--json").lines()]


def test_done(fleet, folder):
    fleet.start()
    result = fleet.vlmq(
        "run", "probe", "--tasks", 20, "--items", 3, "--output", folder / "out", "--json"
    )
    job = result.lines()[-1]["job"]
    assert job["state"] == "done"
    assert job["tasks_done"] == 22  # a planning and a closing task stand around them
    assert job["progress"]["items"] == 60
    assert len(list((folder / "out").glob("*.txt"))) == 20


def test_failure_is_retried_with_backoff(fleet):
    fleet.start()
    job = fleet.submit("probe", "--tasks", 4, "--fault", "retry", "--fault-every", 2)
    assert fleet.wait_job(job)["state"] == "done"
    assert events(fleet, job).count("task.failed") == 2


def test_bad_input_is_dead_at_once_and_the_job_fails(fleet):
    fleet.start()
    result = fleet.vlmq(
        "run", "probe", "--tasks", 4, "--fault", "input", "--fault-every", 4, check=False
    )
    assert result.status == 1
    jobs = fleet.vlmq("ls", "--json").lines()
    assert jobs[0]["state"] == "failed" and jobs[0]["tasks_dead"] == 1
    errors = fleet.vlmq("errors", jobs[0]["id"])
    assert "00003" in errors.out or "fault" in errors.out


def test_attempts_run_out_and_retry_revives(fleet):
    fleet.start()
    job = fleet.submit(
        "probe", "--tasks", 2, "--fault", "always", "--fault-every", 2, "--attempts", 2
    )
    ended = fleet.wait_job(job)
    assert ended["state"] == "failed" and ended["tasks_dead"] == 1
    assert events(fleet, job).count("task.failed") + events(fleet, job).count("task.dead") >= 2
    fleet.vlmq("retry", job)
    wait_for(lambda: fleet.job(job)["state"] in ("running", "closing", "failed"), "revived")
    again = fleet.wait_job(job)
    assert again["state"] == "failed" and again["tasks_dead"] == 1
    assert "job.retried" in events(fleet, job)


def test_device_errors_are_not_charged_to_the_task(fleet):
    fleet.start(workers=2)
    job = fleet.submit(
        "probe", "--tasks", 2, "--fault", "device", "--fault-every", 2, "--attempts", 1
    )
    assert fleet.wait_job(job)["state"] == "done"


def test_poisoned_device_ends_its_worker_and_its_tasks_go_on_elsewhere(fleet):
    fleet.start(1, "--slots", 2)
    job = fleet.submit(
        "probe",
        "--tasks",
        4,
        "--items",
        40,
        "--task-ms",
        2000,
        "--fault",
        "poison",
        "--fault-every",
        4,
        "--attempts",
        1,
    )
    assert fleet.workers[0].wait() == 5
    fleet.start_worker()
    ended = fleet.wait_job(job)
    assert ended["state"] == "done" and ended["tasks_dead"] == 0
    assert events(fleet, job).count("task.lost") == 0, "leases were handed back, not lost"


def test_device_that_fails_each_task_is_left(fleet):
    fleet.start(1, "--slots", 3)
    job = fleet.submit(
        "probe",
        "--tasks",
        3,
        "--task-ms",
        2000,
        "--fault",
        "device",
        "--fault-every",
        1,
        "--attempts",
        1,
    )
    assert fleet.workers[0].wait() == 5
    fleet.start_worker()
    assert fleet.wait_job(job)["state"] == "done"


def test_poisonous_task_dies_after_three_workers(fleet):
    fleet.start()
    job = fleet.submit(
        "probe", "--tasks", 3, "--fault", "crash", "--fault-every", 3, "--task-ms", 500
    )
    end = time.monotonic() + 240
    while fleet.job(job)["state"] not in ("failed", "done"):
        assert time.monotonic() < end, fleet.logs()
        if not any(w.running() for w in fleet.workers):
            fleet.start_worker()
        time.sleep(0.1)
    ended = fleet.job(job)
    assert ended["state"] == "failed" and ended["tasks_dead"] == 1 and ended["tasks_done"] == 4
    (task,) = [
        t for t in fleet.vlmq("show", job, "--tasks", "--json").lines() if t["state"] == "dead"
    ]
    assert task["losses"] == 3
    assert "vanished" in task["reason"]


def test_killed_worker_loses_no_work(fleet, folder):
    fleet.start(workers=1)
    victim = fleet.workers[0]
    job = fleet.submit("probe", "--tasks", 4, "--task-ms", 3000, "--output", folder / "out")
    wait_for(
        lambda: fleet.job(job)["tasks_leased"] >= 1 and fleet.job(job)["tasks_total"] > 1, "running"
    )
    victim.kill()
    start = time.monotonic()
    fleet.start_worker()
    assert fleet.wait_job(job)["state"] == "done"
    assert len(list((folder / "out").glob("*.txt"))) == 4
    assert "task.lost" in events(fleet, job) or time.monotonic() - start < 10


def test_interactive_jobs_do_not_wait_for_batch_slots(fleet):
    fleet.start(1, "--slots", 1, "--interactive-slots", 1)
    batch = fleet.submit("probe", "--tasks", 3, "--task-ms", 600000)
    wait_for(
        lambda: fleet.job(batch)["tasks_total"] == 4 and fleet.job(batch)["tasks_leased"] == 1,
        "the batch slot is busy",
    )
    assert fleet.vlmq("run", "probe", "--tasks", 2, "--interactive").status == 0
    assert fleet.job(batch)["tasks_leased"] == 1
    fleet.vlmq("cancel", batch)


def test_second_signal_aborts(fleet):
    fleet.start(workers=1)
    job = fleet.submit("probe", "--tasks", 1, "--task-ms", 600000)
    wait_for(
        lambda: fleet.job(job)["tasks_total"] == 2 and fleet.job(job)["tasks_leased"] == 1,
        "it runs",
    )
    worker = fleet.workers[0]
    worker.send(signal.SIGTERM)
    wait_for(lambda: "drain" in worker.text(), "the drain is logged")
    worker.send(signal.SIGTERM)
    assert worker.wait(10) == 6
    fleet.vlmq("cancel", job)


def test_cancel_reaches_running_tasks_within_a_second(fleet):
    fleet.start(workers=1)
    job = fleet.submit("probe", "--tasks", 50, "--task-ms", 600000)
    wait_for(
        lambda: fleet.job(job)["tasks_total"] == 51 and fleet.job(job)["tasks_leased"] >= 1,
        "it runs",
    )
    fleet.vlmq("cancel", job, "--reason", "changed my mind")
    ended = fleet.wait_job(job, "cancelled")
    assert ended["tasks_leased"] == 0
    assert ended["ended_at_ms"] > 0
    names = {e["name"]: e["at_ms"] for e in fleet.vlmq("events", job, "--json").lines()}
    # Both events are stamped by Redis: the cancel, and the moment the last attempt let go. Without
    # the push to workers that would take a renewal or a lease; the bound only tells the two apart.
    assert names["job.cancelled"] - names["job.cancelling"] < 2000
    wait_for(
        lambda: fleet.vlmq("workers", "--json").lines()[0]["slots_busy"] == 0, "slots are free"
    )
