"""gemm: the matrix product of the model core beside the instruction peak of the same moments.

Shapes are those of a ViT-L/14 at 224 and 336 pixels, one picture and eight, and of a ViT-B/32 with
16 pictures. Peak and product take turns: ratios are the median of rounds, and that of the fastest
round of each.
"""

import json
import statistics
import subprocess
import sys

from lib import fleet as fleets
from lib import table

NAME = "gemm"
HELP = "the matrix product of f32, bf16 and i8 beside the instruction peak"


def arguments(parser):
    parser.add_argument("--rounds", type=int, default=15, help="of each shape (15)")
    parser.add_argument("--gemm-threads", default="1,2", help="numbers of threads (1,2)")


def measured(threads, rounds):
    argv = [fleets.program("bench_gemm"), str(threads), str(rounds)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise fleets.Failed(f"bench_gemm: {done.stderr.strip()}")
    return [json.loads(line) for line in done.stdout.splitlines()]


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
    return [" x ".join(map(str, key[1:])), key[0], *cells.values()]


def run(options):
    results = []
    for threads in options.gemm_threads.split(","):
        print(f"  gemm: {threads} threads", file=sys.stderr, flush=True)
        results += measured(int(threads), options.rounds)
    shapes = grouped(results, ("threads", "rows", "columns", "inner"))
    rows = [row(key, of_shape) for key, of_shape in shapes.items()]
    types = list(grouped(results, ("type",)))
    columns = ["rows x columns x inner", "threads", *(name.lower() for (name,) in types)]
    notes = ["10^9 operations a second (of the peak: median, fastest round); the peak, median:"]
    for (name, threads), of_type in grouped(results, ("type", "threads")).items():
        peak = statistics.median(r["peak_gops"] for r in of_type)
        notes.append(f"{name.lower()}, {threads} threads: {table.number(peak)}")
    print(table.render(f"Matrix product ({results[0]['set']})", columns, rows, notes))
    return results
