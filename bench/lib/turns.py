"""Programs whose rounds take turns on the same cores, so that a noisy moment meets all of them."""

import os
import subprocess

from lib import fleet as fleets


def cores(threads):
    """The last ones."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < threads:
        raise fleets.Failed(f"{threads} cores are needed, there are {len(usable)}")
    return ",".join(map(str, usable[-threads:]))


class Turns:
    """A program that does a round for each line on its stdin, and prints its rate."""

    def __init__(self, argv, threads, setting=""):
        self.setting = setting
        argv = ["taskset", "-c", cores(threads), *map(str, argv)]
        self.child = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=fleets.die_with_parent,
        )
        self.first = self.child.stdout.readline().strip()
        if not self.first:
            said = self.child.communicate()[1].strip()[-2000:]
            raise fleets.Failed(f"{argv[3:]} ended with {self.child.returncode}:\n{said}")

    def round(self, line=""):
        self.child.stdin.write(line + "\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        if not line:
            raise fleets.Failed(f"a program under measurement ended with {self.child.wait()}")
        return float(line)

    def end(self):
        self.child.communicate()
