#!/usr/bin/env python3
"""A client that means no good.

    hostile.py ATTACK HOST PORT [JOB]

Attacks until its standard input ends, and prints one line when it is in full swing and one with
what it has done at the end. Attacks:

  garbage    raw bytes on fresh connections: HTTP, noise, broken greetings, noise behind a handshake
  oversized  frames that announce, and frames that are, larger than any message may be
  halves     connections that keep a large frame back but for its last byte
  tiny       a million of the smallest messages, as fast as they go, on one connection
  crowd      hundreds of connections: raw ones, and ZeroMQ ones of ever new identities
  silent     hundreds of connections that say nothing, before or after their handshake
  deaf       asks for the longest answers, again and again, and reads none of them
  beats      a heartbeat of ZMTP behind more than is read at once, and a reset right behind it: the
             broker falls by an assertion of libzmq, and others have to be none the worse for it

ZMTP 3.0 is spoken by hand here: zmtp() is a connection after its handshake.
"""

import os
import random
import select
import socket
import struct
import sys
import time

import zmq

FRAME_BYTES_MAX = 1024 * 1024 + 64
CONNECTIONS = 300
TINY = int(os.environ.get("VLMQ_TEST_TINY", "1000000"))
PING = bytes.fromhex("080110ac0218b8172802")  # docs/protocol.md has it byte for byte
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)


def command(name, properties):
    body = bytes([len(name)]) + name
    for key, value in properties:
        body += bytes([len(key)]) + key + struct.pack(">I", len(value)) + value
    return b"\x04" + bytes([len(body)]) + body


READY = command(b"READY", [(b"Socket-Type", b"DEALER"), (b"Identity", b"")])


def frame_head(size):
    return b"\x02" + struct.pack(">Q", size)


def frame(body):
    return (b"\x00" + bytes([len(body)]) if len(body) < 256 else frame_head(len(body))) + body


def ended():
    """Whoever started this has closed our standard input."""
    return bool(select.select([sys.stdin], [], [], 0)[0])


class Hostile:
    def __init__(self, host, port, job):
        self.place, self.job = (host, int(port)), job
        self.done = 0

    def raw(self):
        return socket.create_connection(self.place, timeout=20)

    def zmtp(self):
        sock = self.raw()
        sock.sendall(GREETING + READY)
        heard = b""
        while b"READY" not in heard:
            data = sock.recv(1000)
            if not data:
                raise ConnectionError("the handshake was refused")
            heard += data
        return sock

    def dealer(self, context):
        sock = context.socket(zmq.DEALER)
        sock.setsockopt(zmq.LINGER, 0)
        sock.connect("tcp://%s:%d" % self.place)
        return sock

    @staticmethod
    def push(sock, data):
        """Sends until the other side has had enough of it."""
        try:
            sock.sendall(data)
        except OSError:
            pass

    def swing(self):
        print("in full swing", flush=True)

    def repeat(self, attack):
        """One round, and then more of them."""
        attack()
        self.swing()
        while not ended():
            attack()

    def garbage(self):
        noise = random.Random(1).randbytes
        pieces = [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", noise(4096), GREETING[:11], bytes(64)]
        pieces += [GREETING[:12] + b"CURVE" + bytes(47), GREETING + noise(300)]
        pieces += [GREETING + READY[:-1] + b"\xff" * 9, GREETING + command(b"NONSENSE", [])]
        inside = [b"\x00\x00", b"\x01\x00" * 1000, frame(noise(200)), frame(PING[:-1])]
        inside += [
            b"\x03\x01x",
            frame(b"\x08\x01\x22" + b"\xff" * 5),
            b"\x04\x05\x04PING",
            b"\x77" * 100,
        ]

        def attack():
            for data in pieces:
                with self.raw() as sock:
                    self.push(sock, data)
            for data in inside:
                with self.zmtp() as sock:
                    self.push(sock, data)
            self.done += len(pieces) + len(inside)

        self.repeat(attack)

    def oversized(self):
        block = bytes(FRAME_BYTES_MAX + 1)

        def attack():
            for size in (FRAME_BYTES_MAX + 1, 1 << 31, (1 << 63) - 1, (1 << 64) - 1):
                with self.zmtp() as sock:
                    self.push(sock, frame_head(size) + block)
            with self.zmtp() as sock:
                self.push(sock, (b"\x01" + frame(block[:255])[1:]) * 20000)  # a message without end
            self.done += 5

        self.repeat(attack)

    def halves(self):
        held = []
        for _ in range(CONNECTIONS // 3):
            sock = self.zmtp()
            self.push(sock, frame_head(FRAME_BYTES_MAX - 1) + bytes(FRAME_BYTES_MAX - 2))
            held.append(sock)
        self.done = len(held)
        self.swing()
        sys.stdin.read()

    def tiny(self):
        with zmq.Context() as context:
            sock = self.dealer(context)
            self.swing()
            for i in range(TINY):
                sock.send((b"", b"x", PING)[i % 3])
                self.done += 1
            # What follows on the same connection is answered, so all of it was read.
            while sock.poll(0):
                sock.recv()
            sock.send(PING)
            assert sock.poll(60000)
            sock.close()

    def crowd(self):
        with zmq.Context() as context:

            def attack():
                raw = [self.raw() for _ in range(CONNECTIONS)]
                context.max_sockets = 2 * CONNECTIONS
                dealers = [self.dealer(context) for _ in range(CONNECTIONS)]
                for sock in dealers:
                    sock.send(PING)
                for sock in dealers:
                    assert sock.poll(60000) and sock.recv()
                for sock in raw + dealers:
                    sock.close()
                self.done += len(raw) + len(dealers)

            self.repeat(attack)

    def silent(self):
        held = [self.raw() for _ in range(CONNECTIONS)]
        held += [self.zmtp() for _ in range(CONNECTIONS)]
        self.done = len(held)
        self.swing()
        sys.stdin.read()

    def deaf(self):
        # Tasks {job, rows: 1000} in an Envelope {version: 1, request_id: 7, body, type: TASKS}.
        body = b"\x0a" + bytes([len(self.job)]) + self.job.encode() + b"\x20\xe8\x07"
        request = frame(b"\x08\x01\x10\x07\x22" + bytes([len(body)]) + body + b"\x28\x10")
        sock = self.zmtp()
        sock.settimeout(0.2)
        while self.done < 1500 and not ended():
            try:
                sock.sendall(request)
                self.done += 1
            except socket.timeout:
                break
            if self.done == 500:
                self.swing()
        sys.stdin.read()

    def beats(self):
        said = frame(PING) * 400 + b"\x04\x07\x04PING\0\0"

        def attack():
            time.sleep(3)  # the broker is up again, and does some work
            try:
                with self.zmtp() as sock:
                    linger = struct.pack("ii", 1, 0)
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    self.push(sock, said)
                self.done += 1
            except OSError:
                pass  # not yet

        self.repeat(attack)


def main(argv):
    attack, host, port = argv[1:4]
    hostile = Hostile(host, port, argv[4] if len(argv) > 4 else "")
    getattr(hostile, attack)()
    print(hostile.done, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
