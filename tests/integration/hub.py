"""A model hub on this machine, laid out as the Hugging Face Hub is, for tests of `vlmq model pull`.

Two servers on loopback ports: the hub with its API, and a store of large files that the hub
redirects to. What they do wrong is asked for by the attributes of Hub."""

import hashlib
import json
import struct
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def safetensors(tensors):
    """The bytes of a file: {name: (shape, fill byte)}, all F32."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, (shape, fill) in tensors.items():
        size = 4
        for part in shape:
            size *= part
        header[name] = {
            "dtype": "F32",
            "shape": list(shape),
            "data_offsets": [len(data), len(data) + size],
        }
        data += bytes([fill]) * size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


CONFIG = {
    "model_type": "clip",
    "architectures": ["CLIPModel"],
    "projection_dim": 8,
    "vision_config": {"hidden_size": 16, "num_hidden_layers": 2, "image_size": 32, "patch_size": 8},
    "text_config": {"hidden_size": 8, "vocab_size": 100},
}
WEIGHTS = safetensors({"a.weight": ((64, 1000), 1), "b.weight": ((10,), 2)})


def model(**more):
    """The files of a small model; large ones are LFS."""
    files = {
        "config.json": json.dumps(CONFIG).encode(),
        "preprocessor_config.json": b'{"size": 32}',
        "tokenizer.json": b'{"model": {}}',
        "vocab.json": b"{}",
        "merges.txt": b"#version\n",
        "model.safetensors": WEIGHTS,
        "README.md": b"# A model",
        ".gitattributes": b"*.safetensors filter=lfs",
        "pytorch_model.bin": b"pickle" * 100,
        "flax_model.msgpack": b"msgpack" * 100,
    }
    for name, data in more.items():
        files[name] = data
    return {name: data for name, data in files.items() if data is not None}


class Repo:
    def __init__(self, files):
        self.files = dict(files)
        self.gated = self.private = False
        self.extra = []  # entries of the listing that are no files
        self.sizes = {}  # what the listing says instead

    def commit(self):
        parts = [f"{n} {hashlib.sha256(d).hexdigest()}" for n, d in sorted(self.files.items())]
        return hashlib.sha1("\n".join(parts).encode()).hexdigest()

    @staticmethod
    def is_large(name):
        return name.endswith((".safetensors", ".bin", ".msgpack"))

    def entry(self, name, data):
        size = self.sizes.get(name, len(data))
        blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        entry = {"type": "file", "oid": blob, "size": size, "path": name}
        if self.is_large(name):
            oid = hashlib.sha256(data).hexdigest()
            entry |= {"oid": "f" * 40, "lfs": {"oid": oid, "size": size, "pointerSize": 134}}
        return entry

    def listing(self):
        folders = {n.rsplit("/", 1)[0] for n in self.files if "/" in n.strip("/")}
        tree = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": p} for p in folders]
        return self.extra + tree + [self.entry(n, d) for n, d in self.files.items()]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        hub = self.server.hub
        with hub.lock:
            hub.requests.append((self.server.role, self.path, dict(self.headers)))
        try:
            (self.api if self.server.role == "hub" else self.store)(hub)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status, code, **headers):
        self.answer(status, b'{"error":"no"}', X_Error_Code=code, **headers)

    def api(self, hub):
        url = urllib.parse.urlsplit(self.path)
        if hub.trouble:
            status, headers = hub.trouble.pop(0)
            return self.answer(status, b"trouble", **headers)
        parts = url.path.strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            name, verb, rest = "/".join(parts[2:4]), parts[4], "/".join(parts[5:])
        else:
            name, verb, rest = "/".join(parts[:2]), parts[2], "/".join(parts[3:])
        repo = hub.repos.get(name)
        known = self.headers.get("Authorization") == f"Bearer {hub.token}"
        if repo is None or (repo.private and not known):
            return self.refuse(404 if known else 401, "RepoNotFound")
        if verb == "revision":
            revision = urllib.parse.unquote(rest)
            if revision not in ("main", "refs/pr/1", repo.commit()):
                return self.refuse(404, "RevisionNotFound")
            return self.answer(200, json.dumps({"id": name, "sha": repo.commit()}).encode())
        if repo.gated and not (known and repo.gated == "granted"):
            return self.refuse(403 if known else 401, "GatedRepo")
        if verb == "tree":
            return self.tree(hub, repo, name, urllib.parse.parse_qs(url.query))
        return self.resolve(hub, repo, urllib.parse.unquote(rest.split("/", 1)[1]))

    def tree(self, hub, repo, name, query):
        at = int(query.get("cursor", ["0"])[0])
        rows = repo.listing()
        more = {}
        if at + hub.page_rows < len(rows):
            url = f"{hub.next_at}/api/models/{name}/tree/{repo.commit()}?recursive=1"
            more["Link"] = f'<{url}&cursor={at + hub.page_rows}>; rel="next"'
        self.answer(200, json.dumps(rows[at : at + hub.page_rows]).encode(), **more)

    def resolve(self, hub, repo, path):
        data = repo.files.get(path)
        if data is None:
            return self.refuse(404, "EntryNotFound")
        if not repo.is_large(path):
            return self.give(hub, path, data)
        to = hub.redirect or f"{hub.store_url}/{hashlib.sha256(data).hexdigest()}?name={path}"
        self.answer(302, b"Found", Location=to, X_Linked_Size=len(data))

    def store(self, hub):
        url = urllib.parse.urlsplit(self.path)
        path = urllib.parse.parse_qs(url.query)["name"][0]
        for repo in hub.repos.values():
            data = repo.files.get(path)
            if data is not None and hashlib.sha256(data).hexdigest() == url.path.strip("/"):
                return self.give(hub, path, data)
        self.answer(404)

    def give(self, hub, path, data):
        lies = hub.lies.get(path, [])
        data = lies.pop(0) if lies else data
        etag = hub.etags.get(path, '"%s"' % hashlib.md5(data).hexdigest())
        first = 0
        asked = self.headers.get("Range")
        if asked and hub.ranges and self.headers.get("If-Range", etag) == etag:
            first = int(asked.removeprefix("bytes=").removesuffix("-"))
        if first >= len(data) > 0 and first:
            return self.answer(416, b"", Content_Range=f"bytes */{len(data)}")
        self.send_response(206 if first else 200)
        self.send_header("ETag", etag)
        if first:
            at = first + hub.shift
            self.send_header("Content-Range", f"bytes {at}-{len(data) - 1}/{len(data)}")
        length = hub.lengths.get(path, len(data) - first)
        if length is None:
            self.send_header("Connection", "close")
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.send_body(hub, path, data[first:])

    def send_body(self, hub, path, data):
        cuts = hub.cuts.get(path, [])
        if cuts:
            self.wfile.write(data[: cuts.pop(0)])
            self.wfile.flush()
            self.close_connection = True
            return self.connection.close()
        if path in hub.stalls:
            self.wfile.write(data[: hub.stalls[path]])
            self.wfile.flush()
            hub.stalled.set()
            hub.go_on.wait(60)
            self.close_connection = True
            return self.connection.close()
        self.wfile.write(data)
        while path in hub.endless:
            self.wfile.write(b"x" * 65536)
        return None


class Hub:
    def __init__(self):
        self.repos, self.requests = {}, []
        self.lock = threading.Lock()
        self.token = "hf_secretTOKEN"
        self.page_rows = 1000
        self.ranges = True
        self.shift = 0  # added to where a Content-Range says that it begins
        self.redirect = None  # instead of the store
        self.trouble = []  # (status, headers) of the next requests to the hub
        self.lies = {}  # path: contents to give instead, one for each time
        self.etags = {}
        self.lengths = {}  # path: Content-Length to claim; None: none
        self.cuts = {}  # path: after how many bytes the connection ends, one for each time
        self.stalls = {}  # path: after how many bytes nothing more comes
        self.endless = set()
        self.stalled, self.go_on = threading.Event(), threading.Event()
        self.servers = []
        for role in ("hub", "store"):
            server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            server.daemon_threads = True
            server.hub, server.role = self, role
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            self.servers.append(server)
        self.url, self.store_url = (f"http://127.0.0.1:{s.server_port}" for s in self.servers)
        self.next_at = self.url  # where a listing's next page is said to be

    def add(self, name, files=None):
        self.repos[name] = Repo(model() if files is None else files)
        return self.repos[name]

    def asked(self, text, role=None):
        """Headers of the requests so far whose path has the text."""
        return [h for r, p, h in self.requests if text in p and role in (None, r)]

    def stop(self):
        self.go_on.set()
        for server in self.servers:
            server.shutdown()
            server.server_close()
