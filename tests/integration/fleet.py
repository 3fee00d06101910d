"""A fleet of real processes in a temporary folder, for the integration tests.

Redis listens on a unix socket, brokers on tcp ports that the kernel chooses, and everything a test
starts is ended with it, by process id. Waits poll with a bound; nothing sleeps a fixed time.
"""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("VLMQ_BIN", ROOT / "build" / "release"))
# Sanitizers slow everything down; a bound is for hanging, not for measuring.
PATIENCE_S = float(os.environ.get("VLMQ_TEST_PATIENCE_S", "60"))


def wait_for(condition, what, seconds=PATIENCE_S):
    """Polls until condition() is true and returns its value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


class Process:
    """A child with its log in a file; ready once it wrote a line to its --ready-fd."""

    def __init__(self, name, argv, folder, env=None, ready=True):
        self.name, self.argv = name, argv
        self.log = pathlib.Path(folder) / f"{name}.log"
        fds = ()
        if ready:
            read_fd, write_fd = os.pipe()
            fds = (write_fd,)
            argv = [*argv, "--ready-fd", str(write_fd)]
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(
                [str(a) for a in argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=fds,
                cwd=folder,
                env={**os.environ, **(env or {})},
            )
        self.ready_line = ""
        if ready:
            os.close(write_fd)
            with os.fdopen(read_fd) as pipe:
                self.ready_line = pipe.readline().strip()
            if not self.ready_line:
                self.child.wait(PATIENCE_S)

    @property
    def pid(self):
        return self.child.pid

    def running(self):
        return self.child.poll() is None

    def send(self, number):
        if self.running():
            self.child.send_signal(number)

    def kill(self):
        self.send(signal.SIGCONT)
        self.send(signal.SIGKILL)
        self.child.wait()

    def stop(self, seconds=PATIENCE_S):
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        return self.wait(seconds)

    def wait(self, seconds=PATIENCE_S):
        return self.child.wait(seconds)

    def text(self):
        return self.log.read_text(errors="replace")


class Result:
    """What a command printed and its status."""

    def __init__(self, done):
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr

    def json(self):
        return json.loads(self.out)

    def lines(self):
        return [json.loads(line) for line in self.out.splitlines() if line.strip()]

    def __repr__(self):
        return f"status {self.status}\nstdout: {self.out}\nstderr: {self.err}"


class Fleet:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.processes = []
        self.redis = None
        self.brokers, self.workers = [], []
        self.count = 0
        self.env = {}

    # Parts.

    def add(self, name, argv, ready=True, env=None):
        self.count += 1
        process = Process(f"{name}-{self.count}", argv, self.folder, env, ready)
        self.processes.append(process)
        return process

    @property
    def redis_socket(self):
        return self.folder / "redis.sock"

    def start_redis(self, *options, appendonly=True, policy="noeviction", fsync="always", env=None):
        self.redis_env = env
        self.redis_argv = [
            "redis-server",
            "--port",
            "0",
            "--unixsocket",
            str(self.redis_socket),
            "--dir",
            str(self.folder),
            "--save",
            "",
            "--appendonly",
            "yes" if appendonly else "no",
            "--appendfsync",
            fsync,
            "--maxmemory-policy",
            policy,
            *options,
        ]
        return self.restart_redis()

    def restart_redis(self):
        self.redis = self.add("redis", self.redis_argv, ready=False, env=self.redis_env)
        wait_for(lambda: re.match("PONG|NOAUTH", self.cli("ping")), "redis answers")
        return self.redis

    def cli(self, *args):
        return subprocess.run(
            ["redis-cli", "-s", str(self.redis_socket), *map(str, args)],
            capture_output=True,
            text=True,
            check=False,
        ).stdout

    def start_broker(
        self, *options, address="tcp://127.0.0.1:*", redis=None, program="vlmq-broker", env=None
    ):
        broker = self.add(
            "broker",
            [
                BIN / program,
                "--listen",
                address,
                "--redis",
                redis or f"unix:{self.redis_socket}",
                *options,
            ],
            env=env,
        )
        broker.address = (
            broker.ready_line.removeprefix("ready ").split()[0] if broker.ready_line else None
        )
        self.brokers.append(broker)
        return broker

    def restart_broker(self, broker, *options):
        """On the same address, so that links come back by themselves."""
        return self.start_broker(*options, address=broker.address)

    @property
    def addresses(self):
        return ",".join(dict.fromkeys(b.address for b in self.brokers if b.address))

    def start_worker(self, *options, brokers=None, env=None):
        worker = self.add(
            "worker",
            [BIN / "vlmq-worker", "--broker", brokers or self.addresses, *options],
            env=env,
        )
        self.workers.append(worker)
        return worker

    def start(self, workers=1, *worker_options):
        self.start_redis()
        self.start_broker()
        for _ in range(workers):
            self.start_worker(*worker_options)
        return self

    # The client.

    def client_env(self):
        return {**os.environ, "VLMQ_BROKER": self.addresses, "HOME": str(self.folder), **self.env}

    def vlmq(self, *args, check=True, timeout=PATIENCE_S * 3, stdin=None):
        done = subprocess.run(
            [str(BIN / "vlmq"), *map(str, args)],
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=self.folder,
            env=self.client_env(),
            stdin=stdin or subprocess.DEVNULL,
            check=False,
        )
        result = Result(done)
        if check and result.status != 0:
            raise AssertionError(f"vlmq {' '.join(map(str, args))}: {result!r}\n{self.logs()}")
        return result

    def spawn(self, *args, name="client"):
        self.count += 1
        process = Process.__new__(Process)
        process.name = f"{name}-{self.count}"
        process.log = self.folder / f"{process.name}.log"
        with open(process.log, "wb") as log:
            process.child = subprocess.Popen(
                [str(BIN / "vlmq"), *map(str, args)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=self.client_env(),
            )
        self.processes.append(process)
        return process

    def submit(self, *args):
        return self.vlmq("submit", *args).out.split()[0]

    def job(self, job_id):
        return self.vlmq("show", job_id, "--json").json()

    def wait_job(self, job_id, *states, seconds=PATIENCE_S * 2):
        states = states or ("done", "failed", "cancelled")
        return wait_for(
            lambda: (lambda job: job if job["state"] in states else None)(self.job(job_id)),
            f"{job_id} is {' or '.join(states)}",
            seconds,
        )

    def logs(self):
        return "\n".join(
            f"--- {p.name}\n{p.text()[-3000:]}" for p in self.processes if p.log.exists()
        )

    def stop(self):
        for process in reversed(self.processes):
            process.send(signal.SIGCONT)
        for process in self.workers + self.brokers:
            process.send(signal.SIGTERM)
        end = time.monotonic() + 10
        for process in reversed(self.processes):
            try:
                process.wait(max(0.1, end - time.monotonic()) if process is not self.redis else 0.1)
            except subprocess.TimeoutExpired:
                process.kill()
        complaints = [
            p.name
            for p in self.processes
            if p.log.exists() and re.search(r"Sanitizer|runtime error:", p.text())
        ]
        assert not complaints, f"sanitizer reports: {complaints}\n{self.logs()}"


def digest_tree(folder, *patterns):
    """{name: sha256} of the files that match."""
    import hashlib

    folder = pathlib.Path(folder)
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for pattern in patterns
        for p in sorted(folder.glob(pattern))
    }


def attempt_leftovers(output):
    private = pathlib.Path(output) / "_vlmq" / "attempt"
    return sorted(str(p) for p in private.rglob("*")) if private.exists() else []


def python(*args, **kwargs):
    return subprocess.run(
        [sys.executable, *map(str, args)], capture_output=True, text=True, **kwargs
    )
