#!/usr/bin/env python3
"""Writes tests/fuzz/seeds/TARGET/*: one small input for each form that a fuzz target can take.

    python3 tests/fuzz/make_seeds.py

Needs nothing but Python. decode_fuzz starts from tests/golden/images instead, parquet_fuzz from
tests/golden/parquet. An input that once broke something is added to the folder by hand and stays.
"""

import gzip
import hashlib
import io
import json
import pathlib
import re
import struct
import tarfile

from model_seeds import clips, hub, labels, models, stats, tokenizers
from seed_files import SEEDS, put

LEASE = "00112233445566778899aabbccddeeff"
KEYS = [c * 40 for c in "aBc3"]


# Protobuf.


def varint(value):
    data = b""
    while value > 127:
        data += bytes([value & 127 | 128])
        value >>= 7
    return data + bytes([value])


def message(*fields):
    """Fields are (number, value): an int, a text, bytes, or the bytes of a message."""
    data = b""
    for number, value in fields:
        if isinstance(value, int):
            data += varint(number << 3) + varint(value)
        else:
            value = value.encode() if isinstance(value, str) else value
            data += varint(number << 3 | 2) + varint(len(value)) + value
    return data


def envelope(kind, body, request_id=7):
    return message((1, 1), (2, request_id), (3, 1000), (4, body), (5, kind))


PROGRESS = message((1, 100), (2, 90), (3, 4096), (4, message((1, "fetch"), (2, 3), (3, 100))))
NEEDS = message((1, "cpu"), (2, 1 << 30), (3, "big"), (4, "m"))
COUNTER = message((1, "status.success"), (2, 90))
DOWNLOAD = message((1, "/a/list.csv"), (2, "/out"), (3, 2), (4, "url"), (6, "sha"), (8, 256))
PROBE = message((1, 8), (2, 50), (3, 100), (4, 1))
JOB = message((1, "job-1"), (2, "probe"), (3, "alice"), (6, 3), (9, PROBE), (10, NEEDS), (14, "t"))
WORKER = message((1, "host/cpu/1/ab"), (2, "host"), (3, "cpu"), (6, "probe"), (7, "big"), (9, 2))
ATTEMPT = message((1, "job-1"), (2, 3), (3, LEASE))
NEW_TASK = message((1, "00003"), (2, b"\1\2"), (3, 100))
TASK = message((1, 3), (2, "00003"), (4, 4), (5, 1), (8, "host/cpu/1/ab"), (12, PROGRESS))


EVENT = message((1, "1-0"), (2, 5), (3, "task.done"), (4, 3), (5, 1), (6, "w"), (7, "text"))
GRANT = message(
    *[(1, "job-1"), (2, "probe"), (3, PROBE), (4, "/out"), (5, 3), (6, "00003"), (8, b"\1\2")],
    *[(9, LEASE), (10, 1), (11, b"at"), (12, 2), (14, 10000), (15, 1)],
)
SHOWN = JOB + message(
    (8, "why"), (11, "job-0"), (13, "/out"), (19, 9), (28, PROGRESS), (29, COUNTER)
)


def types():
    """The numbers of all messages, by name."""
    schema = pathlib.Path(__file__).parents[2] / "proto/schema/common.proto"
    body = re.search(r"enum Type {(.*?)\n}", schema.read_text(), re.S).group(1)
    return {name: int(number) for name, number in re.findall(r"^  ([A-Z_]+) = (\d+);", body, re.M)}


