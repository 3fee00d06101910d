"""Each verb of the client, as a table and as JSON, with its exit status."""

import json
import re

from fleet import wait_for

VERBS = (
    "up down status submit run ls show watch errors results logs cancel pause resume retry "
    "priority workers report model"
).split()


def test_help_of_every_verb_has_an_example(fleet):
    top = fleet.vlmq("--help").out
    for verb in VERBS:
        assert re.search(rf"^\s+{verb}\b", top, re.M), f"{verb} is not listed"
        text = fleet.vlmq(verb, "--help").out
        assert f"vlmq {verb}" in text and "xample" in text, verb
    wrong = fleet.vlmq("sumbit", check=False)
    assert wrong.status == 2 and "submit" in wrong.err
    assert fleet.vlmq("run", "download", "--help").out.count("--image-size") >= 1
    assert fleet.vlmq("run", "nosuchkind", check=False).status == 2
    wrong = fleet.vlmq("run", "download", "list.csv", "--image-sise", "4", check=False)
    assert wrong.status == 2 and "image-size" in wrong.err


def test_submit_show_ls_watch_results(fleet, folder):
    fleet.start()
    job = fleet.submit(
        "probe", "--tasks", 3, "--output", folder / "out", "--title", "first", "--owner", "ann"
    )
    assert fleet.vlmq("watch", job).status == 0
    last = fleet.vlmq("watch", job, "--json").lines()[-1]["job"]
    assert last["state"] == "done" and last["owner"] == "ann"
    shown = fleet.vlmq("show", job)
    assert job in shown.out and "done" in shown.out and "ann" in shown.out
    assert fleet.job(job)["title"] == "first"
    assert job in fleet.vlmq("ls").out
    assert fleet.vlmq("ls", "--owner", "bob", "--json").lines() == []
    assert fleet.vlmq("ls", "--active", "--json").lines() == []
    results = fleet.vlmq("results", job, "--json").out
    assert "00000.txt" in results and "00002.txt" in results
    assert "00001.txt" in fleet.vlmq("results", job).out
    assert "job.done" in fleet.vlmq("logs", job).out
    # A unique prefix is enough; an unknown job is status 3.
    assert fleet.job(job[:7])["id"] == job
    assert fleet.vlmq("show", "nosuchjob0", check=False).status == 3


def test_watch_sees_the_progress_of_a_running_task(fleet):
    fleet.start()
    job = fleet.submit("probe", "--tasks", 1, "--task-ms", 2600, "--items", 26)
    updates = [u["job"]["progress"]["items"] for u in fleet.vlmq("watch", job, "--json").lines()]
    assert updates == sorted(updates) and updates[-1] == 26
    assert any(5 <= items < 26 for items in updates), updates


def test_same_id_is_the_same_job(fleet):
    fleet.start()
    first = fleet.submit("probe", "--id", "nightly-1", "--tasks", 2)
    assert fleet.submit("probe", "--id", "nightly-1", "--tasks", 2) == first == "nightly-1"
    other = fleet.vlmq("submit", "probe", "--id", "nightly-1", "--tasks", 3, check=False)
    assert other.status != 0 and "nightly-1" in other.err
    assert len(fleet.vlmq("ls", "--json").lines()) == 1


def test_purge_keeps_the_record_beside_the_output(fleet, folder):
    fleet.start()
    job = fleet.submit("probe", "--tasks", 3, "--output", folder / "out", "--task-ms", 300)
    early = fleet.vlmq("purge", job, "--archive", check=False)
    assert early.status == 2 and "not ended" in early.err
    fleet.wait_job(job)
    fleet.vlmq("purge", job, "--archive")
    assert fleet.vlmq("show", job, check=False).status == 3
    lines = (folder / "out" / "_vlmq" / "jobs" / f"{job}.jsonl").read_text().splitlines()
    record = [json.loads(line) for line in lines]
    assert record[0]["job"]["id"] == job and record[0]["job"]["state"] == "done"
    assert [r["event"]["name"] for r in record if "event" in r][-1] == "job.done"
    assert len([r for r in record if "task" in r]) == 5
    assert len(list((folder / "out").glob("*.txt"))) == 3
    assert not fleet.cli("keys", f"vlmq:{{{job}}}*").strip()


def test_pause_resume_priority(fleet):
    fleet.start(1, "--slots", 1)
    job = fleet.submit("probe", "--tasks", 3, "--task-ms", 50, "--paused")
    assert fleet.job(job)["paused"] is True
    other = fleet.submit("probe", "--tasks", 3)
    assert fleet.wait_job(other)["state"] == "done"
    assert fleet.job(job)["tasks_done"] == 0
    fleet.vlmq("priority", job, "--to", 7)
    assert fleet.job(job)["priority"] == 7
    fleet.vlmq("resume", job)
    assert fleet.wait_job(job)["state"] == "done"
    running = fleet.submit("probe", "--tasks", 100, "--task-ms", 100)
    wait_for(lambda: fleet.job(running)["tasks_done"] > 2, "it runs")
    fleet.vlmq("pause", running)
    wait_for(lambda: fleet.job(running)["tasks_leased"] == 0, "running attempts end")
    stood = fleet.job(running)["tasks_done"]
    assert fleet.vlmq("run", "probe", "--tasks", 3).status == 0  # time passes, others go on
    assert fleet.job(running)["tasks_done"] == stood
    fleet.vlmq("cancel", running)
    assert fleet.wait_job(running)["state"] == "cancelled"
    assert fleet.vlmq("watch", running, check=False).status == 5


