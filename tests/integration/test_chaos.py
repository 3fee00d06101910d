"""Brokers, workers and Redis are killed at random moments, again and again, while jobs go on; at
their end everything is as if nothing had happened. docs/reliability.md says what is promised.

A task dies with its third worker, by design. The storm spares workers whose task has lost two
already (storm.py says how), so that no task may be dead at the end."""

import json
import pathlib

from fleet import wait_for
from pictures import Download, check_all, site  # noqa: F401
from storm import KILLS, Storm, check_uncharged, check_watched, seeded

ROWS, SHARD_ROWS = 2000, 20
SLOW_MS = 1500  # a picture, while a strike is due
LONG = ["--timeout", "300s", "--json"]
END_S = 240  # leases of the last strikes run out, and their tasks are done


def ended(client):
    wait_for(lambda: not client.running(), f"{client.name} has seen the end", END_S)
    check_watched(client)


def test_kills_lose_and_double_nothing(fleet, folder, site):  # noqa: F811
    """VLMQ_KILLS, 40 if not set, over the life of a download of 2,000 rows, from its
    submission until its closing."""
    job, output = "in-the-storm", folder / "stormy"
    storm = Storm(fleet, seeded("chaos"), [job])
    download = Download(folder, site, ROWS, SHARD_ROWS)
    calm = fleet.vlmq("run", *download.argv(folder / "calm"), "--json").lines()[-1]["job"]["id"]

    client = fleet.spawn("run", *download.argv(output), "--id", job, *LONG)
    storm.strike(["redis", "broker"])
    wait_for(lambda: fleet.vlmq("show", job, check=False).status == 0, "the job is submitted")
    watcher = fleet.spawn("watch", job, *LONG, name="watcher")
    storm.blow(
        lambda: download.committed(output),
        download.shards,
        lambda on: site.pace(SLOW_MS if on else 0),
    )
    ended(client)
    ended(watcher)
    assert storm.killed.total() >= KILLS and min(storm.killed.values()) >= KILLS // 5
    check_all(fleet, fleet.job(job), output, fleet.job(calm), folder / "calm", download)
    check_uncharged(fleet, job)


def probes(folder):
    """Every file below, its content without what differs from run to run."""
    files = {}
    for path in pathlib.Path(folder).rglob("*"):
        if path.is_file():
            text = path.read_text()
            if path.parent.name == "manifest":
                text = {k: v for k, v in json.loads(text).items() if k != "lease"}
            files[str(path.relative_to(folder))] = text
    return files


def test_kills_of_a_chain(fleet, folder):
    """Two jobs of tasks with cursors; the second takes its tasks from the first one's shards, as
    they are committed."""
    tasks, items, kills = 40, 20, KILLS * 2 // 5
    jobs = ["stormy-source", "stormy-chained"]
    storm = Storm(fleet, seeded("chaos"), jobs)

    def submit(name, task_ms):
        shape = ["probe", "--items", items, "--task-ms", task_ms]
        source, output = f"{name}-source", folder / name
        fleet.submit(*shape, "--tasks", tasks, "--output", output / "a", "--id", source)
        chained = ["--from", source, "--id", f"{name}-chained"]
        fleet.submit(*shape, "--output", output / "b", *chained)

    submit("calm", 0)
    assert fleet.wait_job("calm-chained")["state"] == "done"

    submit("stormy", 2000)
    watchers = [fleet.spawn("watch", job, *LONG, name="watcher") for job in jobs]
    manifests = lambda: len(list(folder.glob("stormy/*/_vlmq/manifest/*.json")))  # noqa: E731
    storm.blow(manifests, 2 * tasks, kills=kills)
    for watcher in watchers:
        ended(watcher)
    for job, total in zip(jobs, (tasks + 2, tasks + 1)):
        check_uncharged(fleet, job)
        shown = fleet.job(job)
        assert (shown["state"], shown["tasks_dead"]) == ("done", 0)
        assert shown["tasks_total"] == shown["tasks_done"] == total
        # How many items a shard has is not known when the chained job takes it.
        assert shown["items_total"] == (tasks * items if job == jobs[0] else 0)
        assert shown["progress"]["items"] == shown["progress"]["items_ok"] == tasks * items
        assert {c["name"]: c["value"] for c in shown["counters"]} == {"probe.items": tasks * items}
    assert probes(folder / "stormy") == probes(folder / "calm")
    assert len(list(folder.glob("stormy/b/*.txt"))) == tasks
