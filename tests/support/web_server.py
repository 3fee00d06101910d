"""A web server with the faults of real ones, for tests.

Prints its port, serves 127.0.0.1 until its standard input ends, so that it never outlives the
test that started it. Usage: web_server.py FOLDER [PEM]. With a file of certificate and key it
serves the same by TLS on a second port, which it prints behind the first. WEB_SERVER_TLS in the
environment makes that one speak nothing above "tls1.0", or answer every name that a client wants
with the alert "unrecognized-name". What there is to ask for:

  /files/NAME            a file of FOLDER; ?delay_ms=N waits before the answer, ?paced=1 as many
                         ms as FOLDER/pace says at that moment; ?type=T is its type
  /jitter/NAME           the same after a random time up to 40 ms
  /status/CODE           an answer with that code; ?retry_after=S adds the header, ?times=N
                         makes the body longer
  /flaky/N/KEY/NAME      503 (?code=C: C) for the first N requests with KEY, then the file
  /redirect/N            N hops, then /big/16; ?to=URL instead of /big/16
  /big/BYTES             that many bytes; ?chunked=1 without a length
  /endless               bytes until the client goes
  /drip/BYTES/MS         a byte each MS milliseconds
  /hang                  no answer at all
  /awhile/N/KEY/NAME     no answer to the first N requests with KEY, then the file
  /drop                  the connection ends before the answer
  /short                 the connection ends before the promised length
  /length/TEXT           a Content-Length of TEXT
  /empty                 200 without bytes
  /headers/COUNT         COUNT header lines of a kilobyte
  /line/BYTES            a header line of that length
  /cookies/COUNT         COUNT Set-Cookie headers
  /interim/COUNT         COUNT answers 103 before the one
  /chunk/TEXT            a chunk whose size is TEXT
  /raw/TEXT              TEXT instead of HTTP
  /robots-tag/TAG...     a body with an X-Robots-Tag header for each TAG
  /robots.txt            FOLDER/robots.txt, or 404; if it begins with "#CODE" or "#URL" (to the end
                         of its line), an answer with that code or a redirect there
  /gate/KEY              a body for who brings a cookie KEY=1; others get one and are sent here
  /bake/KEY?to=URL       a redirect with a cookie KEY=1
  /gzip                  a compressed body that nobody asked for
  /echo                  the request's headers as JSON
  /crowd/BYTES           like /big after ?delay_ms=N; /counts has the most that ran at a time
  /counts                how often each path was asked for, as JSON
"""
import collections
import gzip
import http.server
import json
import os
import random
import ssl
import sys
import threading
import time
import urllib.parse

