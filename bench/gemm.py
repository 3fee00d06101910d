"""gemm: the matrix product of the model core beside the instruction peak of the same moments.

Shapes are those of a ViT-L/14 at 224 and 336 pixels, one picture and eight, and of a ViT-B/32 with
16 pictures. Peak and product take turns: ratios are the median of rounds, and that of the fastest
round of each. Where bench/run --setup has installed PyTorch, its f32 product (MKL's) takes turns
with ours, too.
"""

import json
import statistics
import subprocess
import sys

from lib import fleet as fleets
from lib import table
from lib.turns import Turns, cores
from download import PYTHON, SUPPORT

NAME = "gemm"
PEER_TURNS = 7
PEER_ROUNDS = 2  # of ours, for each of PyTorch's
HELP = "the matrix product of f32, bf16 and i8 beside the instruction peak"


def arguments(parser):
    parser.add_argument("--rounds", type=int, default=15, help="of each shape (15)")
    parser.add_argument("--gemm-threads", default="1,2", help="numbers of threads (1,2)")
    parser.add_argument("--no-torch", action="store_true", help="without PyTorch")


def measured(threads, rounds, *shape):
    argv = ["taskset", "-c", cores(threads), fleets.program("bench_gemm"), threads, rounds, *shape]
    argv = list(map(str, argv))
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise fleets.Failed(f"bench_gemm: {done.stderr.strip()}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def has_torch():
    argv = [str(PYTHON), "-c", "import torch"]
    return PYTHON.exists() and not subprocess.run(argv, capture_output=True, check=False).returncode


def beside_torch(threads, results):
    """Sets torch_ratio of the f32 results: our rate by that of PyTorch."""
    torch = Turns([PYTHON, SUPPORT / "torch_linear.py", threads], threads)
    for result in results:
        if result["type"] != "F32":
            continue
        shape = [result[name] for name in ("rows", "columns", "inner")]
        ratios = []
        for _ in range(PEER_TURNS):
            theirs = torch.round(" ".join(map(str, shape)))
            (ours,) = measured(threads, PEER_ROUNDS, "F32", *shape)
            ratios.append(ours["gops"] / theirs)
        result["torch_ratio"] = statistics.median(ratios)
    torch.end()


def grouped(results, key):
    groups = {}
    for result in results:
        groups.setdefault(tuple(result[name] for name in key), []).append(result)
    return groups


def row(key, of_shape):
    cells = {}
    for r in of_shape:
        share = f" ({r['ratio']:.0%}, {r['best_ratio']:.0%})" if r["peak_gops"] else ""
        cells[r["type"]] = table.number(r["gops"]) + share
        if "torch_ratio" in r:
            cells["torch"] = f"{r['torch_ratio']:.2f}"
    return [" x ".join(map(str, key[1:])), key[0], *cells.values()]


def run(options):
    results = []
    peer = not options.no_torch and has_torch()
    for threads in options.gemm_threads.split(","):
        print(f"  gemm: {threads} threads", file=sys.stderr, flush=True)
        of_threads = measured(int(threads), options.rounds)
        if peer:
            beside_torch(int(threads), of_threads)
        results += of_threads
    shapes = grouped(results, ("threads", "rows", "columns", "inner"))
    rows = [row(key, of_shape) for key, of_shape in shapes.items()]
    types = list(grouped(results, ("type",)))
    columns = ["rows x columns x inner", "threads", *(name.lower() for (name,) in types)]
    if peer:
        columns.insert(3, "f32 / PyTorch")
    notes = ["10^9 operations a second (of the peak: median, fastest round); the peak, median:"]
    for (name, threads), of_type in grouped(results, ("type", "threads")).items():
        peak = statistics.median(r["peak_gops"] for r in of_type)
        notes.append(f"{name.lower()}, {threads} threads: {table.number(peak)}")
    print(table.render(f"Matrix product ({results[0]['set']})", columns, rows, notes))
    return results
