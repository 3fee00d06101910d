#!/usr/bin/env python3
"""A second implementation of the client's side of the protocol, written from docs/protocol.md.

    python_client.py BROKERS submit-and-watch KIND [FIELD=VALUE ...]
    python_client.py BROKERS get JOB
    python_client.py BROKERS version NUMBER
    python_client.py BROKERS garbage

BROKERS are addresses separated by commas. Fields are those of the kind's spec message; a job field
is named with a dot before it, such as .owner=alice. Every answer and update is printed as a line of
JSON.

submit-and-watch ends with status 0 when the job is done, 1 when it failed or was cancelled. version
sends a PING of another protocol version and expects to be refused with both versions named. garbage
sends what no program should, expects to be refused or ignored, and then a PING to be answered.

Keys: VLMQ_PY_PUBLIC, VLMQ_PY_SECRET and VLMQ_PY_SERVER, as Z85 text. Needs pyzmq and protobuf; the
message modules are made with protoc at each start, so that there is nothing to keep in step.
"""

import collections.abc
import importlib
import json
import os
import pathlib
import re
import secrets
import subprocess
import sys
import tempfile
import time

# Modules made by another release of protoc than the installed protobuf still load this way.
os.environ.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")

import zmq  # noqa: E402
from google.protobuf import json_format  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
VERSION = 1
SILENCE_S, PING_S, RESEND_S, WATCH_S = 3.0, 1.0, 5.0, 10.0
ANSWER_S = float(os.environ.get("VLMQ_TEST_PATIENCE_S", "60"))
ENDED = {"JOB_DONE", "JOB_FAILED", "JOB_CANCELLED"}


def load_schema(folder):
    protos = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "proto/schema").rglob("*.proto"))
    subprocess.run(
        ["protoc", f"--proto_path={ROOT}", f"--python_out={folder}", *protos], check=True
    )
    sys.path.insert(0, folder)
    names = [p.removesuffix(".proto").replace("/", ".") + "_pb2" for p in protos]
    return {
        name.rsplit(".", 1)[1].removesuffix("_pb2"): importlib.import_module(name) for name in names
    }


class Refused(Exception):
    """The broker answered ERROR, and repeating would not help."""

    def __init__(self, error):
        super().__init__(error.message)
        self.error = error