def test_priority_goes_first_and_owners_share(fleet):
    fleet.start_redis()
    fleet.start_broker()
    flood = fleet.submit("probe", "--tasks", 60, "--task-ms", 50, "--owner", "ann")
    small = fleet.submit("probe", "--tasks", 5, "--task-ms", 50, "--owner", "bob")
    urgent = fleet.submit("probe", "--tasks", 5, "--task-ms", 50, "--owner", "ann", "--priority", 5)
    fleet.start_worker("--slots", 2)
    ended = {job: fleet.wait_job(job)["ended_at_ms"] for job in (urgent, small, flood)}
    assert ended[urgent] < ended[flood] and ended[small] < ended[flood]


def test_workers_and_drain(fleet):
    fleet.start(2, "--label", "blue")
    workers = wait_for(
        lambda: (lambda w: w if len(w) == 2 else None)(fleet.vlmq("workers", "--json").lines()),
        "two workers",
    )
    assert all("blue" in w["labels"] and w["device"] == "cpu" for w in workers)
    assert workers[0]["id"] in fleet.vlmq("workers").out
    fleet.vlmq("workers", "--drain", workers[0]["id"])
    wait_for(lambda: sum(w.running() for w in fleet.workers) == 1, "the drained worker leaves")
    gone = [w for w in fleet.workers if not w.running()][0]
    assert gone.wait() == 0
    wait_for(lambda: len(fleet.vlmq("workers", "--json").lines()) == 1, "it said goodbye")


def test_labels_choose_workers(fleet):
    fleet.start(1, "--label", "blue")
    job = fleet.submit("probe", "--tasks", 2, "--label", "red")
    assert fleet.vlmq("run", "probe", "--tasks", 2, "--label", "blue").status == 0
    assert fleet.job(job)["tasks_done"] == 0
    fleet.start_worker("--label", "red,large")
    assert fleet.wait_job(job)["state"] == "done"


def test_chains(fleet, folder):
    fleet.start()
    held = fleet.submit("probe", "--tasks", 2, "--paused")
    after = fleet.submit("probe", "--tasks", 2, "--after", held)
    source = fleet.submit("probe", "--tasks", 6, "--task-ms", 100, "--output", folder / "a")
    chained = fleet.submit("probe", "--from", source, "--output", folder / "b")
    assert fleet.wait_job(chained)["state"] == "done"
    assert sorted(p.name for p in (folder / "b").glob("*.txt")) == [f"{i:05}.txt" for i in range(6)]
    unfit = fleet.vlmq("run", "download", "--from", source, "--output", folder / "c", check=False)
    assert unfit.status == 1 and "--from" in unfit.out + unfit.err, unfit
    assert fleet.job(after)["state"] == "held"
    fleet.vlmq("resume", held)
    assert fleet.wait_job(after)["state"] == "done"
    broken = fleet.submit("probe", "--tasks", 1, "--fault", "input", "--fault-every", 1)
    waits = fleet.submit("probe", "--after", broken)
    ended = fleet.wait_job(waits)
    assert ended["state"] == "failed" and broken in ended["reason"]
    assert fleet.vlmq("submit", "probe", "--after", "nosuchjob0", check=False).status != 0


def test_long_lists_are_paged(fleet):
    fleet.start()
    for i in range(60):
        fleet.submit("probe", "--id", f"page-{i:02}", "--tasks", 1, "--paused")
    every = fleet.vlmq("ls", "--json", "--all").lines()
    assert sorted(j["id"] for j in every) == [f"page-{i:02}" for i in range(60)]
    assert len(fleet.vlmq("ls", "--json", "--rows", 7).lines()) == 7
    big = fleet.submit("probe", "--tasks", 2500)
    fleet.wait_job(big)
    tasks = fleet.vlmq("show", big, "--tasks", "--json").lines()
    assert len(tasks) == 2502 and all(t["state"] == "done" for t in tasks)


def test_json_logs(fleet):
    fleet.start_redis()
    broker = fleet.start_broker("--log-format", "json")
    worker = fleet.start_worker("--log-format", "json")
    job = fleet.submit("probe", "--tasks", 2, "--fault", "retry", "--fault-every", 1)
    fleet.wait_job(job)
    for process in (broker, worker):
        lines = [json.loads(line) for line in process.text().splitlines()]
        assert lines and all("event" in line and "level" in line for line in lines)
    failed = [
        line for line in map(json.loads, worker.text().splitlines()) if line.get("job") == job
    ]
    assert failed and all("task" in line and "attempt" in line for line in failed)
