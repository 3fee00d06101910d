"""A rolling upgrade, and the way back: brokers of two releases, whose Redis functions have
different versions, serve one fleet under load.

vlmq-broker-next is built with the tests: this release's sources with the next version of the
library, which also adds to the state all that docs/state.md allows it to.
"""

from fleet import wait_for
from storm import check_watched

TASKS = 2500
NEXT = "tests/vlmq-broker-next"


def libraries(fleet):
    names = fleet.cli("function", "list").splitlines()
    return [name for name in names if name.startswith("vlmq_") and name.count("_") == 1]


def tasks_taken(fleet, broker):
    status = fleet.vlmq("status", "--json", "--broker", broker.address).json()
    return status["broker"]["tasks_taken"]


def check_untroubled(fleet, job, tasks):
    """Every task was done, by its first attempt or by one that followed a lease that was handed
    back or never begun; none failed, none was lost while it ran."""
    shown = fleet.job(job)
    assert shown["state"] == "done" and shown["tasks_done"] == shown["tasks_total"] == tasks + 2
    assert shown["tasks_dead"] == 0 and shown["progress"]["items"] == shown["items_total"] > 0
    rows = fleet.vlmq("show", job, "--tasks", "--json").lines()
    assert [row["index"] for row in rows] == list(range(tasks + 2))
    assert all(row["state"] == "done" for row in rows)
    assert not [r for r in rows if r.get("failures") or r.get("losses")]


def test_brokers_of_two_releases_side_by_side(fleet, folder, calm):
    old_address, new_address = f"ipc://{folder}/old", f"ipc://{folder}/new"
    both = fleet.env["VLMQ_BROKER"] = f"{old_address},{new_address}"
    fleet.start_redis()
    old = fleet.start_broker(address=old_address)
    assert libraries(fleet) == ["vlmq_1"]
    # Each picks one of the brokers it knows; the last knows only one, so that each has work.
    for _ in range(2):
        fleet.start_worker("--slots", 5, brokers=both)
    of_old = fleet.start_worker("--slots", 5, brokers=old_address)
    load = ["probe", "--task-ms", 100, "--items", 1]
    download = calm.begin(fleet, folder / "out", pace_ms=200)
    job = fleet.submit(*load, "--tasks", TASKS)

    def wait_done(count):
        before = fleet.job(job)["tasks_done"]
        assert before + count < TASKS, "the job outlasts the stages"
        wait_for(lambda: fleet.job(job)["tasks_done"] >= before + count, f"{count} tasks are done")

    def fresh(broker):
        """A job submitted to this broker, past those that wait."""
        fleet.vlmq("run", *load, "--tasks", 5, "--interactive", "--broker", broker.address)

    watch = fleet.spawn("watch", job, "--json")
    wait_done(100)
    # The new release comes beside the old one, and takes part.
    new = fleet.start_broker(address=new_address, program=NEXT)
    assert sorted(libraries(fleet)) == ["vlmq_1", "vlmq_2"]
    of_new = fleet.start_worker("--slots", 5, brokers=new_address)
    wait_for(lambda: tasks_taken(fleet, new) > 20, "the new broker hands out tasks")
    before = tasks_taken(fleet, old)
    wait_for(lambda: tasks_taken(fleet, old) > before + 20, "and so does the old one")
    fresh(old)
    fresh(new)
    # What the new one has added is there, though the old one writes the same keys.
    assert fleet.cli("hget", f"vlmq:{{{job}}}:job", "next").strip() == "7"
    # The old one goes: the upgrade is done.
    assert of_old.stop() == 0
    assert old.stop() == 0
    wait_done(100)
    fresh(new)
    # And back again.
    old = fleet.start_broker(address=old_address)
    assert "replaced" not in old.text()
    wait_done(100)
    assert of_new.stop() == 0
    assert new.stop() == 0
    wait_done(100)
    fresh(old)
    fleet.wait_job(job)
    check_watched(watch)
    check_untroubled(fleet, job, TASKS)
    calm.finish(fleet, download, folder / "out")
    check_untroubled(fleet, download, calm.download.shards)
    # What both have written can be purged by either.
    fleet.vlmq("purge", job)
    assert fleet.cli("keys", f"vlmq:{{{job}}}:*").split() == [f"vlmq:{{{job}}}:next"]
    assert int(fleet.cli("pttl", f"vlmq:{{{job}}}:next")) > 0