FOLDER = os.path.abspath(sys.argv[1])
lock = threading.Lock()
counts = collections.Counter()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        self.query = dict(urllib.parse.parse_qsl(url.query))
        if url.path != "/counts":
            with lock:
                counts[url.path] += 1
        parts = [urllib.parse.unquote(part) for part in url.path.split("/")[1:]]
        route = getattr(self, "on_" + parts[0].replace("-", "_").replace(".", "_"), None)
        try:
            if route is None:
                self.answer(404, b"no such route")
            else:
                route(*parts[1:])
        except (ConnectionError, TimeoutError, ssl.SSLError):
            self.close_connection = True

    def answer(self, code, body, **headers):
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def begin_raw(self, head):
        self.close_connection = True
        self.wfile.write(head)
        self.wfile.flush()

    def wait_for_client(self):
        """Until the client closes its side."""
        self.close_connection = True
        while self.connection.recv(4096):
            pass

    def on_files(self, *parts):
        time.sleep(int(self.query.get("delay_ms", 0)) / 1000)
        if "paced" in self.query:
            with open(os.path.join(FOLDER, "pace")) as file:
                time.sleep(int(file.read()) / 1000)
        path = os.path.join(FOLDER, *parts)
        if ".." in parts or not os.path.isfile(path):
            self.answer(404, b"no such file")
            return
        with open(path, "rb") as file:
            self.answer(200, file.read(), Content_Type=self.query.get("type", "image/jpeg"))

    def on_jitter(self, *parts):
        time.sleep(random.random() * 0.04)
        self.on_files(*parts)

    def on_status(self, code):
        if "retry_after" in self.query:
            self.answer(int(code), b"status", Retry_After=self.query["retry_after"])
        else:
            self.answer(int(code), b"status" * int(self.query.get("times", 1)))

    def on_flaky(self, times, key, *parts):
        with lock:
            counts["flaky " + key] += 1
            seen = counts["flaky " + key]
        if seen > int(times):
            self.on_files(*parts)
        else:
            self.answer(int(self.query.get("code", 503)), b"busy")

    def on_redirect(self, hops):
        to = self.query.get("to", "/big/16")
        if int(hops) > 1:
            to = "/redirect/%d?to=%s" % (int(hops) - 1, urllib.parse.quote(to, safe=""))
        self.answer(302, b"elsewhere", Location=to)

    def on_big(self, size):
        block = b"x" * 65536
        left = int(size)
        self.send_response(200)
        if "chunked" in self.query:
            self.close_connection = True
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", size)
        self.end_headers()
        while left > 0:
            self.wfile.write(block[:left])
            left -= len(block)

    def on_crowd(self, size):
        with lock:
            counts["crowd now"] += 1
            counts["crowd most"] = max(counts["crowd most"], counts["crowd now"])
        time.sleep(int(self.query.get("delay_ms", 0)) / 1000)
        with lock:
            counts["crowd now"] -= 1
        self.on_big(size)

    def on_endless(self):
        self.begin_raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:
            self.wfile.write(b"x" * 65536)

    def on_drip(self, size, ms):
        self.begin_raw(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % int(size))
        for _ in range(int(size)):
            self.wfile.write(b"x")
            self.wfile.flush()
            time.sleep(int(ms) / 1000)

    def on_hang(self):
        self.wait_for_client()

    def on_awhile(self, times, key, *parts):
        with lock:
            counts["awhile " + key] += 1
            seen = counts["awhile " + key]
        if seen > int(times):
            self.on_files(*parts)
        else:
            self.wait_for_client()

    def on_drop(self):
        self.close_connection = True

    def on_short(self):
        self.begin_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nnot all")

    def on_length(self, text):
        self.begin_raw(b"HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\nbody" % text.encode())

    def on_empty(self):
        self.answer(200, b"")

    def on_headers(self, count):
        self.begin_raw(b"HTTP/1.1 200 OK\r\n")
        for i in range(int(count)):
            self.wfile.write(b"X-%d: %s\r\n" % (i, b"x" * 1000))
        self.wfile.write(b"Content-Length: 4\r\n\r\nbody")

    def on_line(self, size):
        self.begin_raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * int(size))
        self.wfile.write(b"\r\nContent-Length: 4\r\n\r\nbody")

    def on_cookies(self, count):
        self.begin_raw(b"HTTP/1.1 302 Found\r\nLocation: /big/16\r\nContent-Length: 0\r\n")
        for i in range(int(count)):
            self.wfile.write(b"Set-Cookie: c%d=%s; Path=/\r\n" % (i, b"x" * 50))
        self.wfile.write(b"\r\n")

    def on_interim(self, count):
        self.begin_raw(b"HTTP/1.1 103 Early Hints\r\nX: %s\r\n\r\n" % (b"x" * 50) * int(count))
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody")

    def on_chunk(self, text):
        self.begin_raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.wfile.write(text.encode() + b"\r\nbody\r\n0\r\n\r\n")

    def on_raw(self, text):
        self.begin_raw(text.encode() + b"\r\n")

    def on_robots_tag(self, *tags):
        self.send_response(int(self.query.get("code", 200)))
        for tag in tags:
            self.send_header("X-Robots-Tag", tag)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"body")

    def on_robots_txt(self):
        path = os.path.join(FOLDER, "robots.txt")
        if not os.path.isfile(path):
            self.answer(404, b"")
            return
        with open(path, "rb") as file:
            text = file.read()
        first = text.split(b"\n")[0].decode()
        if first[1:].isdigit():
            self.answer(int(first[1:]), text)
        elif first.startswith("#"):
            self.answer(302, b"", Location=first[1:])
        else:
            self.answer(200, text, Content_Type="text/plain")

    def on_bake(self, key):
        self.answer(302, b"", Set_Cookie=key + "=1; Path=/", Location=self.query["to"])

    def on_gate(self, key):
        if key + "=1" in self.headers.get("Cookie", ""):
            self.answer(200, b"inside")
        else:
            self.answer(302, b"", Set_Cookie=key + "=1; Path=/", Location=self.path)

    def on_gzip(self):
        self.answer(200, gzip.compress(b"x" * 100000), Content_Encoding="gzip")

    def on_echo(self):
        self.answer(200, json.dumps(dict(self.headers.items())).encode())

    def on_counts(self):
        with lock:
            body = json.dumps(counts).encode()
        self.answer(200, body)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (ConnectionError, ssl.SSLError)):
            super().handle_error(request, client_address)


def start(context):
    server = Server(("127.0.0.1", 0), Handler)
    if context:
        # The handshake is made by the connection's own thread, so that one client cannot hold all.
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


ports = [start(None)]
if len(sys.argv) > 2:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(sys.argv[2])
    if os.environ.get("WEB_SERVER_TLS") == "tls1.0":
        tls.set_ciphers("ALL:@SECLEVEL=0")
        tls.minimum_version = tls.maximum_version = ssl.TLSVersion.TLSv1
    if os.environ.get("WEB_SERVER_TLS") == "unrecognized-name":
        tls.sni_callback = lambda *_: ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
    ports.append(start(tls))
print(*ports, flush=True)
sys.stdin.read()
