"""A download job to be disturbed, and what an undisturbed fleet makes of the same list: made once
for all tests, and compared with the output of each."""

import pathlib
import shutil
import tempfile

import pytest

from fleet import PATIENCE_S, Fleet, wait_for
from pictures import Download, Site, check_all

ROWS, SHARD_ROWS = 300, 10


class Calm:
    def __init__(self, folder):
        self.web = Site(folder)
        self.download = Download(folder, self.web, ROWS, SHARD_ROWS)
        self.output = pathlib.Path(folder) / "calm"
        fleet = Fleet(folder)
        try:
            fleet.start()
            job = fleet.submit(*self.download.argv(self.output))
            self.job = self.watched(fleet, job)
            self.compare(fleet, self.job, self.output)
        finally:
            fleet.stop()

    def watched(self, fleet, job):
        fleet.vlmq("watch", job, timeout=PATIENCE_S * 4)
        return fleet.job(job)

    def compare(self, fleet, job, output):
        check_all(fleet, job, output, self.job, self.output, self.download)

    def argv(self, output):
        """One transfer at a time in each task, so that the pace of the web server is theirs."""
        return self.download.argv(output, "--transfers", 1)

    def begin(self, fleet, output, pace_ms):
        """The job is submitted and at work; each transfer takes so long until pace() says else."""
        self.pace(pace_ms)
        job = fleet.submit(*self.argv(output))
        wait_for(lambda: fleet.job(job)["tasks_done"] > 2, "shards are made")
        return job

    def pace(self, ms):
        self.web.pace(ms)

    def finish(self, fleet, job, output):
        """The job ends, and is as if nothing had happened."""
        self.pace(0)
        self.compare(fleet, self.watched(fleet, job), output)

    def close(self):
        self.web.stop()


@pytest.fixture(scope="session")
def calm():
    folder = tempfile.mkdtemp(prefix="vlmq-")
    try:
        made = Calm(folder)
        yield made
        made.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
