"""encode: CLIP on the CPU beside PyTorch, and beside what the matrix product allows.

1. Pictures per second of the vision tower beside PyTorch (its fastest setting) and beside the
   limit: products at their rate in the same round, attention at 0.6 of it, 7 % for the rest.
2. An encode job over JPEG shards beside the model alone, and the memory of its worker.
3. Loading from the page cache.

Models have published sizes and random weights. Rounds of two programs take turns on the same cores.
"""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile

from lib import fleet as fleets
from lib import table
from download import PYTHON, SUPPORT, VENV, peak_bytes, pictures

sys.path.insert(0, str(SUPPORT))
from torch_clip import MODELS  # noqa: E402

NAME = "encode"
HELP = "CLIP on the CPU, beside PyTorch and its limit"
PARTS = ("model", "job", "load")
PACKAGES = ("torch", "transformers", "safetensors", "numpy", "Pillow")
TYPES = {"f32": "F32", "bf16": "BF16", "i8": "I8"}
OURS_BATCH = {"base-32": 16, "large-224": 4, "large-336": 2}
TORCH_BATCHES = {"base-32": (1, 16), "large-224": (1, 4), "large-336": (1, 2)}
SIDE = 256


def arguments(parser):
    parser.add_argument("--part", choices=PARTS, help="only this part")
    parser.add_argument("--runs", type=int, default=5, help="rounds (5)")
    parser.add_argument("--models", nargs="+", default=list(MODELS), help="which (all)")
    parser.add_argument("--types", nargs="+", default=list(TYPES), help="which (all)")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], help="of the CPU (1 2)")
    parser.add_argument("--pictures", type=int, default=500, help="of the job (500)")
    parser.add_argument("--no-torch", action="store_true", help="without PyTorch")


def setup():
    """A virtual environment with PyTorch."""
    subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    subprocess.run([str(PYTHON), "-m", "pip", "install", "--quiet", *PACKAGES], check=True)