def bodies():
    """One body for each message, with all its parts."""
    done = message((1, ATTEMPT), (2, bytes(32)), (3, COUNTER), (4, PROGRESS), (7, "00003.tar"))
    renewal = message((1, ATTEMPT), (2, PROGRESS), (3, b"at"), (4, 1))
    ping = message((1, "0.1.0"), (2, "b"), (3, 5), (4, 1), (5, "note"), (6, 1), (10, 9), (11, 10))
    tasks = message((1, "job-1"), (2, 5), (3, "next"), (4, 10), (5, 1), (6, 3), (7, 1))
    return {
        "ERROR": message((1, 7), (2, "later"), (3, 500)),
        "PING": b"",
        "PING_ANSWER": ping,
        "SUBMIT": message((1, JOB), (2, 1)),
        "SUBMIT_ANSWER": message((1, SHOWN), (2, 1)),
        "GET": message((1, "job-1")),
        "GET_ANSWER": message((1, SHOWN)),
        "LIST": message((1, "alice"), (2, 1), (3, "next"), (4, 10), (5, "probe")),
        "LIST_ANSWER": message((1, SHOWN), (1, JOB), (2, "next")),
        "TASKS": tasks,
        "TASKS_ANSWER": message((1, TASK), (2, "next")),
        "EVENTS": message((1, "job-1"), (2, "1-0"), (3, 10)),
        "EVENTS_ANSWER": message((1, EVENT), (1, EVENT), (2, "1-0")),
        "CONTROL": message((1, "job-1"), (2, 1), (3, 5), (4, "why"), (5, 3), (6, 1)),
        "CONTROL_ANSWER": message((1, SHOWN), (2, 3)),
        "WATCH": message((1, "job-1")),
        "WATCH_ANSWER": message((1, SHOWN)),
        "WATCH_UPDATE": message((1, SHOWN), (2, TASK), (2, TASK)),
        "WORKERS": b"",
        "WORKERS_ANSWER": message((1, WORKER), (1, WORKER)),
        "DRAIN": message((1, "host/cpu/1/ab")),
        "DRAIN_ANSWER": b"",
        "HELLO": message((1, WORKER)),
        "HELLO_ANSWER": message((1, 1), (2, 10000)),
        "TAKE": message((1, "host/cpu/1/ab"), (2, 3), (3, 1), (4, 1)),
        "TAKE_ANSWER": message((1, GRANT), (1, GRANT), (2, 4200)),
        "RENEW": message((1, "host/cpu/1/ab"), (2, renewal), (2, renewal)),
        "RENEW_ANSWER": message((1, message((1, 3))), (1, b""), (2, 1)),
        "ADD": message((1, ATTEMPT), (2, 0), (3, NEW_TASK), (3, NEW_TASK)),
        "ADD_ANSWER": message((1, 2)),
        "DONE": done + message((5, NEW_TASK), (6, 1)),
        "DONE_ANSWER": b"",
        "FAIL": message((1, ATTEMPT), (2, 1), (3, 7), (4, "why"), (5, "a line")),
        "FAIL_ANSWER": b"",
        "YIELD": message((1, ATTEMPT), (2, b"at"), (3, 1), (4, "drain")),
        "YIELD_ANSWER": b"",
        "BYE": message((1, "host/cpu/1/ab")),
        "BYE_ANSWER": b"",
        "NOTICE": message((1, "job-1")),
    }


def envelopes():
    numbers = types()
    for place, (name, body) in enumerate(bodies().items()):
        pushed = name in ("WATCH_UPDATE", "NOTICE")
        put("envelope", name.lower(), envelope(numbers[name], body, 0 if pushed else 7))
        put("message", name.lower(), bytes([place]) + bytes([1, 0, 2, 0]) * 16)


# Scripts. A message is a length and its fields, each a byte that chooses (message.c).


def script_message(*fields):
    data = bytes(field for part in fields for field in (part if isinstance(part, list) else [part]))
    return bytes([len(data)]) + data


