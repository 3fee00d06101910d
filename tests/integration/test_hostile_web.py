"""Web servers that mean no good, in one shard through a real worker: each row ends in the status
that is its own, in bounded memory, and the rows between them are as whole as ever.

The cases are those that a server on the loopback can make; certificates of all kinds are in
tests/unit/pipe/fetch_tls_test.c, turns of hosts and redirects into private networks in the unit
tests beside it."""

import base64
import json
import shutil
import socket
import subprocess
import sys
import tarfile
import urllib.parse
import urllib.request

import pytest

from fleet import ROOT, attempt_leftovers
from hostile_pictures import pictures

PICTURE = ROOT / "tests" / "golden" / "images" / "rgb.jpg"
BODY_BYTES_MAX = 4 * 1024 * 1024
TRANSFERS = 16
# What the worker may grow by at its highest: all transfers with a full body each, the decoders, and
# what a sanitizer keeps back. One endless body or one bomb without a limit is far above it.
GROWTH_MAX = TRANSFERS * BODY_BYTES_MAX + 320 * 1024 * 1024
QUIET = {"ASAN_OPTIONS": "quarantine_size_mb=8:malloc_context_size=0"}


def serve(script, *more):
    server = subprocess.Popen(
        [sys.executable, str(ROOT / "tests/support" / script), *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    server.ports = server.stdout.readline().split()
    return server


@pytest.fixture
def web(folder):
    files = folder / "files"
    files.mkdir()
    shutil.copy(PICTURE, files / "good.jpg")
    picture = PICTURE.read_bytes()
    (files / "cut.jpg").write_bytes(picture[: len(picture) // 2])
    (files / "late.jpg").write_bytes(b"garbage" + picture)
    (files / "page.html").write_text("<!doctype html><p>This picture is not available")
    (files / "robots.txt").write_text("User-agent: *\nDisallow: /files/secret\n")
    pem = folder / "pem"
    subprocess.run(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
        f"-subj /CN=127.0.0.1 -keyout {pem} -out {pem}.crt && cat {pem}.crt >> {pem}",
        shell=True,
        check=True,
        stderr=subprocess.DEVNULL,
    )
    server = serve("web_server.py", str(files), str(pem))
    server.base = f"http://127.0.0.1:{server.ports[0]}"
    server.tls = f"https://127.0.0.1:{server.ports[1]}"
    yield server
    server.kill()
    server.wait()


@pytest.fixture
def names():
    """Where the name server is."""
    server = serve("dns_server.py")
    yield "127.0.0.1:" + server.ports[0]
    server.kill()
    server.wait()


@pytest.fixture
def deaf():
    """A port that takes connections and never says a word, as the kernel does without a server."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    yield "127.0.0.1:%d" % listener.getsockname()[1]
    listener.close()


def cases(web, deaf):
    """(URL, status) of what servers do, by the numbers of the project's list of hard cases."""
    base, port = web.base, web.ports[0]
    other = f"http://localhost:{port}"  # whose pauses are not those of 127.0.0.1
    data = base64.b64encode(PICTURE.read_bytes()).decode()
    to = f"{base}/redirect/1?to="
    return [
        # 1-2: slow and endless
        (f"{base}/drip/100000/100", "timeout"),
        (f"{base}/hang", "timeout"),
        (f"{base}/endless", "too_many_bytes"),
        (f"{base}/big/99999999", "too_many_bytes"),
        # 3: lengths, chunks and codes that lie
        (f"{base}/length/-5", "protocol_error"),
        (f"{base}/length/99999999999999999999", "too_many_bytes"),
        (f"{base}/length/1", "unknown_format"),
        (f"{base}/short", "connection_lost"),
        (f"{base}/drop", "connection_lost"),
        (f"{base}/length/4?other=5", "connection_lost"),
        (f"{base}/chunk/zz", "connection_lost"),
        (f"{base}/chunk/2", "connection_lost"),
        (f"{base}/chunk/40", "connection_lost"),
        (f"{base}/chunk/ffffffffffffffffff", "connection_lost"),
        (f"{base}/empty", "empty_body"),
        (f"{base}/status/204", "empty_body"),
        (f"{base}/status/206", "http_status"),
        (f"{base}/status/304", "http_status"),
        (f"{base}/interim/5000", "protocol_error"),
        (f"{base}/raw/hello", "protocol_error"),
        # 4-5: encodings that nobody asked for, headers without an end
        (f"{base}/gzip", "unknown_format"),
        (f"{base}/headers/300", "protocol_error"),
        (f"{base}/line/1000000", "protocol_error"),
        (f"{base}/cookies/5000", "protocol_error"),
        # 6: redirects
        (f"{base}/redirect/6", "too_many_redirects"),
        (f"{to}/redirect/1%3Fto%3D/files/good.jpg%23part", "success"),
        (f"{to}file:///etc/passwd", "bad_redirect"),
        (f"{to}data:image/png;base64,AAAA", "bad_redirect"),
        (f"{to}ftp://127.0.0.1/x", "bad_redirect"),
        (f"{to}gopher://127.0.0.1/x", "bad_redirect"),
        (f"{to}http://[", "bad_redirect"),
        (f"{to}{web.tls}/files/good.jpg", "tls_failed"),
        (f"{base}/loop", "too_many_redirects"),
        (f"{base}/redirect/2?code=308&to=/files/good.jpg", "success"),
        (f"{to}%2F%2F127.0.0.1:{port}/files/good.jpg", "success"),
        (f"{base}/gate/open", "unknown_format"),
        # 8-9: names and certificates
        (f"http://a-127-0-0-1.test:{port}/files/good.jpg", "success"),
        (f"http://many.test:{port}/files/good.jpg", "success"),
        (f"http://chain-4.test:{port}/files/good.jpg", "success"),
        (f"http://cut.test:{port}/files/good.jpg", "success"),
        (f"{to}http://a-127-0-0-1.hop.test:{port}/files/good.jpg", "success"),
        ("http://nx.test/x.jpg", "dns_not_found"),
        ("http://empty.test/x.jpg", "dns_not_found"),
        ("http://servfail.test/x.jpg", "dns_failed"),
        ("http://refused.test/x.jpg", "dns_failed"),
        ("http://half.test/x.jpg", "dns_failed"),
        ("http://silent.test/x.jpg", "dns_timeout"),
        ("http://garbage-50.test/x.jpg", "dns_timeout"),
        (f"{to}http://silent.hop.test/x.jpg", "dns_timeout"),
        ("http://nosuch.invalid/x.jpg", "dns_not_found"),
        (f"{to}http://nosuch.invalid/x.jpg", "dns_not_found"),
        (f"{web.tls}/files/good.jpg", "tls_failed"),
        (f"https://127.0.0.1:{port}/files/good.jpg", "tls_failed"),
        (f"https://{deaf}/x.jpg", "connect_timeout"),
        ("http://127.0.0.1:1/x.jpg", "connect_failed"),
        # 10-12: hosts that ask to be left alone
        (f"{base}/status/404", "http_status"),
        (f"{base}/status/410", "http_status"),
        (f"{other}/status/429?retry_after=99999999999999999999", "http_status"),
        (f"{base}/robots-tag/noai", "opted_out"),
        (f"{base}/robots-tag/otherbot: noai", "unknown_format"),
        (f"{base}/files/secret.jpg", "robots_denied"),
        (f"{to}/files/secret.jpg", "robots_denied"),
        # 15: what stands in lists
        (f"data:image/jpeg;base64,{data}", "success"),
        ("data:image/jpeg;base64,****", "bad_url"),
        ("data:,", "empty_body"),
        ("file:///etc/passwd", "bad_url"),
        ("//127.0.0.1/x", "bad_url"),
        (f"{base}/files/good.jpg?a b", "success"),
        (f"{base}/files/good.jpg?\u00fc%%%zz", "success"),
        (f"http://u:p@127.0.0.1:{port}/files/good.jpg", "success"),
        ("http://127.0.0.1:0/x", "bad_url"),
        ("http://127.0.0.1/x\r\nHost: evil", "bad_url"),
        (f"{base}/" + "x" * 9000, "bad_url"),
        ("http://b\u00fccher.invalid/", "dns_not_found"),
        ("", "bad_url"),
        # 18-23: bodies
        (f"{base}/files/page.html?type=image/jpeg", "unknown_format"),
        (f"{base}/files/good.jpg?type=text/html", "success"),
        (f"{base}/files/cut.jpg", "truncated"),
        (f"{base}/files/late.jpg", "unknown_format"),
    ]


def highest(process):
    with open(f"/proc/{process.pid}/status") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def download(fleet, folder, rows, *options):
    """Runs a job over rows of (URL, status), each with a caption; gives the lines of its shard."""
    with open(folder / "list.jsonl", "w") as out:
        for i, (url, _) in enumerate(rows):
            out.write(json.dumps({"url": url, "text": f"caption {i}"}) + "\n")
    result = fleet.vlmq(
        *("run", "download", folder / "list.jsonl", "--output", folder / "out", "--json"),
        *("--caption-column", "text", "--image-size", 32, "--no-retries", *options),
    )
    assert result.lines()[-1]["job"]["state"] == "done"
    written = lines_of(folder / "out")
    assert [r["caption"] for r in written] == [f"caption {i}" for i in range(len(rows))]
    wrong = [
        (url[:80], status, row["status"])
        for (url, status), row in zip(rows, written)
        if row["status"] not in status.split()
    ]
    assert not wrong, wrong
    assert attempt_leftovers(folder / "out") == []
    return written


def lines_of(output):
    return [json.loads(line) for line in (output / "00000.rows.jsonl").read_text().split("\n")[:-1]]


def with_good_ones(web, rows):
    """Each between two that are whole."""
    good = f"{web.base}/files/good.jpg"
    return [r for i, row in enumerate(rows) for r in (row, (f"{good}?row={i}", "success"))]


BOUNDS = ("--transfers", TRANSFERS, "--body-bytes", BODY_BYTES_MAX)


def most_files(process):
    """The soft and the hard limit of open files."""
    with open(f"/proc/{process.pid}/limits") as limits:
        line = next(line for line in limits if line.startswith("Max open files"))
    return line.split()[3:5]


def test_each_case_ends_as_itself_and_the_rest_is_whole(fleet, folder, web, names, deaf):
    fleet.start_redis()
    fleet.start_broker()
    worker = fleet.start_worker(env=QUIET)
    before = highest(worker)
    rows = with_good_ones(web, cases(web, deaf))
    rows += [rows[0], rows[1]]  # 16: the same ones again
    patience = ("--timeout-ms", 5000, "--connect-timeout-ms", 2000)
    more = ("--robots", "--cookies", "--dns-servers", names)
    download(fleet, folder, rows, "--allow-private", *patience, *BOUNDS, *more)
    manifest = json.loads((folder / "out/manifest.json").read_text())
    counters = manifest["totals"]["counters"]
    assert counters["rows"] == len(rows) and counters["fetch.shared"] == 2
    assert counters["success"] == sum(status == "success" for _, status in rows)
    assert highest(worker) - before < GROWTH_MAX
    soft, hard = most_files(worker)
    assert soft == hard


def test_each_picture_ends_as_itself_and_the_rest_is_whole(fleet, folder, web):
    fleet.start_redis()
    fleet.start_broker()
    worker = fleet.start_worker(env=QUIET)
    before = highest(worker)
    cases = []
    for name, data, status in pictures():
        (folder / "files" / name).write_bytes(data)
        cases.append((f"{web.base}/files/{urllib.parse.quote(name)}", status))
    rows = with_good_ones(web, cases)
    download(fleet, folder, rows, "--allow-private", "--min-image-size", 2, *BOUNDS)
    assert highest(worker) - before < GROWTH_MAX


# Every way to write an address that is not public, of this machine and of the networks behind it.
PRIVATE = (
    "127.0.0.1 127.1 127.0.1 0x7f.0.0.1 0x7f000001 0177.0.0.1 017700000001 2130706433 "
    "127.255.255.254 %31%32%37.0.0.1 0 0.0.0.0 0.1.2.3 10.0.0.1 012.0.0.1 172.16.0.1 "
    "172.31.255.255 192.168.1.1 0xc0a80101 169.254.169.254 100.64.0.1 192.0.0.1 198.18.0.1 "
    "224.0.0.1 240.0.0.1 255.255.255.255 localhost LOCALHOST "
    "[::] [::1] [0:0:0:0:0:0:0:1] [::ffff:127.0.0.1] [::ffff:7f00:1] [::ffff:10.0.0.1] "
    "[::127.0.0.1] [64:ff9b::127.0.0.1] [2002:7f00:1::] [fe80::1] [fc00::1] [fd00:ec2::254] "
    "[ff02::1] \uff11\uff12\uff17.0.0.1 127\u30020\u30020\u30021 \u2460\u2461\u2466.0.0.1 "
    "u:p@127.0.0.1 example.com@127.0.0.1 "
).split()


def test_nothing_reaches_the_network_behind_the_worker(fleet, folder, web):
    fleet.start()
    port = web.ports[0]
    rows = [(f"http://{host}:{port}/files/good.jpg", "refused_address") for host in PRIVATE]
    rows += [(f"https://{host}:{web.ports[1]}/x", "refused_address") for host in PRIVATE[:3]]
    # A name with a dot at its end is one more name to resolver libraries, or the same.
    either = "refused_address dns_failed dns_not_found"
    rows += [(f"http://{host}:{port}/x", either) for host in ("127.0.0.1.", "localhost.")]
    # Readers of URLs differ in where this host begins; what counts is which one is asked.
    rows += [(f"http://127.0.0.1:{port}\\@example.invalid/", f"{either} bad_url")]
    rows += [(f"http://example.invalid\\@127.0.0.1:{port}/x", f"{either} bad_url")]
    data = base64.b64encode(PICTURE.read_bytes()).decode()
    rows += [(f"data:image/jpeg;base64,{data}", "success")]
    download(fleet, folder, rows)
    assert json.load(urllib.request.urlopen(f"{web.base}/counts")) == {}


def test_rows_of_any_kind_leave_whole_samples(fleet, folder, web):
    """What stands in captions and cells: each sample holds what its row says, or U+FFFD for what
    is no text."""
    fleet.start()
    good = f"{web.base}/files/good.jpg"
    captions = [
        "one\ntwo\r\nthree\u2028four",
        '"quoted", {"json": [1]}, \\ and a comma,',
        "x" * 900_000 + "\n",
        "\u0001\u001b[31m\u007f \U0001f600 \u0301",
        "a.b.c/../d",
        "",
        " ",
    ]
    lines = [json.dumps({"url": f"{good}?{i}", "text": c}) for i, c in enumerate(captions)]
    expected = [(caption, "success") for caption in captions]
    lines = [line.encode() for line in lines]
    lines.append(f'{{"url": "{good}?bytes", "text": "a'.encode() + b"\xff\xc3(" + b'b"}')
    expected.append(("a\ufffd\ufffd(b", "success"))
    lines.append(f'{{"url": "{good}?zero", "text": "a\\u0000b"}}'.encode())
    expected.append(("a\ufffdb", "success"))
    lines.append(f'{{"url": "{good}?null", "text": null}}'.encode())
    expected.append((None, "success"))
    for cell in ("null", '""', '" "', "5", "NaN", '["x"]', '"http://a\\u0000b/"', '"http://"'):
        lines.append(f'{{"url": {cell}, "text": "cell"}}'.encode())
        expected.append((None, "bad_row") if cell == "NaN" else ("cell", "bad_url"))
    lines.append(b'{"url": "http://a/", "text": "' + b"y" * (1 << 20) + b'"}')
    expected.append((None, "bad_row"))
    (folder / "list.jsonl").write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(lines))
    argv = ["run", "download", folder / "list.jsonl", "--output", folder / "out", "--allow-private"]
    fleet.vlmq(*argv, "--caption-column", "text", "--image-size", 32)
    written = lines_of(folder / "out")
    assert [(row["caption"], row["status"]) for row in written] == expected
    with tarfile.open(folder / "out/00000.tar") as tar:
        for row in written:
            if row["status"] != "success":
                continue
            sample = json.load(tar.extractfile(row["key"] + ".json"))
            assert sample["caption"] == row["caption"] and "." not in row["key"]
            text = tar.extractfile(row["key"] + ".txt").read().decode()
            assert text == (row["caption"] or "")
