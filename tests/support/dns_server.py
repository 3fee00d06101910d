#!/usr/bin/env python3
"""A name server with the faults of real ones, for tests.

Prints its port (UDP and TCP of 127.0.0.1) and answers until its standard input ends, so that it
never outlives the test that started it. What a name's first label says is what it does; any label
may stand behind it:

  a-N-N-N-N      that IPv4 address, and none of IPv6
  six            only the IPv6 address ::1
  both           127.0.0.2 and ::1
  ttl-S          127.0.0.1 for S seconds
  nx             NXDOMAIN;  empty: no record of the type that was asked for
  servfail, refused, formerr, notimp      that code
  silent         no answer;  silent6: an answer for IPv4 only
  cut            cut short by UDP, whole by TCP
  cut-silent     cut short by UDP, no answer by TCP
  many           300 addresses, the first of them 127.0.0.1
  chain-N        N names that lead to each other, then 127.0.0.1
  loop           two names that lead to each other
  garbage-N      noise of N bytes behind the right number
  other          an answer to another question
  half           an answer that ends within its record
  pointer        an answer with a name that points to itself
  rebind         192.88.98.1 the first time, 127.0.0.1 from then on
  flaky-N        SERVFAIL the first N times, then 127.0.0.1
  asked          127.X.Y.Z with the number of questions so far for the name behind it
"""
import collections
import random
import socket
import socketserver
import struct
import sys
import threading

A, CNAME, AAAA = 1, 5, 28
NXDOMAIN, CODES = 3, {"formerr": 1, "servfail": 2, "notimp": 4, "refused": 5}
POINTER = b"\xc0\x0c"  # to the question's name
lock = threading.Lock()
asked = collections.Counter()


def packed_name(name):
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"


def record(owner, kind, data, ttl=300):
    return owner + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data


def address(text, ttl=300):
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    return record(POINTER, AAAA if ":" in text else A, socket.inet_pton(family, text), ttl)


def chain(rest, length, kind):
    """Records of `length` names, one behind the other, and an address for the last."""
    found, owner = [], POINTER
    for i in range(length):
        target = packed_name("link%d.%s" % (i, rest))
        found.append(record(owner, CNAME, target))
        owner = target
    if kind == A:
        found.append(record(owner, A, socket.inet_aton("127.0.0.1")))
    return found


def records(label, rest, kind, seen):
    """The answers for a name; None: no answer at all; a number: a code."""
    first, *numbers = label.split("-")
    six = kind == AAAA
    if label in CODES:
        return CODES[label]
    if first == "a":
        return [] if six else [address(".".join(numbers))]
    if first == "six":
        return [address("::1")] if six else []
    if first == "both":
        return [address("::1" if six else "127.0.0.2")]
    if first == "ttl":
        return [] if six else [address("127.0.0.1", int(numbers[0]))]
    if first == "empty":
        return []
    if first == "silent" or (first == "silent6" and six):
        return None
    if first in ("silent6", "cut"):
        return [] if six else [address("127.0.0.1")]
    if first == "many":
        hosts = ["127.0.0.1"] + ["127.0.1.%d" % (i % 250) for i in range(299)]
        return [] if six else [address(host) for host in hosts]
    if first == "chain":
        return chain(rest, int(numbers[0]), kind)
    if first == "loop":
        other = packed_name("pool." + rest)
        return [record(POINTER, CNAME, other), record(other, CNAME, POINTER)]
    if first == "rebind":
        return [] if six else [address("127.0.0.1" if seen > 1 else "192.88.98.1")]
    if first == "flaky":
        if seen <= 2 * int(numbers[0]):  # each time is two questions
            return CODES["servfail"]
        return [] if six else [address("127.0.0.1")]
    if first == "asked":
        count = asked[rest]
        text = "127.%d.%d.%d" % (count >> 16, count >> 8 & 255, count & 255)
        return [] if six else [address(text)]
    return NXDOMAIN


def answer(packet, tcp):
    """The reply to a packet, or None."""
    if len(packet) < 17:
        return None
    at, labels = 12, []
    while packet[at]:
        labels.append(packet[at + 1 : at + 1 + packet[at]].decode("ascii", "replace").lower())
        at += 1 + packet[at]
    kind = struct.unpack(">H", packet[at + 1 : at + 3])[0]
    question, name = packet[12 : at + 5], ".".join(labels)
    with lock:
        asked[name] += 1
        seen = asked[name]
    label, rest = labels[0], ".".join(labels[1:])
    number = packet[:2]
    if label.startswith("garbage-"):
        return number + b"\x81\x80" + random.Random(seen).randbytes(int(label[8:]))
    if label == "other":
        question = packed_name("quite.another") + question[-4:]
        return number + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0) + question + address("127.0.0.1")
    if label in ("half", "pointer"):
        body = address("127.0.0.1") if label == "half" else record(b"\xc0\x20", CNAME, b"\xc0\x2c")
        body = body[:-3] if label == "half" else body
        return number + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0) + question + body
    if label == "cut-silent":
        return None if tcp else number + struct.pack(">HHHHH", 0x8380, 1, 0, 0, 0) + question
    found = records(label, rest, kind, seen)
    if found is None:
        return None
    code = found if isinstance(found, int) else 0
    found = [] if code else found
    body = b"".join(found)
    if not tcp and (label == "cut" or len(body) > 480):
        return number + struct.pack(">HHHHH", 0x8380, 1, 0, 0, 0) + question
    return number + struct.pack(">HHHHH", 0x8180 | code, 1, len(found), 0, 0) + question + body


class ByUdp(socketserver.BaseRequestHandler):
    def handle(self):
        packet, sock = self.request
        reply = answer(packet, False)
        if reply is not None:
            sock.sendto(reply, self.client_address)


class ByTcp(socketserver.StreamRequestHandler):
    def handle(self):
        while True:
            head = self.rfile.read(2)
            if len(head) < 2:
                return
            reply = answer(self.rfile.read(struct.unpack(">H", head)[0]), True)
            if reply is not None:
                self.wfile.write(struct.pack(">H", len(reply)) + reply)


class Tcp(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


def start():
    """Both servers on one port."""
    while True:
        udp = socketserver.UDPServer(("127.0.0.1", 0), ByUdp)
        try:
            return udp, Tcp(udp.server_address, ByTcp)
        except OSError:
            udp.server_close()


if __name__ == "__main__":
    servers = start()
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print(servers[0].server_address[1], flush=True)
    sys.stdin.read()