class BrokerScript:
    """What peers do to a broker, as broker_fuzz.c reads it. Peer 0 is an admin, 1 and 3 are
    workers, 2 is a client. Jobs, workers and leases are numbers: the n-th that there was."""

    USUAL = ["SUBMIT", "TAKE", "DONE", "HELLO", "ADD", "FAIL", "CONTROL", "RENEW"]
    EMPTY = 0x80

    def __init__(self):
        self.data = b""

    def send(self, peer, name, *fields, timeout=50):
        usual = name in self.USUAL
        kind = self.USUAL.index(name) * 4 + 1 if usual else list(bodies()).index(name) * 4
        self.data += bytes([7 | peer << 4, kind, timeout]) + script_message(*fields)
        return self

    def turn(self, quarters=0):
        self.data += bytes([2, quarters]) if quarters else b"\0"
        return self

    def redis_away(self, commits, applied=False):
        self.data += bytes([3 | applied << 4, commits])
        return self

    def toggle(self, full=False, closed=False, jump_s=None):
        self.data += bytes([4 | full << 4 | closed << 5 | (jump_s is not None) << 6])
        self.data += b"" if jump_s is None else bytes([128 + jump_s])
        return self

    def raw(self, data):
        self.data += bytes([5, len(data)]) + data
        return self

    def again(self, before=0):
        """The newest request, or one before it, a second time."""
        self.data += bytes([6 | before << 4])
        return self

    def submit(self, job, after=EMPTY, source=EMPTY):
        head = [job, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        return self.send(0, "SUBMIT", head, after, source, [0] * 19, 0).turn()

    def hello(self, worker, peer=1):
        return self.send(peer, "HELLO", worker, 0, 0, 0, 0, [2, 0, 1], 0, 0, 4).turn()

    def take(self, worker, peer=1, credits=1):
        return self.send(peer, "TAKE", worker, credits, 1, 1, timeout=200).turn()

    def done(self, job, task, lease, peer=1):
        return self.send(peer, "DONE", job, task, lease, 0, [7] * 32, 0, 0, 0, 0, 0).turn()

    def add(self, job, lease, tasks):
        new = [part for i in range(tasks) for part in (i, 0, 1, 0)]
        return self.send(1, "ADD", job, 0, lease, 0, tasks, new).turn()

    def planned(self, job=0, tasks=2):
        """A job whose planning task is done."""
        self.hello(0).submit(job).take(0)
        return self.add(job, 0, tasks).done(job, 0, 0)


def broker_scripts():
    def begin():
        return BrokerScript()

    life = begin().planned()
    for lease in 1, 2, 3:
        life.take(0).done(0, lease, lease)
    scripts = {
        "life": life.turn(4),
        "held": begin().planned().submit(1, after=0).take(0).take(0).turn(40),
        "chained": begin().planned().submit(1, source=0).take(0).done(0, 1, 1).turn(4).take(0),
        "lost": begin().planned().take(0).turn(60).hello(0).take(0).turn(60).hello(0).take(0),
        "failed": begin().planned().take(0).send(1, "FAIL", 0, 1, 1, 0, 7, 0, 0).turn(8).take(0),
        "yielded": begin().planned().take(0).send(1, "YIELD", 0, 1, 1, 3, 1, 2, 3, 1, 0).take(0),
        "moved": begin().hello(0).take(0).hello(0, 3).take(0, 3).submit(0).turn(),
        "bye": begin().hello(0).take(0).send(1, "BYE", 0).turn(),
        "full": begin().toggle(full=True).submit(0).toggle(full=True).submit(0).hello(0).take(0),
        "deaf": begin().toggle(closed=True).planned().toggle(closed=True).take(0),
        "jump": begin().planned().take(0).toggle(jump_s=100).turn(8).toggle(jump_s=-100).turn(60),
        "away": begin().planned().redis_away(3).take(0).turn(8).turn(8).turn(8).take(0),
        "in_doubt": begin().hello(0).redis_away(2, True).submit(0).turn(8).submit(0).take(0),
        "again": begin()
        .planned()
        .again()
        .again(1)
        .again(4)
        .take(0)
        .again()
        .turn(4)
        .again()
        .again(),
        "raw": begin().raw(b"\xff" * 9).raw(envelope(10, b"")).raw(envelope(2, b"", 0)).turn(),
    }
    for verb in range(1, 8):
        script = begin().planned().take(0).send(0, "CONTROL", 0, verb, 3, 0, 1, 0).turn()
        scripts[f"control_{verb}"] = script.done(0, 1, 1).take(0).turn(4)
    renew = begin().planned().take(0)
    renew.send(1, "RENEW", 0, 2, [0, 1, 1, 1, 3, 2, 9, 0, 0, 0], [0, 1, 0, 0, 0, 0]).turn()
    scripts["renewed"] = renew
    asked = begin().planned().send(2, "WATCH", 0).send(2, "WATCH", 0x80).send(2, "GET", 0)
    asked.send(2, "LIST", 0x80, 0, 0x80, 1, 0x80).turn().send(2, "LIST", 0x80, 0, 0, 1, 0x80)
    asked.send(2, "TASKS", 0, 0, 0x80, 1, 1, 0, 0).turn().send(2, "EVENTS", 0, 0x80, 2)
    asked.send(2, "WORKERS").send(2, "DRAIN", 0).send(2, "PING").send(2, "TAKE", 0, 1, 0, 0)
    scripts["asked"] = asked.turn().take(0).done(0, 1, 1).turn(4)
    for name, script in scripts.items():
        put("broker", name, script.data)


UP = b"\x22"


def answer(*fields, which=0):
    """To the newest request, or one before it."""
    return bytes([10 | which << 4]) + script_message(*fields)


def later(hundreds):
    return bytes([1, hundreds])


def link_scripts():
    def ask(name, *fields, timeout_ms=20000):
        place = list(bodies()).index(name)
        return bytes([6, place]) + timeout_ms.to_bytes(2, "big") + script_message(*fields)

    error = bytes([4]) + script_message(7, 0, 0)
    for name, body in {
        "answered": ask("GET", 0) + answer(0, 0) + ask("LIST", 0) + answer(0, 0),
        "unavailable": ask("PING") + error + later(5) + answer(0) + error + later(255),
        "other": ask("PING") + bytes([5, 9]) + script_message(0, 0) + later(250),
        "pushed": bytes([5, 17]) + script_message(0, 0) + bytes([5, 38]) + script_message(0),
        "lost": ask("TAKE", 0, 1, 1, 1) + b"\x02" + later(50) + UP + later(60) + UP + answer(0, 0),
        "full": b"\x12" + ask("PING") + later(10) + b"\x12" + later(10) + answer(0),
        "silent": ask("PING", timeout_ms=65000) + later(20) + later(20) + UP + later(255),
    }.items():
        put("link", name, b"\1" + UP + body)
        put("link", name + "_alone", b"\0" + UP + body)


def worker_scripts():
    ttl = [0xF1, 0x27, 0x10]
    hello = UP + answer(0, ttl)

    def grant(index, kind=0, phase=0, alone=0, lease=0):
        head = [0, kind, 0, 0x80, index, 0, phase, 0, lease, 1, 0, 0, alone]
        return head + ttl + [0, 0, 0x80]

    def granted(*grants):
        return answer(len(grants), *grants, 0) + b"\0" * len(grants)

    def ran(choice, code, which=0):
        return bytes([6 | which << 4, choice, code])

    stale = bytes([4]) + script_message(3, 0, 0)
    for name, body in {
        "done": granted(grant(0)) + ran(0, 1) + answer(),
        "failed": granted(grant(0)) + ran(0, 4) + answer(),
        "device": granted(grant(0, 1), grant(1, 1, lease=1)) + ran(64, 4) + answer() + ran(0, 1),
        "refused": granted(grant(0)) + ran(6, 1) + stale + answer(),
        "renewed": granted(grant(0)) + later(40) + answer(1, 0, 0) + later(40) + answer(1, 3, 0),
        "cancelled": granted(grant(0)) + later(40) + answer(1, 4, 0) + ran(1, 1) + answer(),
        "lost": granted(grant(0)) + later(120) + ran(0, 1),
        "alone": granted(grant(0, alone=1), grant(1, lease=1)) + ran(0, 1) + answer(),
        "unknown": granted(grant(0, 2)) + answer(),
        "tasks": granted(grant(0, phase=1)) + ran(16, 1) + answer(),
        "drained": answer(1, ttl) + granted(grant(0)) + ran(1, 2) + answer(),
        "moved": granted(grant(0)) + b"\x02" + later(40) + UP + answer(0, ttl) + ran(0, 1),
        "signalled": granted(grant(0)) + bytes([6 + 3 | 15 << 4]) * 2 + later(60),
    }.items():
        put("worker", name, hello + body)


def client_scripts():
    """The verbs of client_fuzz.c; a job as the first answer, then parts of it."""
    counters = [2, 0, 5, 0, 7]
    job = [0, 0, 0, 3, 0, 5, 0, 0, 0, 0, 0x80, 0x80, 0x80, 0] + [9] * 13 + [0] + counters + [0, 3]
    task = [3, 0, 0, 5, 1, 1, 0, 0, 0, 7, 0, 0, 0, 0]
    for line in range(21):
        for json_too in 0, 1:
            data = UP + answer(job, 1) + answer(job) + answer(1, task, 0x80) + answer(job)
            put("client", f"verb_{line}_{json_too}", bytes([line, json_too]) + data)
    big = job[:28] + [2, 0, 0xFE, 0, 0xFE, 0, 3]
    for line in 2, 5, 7:
        put("client", f"big_{line}", bytes([line, 0]) + UP + answer(big) * 2 + answer(0, 0x80))


def places():
    for place in "tcp://[::1]:5710", "tcp://*:0", "ipc:///run/x", "inproc://x", "tcp://h:1":
        put("place", "address_" + re.sub(r"\W", "_", place), b"\0" + place.encode())
    for place in "unix:/run/redis.sock", "tcp://h:6379", "[::1]:6379", "[]:1", "h:0":
        put("place", "redis_" + re.sub(r"\W", "_", place), b"\1" + place.encode())
    for place in "file:///tmp", "s3://b/p", "/tmp/../x", "../x", "a//b", "a/./b":
        put("place", "store_" + re.sub(r"\W", "_", place), b"\2" + place.encode())
    put("place", "words", b"\3download\0--image-size\000256\0--json\0-o\0/out\0--\0x")
    put("place", "words_near", b"\3downlod\0--no-alow-private\0--quality=0")
    put("place", "path", b"\3a/./b/../c//")
    put("place", "pidfile", b"\x04123 456 host 0f1e\n")
    stat = "1 (a) b) S " + " ".join(str(n) for n in range(40))
    put("place", "stat", b"\4" + stat.encode())
    put("place", "mapped", b"\5" + bytes([10, 0, 0, 1]) + bytes(10) + b"\xff\xff\x0a\0\0\1")


def views():
    rows = [{"key": "0", "status": "success"}, {"key": "1", "status": "http_status", "url": "u"}]
    rows.append({"key": "2", "status": "x\u009b", "url": "\u0007", "error_message": "\x7f"})
    text = "".join(json.dumps(row) + "\n" for row in rows)
    put("view", "rows", b"\0" + text.encode())
    put("view", "rows_json", b"\1" + text.encode())
    put("view", "log", b"\x03a line\n\x1b[31mred\n\xff\xfe\nlast")


def downloads():
    header = "url,t\n"
    rows = "".join(f'http://a/{i}.jpg,"row {i}"\n' for i in range(8))
    digest = hashlib.sha256((header + rows).encode()).digest()
    shard = message((1, 0), (3, 8), (4, len(header)), (5, len(rows)))
    shard += bytes([6 << 3 | 1]) + digest[7::-1]
    put("download", "spec", b"\0" + DOWNLOAD)
    ones = 9, 10, 11, 12, 13, 14, 16, 17, 18, 19, 21, 41, 42, 43, 45
    numbers = [(number, 1) for number in ones]
    texts = (20, "agent"), (40, "#102030"), (44, "h"), (46, "b")
    put("download", "spec_whole", b"\0" + DOWNLOAD + message(*numbers, *texts))
    put("download", "spec_columns", b"\0" + DOWNLOAD + message((5, "t"), (6, "t"), (6, "url")))
    pictures = message((30, 3), (31, 1), (32, 1), (33, 1), (34, 1), (36, 0), (37, 9), (38, 1 << 40))
    pictures += varint(39 << 3 | 1) + struct.pack("<d", 2.5)
    put("download", "spec_pictures", b"\0" + DOWNLOAD + pictures)
    put("download", "payload", b"\1" + shard)
    put("download", "payload_sliced", b"\1" + shard + message((7, 1)))
    put("download", "payload_far", b"\1" + message((3, 8), (4, 1 << 63), (5, 1 << 63)))
    ends = [b'{"status":"success"}', b'{"a":{"status":"carried_over"},"status":"carried_over"}']
    cursor = message((1, LEASE), (2, LEASE[::-1]), (3, 7), (4, b"\0" * 32), (5, 1 << 40))
    put("download", "cursor", b"\5" + cursor)
    put("download", "record", b"\5" + b"".join(struct.pack("<Q", i % 2) for i in range(24)))
    put("download", "late", b"\4" + b"\n".join(ends * 4) + b"\n")
    put("download", "stats", b'\2{"start_time": 1.5, "end_time": 2.5, "count": 3}')
    hosts = [
        {"host": "a.example", "rows": 9, "failed": 3, "status": "timeout", "status_rows": 2},
        {"host": "b", "rows": 1, "failed": 0, "status": None, "fetched": 1, "fetch_ms": 70},
    ]
    times = {"start_time": 1.5, "end_time": 99, "count": 10, "successes": 7, "hosts": hosts}
    cpu = {"fetch": 1, "decode": 2, "resize": 3, "encode": 4, "write": 5}
    put("download", "stats_hosts", b"\2" + json.dumps(times | {"cpu_ms": cpu}).encode())
    manifest = {"version": 1, "task": "00042", "lease": LEASE, "files": [], "items": 1 << 62}
    manifest |= {"items_ok": 1 << 62, "bytes": 1 << 62, "counters": {"status.success": 1 << 62}}
    put("download", "manifest", b"\3" + json.dumps(manifest).encode())
    put("download", "stats_huge", b'\2{"start_time": 1e308, "end_time": 1e308}')


def encodes():
    spec = message((1, "in"), (2, "out"), (4, "clip"))
    put("encode", "spec", b"\0" + spec)
    words = message((3, 7), (5, 1), (6, 2), (7, "64"), (8, "-2"), (13, 5), (14, "p.jpg"), (15, 1))
    lists = message((11, "default"), (12, "a {}."), (22, "jpg"), (22, "PNG"), (23, "text"))
    reals = b"".join(varint(n << 3 | 1) + struct.pack("<d", v) for n, v in ((16, 0.5), (17, 0.96)))
    flags = message(*[(number, 1) for number in (9, 10, 18, 19, 20, 21, 24, 25, 26, 27, 28, 29)])
    put("encode", "spec_whole", b"\0" + spec + words + lists + reals + flags)
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member in "a/0.txt", "1.jpg", "a/0.png", "1.JPG", "__meta__.json", "a/0.json":
            entry = tarfile.TarInfo(member)
            entry.size, entry.mtime = 5, 1.5
            archive.addfile(entry, io.BytesIO(b"12345"))
    put("encode", "tar", b"\1" + data.getvalue()[: 26 * 512])
    put("encode", "tar_cut", b"\1" + data.getvalue()[: 9 * 512 + 100])
    put("encode", "listing", b"\x0212 a/b c.jpg\x000 \xff.png\x00")
    put("encode", "json", b'\3{"url": "http://a/\xc3\xa9", "n": [1, null, 2.5]}')
    put("encode", "caption", b"\3a red fox\0\xff\n\xc3\xa9")


def specs():
    put("spec", "download", b"\0" + DOWNLOAD)
    put("spec", "encode", b"\1" + message((1, "in"), (2, "out"), (4, "clip"), (7, "all")))
    put("spec", "probe", b"\2" + PROBE)
    put("spec", "option", b"\0image-size\000256")
    put("spec", "option_word", b"\0resize-mode\0keep-ratio")
    put("spec", "option_list", b"\0extra-columns\0a,b")
    put("spec", "option_flag", b"\0allow-private")


# Files that people write.


def lists():
    """The first byte is the format: txt, csv, tsv, jsonl, json."""
    put("list", "txt", b"\0http://a/1.jpg\n\nhttp://a/2.jpg\r\n")
    put("list", "csv", b'\1url,t,u\r\nhttp://a/1.jpg,"a ""b"",\nc",1\r\nhttp://a/2.jpg,,\n')
    put("list", "csv_bom", b"\1\xef\xbb\xbft;url\nx;http://a/1.jpg\n")
    put("list", "tsv", b'\2url\tt\nhttp://a/1.jpg\t"caf\xc3\xa9"\nhttp://a/2.jpg\t\n')
    put("list", "jsonl", b'\3{"url":"http://a/1.jpg","t":"\\u00e9\\ud83d\\ude00"}\n{"t":[1,{}]}\n')
    array = b'[{"url":"http://a/1.jpg",\n"t":["x]",{}]} , 7,"\\",",null,{}\n]\n'
    put("list", "json", b"\4" + array)
    packed = gzip.compress(b"url,t\nhttp://a/1.jpg,x\n", mtime=0)
    put("list", "csv_gz", b"\1" + packed)
    put("list", "json_gz", b"\4" + gzip.compress(array, mtime=0))


def folders():
    """The first byte is the format, the second the length of the first file."""
    pairs = {
        "txt": (0, b"http://a/1.jpg", b"\xef\xbb\xbfhttp://a/2.jpg\r\n"),
        "csv": (1, b"url,t\nhttp://a/1.jpg,x\n", b't,url\n"a\nb",http://a/2.jpg\n"'),
        "tsv": (2, b"url\tt\nhttp://a/1.jpg\t\xff\n", b"t\turl\n"),
        "jsonl": (3, b'{"url":"a","t":[1,2.5]}', b'{"t":{"x":"\\u0000"}}\n7\n'),
        "json": (4, b'[{"url":"a","t":null},7]', b'[ {"url":"b",\n"t":true} ]'),
    }
    for name, (number, first, second) in pairs.items():
        put("files", name, bytes([number, len(first)]) + first + second)
    nothing = (SEEDS.parent.parent / "golden/parquet/nulls_v2.parquet").read_bytes()
    put("files", "parquet", bytes([5, len(nothing)]) + nothing + nothing)


def confs():
    every = 'flag = true\ntext = "a # b" # c\nnumber=3\nsize = 10M\nwait = 250ms\nlist = a, b\n'
    put("conf", "every", "# all of them\n\n" + every)
    put("conf", "wrong", "number = 99\nnosuch = 1\nflag\n")
    put("conf", "unicode", "text = caf\u00e9 \U0001f600\n")
    put("conf", "number", "-9223372036854775808")
    put("conf", "real", "0.25")
    put("conf", "size", "2GiB")


def keys():
    client = f"public = {KEYS[0]}\nsecret = {KEYS[1]}\n"
    put("keys", "client", f"# a client\n{client}server = {KEYS[2]}\n")
    put("keys", "server", f"{client}allow = {KEYS[2]} worker w1\nallow = {KEYS[3]} admin\n")
    put("keys", "twice", f"{client}allow = {KEYS[2]} client a\nallow = {KEYS[2]} client b\n")


def tars():
    for name, form in ("ustar", tarfile.USTAR_FORMAT), ("pax", tarfile.PAX_FORMAT):
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w", format=form) as archive:
            for member in "000000000.jpg", "000000000.txt", "d" * 90 + "/caf\u00e9.json":
                entry = tarfile.TarInfo(member)
                entry.size = 5
                archive.addfile(entry, io.BytesIO(b"12345"))
        put("tar", name, data.getvalue()[: 13 * 512])
    for name, records in (
        ("pax_laion", b"28 mtime=1629913331.4139187\n"),
        ("pax_names", b"11 path=ab\n16 path=c/d.jpg\n13 comment=x\n"),
        ("pax_size", b"10 size=3\n"),
        ("pax_size_zero", b"10 size=0\n"),
        ("pax_size_far", b"25 size=1125899906842624\n"),
        ("pax_size_too_far", b"25 size=1125899906842625\n"),
        ("pax_size_negative", b"11 size=-1\n"),
        ("pax_length_lies", b"99 path=x\n"),
        ("pax_length_zero", b"0 path=x\n"),
        ("pax_no_value", b"7 path\n"),
        ("pax_zero_in_name", b"11 path=a\0\n"),
        ("pax_climbs", b"25 path=../../etc/shadow\n"),
    ):
        whole = b""
        for kind, path, content in (
            (tarfile.XGLTYPE, "global", b"18 comment=abcdef\n" + records),
            (tarfile.XHDTYPE, "header", records),
            (tarfile.REGTYPE, "000000000.jpg", b"12345"),
        ):
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            block = bytearray(entry.tobuf(tarfile.USTAR_FORMAT))
            block[156:157] = kind
            block[148:156] = b" " * 8
            block[148:156] = b"%06o\0 " % sum(block)
            whole += block + content + bytes(-len(content) % 512)
        put("tar", name, records)
        put("tar", f"{name}_whole", whole + bytes(1024))


def manifests():
    manifest = {
        "version": 1,
        "task": "00042",
        "lease": LEASE,
        "files": [
            {"name": "00042.tar", "bytes": 5, "sha256": hashlib.sha256(b"12345").hexdigest()},
            {"name": "00042.parquet", "bytes": 0, "sha256": hashlib.sha256(b"").hexdigest()},
        ],
        "counters": {"status.success": 90, "status.timeout": -1},
        "items": 100,
        "items_ok": 90,
        "bytes": 5,
    }
    put("manifest", "manifest", json.dumps(manifest))
    put("manifest", "empty", json.dumps({**manifest, "files": [], "counters": {}}))
    spec = {"image_size": 448, "input": "/b", "extra": ["x"]}
    claim = {"kind": "download", "input": "f1", "spec": spec}
    put("manifest", "claim", json.dumps(claim))
    put("manifest", "claim_other_spec", json.dumps({**claim, "spec": {**spec, "image_size": 256}}))
    put("manifest", "claim_other_kind", json.dumps({**claim, "kind": "probe"}))


# What servers answer.


def answers():
    ok = "HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n"
    put("fetch", "length", ok + "Content-Length: 5\r\n\r\n12345")
    put("fetch", "chunks", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\nX: y\r\n\r\n")
    put("fetch", "close", ok + "\r\n12345")
    put("fetch", "short", ok + "Content-Length: 50\r\n\r\n12345")
    put("fetch", "large", ok + "Content-Length: 99999999999999999999\r\n\r\n12345")
    hop = b"HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 2\r\n\r\nno\xff"
    put("fetch", "redirect", hop + (ok + "Content-Length: 5\r\n\r\n12345").encode())
    put("fetch", "scheme", hop.replace(b"/y", b"file:///etc/passwd"))
    busy = b"HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n\xff"
    put("fetch", "retry", busy + ok.encode() + b"\r\n12345")
    date = b"Retry-After: Fri, 31 Dec 9999 23:59:59 GMT"
    put("fetch", "retry_date", busy.replace(b"Retry-After: 0", date))
    put("fetch", "encoded", ok + "Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\n1")
    for name, url in ("port", "http://192.88.98.1:81/a b?c#d"), ("user", "HTTP://u:p@192.88.98.1"):
        put("fetch", "url_" + name, b"\0" + url.encode() + b"\xff" + ok.encode() + b"\r\n12345")
    for name, url in (
        ("scheme", "file:///etc/passwd"),
        ("v6", "http://[::1]/"),
        ("idn", "//\u00e9/"),
        ("data", "data:image/gif;base64,R0lG%4fDlh AQ=="),
        ("data_text", "data:,a%20b#c"),
    ):
        put("fetch", "url_" + name, b"\0" + url.encode())
    put("fetch", "opt_out", ok + "X-Robots-Tag: otherbot: a, vlmq: noai\r\n\r\n12345")
    rules = "User-agent: *\nDisallow: /\n\nUser-agent: vlmq/1\nAllow: /b*c$\nDisallow: /%62/*/x\n"
    asked = b"\1" + (ok + "\r\n" + rules).encode() + b"\xff"
    put("fetch", "robots", asked + ok.encode() + b"\r\n1")
    put("robots", "groups", rules)
    put("robots", "url", "http://a/b/%7ec?d\0\ufeff" + rules.replace("\n", "\r\n") + "Sitemap: #x")
    put("robots", "tag", "vlmq: noai, unavailable_after: 25 Jun 2010 15:00:00 PST, b: none")
    put("fetch", "old", "HTTP/1.0 200\nContent-Type: \t\u00e9\n\n1")
    put("fetch", "interim", "HTTP/1.1 103 Early\r\n\r\n" + ok + "Content-Length: 1\r\n\r\n1")


def tree(value):
    """As state_reply_fuzz.c reads it."""
    if value is None:
        return b"-"
    if isinstance(value, int):
        return b"(" + bytes([value]) if value < 256 else b":" + value.to_bytes(8, "big")
    if isinstance(value, list):
        return b"*" + bytes([len(value)]) + b"".join(tree(one) for one in value)
    value = value.encode() if isinstance(value, str) else value
    return b"$" + len(value).to_bytes(2, "big") + value


def replies():
    """The first byte is the place of the operation in enum state_op."""
    now = 1700000000000
    head = [JOB, "", 3, 0, 5, now, now, 0, now, 9, 4, 1, 1, 1, 1, 0, 0, 400, 100, 90, 4096, 0]
    grant = [3, 1, 0, 0, 0, 1, "00003", LEASE, b"\1\2", b""]
    row = [3, 0, 4, 1, 0, 0, now, 0, "00003", "w", "", PROGRESS, "tail", bytes(16)]
    event = [f"{now}-0", ["n", "task.done", "t", "3", "a", "1", "w", "w", "x", "text"]]
    rows = {
        "submit": (0, []),
        "take": (2, [grant, grant]),
        "get": (16, [PROBE, ["status.success", "90"]]),
        "tasks": (18, ["next", [row]]),
        "events": (19, [event]),
        "made": (20, [[3, "00003", bytes(16)]]),
        "list": (24, ["next", ["job-1", "job-2"]]),
        "workers": (30, [[WORKER, now, 1]]),
    }
    for name, (operation, answer) in rows.items():
        put("state_reply", name, bytes([operation]) + tree([head, [0, "", 1, answer]]))
    put("state_reply", "get_no_job", b"\x10" + tree([None, [0, "", 1, [PROBE, []]]]))
    put("state_reply", "error", b"\2" + tree([None, [2, "there is no such job", 0, []]]))
    info = "redis_version:7.0.15\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n"
    info += "used_memory:1024\r\naof_enabled:1\r\naof_last_write_status:ok\r\nrole:master\r\n"
    put("state_reply", "info", info)
    put("state_reply", "oom", "OOM command not allowed")


def exifs():
    for file in sorted((SEEDS.parents[1] / "golden" / "exif").glob("*.avif")):
        put("exif", file.name, file.read_bytes())
    for file in sorted((SEEDS.parents[1] / "golden" / "exif").glob("*.*g")):
        put("exif", file.name, file.read_bytes())
        block = file.read_bytes()
        at = max(block.find(b"II*\0"), block.find(b"MM\0*"))
        put("exif", file.stem + "_block", block[at : at + 700])


def boxes():
    for name, text in (
        ("one", "[[0.1, 0.2, 0.3, 0.4]]"),
        ("two", "[[0,0,1,1],[-0.5,0.5,1.5,0.75]]"),
        ("small", "[[0.5,0.5,0.5001,0.5001]]"),
        ("pixels", "[[10,10,20,20]]"),
        ("null", "null"),
    ):
        put("boxes", name, b"\x30\x20" + text.encode())
    for kind, digits in enumerate((64, 32, 128)):  # also blocked hashes, of the kind size % 3
        text = "# of a placeholder\r\n\n" + "0123456789abcdef" * (digits // 16) + "  a.jpg"
        put("boxes", f"hashes_{digits}", (text + "x" * ((kind - len(text)) % 3)).encode())


def main():
    files = lists, folders, confs, keys, tars, manifests, answers, replies, places, views
    scripts = broker_scripts, link_scripts, worker_scripts, client_scripts
    of_models = models, tokenizers, clips, labels, stats, hub
    jobs = downloads, encodes, specs
    for make in envelopes, exifs, boxes, *jobs, *of_models, *files, *scripts:
        make()


main()
