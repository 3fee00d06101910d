"""The rate of PyTorch's f32 matrix product on the CPU, for bench/gemm.py.

    torch_linear.py THREADS

Each line on stdin is "ROWS COLUMNS INNER"; the answer to it is the rate of x [rows, inner] times
the transpose of w [columns, inner], in 10^9 multiplications and additions a second.
"""

import os
import sys
import time

ROUND_S = 0.05


def rate(torch, x, w):
    done, start = 0, time.perf_counter()
    while True:
        torch.nn.functional.linear(x, w)
        done += 1
        took = time.perf_counter() - start
        if took > ROUND_S:
            return done * 2e-9 * x.shape[0] * w.shape[0] * w.shape[1] / took


def main():
    (threads,) = sys.argv[1:]
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = threads
    import torch

    torch.set_num_threads(int(threads))
    print("ready", flush=True)
    shape = None
    with torch.inference_mode():
        for line in sys.stdin:
            if line != shape:
                shape = line
                rows, columns, inner = map(int, line.split())
                x, w = torch.randn(rows, inner), torch.randn(columns, inner)
                torch.nn.functional.linear(x, w)
            print(rate(torch, x, w), flush=True)


if __name__ == "__main__":
    main()
