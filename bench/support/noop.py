"""The tasks of the Python peers: nothing but counting, in memory that forked workers share.

Started by bench/run with Debian's Python, where Celery and RQ are:

    noop.py worker SYSTEM SOCKET TASKS   works until TASKS tasks have ended; prints READY, then DONE
    noop.py submit SYSTEM SOCKET TASKS   submits them one by one; prints one line of JSON

SYSTEM: celery-prefork, celery-solo (as delivered), celery-durable (acknowledged late, nothing
fetched ahead), rq-simple, rq-fork.
"""

import json
import multiprocessing
import os
import sys
import time

ended = multiprocessing.Value("q", 0)
wanted = 0


def noop():
    """The task. Whoever ends the last one says so; the clock is the machine's."""
    with ended.get_lock():
        ended.value += 1
        if ended.value == wanted:
            os.write(1, f"DONE {time.monotonic()}\n".encode())


# Celery.


def celery_app(system, socket):
    import celery

    app = celery.Celery("noop", broker=f"redis+socket://{socket}")
    app.conf.task_ignore_result = True
    app.conf.broker_connection_retry_on_startup = True
    if system == "celery-durable":
        app.conf.task_acks_late = True
        app.conf.task_reject_on_worker_lost = True
        app.conf.worker_prefetch_multiplier = 1
    return app, app.task(noop, name="noop")


def celery_worker(system, socket):
    from celery.signals import worker_ready

    app, _ = celery_app(system, socket)
    worker_ready.connect(lambda **_: os.write(1, b"READY\n"), weak=False)
    pool = "solo" if system == "celery-solo" else "prefork"
    app.Worker(pool=pool, loglevel="WARNING", quiet=True).start()


def celery_submit(system, socket, tasks):
    _, task = celery_app(system, socket)
    task.delay  # imports what the first call would
    begun = time.monotonic()
    for _ in range(tasks):
        task.apply_async()
    return begun


# RQ.


def rq_queue(socket):
    import redis
    import rq

    return rq.Queue(connection=redis.Redis(unix_socket_path=socket))


def rq_worker(system, socket):
    import rq

    queue = rq_queue(socket)
    kind = rq.SimpleWorker if system == "rq-simple" else rq.Worker
    worker = kind([queue], connection=queue.connection)
    os.write(1, b"READY\n")
    worker.work(logging_level="WARNING")


def rq_submit(_, socket, tasks):
    queue = rq_queue(socket)
    begun = time.monotonic()
    for _ in range(tasks):
        queue.enqueue("noop.noop", result_ttl=0)
    return begun


def main(verb, system, socket, tasks):
    # RQ imports the task by its name: it must be this very module.
    sys.modules["noop"] = sys.modules["__main__"]
    global wanted
    wanted = int(tasks)
    family = system.split("-")[0]
    if verb == "worker":
        globals()[f"{family}_worker"](system, socket)
        return
    begun = globals()[f"{family}_submit"](system, socket, wanted)
    used = os.times()
    print(json.dumps({"begun": begun, "cpu_s": used.user + used.system}))


if __name__ == "__main__":
    main(*sys.argv[1:])
