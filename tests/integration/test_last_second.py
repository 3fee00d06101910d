"""Redis forgets the last second or so of what it had acknowledged, and the job still ends right:
work is done again, output is neither lost nor doubled. docs/reliability.md says what is promised.

Where a test has to catch a moment, the job is slow until it has come."""

import time

from fleet import wait_for
from pictures import Download, check_all, site  # noqa: F401
from power import Power
from storm import check_uncharged, check_watched, seeded

LONG = ["--timeout", "120s", "--json"]
END_S = 240
SLOW_MS = 2000  # a picture


class Lossy:
    """A fleet whose Redis will forget, with one broker or two, and a download for it."""

    def __init__(self, fleet, folder, site, rows, shard_rows, brokers=1):  # noqa: F811
        self.fleet, self.folder, self.site = fleet, folder, site
        self.chance = seeded("last second")
        self.power = Power(fleet, self.chance)
        for _ in range(brokers):
            fleet.start_broker()
        self.download = Download(folder, site, rows, shard_rows)
        self.output, self.job = folder / "out", "lossy"

    def run(self):
        argv = self.download.argv(self.output, "--transfers", 4)
        client = self.fleet.spawn("run", *argv, "--id", self.job, *LONG)
        wait_for(self.is_there, "the job is submitted")
        return client

    def is_there(self):
        return self.fleet.vlmq("show", self.job, check=False).status == 0

    def wait(self, condition, what):
        return wait_for(lambda: condition(self.fleet.job(self.job)), what)

    def check(self, client):
        """The job ends, right; an undisturbed run comes afterwards."""
        fleet, calm = self.fleet, self.folder / "calm"
        self.site.pace(0)
        wait_for(lambda: not client.running(), "the client has seen the job's end", END_S)
        check_watched(client)
        # The client may have seen an end that was forgotten afterwards.
        job = fleet.wait_job(self.job)
        done = fleet.vlmq("run", *self.download.argv(calm), "--json").lines()[-1]["job"]
        check_all(fleet, job, self.output, fleet.job(done["id"]), calm, self.download)
        check_uncharged(fleet, self.job)


def test_submit_is_forgotten(fleet, folder, site):  # noqa: F811
    """vlmq run submits the job again by itself; whoever has used vlmq submit repeats it."""
    lossy = Lossy(fleet, folder, site, 60, 10)
    other = ["probe", "--tasks", 3, "--id", "other"]
    mark = lossy.power.mark()
    client = lossy.run()
    fleet.submit(*other)
    told, remembered = lossy.power.fail(mark, lossy.job)
    assert told and not remembered
    assert fleet.vlmq("show", "other", check=False).status == 3
    assert fleet.submit(*other) == "other"
    wait_for(lossy.is_there, "the job is submitted again")
    fleet.start_worker()
    lossy.check(client)
    assert "forgotten" in client.text()
    assert fleet.wait_job("other")["state"] == "done"


def test_take_is_forgotten(fleet, folder, site):  # noqa: F811
    lossy = Lossy(fleet, folder, site, 60, 10)
    lossy.site.pace(SLOW_MS)
    client = lossy.run()
    wait_for(lossy.is_there, "the job is submitted")
    mark = lossy.power.mark()
    fleet.start_worker("--slots", 2)
    lossy.wait(lambda job: job["tasks_leased"] > 0, "a task is leased")
    told, remembered = lossy.power.fail(mark, lossy.job)
    assert told["tasks_leased"] > 0 and remembered["tasks_leased"] == 0
    lossy.check(client)


def test_done_is_forgotten(fleet, folder, site):  # noqa: F811
    lossy = Lossy(fleet, folder, site, 60, 10)
    lossy.site.pace(SLOW_MS)
    client = lossy.run()
    fleet.start_worker("--slots", 2)
    lossy.wait(lambda job: job["tasks_total"] > 1, "it is planned")
    mark = lossy.power.mark()
    lossy.wait(lambda job: job["tasks_done"] > 2, "tasks are done")
    told, remembered = lossy.power.fail(mark, lossy.job)
    assert told["tasks_done"] > remembered["tasks_done"]
    assert told["progress"]["items"] > remembered["progress"]["items"]
    lossy.check(client)