def cores(threads):
    """The last ones."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < threads:
        raise fleets.Failed(f"{threads} cores are needed, there are {len(usable)}")
    return ",".join(map(str, usable[-threads:]))


def model(name):
    """The folder of a model; made once."""
    folder = fleets.BUILD / "run" / "models" / name
    if not (folder / "whole").exists():
        print(f"  encode: making {name}", file=sys.stderr)
        subprocess.run([str(PYTHON), str(SUPPORT / "make_clip.py"), name, str(folder)], check=True)
        (folder / "whole").touch()
    return folder


class Turns:
    """A program that does a round for each line on its stdin, and prints its rate."""

    def __init__(self, argv, threads):
        argv = ["taskset", "-c", cores(threads), *map(str, argv)]
        self.child = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.first = self.child.stdout.readline().strip()
        if not self.first:
            raise fleets.Failed(f"{argv[3:]} ended with {self.child.wait()}")

    def round(self):
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        if not line:
            raise fleets.Failed("a program under measurement ended early")
        return float(line)

    def end(self):
        self.child.stdin.close()
        self.child.wait()


def ours(name, kind, threads):
    argv = [fleets.program("bench_clip_rate"), "--model", model(name), "--dtype", TYPES[kind]]
    return Turns([*argv, "--threads", threads, "--batch", OURS_BATCH[name]], threads)


def torch(name, kind, threads, batch, mode):
    argv = [PYTHON, SUPPORT / "torch_clip.py", name, kind, threads, batch, mode, 1000]
    return Turns(argv, threads)


def best_torch(name, kind, threads):
    """PyTorch at its fastest batch and mode, and what they are."""
    best = None
    for mode in ("eager", "compiled"):
        for batch in TORCH_BATCHES[name]:
            if kind == "bf16" and (batch > 1 or mode == "compiled"):
                continue  # without the instructions for it, half a minute for a picture
            one = torch(name, kind, threads, batch, mode)
            rate = max(one.round() for _ in range(2))
            if best and best[0] >= rate:
                one.end()
                continue
            if best:
                best[1].end()
            best = (rate, one, f"{mode}, batch {batch}")
    return best[1], best[2]


# 1. The model.


def operations(name):
    """Of one picture: those of the matrix products, and of attention."""
    hidden, inner, layers, _, side, patch, projection = MODELS[name]
    patches = (side // patch) ** 2
    tokens = patches + 1
    products = layers * tokens * 2 * (4 * hidden**2 + 2 * hidden * inner)
    products += patches * 2 * 3 * patch**2 * hidden + 2 * hidden * projection
    return products, layers * 4 * tokens**2 * hidden


def limit(name, rate):
    products, attention = operations(name)
    return 1 / ((products / rate + attention / (0.6 * rate)) * 1.07)


def product_rate(name, kind, threads, rounds):
    """Mean rate over a layer's products, weighted by their operations."""
    hidden, inner, _, _, side, patch, _ = MODELS[name]
    rows = OURS_BATCH[name] * ((side // patch) ** 2 + 1)
    time = work = 0
    for columns, depth, times in ((3 * hidden, hidden, 1), (hidden, hidden, 1),
                                  (inner, hidden, 1), (hidden, inner, 1)):
        argv = ["taskset", "-c", cores(threads), fleets.program("bench_gemm")]
        said = fleets.tool(*argv, threads, rounds, TYPES[kind], rows, columns, depth)
        of = 2 * rows * columns * depth * times
        time, work = time + of / (said["gops"] * 1e9), work + of
    return work / time


def model_row(name, kind, threads, o):
    mine, theirs, setting = ours(name, kind, threads), None, ""
    if not o.no_torch and kind != "i8":
        theirs, setting = best_torch(name, kind, threads)
    rates, torch_rates, limits = [], [], []
    for number in range(o.runs + 1):
        limits.append(limit(name, product_rate(name, kind, threads, 3)))
        rates.append(mine.round())
        if theirs:
            torch_rates.append(theirs.round())
        if not number:
            for values in (rates, torch_rates, limits):
                values.clear()
    for one in (mine, theirs):
        if one:
            one.end()
    of_limit = table.Spread([a / b for a, b in zip(rates, limits)])
    result = {"rate": rates, "limit": limits, "torch": torch_rates, "torch_setting": setting}
    row = [f"{name}, {kind}, {threads} thr", table.Spread(rates).text(), of_limit.text()]
    if theirs:
        ratio = table.Spread([a / b for a, b in zip(rates, torch_rates)])
        row += [f"{table.Spread(torch_rates).text()} ({setting})", ratio.text()]
    else:
        row += ["", ""]
    return row, result


def model_part(o):
    rows, results = [], {}
    for name in o.models:
        for kind in o.types:
            for threads in o.threads:
                row, result = model_row(name, kind, threads, o)
                rows.append(row)
                results[f"{name} {kind} {threads}"] = result
                print(f"  encode: {' | '.join(row)}", file=sys.stderr)
    columns = ["", "images/s", "of the limit", "PyTorch", "vlmq is"]
    notes = ["limit: products at their rate in the same round, attention at 0.6 of it, 7 % more",
             f"our batches: {OURS_BATCH}; PyTorch: the fastest of eager and compiled, batches "
             f"{TORCH_BATCHES}, its bf16 eager with batch 1"]
    print(table.render("CLIP's vision tower", columns, rows, notes), flush=True)
    return results


# 2. The job.


def shards(count):
    """Tars of JPEGs as the download kind makes them, a thousand in each."""
    folder = fleets.BUILD / "run" / f"shards-{count}"
    if (folder / "whole").exists():
        return folder
    files = sorted(pictures(count, SIDE).glob("*.jpg"))
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / "00000.tar", "w") as tar:
        for number, path in enumerate(files):
            data = path.read_bytes()
            info = tarfile.TarInfo(f"{number:09}.jpg")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    (folder / "whole").touch()
    return folder


def job_round(fleet, kind, threads, count, number):
    argv = [fleets.program("vlmq-worker"), "--broker", fleet.address, "--slots", 1]
    worker = fleet.start("worker", ["taskset", "-c", cores(threads), *argv], ready=True)
    results = []
    for turn in ("cold", "warm"):
        output = fleet.folder / f"features-{number}-{turn}"
        fleet.vlmq("run", "encode", shards(count), "--input-format", "tar", "--output", output,
                   "--model", model("base-32"), "--dtype", kind, "--quiet", timeout=3600)
        stats = json.loads((output / "00000_stats.json").read_text())
        results.append(stats["successes"] / (stats["end_time"] - stats["start_time"]))
        shutil.rmtree(output)
    peak = peak_bytes(worker.pid)
    worker.end()
    return results[1], peak


def job(o):
    threads, rows, results = max(o.threads), [], {}
    with fleets.owned(fleets.Fleet()) as fleet, fleet:
        fleet.start_redis("everysec")
        fleet.start_broker()
        for kind in o.types:
            mine, rates, alone, peak = ours("base-32", kind, threads), [], [], 0
            said = json.loads(mine.first)
            for number in range(o.runs):
                alone.append(max(mine.round() for _ in range(5)))
                rate, peak = job_round(fleet, kind, threads, o.pictures, f"{kind}-{number}")
                rates.append(rate)
            mine.end()
            share = table.Spread([a / b for a, b in zip(rates, alone)])
            beside = (peak - said["weight_bytes"]) / 2**20
            rows.append([kind, table.Spread(rates).text(), table.Spread(alone).text(),
                         share.text(), f"{said['weight_bytes'] / 2**20:.0f}", f"{beside:.0f}"])
            results[kind] = {"job": rates, "model": alone, "peak": peak, **said}
    columns = ["base-32", "job, images/s", "model alone", "share", "weights, MiB",
               "worker's peak besides, MiB"]
    notes = [f"{o.pictures} JPEGs of {SIDE} to {SIDE * 3 // 2} pixels in a tar, {threads} threads; "
             "the second job of a worker, whose model is loaded"]
    print(table.render("The encode kind", columns, rows, notes), flush=True)
    return results


# 3. Loading.


def load(o):
    rows, results = [], {}
    for name in o.models:
        size = (model(name) / "model.safetensors").stat().st_size
        for kind in o.types:
            times = []
            for _ in range(o.runs + 1):
                one = ours(name, kind, max(o.threads))
                times.append(json.loads(one.first)["load_s"])
                one.end()
            rates = table.Spread([size / time / 1e9 for time in times[1:]])
            rows.append([f"{name}, {kind}", f"{size / 1e9:.2f}", rates.text()])
            results[f"{name} {kind}"] = times
    columns = ["", "file, GB", "GB/s"]
    notes = [f"f32 files in the page cache; opened, checked and packed with {max(o.threads)} "
             "threads"]
    print(table.render("Loading a model", columns, rows, notes), flush=True)
    return results


def run(o):
    if not PYTHON.exists():
        raise fleets.Failed("PyTorch is not installed: bench/run --setup")
    parts = {"model": model_part, "job": job, "load": load}
    return {name: part(o) for name, part in parts.items() if o.part in (None, name)}