class Fleet:
    """A connection to one broker of a list, with requests that survive the loss of it."""

    def __init__(self, brokers, schema):
        self.brokers = [b for b in re.split(r"[,\s]+", brokers) if b]
        self.schema, self.common = schema, schema["common"]
        self.context = zmq.Context()
        self.index, self.socket, self.moved = -1, None, False
        self.pushed = []
        self.next_broker()
        self.moved = False

    def next_broker(self):
        if self.socket is not None:
            self.socket.close(linger=0)
        self.index = (self.index + 1) % len(self.brokers)
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.ROUTING_ID, b"p" + secrets.token_bytes(15))
        self.socket.setsockopt(zmq.IMMEDIATE, 1)
        self.socket.setsockopt(zmq.LINGER, 0)
        if "[" in self.brokers[self.index]:
            self.socket.setsockopt(zmq.IPV6, 1)
        if os.environ.get("VLMQ_PY_SERVER"):
            self.socket.curve_serverkey = os.environ["VLMQ_PY_SERVER"].encode()
            self.socket.curve_publickey = os.environ["VLMQ_PY_PUBLIC"].encode()
            self.socket.curve_secretkey = os.environ["VLMQ_PY_SECRET"].encode()
        self.socket.connect(self.brokers[self.index])
        self.moved = True

    def close(self):
        self.socket.close(linger=0)
        self.context.term()

    def type_of(self, message):
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(message).__name__).upper()
        return self.common.Type.Value(name)

    def message_of(self, envelope):
        name = self.common.Type.Name(envelope.type)
        camel = "".join(part.capitalize() for part in name.split("_"))
        for module in ("common", "client", "worker"):
            if hasattr(self.schema[module], camel):
                return getattr(self.schema[module], camel).FromString(envelope.body)
        raise ValueError(f"no message for {name}")

    def send(self, request_id, message, timeout_s, version=VERSION):
        envelope = self.common.Envelope(
            version=version,
            request_id=request_id,
            timeout_ms=int(timeout_s * 1000),
            body=message.SerializeToString(),
            type=self.type_of(message),
        )
        try:
            self.socket.send(envelope.SerializeToString(), zmq.NOBLOCK)
            return True
        except zmq.Again:
            return False

    def receive(self, wait_s):
        """The next envelope, or None."""
        if not self.socket.poll(max(0, int(wait_s * 1000))):
            return None
        return self.common.Envelope.FromString(self.socket.recv())

    def ask(self, message, timeout_s=ANSWER_S, version=VERSION):
        """Sends, repeats under the same id, moves on after silence; returns the answer."""
        request_id = secrets.randbits(63) + 1
        start = heard = time.monotonic()
        send_at, ping_at, backoff, last = start, start + PING_S, 0.1, None
        while True:
            now = time.monotonic()
            if now > start + timeout_s:
                raise TimeoutError(last or f"{self.brokers[self.index]} gave no answer")
            if now - heard > SILENCE_S and len(self.brokers) > 1:
                self.next_broker()
                heard, send_at, ping_at = now, now, now + PING_S
            if now >= send_at:
                sent = self.send(request_id, message, start + timeout_s - now, version)
                send_at = now + (RESEND_S if sent else 0.05)
            if now >= ping_at:
                self.send(secrets.randbits(63) + 1, self.common.Ping(), SILENCE_S)
                ping_at = now + PING_S
            envelope = self.receive(min(send_at, ping_at) - now)
            if envelope is None:
                continue
            heard, ping_at = time.monotonic(), time.monotonic() + PING_S
            if envelope.request_id == 0:
                self.pushed.append(self.message_of(envelope))
            if envelope.request_id != request_id:
                continue
            answer = self.message_of(envelope)
            if envelope.type != self.common.ERROR:
                return answer
            if answer.code != self.common.CODE_UNAVAILABLE:
                raise Refused(answer)
            last = answer.message
            wait = answer.retry_after_ms / 1000 or backoff
            send_at, backoff = time.monotonic() + wait, min(2.0, backoff * 2)


def show(message):
    values = json_format.MessageToDict(message, preserving_proto_field_name=True)
    print(json.dumps({type(message).__name__: values}), flush=True)


def put_field(message, name, text):
    field = message.DESCRIPTOR.fields_by_name.get(name)
    if field is None:
        raise SystemExit(f"{message.DESCRIPTOR.name} has no field {name}")
    if isinstance(getattr(message, name), collections.abc.MutableSequence):
        getattr(message, name).extend(text.split(","))
    elif field.enum_type is not None:
        words = [v for v in field.enum_type.values if v.name.lower().endswith("_" + text.lower())]
        setattr(message, name, words[0].number)
    elif field.type == field.TYPE_BOOL:
        setattr(message, name, text == "true")
    elif field.type == field.TYPE_STRING:
        setattr(message, name, text)
    else:
        setattr(message, name, int(text))


def submit_and_watch(fleet, kind, fields):
    client = fleet.schema["client"]
    spec = getattr(fleet.schema[kind], "".join(part.capitalize() for part in kind.split("_")))()
    job = fleet.common.Job(id="py-" + secrets.token_hex(6), kind=kind, owner="python")
    for field in fields:
        name, _, value = field.partition("=")
        if name.startswith("."):
            put_field(job, name[1:], value)
        else:
            put_field(spec, name, value)
    if "output" in spec.DESCRIPTOR.fields_by_name and not job.output:
        job.output = spec.output
    job.spec = spec.SerializeToString()
    answer = fleet.ask(client.Submit(job=job))
    show(answer)
    # A repeated submission is the same job.
    again = fleet.ask(client.Submit(job=job))
    if again.created or again.job.id != job.id:
        raise SystemExit("the repeated submission made another job")
    return watch(fleet, job.id)