def test_end_is_forgotten(fleet, folder, site):  # noqa: F811
    lossy = Lossy(fleet, folder, site, 60, 10)
    lossy.site.pace(SLOW_MS)
    client = lossy.run()
    fleet.start_worker("--slots", 2)
    lossy.wait(lambda job: job["tasks_done"] >= 2, "some of it is done")
    mark = lossy.power.mark()
    lossy.site.pace(0)
    assert client.wait() == 0, client.text()
    made = {p.name: p.stat().st_ino for p in lossy.output.glob("*.tar")}
    told, remembered = lossy.power.fail(mark, lossy.job)
    assert told["state"] == "done" and remembered["state"] == "running"
    lossy.check(client)
    # What was committed is adopted: no shard was made again.
    assert made == {p.name: p.stat().st_ino for p in lossy.output.glob("*.tar")}


def test_seconds_are_forgotten_again_and_again(fleet, folder, site):  # noqa: F811
    lossy = Lossy(fleet, folder, site, 700, 10, brokers=2)
    lossy.site.pace(100)
    client = lossy.run()
    for _ in range(2):
        fleet.start_worker("--slots", 2)
    lossy.wait(lambda job: job["tasks_total"] > 2, "it is planned")
    lost = 0
    for _ in range(5):
        done = fleet.job(lossy.job)["tasks_done"]
        mark, start = lossy.power.mark(), time.monotonic()
        spell = 1 + lossy.chance.random()
        lossy.wait(
            lambda job: time.monotonic() > start + spell and job["tasks_done"] > done + 1,
            "tasks are done",
        )
        told, remembered = lossy.power.fail(mark, lossy.job)
        assert told["tasks_done"] > remembered["tasks_done"]
        lost += told["tasks_done"] - remembered["tasks_done"]
    print(f"{lost} times an acknowledged end of a task was forgotten")
    lossy.check(client)


def test_planning_is_forgotten(fleet, folder):
    """The planner has added tasks that Redis has forgotten, while its lease is still known."""
    chance = seeded("last second")
    power = Power(fleet, chance)
    fleet.start_broker()
    fleet.start_worker("--slots", 1)
    tasks, job = 400000, "forgotten"
    fleet.submit("probe", "--tasks", tasks, "--task-ms", 500, "--id", job)
    total = lambda: fleet.job(job)["tasks_total"]  # noqa: E731
    wait_for(lambda: total() > 1, "tasks are added")
    mark, before = power.mark(), total()
    wait_for(lambda: total() > before + 3000, "more tasks are added")
    told, remembered = power.fail(mark, job)
    assert told["tasks_total"] > remembered["tasks_total"] > 1
    assert remembered["state"] == "planning" and remembered["tasks_leased"] == 1
    wait_for(lambda: fleet.job(job)["state"] != "planning", "it is planned")
    planned = fleet.job(job)
    assert (planned["state"], planned["tasks_dead"]) == ("running", 0), planned["reason"]
    assert planned["tasks_total"] == planned["items_total"] + 1 == tasks + 1
    fleet.vlmq("cancel", job)
    fleet.wait_job(job, "cancelled")


def test_end_of_a_source_is_forgotten(fleet, folder):
    """The chained job was told that its source had ended, and Redis has forgotten both."""
    chance = seeded("last second")
    power = Power(fleet, chance)
    fleet.start_broker()
    fleet.start_worker("--slots", 1)
    source, chained = "source", "forgotten"
    fleet.submit(
        "probe", "--tasks", 6, "--task-ms", 1000, "--output", folder / "from", "--id", source
    )
    fleet.submit(
        *("probe", "--from", source, "--task-ms", 2500, "--output", folder / "out"),
        *("--id", chained, "--priority", -10),
    )
    wait_for(lambda: fleet.job(source)["tasks_done"] >= 3, "the source is half done")
    mark = power.mark()
    fleet.wait_job(source)
    wait_for(lambda: fleet.job(chained)["tasks_total"] == 6, "all shards are taken")
    wait_for(lambda: fleet.job(chained)["tasks_leased"] == 1, "the chained job goes on")
    told, remembered = power.fail(mark, chained)
    assert told["tasks_total"] == 6 > remembered["tasks_total"]
    fleet.start_worker("--slots", 4)
    for job in (source, chained):
        assert fleet.wait_job(job)["state"] == "done"
    assert fleet.job(chained)["tasks_done"] == 7
    names = sorted(p.name for p in (folder / "from").glob("*.txt"))
    assert names == sorted(p.name for p in (folder / "out").glob("*.txt")) and len(names) == 6
