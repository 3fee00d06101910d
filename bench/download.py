"""download: pictures per second and core, beside its parts, img2dataset and Pillow.

1. The download kind on one core against what its parts allow together on that core: a bare loop of
   libcurl that throws bodies away, libjpeg-turbo's decoder, the exact resizer, the encoder.
2. img2dataset, and a Python program after its way that has none of its overhead, on the same
   pictures over http and https. Each request has a connection, as in a list of many hosts.
3. Decoding and exact bicubic resizing beside Pillow's.
4. Memory of the worker for short and for long lists.

nginx has the first core, with Redis and the broker; what is measured has the last one.
"""

import itertools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

from lib import fleet as fleets
from lib import machine, table, web

NAME = "download"
HELP = "fetching and making pictures, beside the parts, img2dataset and Pillow"
PARTS = ("limit", "python", "pillow", "memory")
SCHEMES = ("http", "https")
SIDE = 256
MODE = "border"  # what img2dataset does unless told otherwise
CLIP_SIDE = 336
TRANSFERS = 64
SUPPORT = pathlib.Path(__file__).resolve().parent / "support"
VENV = fleets.BUILD / "venv"
PYTHON = VENV / "bin" / "python"
PACKAGES = ("img2dataset", "Pillow", "numpy")
STAGES = ("fetch", "decode", "resize", "encode", "write")


def arguments(parser):
    parser.add_argument("--part", choices=PARTS, help="only this part")
    parser.add_argument("--runs", type=int, default=5, help="repetitions (5)")
    parser.add_argument("--pictures", type=int, default=500, help="different pictures (500)")
    parser.add_argument("--rows", type=int, default=4000, help="rows of a list for vlmq (4000)")
    parser.add_argument("--python-rows", type=int, default=1000, help="and for Python (1000)")
    parser.add_argument("--threads", type=int, default=64, help="of the Python programs (64)")
    parser.add_argument("--longest", type=int, default=1000000, help="most rows (1000000)")


def setup():
    """A virtual environment with the peers."""
    subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    subprocess.run([str(PYTHON), "-m", "pip", "install", "--quiet", *PACKAGES], check=True)


def missing():
    if not shutil.which("nginx"):
        return "nginx is"
    return "" if PYTHON.exists() else "img2dataset is"


