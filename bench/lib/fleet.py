"""Servers under measurement: real processes in a folder of their own, on unix sockets.

Everything that is started is ended by its process id when the fleet is closed, also after Ctrl-C,
and dies with this program should that be killed. A fleet's folder is on the disk of the build, not
in memory, so that fsync costs what it costs.
"""

import contextlib
import ctypes
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import tempfile
import time

from . import machine

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("VLMQ_BENCH_BUILD", ROOT / "build" / "bench"))
READY_S = 60
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None)


def die_with_parent():
    """For a child: it ends when this program does, however that ends."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def program(name):
    """The path of a built program: vlmq* in the build folder, bench_* below bench/."""
    return BUILD / "bench" / name if name.startswith("bench_") else BUILD / name


class Failed(Exception):
    """A run whose numbers would mean nothing."""


def wait_for(condition, what, seconds=READY_S, pause_s=0.01):
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"not within {seconds} s: {what}")
        time.sleep(pause_s)


class Process:
    """A child with its output in a log; ready once it wrote a line to its --ready-fd."""

    def __init__(self, name, argv, folder, ready=False, fds=()):
        self.name, self.log = name, pathlib.Path(folder) / f"{name}.log"
        argv = [str(arg) for arg in argv]
        if ready:
            read_fd, write_fd = os.pipe()
            fds, argv = (*fds, write_fd), [*argv, "--ready-fd", str(write_fd)]
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=fds,
                cwd=folder,
                preexec_fn=die_with_parent,
            )
        self.pid = self.child.pid
        self.ready_line = ""
        if ready:
            os.close(write_fd)
            with os.fdopen(read_fd) as pipe:
                self.ready_line = pipe.readline().strip()
            if not self.ready_line:
                self.end()
                raise Failed(f"{name} did not start:\n{self.log.read_text()[-2000:]}")

    def cpu_s(self):
        return machine.cpu_s(self.pid)

    def rss_bytes(self):
        return machine.rss_bytes(self.pid)

    def running(self):
        return self.child.poll() is None

    def end(self, number=signal.SIGTERM, patience_s=10):
        if self.running():
            self.child.send_signal(signal.SIGCONT)
            self.child.send_signal(number)
        try:
            self.child.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


class Fleet:
    """Redis, brokers and workers; use it in a `with`."""

    def __init__(self, keep=False):
        base = BUILD / "run"
        base.mkdir(parents=True, exist_ok=True)
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=base))
        self.processes, self.keep, self.count = [], keep, 0
        self.redis = self.broker = None
        # The path of a unix socket must be short: it stands in a folder of its own.
        self.sockets = pathlib.Path(tempfile.mkdtemp(prefix="vlmq-bench-"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            if process is not self.redis:
                process.end(signal.SIGTERM)
        if self.redis:
            self.redis.end(signal.SIGKILL)  # its data goes away with the folder
        shutil.rmtree(self.sockets, ignore_errors=True)
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, name, argv, ready=False, fds=()):
        self.count += 1
        process = Process(f"{name}-{self.count}", argv, self.folder, ready, fds)
        self.processes.append(process)
        return process

    # Parts.

    @property
    def redis_address(self):
        return f"unix:{self.sockets}/redis"

    def start_redis(self, fsync="always", *options, appendonly="yes"):
        argv = ["redis-server", "--port", "0", "--unixsocket", self.sockets / "redis"]
        argv += ["--dir", self.folder, "--save", "", "--appendonly", appendonly]
        argv += ["--appendfsync", fsync, *options]
        self.redis = self.start("redis", argv)
        wait_for(lambda: self.cli("ping").strip() == "PONG", "redis answers")
        return self.redis

    def cli(self, *args):
        argv = ["redis-cli", "-s", str(self.sockets / "redis"), *map(str, args)]
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout

    def redis_info(self, section):
        lines = self.cli("info", section).splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def start_broker(self, *options):
        argv = [program("vlmq-broker"), "--listen", f"ipc://{self.sockets}/broker"]
        argv += ["--redis", self.redis_address, *options]
        self.broker = self.start("broker", argv, ready=True)
        return self.broker

    @property
    def address(self):
        return f"ipc://{self.sockets}/broker"

    def start_worker(self, *options):
        argv = [program("vlmq-worker"), "--broker", self.address, *options]
        return self.start("worker", argv, ready=True)

    def start_workers(self, count, *options, starts_fd=-1):
        """Many real workers in one process; with a pipe, each start of a probe is told there."""
        argv = [program("bench_workers"), "--broker", self.address, "--workers", count, *options]
        fds = (starts_fd,) if starts_fd >= 0 else ()
        return self.start("workers", [*argv, "--starts-fd", starts_fd], ready=True, fds=fds)

    # The client.

    def client_env(self):
        return {**os.environ, "VLMQ_BROKER": self.address, "HOME": str(self.folder)}

    def vlmq(self, *args, timeout=600):
        """Runs the client; its output, and the CPU seconds that it took."""
        argv = [str(program("vlmq")), *map(str, args)]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=self.folder,
            env=self.client_env(),
            stdin=subprocess.DEVNULL,
            check=False,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            raise Failed(f"vlmq {' '.join(map(str, args))}: {done.stderr.strip()}")
        used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return done.stdout, used_s

    def job(self, job_id):
        return json.loads(self.vlmq("show", job_id, "--json")[0])


@contextlib.contextmanager
def owned(fleet):
    """For makers: the fleet goes to whoever made it, unless the making fails."""
    try:
        yield fleet
    except BaseException:
        fleet.__exit__()
        raise


def tool(*argv, stdin=subprocess.DEVNULL, timeout=1800):
    """Runs one of our measuring programs and returns the JSON object that it printed."""
    done = subprocess.run(
        [str(arg) for arg in argv],
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=stdin,
        check=False,
        preexec_fn=die_with_parent,
    )
    if done.returncode:
        raise Failed(f"{pathlib.Path(str(argv[0])).name}: {done.stderr.strip() or done.stdout}")
    return json.loads(done.stdout.splitlines()[-1])


class CpuMeter:
    """CPU seconds of some processes over a span."""

    def __init__(self, **processes):
        self.processes = processes
        self.before = {name: process.cpu_s() for name, process in processes.items()}

    def read(self):
        return {name: p.cpu_s() - self.before[name] for name, p in self.processes.items()}


@contextlib.contextmanager
def signals_as_exceptions():
    """SIGTERM and SIGINT end the run with what it has started, wherever it is started from."""

    def stop(*_):
        raise KeyboardInterrupt

    old = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
