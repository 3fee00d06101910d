"""Models stay loaded between tasks, workers tell, and later jobs go where they are."""

from fleet import wait_for


def counters(fleet, job):
    return {c["name"]: c["value"] for c in fleet.job(job)["counters"]}


def models(fleet):
    workers = fleet.vlmq("workers", "--json").lines()
    return {worker["id"]: worker["models"] for worker in workers}


def test_jobs_go_to_the_worker_that_has_their_model(fleet):
    fleet.start(3, "--slots", "1")
    first = fleet.submit("probe", "--tasks", 1, "--model", "openai/clip")
    fleet.wait_job(first, "done")
    assert counters(fleet, first)["probe.cold"] == 1
    wait_for(lambda: ["openai/clip"] in models(fleet).values(), "its worker tells of it")
    # A worker that has just ended a task may not have asked for the next one when a job comes, so
    # not all find it; by chance alone one time in 50 so many would.
    warm = 0
    for _ in range(6):
        again = fleet.submit("probe", "--tasks", 1, "--model", "openai/clip")
        fleet.wait_job(again, "done")
        warm += counters(fleet, again).get("probe.warm", 0)
    assert warm >= 5, models(fleet)
    assert "openai/clip" in fleet.vlmq("workers").out


def test_a_worker_keeps_more_than_one_model(fleet):
    fleet.start(1, "--slots", "1")
    for model in ("openai/clip", "./tiny", "openai/clip", "./tiny"):
        job = fleet.submit("probe", "--tasks", 1, "--model", model)
        fleet.wait_job(job, "done")
    assert counters(fleet, job)["probe.warm"] == 1
    (loaded,) = models(fleet).values()
    assert sorted(loaded) == sorted(["openai/clip", str(fleet.folder / "tiny")])


def test_a_busy_warm_worker_is_not_waited_for_for_long(fleet):
    fleet.start(1, "--slots", "1")
    fleet.wait_job(fleet.submit("probe", "--tasks", 1, "--model", "m"), "done")
    wait_for(lambda: ["m"] in models(fleet).values(), "it is told")
    busy = fleet.submit("probe", "--tasks", 1, "--task-ms", 60000, "--items", 1200)
    wait_for(lambda: fleet.job(busy)["tasks_leased"] == 1, "the warm worker is busy")
    fleet.start_worker("--slots", "1")
    job = fleet.submit("probe", "--tasks", 1, "--model", "m")
    fleet.wait_job(job, "done")
    assert counters(fleet, job)["probe.cold"] == 1
    fleet.vlmq("cancel", busy)
    fleet.wait_job(busy, "cancelled")


def test_without_memory_for_models_none_stays(fleet):
    fleet.start(1, "--slots", "1", "--model-memory", "0")
    for _ in range(2):
        job = fleet.submit("probe", "--tasks", 1, "--model", "m")
        fleet.wait_job(job, "done")
        assert counters(fleet, job)["probe.cold"] == 1
    assert models(fleet).popitem()[1] == []
