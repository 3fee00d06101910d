#!/usr/bin/env python3
"""make_polynomials.py - the coefficients of math.h, printed as C; needs numpy.

Each is a least-squares fit in the Chebyshev basis over points that crowd at the ends, which comes
close to the smallest largest error; weights make that error relative to the result. Coefficients
are rounded to f32 one after the other from the lowest, and the rest is fitted again each time.
"""

import math
import re

import numpy

POINTS = 4001


def fitted(target, low, high, powers, weight, rounds=60):
    """Coefficients c of sum c[i] * x^powers[i], as f32."""
    angle = (numpy.arange(POINTS) + 0.5) * math.pi / POINTS
    x = (low + high) / 2 - (high - low) / 2 * numpy.cos(angle)
    y = numpy.array([target(v) for v in x])
    scale = numpy.array([weight(v) for v in x])
    basis = numpy.stack([x**p for p in powers], axis=1)
    lawson = numpy.ones(POINTS)
    for _ in range(rounds):  # Lawson: points with large errors weigh more
        row = scale * numpy.sqrt(lawson)
        c = numpy.linalg.lstsq(basis * row[:, None], y * row, rcond=None)[0]
        error = numpy.abs((basis @ c - y) * scale)
        lawson = lawson * (error / error.max() + 1e-3)
        lawson = lawson / lawson.sum()
    chosen = []
    rest = y
    row = scale * numpy.sqrt(lawson)
    for i in range(len(powers)):
        c = numpy.linalg.lstsq(basis[:, i:] * row[:, None], rest * row, rcond=None)[0]
        chosen.append(float(numpy.float32(c[0])))
        rest = rest - basis[:, i] * chosen[-1]
    return chosen, float(numpy.abs(rest * scale).max())


def show(name, fit):
    numbers, error = fit
    print(f"/* {name}: largest error 2^{math.log2(error):.1f} */")
    print(", ".join(re.sub("0*p", "p", c.hex()) + "f" for c in reversed(numbers)))


def main():
    half = math.log(2) / 2 * 1.01
    show("exp(r) - 1 - r, over r^2", fitted(
        lambda r: (math.expm1(r) - r) / r**2, -half, half, range(5), lambda r: r**2))
    show("erf(x) / x - 1 in x^2", fitted(
        lambda s: math.erf(math.sqrt(s)) / math.sqrt(s) - 1, 1e-9, 0.95**2, range(7),
        lambda s: math.sqrt(s) / math.erf(math.sqrt(s))))
    show("-log(erfc(x)) in x", fitted(
        lambda x: -math.log(math.erfc(x)), 0.85, 4.0, range(10),
        lambda x: math.erfc(x) / math.erf(x)))
    show("(tanh(x) / x - 1) / x^2 in x^2", fitted(
        lambda s: (math.tanh(math.sqrt(s)) / math.sqrt(s) - 1) / s, 1e-6, 0.65**2, range(5),
        lambda s: s * math.sqrt(s) / math.tanh(math.sqrt(s))))


if __name__ == "__main__":
    main()
