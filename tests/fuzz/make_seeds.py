#!/usr/bin/env python3
"""Writes tests/fuzz/seeds/TARGET/*: one small input for each form that a fuzz target can take.

    python3 tests/fuzz/make_seeds.py

Needs nothing but Python. decode_fuzz starts from tests/golden/images instead. An input that once
broke something is added to the folder by hand and stays.
"""

import gzip
import hashlib
import io
import json
import pathlib
import tarfile

SEEDS = pathlib.Path(__file__).parent / "seeds"
LEASE = "00112233445566778899aabbccddeeff"
KEYS = [c * 40 for c in "aBc3"]


def put(target, name, data):
    folder = SEEDS / f"{target}_fuzz"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())


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


def envelopes():
    done = message((1, ATTEMPT), (2, bytes(32)), (3, COUNTER), (4, PROGRESS), (7, "00003.tar"))
    renewal = message((1, ATTEMPT), (2, PROGRESS), (3, b"at"), (4, 1))
    bodies = {
        "error": (1, message((1, 7), (2, "later"), (3, 500))),
        "ping": (2, b""),
        "submit": (10, message((1, JOB), (2, 1))),
        "list": (14, message((1, "alice"), (2, 1), (4, 10))),
        "tasks_answer": (17, message((1, TASK), (2, "next"))),
        "hello": (40, message((1, WORKER))),
        "renew": (44, message((1, "host/cpu/1/ab"), (2, renewal))),
        "add": (46, message((1, ATTEMPT), (2, 0), (3, NEW_TASK), (3, NEW_TASK))),
        "done": (48, done),
    }
    for name, (kind, body) in bodies.items():
        put("envelope", name, envelope(kind, body))


def specs():
    put("spec", "download", b"\0" + DOWNLOAD)
    put("spec", "probe", b"\1" + PROBE)
    put("spec", "option", b"\0image-size\000256")
    put("spec", "option_word", b"\0resize-mode\0keep-ratio")
    put("spec", "option_list", b"\0extra-columns\0a,b")
    put("spec", "option_flag", b"\0allow-private")


# Files that people write.


def lists():
    """The first byte is the format: txt, csv, tsv, jsonl."""
    put("list", "txt", b"\0http://a/1.jpg\n\nhttp://a/2.jpg\r\n")
    put("list", "csv", b'\1url,t,u\r\nhttp://a/1.jpg,"a ""b"",\nc",1\r\nhttp://a/2.jpg,,\n')
    put("list", "csv_bom", b"\1\xef\xbb\xbft;url\nx;http://a/1.jpg\n")
    put("list", "tsv", b'\2url\tt\nhttp://a/1.jpg\t"caf\xc3\xa9"\nhttp://a/2.jpg\t\n')
    put("list", "jsonl", b'\3{"url":"http://a/1.jpg","t":"\\u00e9\\ud83d\\ude00"}\n{"t":[1,{}]}\n')
    packed = gzip.compress(b"url,t\nhttp://a/1.jpg,x\n", mtime=0)
    put("list", "csv_gz", b"\1" + packed)


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


def main():
    for make in envelopes, specs, lists, confs, keys, tars, manifests, answers, replies:
        make()


main()