def watch(fleet, job_id):
    client = fleet.schema["client"]
    watch_at = 0.0
    while True:
        if time.monotonic() >= watch_at or fleet.moved:
            fleet.moved = False
            message = fleet.ask(client.Watch(job=job_id))
            watch_at = time.monotonic() + WATCH_S
        elif fleet.pushed:
            message = fleet.pushed.pop(0)
        else:
            envelope = fleet.receive(watch_at - time.monotonic())
            message = fleet.message_of(envelope) if envelope else None
            if envelope is None or envelope.request_id != 0:
                continue
        if message.job.id != job_id:
            continue
        show(message)
        if fleet.common.JobState.Name(message.job.state) in ENDED:
            return 0 if message.job.state == fleet.common.JOB_DONE else 1


def other_version(fleet, number):
    try:
        fleet.ask(fleet.common.Ping(), version=int(number))
    except Refused as refused:
        show(refused.error)
        ok = refused.error.code == fleet.common.CODE_VERSION
        text = refused.error.message
        return 0 if ok and str(number) in text and str(VERSION) in text else 1
    raise SystemExit("a message of another version was accepted")


def expect_refusal(fleet, envelope, code):
    """Sends until the broker answers this id, and expects ERROR with the code."""
    end = time.monotonic() + ANSWER_S
    while time.monotonic() < end:
        try:
            fleet.socket.send(envelope.SerializeToString(), zmq.NOBLOCK)
        except zmq.Again:
            time.sleep(0.02)
            continue
        answer = fleet.receive(RESEND_S)
        if answer is not None and answer.request_id == envelope.request_id:
            error = fleet.message_of(answer)
            show(error)
            if answer.type != fleet.common.ERROR or error.code != code:
                raise SystemExit(f"answered otherwise: {error}")
            return
    raise TimeoutError("no refusal")


def garbage(fleet):
    common, client = fleet.common, fleet.schema["client"]
    fleet.ask(common.Ping())
    ignored = [
        b"",
        b"\x00",
        b"GET / HTTP/1.1\r\n\r\n",
        secrets.token_bytes(1000),
        b"\x0a" * 5000,
        b"\x22\xff\xff\xff\xff\x0f",
        common.Envelope(version=1).SerializeToString(),
    ]
    for frame in ignored:
        fleet.socket.send(frame)
    fleet.socket.send_multipart([b"", b"two frames"])
    fleet.socket.send_multipart([b"a", b"b", b"c"])

    def envelope(**fields):
        return common.Envelope(version=VERSION, request_id=secrets.randbits(63) + 1, **fields)

    get = common.Type.Value("GET")
    submit = common.Type.Value("SUBMIT")
    long_title = client.Submit(job=common.Job(id="a", kind="probe", title="x" * 300))
    invalid = [
        envelope(type=999),
        envelope(type=get),
        envelope(type=get, body=b"\xff\xff"),
        envelope(type=get, body=client.Get(job="NOT AN ID").SerializeToString()),
        envelope(type=get, body=b"\x0a\x02\xff\xfe"),
        envelope(type=submit),
        envelope(type=submit, body=long_title.SerializeToString()),
        envelope(
            type=common.Type.Value("CONTROL"), body=client.Control(job="a").SerializeToString()
        ),
    ]
    for one in invalid:
        expect_refusal(fleet, one, common.CODE_INVALID)
    bomb = envelope(type=common.Type.Value("ADD"), body=b"\x1a\x00" * 500000)
    expect_refusal(fleet, bomb, common.CODE_LIMIT)
    # Too large for a frame: the broker drops the connection, and ZeroMQ opens a new one.
    fleet.socket.send(bytes(2 * 1024 * 1024))
    show(fleet.ask(common.Ping()))
    return 0


def main(argv):
    if len(argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    brokers, verb, arguments = argv[1], argv[2], argv[3:]
    with tempfile.TemporaryDirectory(prefix="vlmq-py-") as folder:
        fleet = Fleet(brokers, load_schema(folder))
        try:
            if verb == "submit-and-watch":
                return submit_and_watch(fleet, arguments[0], arguments[1:])
            if verb == "get":
                show(fleet.ask(fleet.schema["client"].Get(job=arguments[0])))
                return 0
            if verb == "version":
                return other_version(fleet, arguments[0])
            if verb == "garbage":
                return garbage(fleet)
            print(f"unknown verb {verb}", file=sys.stderr)
            return 2
        except Refused as refused:
            show(refused.error)
            return 3
        finally:
            fleet.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv))
