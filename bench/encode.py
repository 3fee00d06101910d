"""encode: CLIP on the CPU beside PyTorch, and beside what the matrix product allows.

1. Pictures per second of the vision tower beside PyTorch (its fastest setting) and beside the
   limit: products at their rate in the same round, attention at 0.6 of it, 7 % for the rest.
2. An encode job over JPEG shards beside the model alone, and the memory of its worker.
3. Loading from the page cache, beside memcpy.

Models have published sizes and random weights. Rounds of all programs take turns on the same cores.
"""

import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile

from lib import fleet as fleets
from lib import machine, table
from lib.turns import Turns, cores
from download import PYTHON, SUPPORT, VENV, peak_bytes, pictures

sys.path.insert(0, str(SUPPORT))
from torch_clip import MODELS  # noqa: E402

NAME = "encode"
HELP = "CLIP on the CPU, beside PyTorch and its limit"
PARTS = ("model", "job", "load")
PACKAGES = ("torch", "transformers", "safetensors", "numpy", "Pillow")
TYPES = {"f32": "F32", "bf16": "BF16", "i8": "I8"}
OURS_BATCH = {"base-32": 16, "large-224": 4, "large-336": 2}
TORCH_BATCHES = {"base-32": (16, 32), "large-224": (4,), "large-336": (2,)}
TORCH_BF16 = ("base-32", "large-224")  # without instructions for it, a picture takes half a minute
SIDE = 256
PROBES = 2  # rounds in which a setting of PyTorch shows its rate
PATIENCE_S = 8  # what takes longer has one round
FEW = 16  # pictures of a job that only loads the model
TURNS = 3  # of the model alone, before a job and after it


def arguments(parser):
    parser.add_argument("--part", choices=PARTS, help="only this part")
    parser.add_argument("--runs", type=int, default=3, help="rounds (3)")
    parser.add_argument("--models", nargs="+", default=list(MODELS), help="which (all)")
    parser.add_argument("--types", nargs="+", default=list(TYPES), help="which (all)")
    parser.add_argument("--threads", type=int, help="of the CPU (all)")
    parser.add_argument("--pictures", type=int, default=200, help="of the job (200)")
    parser.add_argument("--no-torch", action="store_true", help="without PyTorch")
    parser.add_argument("--no-compile", action="store_true", help="PyTorch is not compiled")


def tell(text):
    print(f"  encode: {text}", file=sys.stderr, flush=True)


def setup():
    """A virtual environment with PyTorch."""
    subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    subprocess.run([str(PYTHON), "-m", "pip", "install", "--quiet", *PACKAGES], check=True)


def model(name):
    """The folder of a model; made once."""
    folder = fleets.BUILD / "run" / "models" / name
    if not (folder / "whole").exists():
        tell(f"making {name}")
        subprocess.run([str(PYTHON), str(SUPPORT / "make_clip.py"), name, str(folder)], check=True)
        (folder / "whole").touch()
    return folder


def ours(name, kind, threads, *options):
    argv = [fleets.program("bench_clip_rate"), "--model", model(name), "--dtype", TYPES[kind]]
    return Turns([*argv, "--threads", threads, "--batch", OURS_BATCH[name], *options], threads)


def torch(name, kind, threads, batch, mode):
    argv = [PYTHON, SUPPORT / "torch_clip.py", name, kind, threads, batch, mode]
    return Turns(argv, threads, f"{mode}, batch {batch}")


def fastest_torch(name, threads, o):
    """PyTorch in f32 at its fastest batch and mode."""
    settings = [("eager", batch) for batch in TORCH_BATCHES[name]]
    if not o.no_compile:
        settings.append(("compiled", TORCH_BATCHES[name][0]))
    best = None
    for mode, batch in settings:
        one = torch(name, "f32", threads, batch, mode)
        rate = max(one.round() for _ in range(PROBES))
        tell(f"{name}: PyTorch {one.setting}: {table.number(rate)} images/s")
        if best and best[0] >= rate:
            one.end()
            continue
        if best:
            best[1].end()
        best = (rate, one)
    return best[1]


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


