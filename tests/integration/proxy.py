"""A TCP proxy with the faults of a network, for tests: it stands between two programs and cuts,
delays, throttles or swallows what they say to each other.

    proxy = Proxy("127.0.0.1", 5710)       # or Proxy("/path/to/socket")
    proxy.port                             # where to connect instead
    proxy.delay(2.0) | proxy.throttle(500) | proxy.hole() | proxy.hole("up") | proxy.refuse()
    proxy.heal()                           # ends the above; what was held back goes on
    proxy.reset()                          # RST to both sides of every connection
    proxy.halve("up")                      # RST to the target only: the client's side stays open
    proxy.hoard()                          # keeps what clients send, until ...
    proxy.burst()                          # ... it arrives at once, and RST right behind it

A hole is silent: nothing is forwarded, nothing is closed, connections are taken. When it heals,
what was swallowed is delivered late, as TCP would. A half-open connection never heals: the target
has forgotten it and the client does not know ("down": the reverse). One thread runs all of it; the
methods may be called from any other.
"""

import asyncio
import contextlib
import socket
import struct
import threading

CHUNK = 65536
STEP_S = 0.02  # how soon a change of the faults is seen


def abort(writer):
    """Ends a connection with RST."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.family != socket.AF_UNIX and not writer.is_closing():
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Pair:
    """A connection of a client and the one to the target that belongs to it."""

    def __init__(self, proxy, client, target):
        self.proxy, self.client, self.target = proxy, client, target
        self.halved = False
        self.hoard = b""

    async def run(self):
        ends = [
            self.pump("up", self.client[0], self.target[1]),
            self.pump("down", self.target[0], self.client[1]),
        ]
        tasks = [asyncio.ensure_future(end) for end in ends]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        # A half-open connection stays until its other side gives up.
        if self.halved:
            await asyncio.wait(tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.reset()

    async def pump(self, way, reader, writer):
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                await self.carry(way, data, writer)

    async def carry(self, way, data, writer):
        proxy = self.proxy
        await asyncio.sleep(proxy.delay_s)
        while data:
            if self.halved:
                return  # into the void
            if proxy.hoarding and way == "up":
                self.hoard += data
                return
            if way in proxy.holes:
                await asyncio.sleep(STEP_S)
                continue
            part = max(1, int(proxy.rate * STEP_S)) if proxy.rate else len(data)
            writer.write(data[:part])
            await writer.drain()
            proxy.carried += len(data[:part])
            data = data[part:]
            if data:
                await asyncio.sleep(STEP_S)

    def reset(self):
        abort(self.client[1])
        abort(self.target[1])

    def halve(self, way):
        self.halved = True
        abort(self.target[1] if way == "up" else self.client[1])

    def burst(self):
        self.target[1].write(self.hoard)
        self.reset()


class Proxy:
    def __init__(self, *target):
        self.target = target
        self.pairs = set()
        self.carried = self.taken = 0
        self.port = None
        self.set()
        ready = threading.Event()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.serve, args=(ready,), daemon=True)
        self.thread.start()
        ready.wait()

    def serve(self, ready):
        asyncio.set_event_loop(self.loop)
        self.server = self.loop.run_until_complete(
            asyncio.start_server(self.connected, "127.0.0.1", 0)
        )
        self.port = self.server.sockets[0].getsockname()[1]
        ready.set()
        self.loop.run_forever()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    async def connected(self, reader, writer):
        self.taken += 1
        if self.refusing:
            abort(writer)
            return
        try:
            if len(self.target) == 1:
                target = await asyncio.open_unix_connection(self.target[0])
            else:
                target = await asyncio.open_connection(*self.target)
        except OSError:
            abort(writer)
            return
        pair = Pair(self, (reader, writer), target)
        self.pairs.add(pair)
        try:
            await pair.run()
        finally:
            self.pairs.discard(pair)

    def call(self, function, *args):
        done = threading.Event()
        self.loop.call_soon_threadsafe(lambda: (function(*args), done.set()))
        assert done.wait(10), "the proxy does not answer"

    def set(self, holes=(), delay_s=0, rate=0, refusing=False, hoarding=False):
        self.holes, self.delay_s, self.rate, self.refusing = holes, delay_s, rate, refusing
        self.hoarding = hoarding

    heal = set

    def hole(self, *ways):
        self.set(holes=ways or ("up", "down"))

    def delay(self, seconds):
        self.set(delay_s=seconds)

    def throttle(self, bytes_a_second):
        self.set(rate=bytes_a_second)

    def reset(self):
        self.call(lambda: [pair.reset() for pair in list(self.pairs)])

    def refuse(self):
        self.set(refusing=True)
        self.reset()

    def halve(self, way):
        self.call(lambda: [pair.halve(way) for pair in list(self.pairs)])

    def hoard(self):
        self.set(hoarding=True)

    def hoarded(self):
        return b"".join(pair.hoard for pair in list(self.pairs))

    def burst(self):
        self.heal()
        self.call(lambda: [pair.burst() for pair in list(self.pairs)])

    def close(self):
        self.call(lambda: (self.server.close(), [pair.reset() for pair in list(self.pairs)]))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
