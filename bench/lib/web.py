"""A web server of pictures: nginx on loopback, on a core of its own, over http and https."""

import os
import pathlib
import socket
import subprocess

from . import fleet as fleets

BUNDLE = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
CONFIG = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log; {user}
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; default_type image/jpeg; client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  keepalive_timeout {keep_alive}; keepalive_requests 100000;
  server {{
    listen 127.0.0.1:{http} backlog=4096; listen 127.0.0.1:{https} ssl backlog=4096;
    ssl_certificate {folder}/server.crt; ssl_certificate_key {folder}/server.key;
    root {pictures};
  }}
}}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def openssl(*argv):
    done = subprocess.run(
        ["openssl", *map(str, argv)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise fleets.Failed(f"openssl {argv[0]}: {done.stderr.strip()}")


def make_certificates(folder):
    """A server's certificate, and the system's bundle with its issuer: as many as clients read."""
    ca, server = folder / "ca", folder / "server"
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 7)
    openssl("req", "-x509", *curve, "-keyout", f"{ca}.key", "-out", f"{ca}.crt", "-subj", "/CN=ca")
    request = ("-keyout", f"{server}.key", "-out", f"{server}.csr", "-subj", "/CN=127.0.0.1")
    openssl("req", *curve[:-2], *request)
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    signed = ("-CA", f"{ca}.crt", "-CAkey", f"{ca}.key", "-CAcreateserial", "-days", 7)
    files = ("-in", f"{server}.csr", "-out", f"{server}.crt", "-extfile", folder / "names")
    openssl("x509", "-req", *signed, *files)
    bundle = folder / "bundle.crt"
    bundle.write_bytes(BUNDLE.read_bytes() + (folder / "ca.crt").read_bytes())
    return bundle


class Web:
    """Serves a folder; ends with the fleet. keep_alive: seconds, 0 for a connection per request."""

    def __init__(self, fleet, pictures, core, keep_alive=0):
        self.folder = fleet.folder / f"web-{keep_alive}"
        self.folder.mkdir()
        self.port = {"http": free_port(), "https": free_port()}
        self.bundle = make_certificates(self.folder)
        self.names = sorted(path.name for path in pathlib.Path(pictures).glob("*.jpg"))
        config = self.folder / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""
        config.write_text(
            CONFIG.format(
                folder=self.folder, pictures=pictures, keep_alive=keep_alive, user=user, **self.port
            )
        )
        fleet.start("nginx", ["taskset", "-c", core, "nginx", "-p", self.folder, "-c", config])
        for port in self.port.values():
            fleets.wait_for(lambda p=port: self.listens(p), "nginx listens")

    @staticmethod
    def listens(port):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def write_list(self, path, scheme, rows):
        """Every URL once: a query tells rows with the same picture apart."""
        base = f"{scheme}://127.0.0.1:{self.port[scheme]}"
        names = self.names
        lines = (f"{base}/{names[row % len(names)]}?{row}\n" for row in range(rows))
        pathlib.Path(path).write_text("".join(lines))
        return path