def cores():
    """First and last: one for the servers, one for what is measured."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise fleets.Failed("two cores are needed")
    return str(usable[0]), str(usable[-1])


def pictures(count, side=0):
    """The folder with them; made once."""
    folder = fleets.BUILD / "run" / f"pictures-{count}-{side}"
    if not (folder / "whole").exists():
        folder.mkdir(parents=True, exist_ok=True)
        print(f"  download: making {count} pictures", file=sys.stderr)
        argv = [PYTHON, SUPPORT / "make_pictures.py", folder, count, *([side] if side else [])]
        subprocess.run([str(arg) for arg in argv], check=True)
        (folder / "whole").touch()
    return folder


def pinned(*argv):
    return ["taskset", "-c", cores()[1], *map(str, argv)]


class Scene:
    """A web server, and a fleet with one worker on a core of its own."""

    def __init__(self, folder, keep_alive=0):
        self.runs = itertools.count()
        with fleets.owned(fleets.Fleet()) as self.fleet:
            self.web = web.Web(self.fleet, folder, cores()[0], keep_alive)
            self.lists = {}

    def list(self, scheme, rows):
        key = (scheme, rows)
        if key not in self.lists:
            path = self.fleet.folder / f"{scheme}-{rows}.txt"
            self.lists[key] = self.web.write_list(path, scheme, rows)
        return self.lists[key]

    def output(self):
        folder = self.fleet.folder / f"output-{next(self.runs)}"
        folder.mkdir()
        return folder

    def start_worker(self):
        f = self.fleet
        if not f.redis:
            f.start_redis("everysec")
            f.start_broker()
            for process in (f.redis, f.broker):
                os.sched_setaffinity(process.pid, {int(cores()[0])})
        argv = pinned(fleets.program("vlmq-worker"), "--broker", f.address, "--slots", 1)
        environment = [f"SSL_CERT_FILE={self.web.bundle}"]
        return f.start("worker", ["env", *environment, *argv], ready=True)

    def vlmq(self, scheme, rows, *more, side=SIDE, shard_rows=10000):
        """One job on a fresh worker: seconds between its shards' first start and last end."""
        worker, output = self.start_worker(), self.output()
        argv = ["run", "download", self.list(scheme, rows), "--output", output, "--quiet"]
        argv += ["--image-size", side, "--resize-mode", MODE, "--allow-private"]
        argv += ["--transfers", TRANSFERS, "--per-host", TRANSFERS, "--shard-rows", shard_rows]
        before = worker.cpu_s()
        self.fleet.vlmq(*argv, *more, timeout=3600)
        used, peak = worker.cpu_s() - before, peak_bytes(worker.pid)
        worker.end()
        stats = read_stats(output, rows)
        shutil.rmtree(output)
        return {**stats, "cpu_ms": used / rows * 1e3, "peak": peak}

    def img2dataset(self, scheme, o):
        output, rows = self.output(), o.python_rows
        argv = pinned(VENV / "bin" / "img2dataset", "--url_list", self.list(scheme, rows))
        argv += ["--output_folder", output / "out", "--output_format", "webdataset"]
        argv += ["--image_size", SIDE, "--resize_mode", MODE, "--processes_count", 1]
        argv += ["--thread_count", o.threads, "--enable_wandb", False]
        argv += ["--number_sample_per_shard", rows]
        self.python(argv)
        stats = read_stats(output / "out", rows)
        shutil.rmtree(output)
        return stats

    def pipeline(self, scheme, o):
        output, rows = self.output(), o.python_rows
        argv = pinned(PYTHON, SUPPORT / "python_download.py", self.list(scheme, rows), output)
        said = json.loads(self.python([*argv, o.threads, SIDE]).splitlines()[-1])
        shutil.rmtree(output)
        return {"rate": rows / said["wall_s"], "cpu_ms": said["cpu_s"] / rows * 1e3}

    def python(self, argv):
        env = {**os.environ, "SSL_CERT_FILE": str(self.web.bundle), "NO_ALBUMENTATIONS_UPDATE": "1"}
        done = subprocess.run(
            [str(arg) for arg in argv], env=env, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise fleets.Failed(f"{argv[3]}: {done.stderr[-2000:]}")
        return done.stdout

    def raw_fetch(self, scheme, rows):
        argv = pinned(fleets.program("bench_raw_fetch"), "--urls", self.list(scheme, rows))
        argv += ["--ca-file", self.web.bundle, "--transfers", TRANSFERS]
        said = fleets.tool(*argv)
        return said["cpu_us"] / said["rows"] / 1e3


def peak_bytes(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(machine.first_match(r"^VmHWM:\s*(\d+) kB", text)) * 1024


def read_stats(output, rows):
    """Rate and CPU of the stages from the shards' statistics; fails unless every row succeeded."""
    shards = [json.loads(path.read_text()) for path in sorted(output.glob("*_stats.json"))]
    good = sum(shard["successes"] for shard in shards)
    if good != rows:
        raise fleets.Failed(f"{good} of {rows} rows succeeded in {output}")
    span = max(s["end_time"] for s in shards) - min(s["start_time"] for s in shards)
    stages = {}
    for shard in shards:
        for name, used_ms in shard.get("cpu_ms", {}).items():
            stages[name] = stages.get(name, 0) + used_ms / rows
    return {"rate": rows / span, "stages": stages}


def picture_parts(folder, side=SIDE, mode=MODE):
    """CPU ms of each part for one picture."""
    argv = pinned(fleets.program("bench_picture_parts"), "--folder", folder, "--side", side)
    said = fleets.tool(*argv, "--mode", mode)
    return {name[:-3]: said[name] / said["files"] / 1e3 for name in said if name.endswith("_us")}


def spread(results, key):
    return table.Spread([result[key] for result in results])


# 1. The limit.


def limit_round(scene, scheme, folder, o):
    parts = picture_parts(folder)
    fetch = scene.raw_fetch(scheme, o.rows)
    said = scene.vlmq(scheme, o.rows)
    least = fetch + parts["decode"] + parts["resize"] + parts["encode"]
    result = {"fetch": fetch, **parts, "least": least, "cpu_ms": said["cpu_ms"]}
    result.update(rate=said["rate"], stages=said["stages"], of_limit=said["rate"] * least / 1e3)
    result["cpu_of_limit"] = least / said["cpu_ms"]
    return result


def limit(o):
    folder, results, rows = pictures(o.pictures), {}, []
    scene = Scene(folder)
    with scene.fleet:
        for number in range(o.runs + 1):
            for scheme in SCHEMES:
                result = limit_round(scene, scheme, folder, o)
                if number:
                    results.setdefault(scheme, []).append(result)
            print(f"  download: limit, round {number} of {o.runs}", file=sys.stderr)
    for scheme, of in results.items():
        keys = ("fetch", "decode", "resize", "encode", "least", "cpu_ms", "rate")
        row = [spread(of, key).text() for key in keys]
        shares = [spread(of, key).text() for key in ("of_limit", "cpu_of_limit")]
        rows.append([scheme, *row, *shares])
    columns = ["", "fetch", "decode", "resize", "encode", "sum", "vlmq CPU", "vlmq images/s"]
    columns += ["of the limit, time", "of the limit, CPU"]
    notes = [f"CPU ms for a picture; the limit on one core is 1000 / sum; {o.rows} rows"]
    print(table.render("The kind and its parts, one core", columns, rows, notes), flush=True)
    print(stages_table(results), flush=True)
    return results


def stages_table(results):
    rows = []
    for scheme, of in results.items():
        used = [table.Spread([r["stages"].get(name, 0) for r in of]).median for name in STAGES]
        total = sum(used) or 1
        rows.append([scheme, *(f"{ms:.2f} ({ms / total:.0%})" for ms in used)])
    return table.render("Where the kind's time goes, CPU ms for a picture", ["", *STAGES], rows)


# 2. Peers.


def python_round(scene, scheme, o):
    return {
        "vlmq": scene.vlmq(scheme, o.rows)["rate"],
        "vlmq --fast": scene.vlmq(scheme, o.rows, "--fast")["rate"],
        "Python after img2dataset's way": scene.pipeline(scheme, o)["rate"],
        "img2dataset": scene.img2dataset(scheme, o)["rate"],
    }


def python(o):
    scene, results, rows = Scene(pictures(o.pictures)), {}, []
    with scene.fleet:
        for number in range(o.runs + 1):
            for scheme in SCHEMES:
                said = python_round(scene, scheme, o)
                if number:
                    results.setdefault(scheme, []).append(said)
            print(f"  download: python, round {number} of {o.runs}", file=sys.stderr)
    for name in results["http"][0]:
        row = [name]
        for scheme in SCHEMES:
            of = results[scheme]
            row.append(spread(of, name).text())
            row.append(table.Spread([r["vlmq"] / r[name] for r in of]).text())
        rows.append(row)
    columns = ["", "http, images/s", "vlmq is", "https, images/s", "vlmq is"]
    version = machine.output_of(str(PYTHON), "-m", "pip", "show", "img2dataset")
    notes = [
        f"one core; img2dataset {machine.first_match(r'^Version: (.*)$', version)}, {o.threads} "
        f"threads; {o.rows} rows for vlmq, {o.python_rows} for the others",
        "vlmq resizes as Pillow's bicubic does, the others with OpenCV's area filter; --fast "
        "decodes at a half, a quarter or an eighth where that is enough",
    ]
    print(table.render("Peers", columns, rows, notes), flush=True)
    return results


# 3. Pillow.


def pillow(o):
    folder, ours, theirs, version = pictures(o.pictures), [], [], ""
    for number in range(o.runs + 1):
        said = fleets.tool(*pinned(PYTHON, SUPPORT / "pillow_parts.py", folder, CLIP_SIDE))
        ours_said = picture_parts(folder, CLIP_SIDE, "keep_ratio")
        version = said["version"]
        if number:
            ours.append(ours_said["whole"])
            theirs.append(said["whole_us"] / said["files"] / 1e3)
    ratio = table.Spread([b / a for a, b in zip(ours, theirs)])
    rows = [
        ["vlmq", table.Spread(ours).text(), ratio.text()],
        [f"Pillow {version}", table.Spread(theirs).text(), "1.00"],
    ]
    columns = ["decode and bicubic resize", "CPU ms for a picture", "as fast as Pillow"]
    notes = [f"the shorter side to {CLIP_SIDE}, as CLIP's larger models want it"]
    print(table.render("Pillow, the same pixels", columns, rows, notes), flush=True)
    return {"vlmq": ours, "pillow": theirs}


# 4. Memory.


def memory(o):
    scene, rows, results = Scene(pictures(100, 64), keep_alive=60), [], {}
    count = 10000
    with scene.fleet:
        while count <= o.longest:
            start = time.monotonic()
            said = scene.vlmq("http", count, side=48)
            results[count] = said
            peak = said["peak"] / 2**20
            row = [f"{count}", f"{peak:.1f}", f"{said['cpu_ms'] * 1e3:.0f}", f"{said['rate']:.0f}"]
            rows.append([*row, f"{time.monotonic() - start:.0f}"])
            print(f"  download: memory, {count} rows", file=sys.stderr)
            count *= 10
    columns = ["rows", "worker's peak, MiB", "CPU us for a row", "rows/s", "seconds in all"]
    notes = ["pictures of 64 to 96 pixels, 10,000 rows for a shard, one core, keep-alive"]
    print(table.render("Memory and long lists", columns, rows, notes), flush=True)
    return results


def run(o):
    if missing():
        raise fleets.Failed(f"{missing()} not installed: bench/run --setup")
    parts = {"limit": limit, "python": python, "pillow": pillow, "memory": memory}
    return {name: part(o) for name, part in parts.items() if o.part in (None, name)}
