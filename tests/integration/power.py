"""Redis with `appendfsync everysec`, and power failures that make it forget.

What Redis has written to its append-only file is safe from SIGKILL: the kernel has it. A power
failure takes what was not yet flushed, up to a second or two of changes that were acknowledged.
Here the length of the file is noted at some moment; later Redis is killed, and the file is cut to
about that length before Redis starts again: in the middle of a change, as likely as not.

What Redis remembers then is asked through a broker of its own, a witness, while the fleet's brokers
stand still and can change nothing. It is compared with what one of them had told a client before.
"""

import signal

from fleet import wait_for

TORN_BYTES = 40  # fewer than any change has


class Power:
    def __init__(self, fleet, chance):
        self.fleet, self.chance = fleet, chance
        fleet.start_redis("--auto-aof-rewrite-percentage", "0", fsync="everysec")

    @property
    def file(self):
        (file,) = self.fleet.folder.glob("appendonlydir/*.incr.aof")
        return file

    def mark(self):
        """A moment to which a later failure may go back. All that was acknowledged before it is in
        the file: Redis puts off writing while the file is being flushed."""
        wait_for(
            lambda: "aof_buffer_length:0" in self.fleet.cli("info", "persistence").split(),
            "everything is written",
        )
        return self.file.stat().st_size

    def ask(self, job, broker):
        """The job as this broker shows it; None: there is no such job."""
        shown = self.fleet.vlmq("show", job, "--json", "--broker", broker.address, check=False)
        assert shown.status in (0, 3), shown
        return shown.json() if shown.status == 0 else None

    def witness(self, job):
        broker = self.fleet.start_broker()
        self.fleet.brokers.remove(broker)
        remembered = self.ask(job, broker)
        broker.kill()
        return remembered

    def fail(self, mark, job):
        """Redis goes back to the mark. Returns the job as it was told before, and as Redis
        remembers it after."""
        fleet = self.fleet
        told = self.ask(job, fleet.brokers[0])
        fleet.redis.kill()
        for broker in fleet.brokers:
            broker.send(signal.SIGSTOP)
        with open(self.file, "r+b") as file:
            file.truncate(min(self.file.stat().st_size, mark + self.chance.randrange(TORN_BYTES)))
        fleet.restart_redis()
        remembered = self.witness(job)
        for broker in fleet.brokers:
            broker.send(signal.SIGCONT)
        return told, remembered