def product_rate(name, kind, threads):
    """Mean rate over a layer's products, weighted by their operations."""
    hidden, inner, _, _, side, patch, _ = MODELS[name]
    rows = OURS_BATCH[name] * ((side // patch) ** 2 + 1)
    seconds = work = 0
    shapes = ((3 * hidden, hidden), (hidden, hidden), (inner, hidden), (hidden, inner))
    for columns, depth in shapes:
        argv = ["taskset", "-c", cores(threads), fleets.program("bench_gemm"), threads, 5]
        said = fleets.tool(*argv, TYPES[kind], rows, columns, depth)
        of = 2 * rows * columns * depth
        seconds, work = seconds + of / (said["gops"] * 1e9), work + of
    return work / seconds


def contest(name, threads, o):
    """Rates of all programs of one model, round by round: {"f32", "torch f32", "limit f32": []}."""
    programs = {kind: ours(name, kind, threads) for kind in o.types}
    for one in programs.values():
        one.round()  # a warm-up
    if not o.no_torch:
        programs["torch f32"] = fastest_torch(name, threads, o)
        if "bf16" in o.types and name in TORCH_BF16:
            tell(f"{name}: PyTorch in bf16")
            programs["torch bf16"] = torch(name, "bf16", threads, 1, "eager")
    rates = {key: [] for key in programs}
    rates |= {f"limit {kind}": [] for kind in o.types}
    for number in range(o.runs):
        tell(f"{name}: round {number + 1} of {o.runs}")
        for kind in o.types:
            rates[f"limit {kind}"].append(limit(name, product_rate(name, kind, threads)))
            rates[kind].append(programs[kind].round())
        if "torch f32" in programs:
            rates["torch f32"].append(programs["torch f32"].round())
        slow = rates.get("torch bf16")
        if "torch bf16" in programs and (not slow or slow[-1] > 1 / PATIENCE_S):
            slow.append(programs["torch bf16"].round())
    settings = {key: one.setting for key, one in programs.items()}
    for one in programs.values():
        one.end()
    return rates, settings


def ratio(rates, kind, beside):
    if not rates.get(beside):
        return ""
    return table.Spread([a / b for a, b in zip(rates[kind], rates[beside])]).text()


def model_part(o):
    rows, results, threads = [], {}, o.threads
    for name in o.models:
        rates, settings = contest(name, threads, o)
        results[name] = {"rates": rates, "settings": settings, "threads": threads}
        for kind in o.types:
            beside = f"torch {kind}"
            theirs = ""
            if rates.get(beside):
                theirs = f"{table.Spread(rates[beside]).text()} ({settings[beside]})"
            rows.append([f"{name}, {kind}", table.Spread(rates[kind]).text(),
                         ratio(rates, kind, f"limit {kind}"), theirs, ratio(rates, kind, beside),
                         ratio(rates, kind, "torch f32")])
            tell(" | ".join(rows[-1]))
    columns = ["", "images/s", "of the limit", "PyTorch, same type", "vlmq is", "beside its f32"]
    notes = ["limit: products at their rate in the same round, attention at 0.6 of it, 7 % more",
             f"{threads} threads; our batches: {OURS_BATCH}; PyTorch's: {TORCH_BATCHES}, eager, "
             "and the first compiled: the fastest",
             "PyTorch's bf16: batch 1, eager; without instructions for it, far behind its f32"]
    print(table.render("CLIP's vision tower", columns, rows, notes), flush=True)
    return results


# 2. The job.


def shards(count):
    """A tar of JPEGs as the download kind makes it."""
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


def encode(fleet, kind, count):
    """A job of one shard; its rate, and the CPU seconds of its stages."""
    output = fleet.folder / f"features-{kind}-{count}"
    fleet.vlmq("run", "encode", shards(count), "--input-format", "tar", "--output", output,
               "--model", model("base-32"), "--dtype", kind, "--quiet", timeout=3600)
    stats = json.loads((output / "00000_stats.json").read_text())
    if stats["successes"] != count:
        raise fleets.Failed(f"{stats['successes']} of {count} pictures were encoded")
    shutil.rmtree(output)
    stages = {stage["name"]: stage["busy_ms"] / 1000 for stage in stats["stages"]}
    return count / (stats["end_time"] - stats["start_time"]), stages


def job_rounds(fleet, kind, o):
    """Rounds of model, job, model: rates of job and model, CPU seconds of a picture in both, what
    decoding takes of it, and the worker's peak."""
    mine = ours("base-32", kind, o.threads)
    found = {"job": [], "model": [], "job_cpu_s": [], "model_cpu_s": [], "decode_ms": []}
    argv = [fleets.program("vlmq-worker"), "--broker", fleet.address, "--slots", 1]
    worker = fleet.start("worker", ["taskset", "-c", cores(o.threads), *argv], ready=True)
    encode(fleet, kind, FEW)  # loads the model
    mine.round()
    for number in range(o.runs):
        tell(f"job in {kind}: round {number + 1} of {o.runs}")
        before = worker.cpu_s(), machine.cpu_s(mine.child.pid)
        around = [mine.round() for _ in range(TURNS)]
        rate, stages = encode(fleet, kind, o.pictures)
        around += [mine.round() for _ in range(TURNS)]
        used = worker.cpu_s() - before[0], machine.cpu_s(mine.child.pid) - before[1]
        found["job"].append(rate)
        found["model"].append(statistics.median(around))
        found["job_cpu_s"].append(used[0] / o.pictures)
        found["model_cpu_s"].append(used[1] / (2 * TURNS * OURS_BATCH["base-32"]))
        found["decode_ms"].append(1000 * stages["decode"] / o.pictures)
    peak = peak_bytes(worker.pid)
    worker.end()
    said = json.loads(mine.first)
    mine.end()
    return {**said, **found, "peak": peak}


def job(o):
    rows, results = [], {}
    with fleets.owned(fleets.Fleet()) as fleet, fleet:
        fleet.start_redis("everysec")
        fleet.start_broker()
        for kind in o.types:
            r = results[kind] = job_rounds(fleet, kind, o)
            share = table.Spread([a / b for a, b in zip(r["job"], r["model"])])
            of_cpu = table.Spread([b / a for a, b in zip(r["job_cpu_s"], r["model_cpu_s"])])
            beside = r["peak"] - r["weight_bytes"]
            rows.append([kind, *(table.Spread(r[key]).text() for key in ("job", "model")),
                         share.text(), of_cpu.text(), table.Spread(r["decode_ms"]).text(),
                         f"{r['weight_bytes'] / 2**20:.0f}", f"{beside / 2**20:.0f}"])
            tell(" | ".join(rows[-1]))
    columns = ["base-32", "job, images/s", "model alone", "share", "share of CPU",
               "decode, ms", "weights, MiB", "worker's peak besides, MiB"]
    notes = [f"{o.pictures} JPEGs of {SIDE} to {SIDE * 3 // 2} pixels in a tar, {o.threads} "
             "threads; the model is loaded",
             "share of CPU: the model's CPU time for a picture in the worker's; decoding has the "
             "same cores"]
    print(table.render("The encode kind", columns, rows, notes), flush=True)
    return results


# 3. Loading.


def load(o):
    rows, results = [], {}
    for name in o.models:
        size = (model(name) / "model.safetensors").stat().st_size
        for kind in o.types:
            rounds = []
            for _ in range(o.runs * 2 + 1):
                one = ours(name, kind, o.threads, "--copy")
                rounds.append(json.loads(one.first))
                one.end()
            rounds = rounds[1:]  # the first one is a warm-up
            rates = [size / one["load_s"] / 1e9 for one in rounds]
            copies = [one["copy_bytes_s"] / 1e9 for one in rounds]
            of_copy = table.Spread([a / b for a, b in zip(rates, copies)])
            beside = max(one["peak_bytes"] - one["weight_bytes"] for one in rounds) / 2**20
            rows.append([f"{name}, {kind}", f"{size / 1e9:.2f}", table.Spread(rates).text(),
                         table.Spread(copies).text(), of_copy.text(), f"{beside:.0f}"])
            results[f"{name} {kind}"] = rounds
            tell(" | ".join(rows[-1]))
    columns = ["", "file, GB", "load, GB/s", "memcpy, GB/s", "of memcpy", "peak besides, MiB"]
    notes = ["f32 files in the page cache, all of whose tensors are loaded: found, checked, packed "
             f"into new memory with {o.threads} threads",
             "memcpy: one thread, from memory to memory that the process has; peak: beside weights"]
    print(table.render("Loading a model", columns, rows, notes), flush=True)
    return results


def run(o):
    if not PYTHON.exists():
        raise fleets.Failed("PyTorch is not installed: bench/run --setup")
    o.threads = o.threads or len(os.sched_getaffinity(0))
    parts = {"model": model_part, "job": job, "load": load}
    return {name: part(o) for name, part in parts.items() if o.part in (None, name)}
