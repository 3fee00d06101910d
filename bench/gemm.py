"""gemm: the matrix product of the model core beside the instruction peak of the same moments.

Shapes are those of a ViT-L/14 at 224 and 336 pixels, one picture and eight, and of a ViT-B/32 with
16 pictures. Ratios are medians of rounds in which peak and product take turns.
"""

import json
import subprocess

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


def run(options):
    results = []
    for threads in options.gemm_threads.split(","):
        results += measured(int(threads), options.rounds)
    rows = [
        (
            f"{r['rows']} x {r['columns']} x {r['inner']}",
            r["type"].lower(),
            str(r["threads"]),
            table.number(r["gops"]),
            table.number(r["peak_gops"]),
            f"{r['ratio']:.0%}" if r["peak_gops"] else "-",
        )
        for r in results
    ]
    columns = ("rows x columns x inner", "weights", "threads", "Gop/s", "peak", "ratio")
    print(table.render(f"Matrix product ({results[0]['set']})", columns, rows))
    return results
