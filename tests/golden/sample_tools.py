"""Noise, mixing and film for make_sample.py."""

import numpy as np


def lattice(ix, iy, seed):
    """A number in 0..1 for each whole point."""
    value = (
        ix.astype(np.uint64) * np.uint64(374761393)
        + iy.astype(np.uint64) * np.uint64(668265263)
        + np.uint64(seed) * np.uint64(2246822519)
    ) & np.uint64(0xFFFFFFFF)
    value = (value ^ (value >> np.uint64(13))) * np.uint64(1274126177) & np.uint64(0xFFFFFFFF)
    value = (value ^ (value >> np.uint64(16))) * np.uint64(2246822519) & np.uint64(0xFFFFFFFF)
    return (value ^ (value >> np.uint64(15))).astype(float) / 4294967295.0


def value_noise(x, y, seed):
    ix, iy = np.floor(x), np.floor(y)
    fx, fy = x - ix, y - iy
    fx, fy = fx * fx * fx * (fx * (fx * 6 - 15) + 10), fy * fy * fy * (fy * (fy * 6 - 15) + 10)
    ix, iy = ix.astype(np.int64) & 0xFFFF, iy.astype(np.int64) & 0xFFFF
    jx, jy = ix + 1 & 0xFFFF, iy + 1 & 0xFFFF
    top = lattice(ix, iy, seed) * (1 - fx) + lattice(jx, iy, seed) * fx
    low = lattice(ix, jy, seed) * (1 - fx) + lattice(jx, jy, seed) * fx
    return top * (1 - fy) + low * fy


def fractal(x, y, octaves, seed, gain=0.5, ridged=False):
    total, weight, sum_of_weights = 0.0, 1.0, 0.0
    for octave in range(octaves):
        part = value_noise(x, y, seed + octave)
        if ridged:
            part = 1 - np.abs(2 * part - 1)
            part = part * part
        total = total + weight * part
        sum_of_weights += weight
        # Turned a little each time, so that the lattice does not show.
        x, y = 1.62 * x + 1.21 * y + 17.3, -1.21 * x + 1.62 * y + 5.1
        weight *= gain
    return total / sum_of_weights


def mix(a, b, t):
    t = np.asarray(t)[..., None] if np.ndim(t) else t
    return np.asarray(a) * (1 - t) + np.asarray(b) * t


def step(low, high, x):
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def unit(v):
    return v / np.maximum(np.sqrt((v * v).sum(-1, keepdims=True)), 1e-9)


def photograph(light, seed, grain=0.012, vignette=0.25):
    """From linear light to 8 bits: a film curve, darker corners, grain."""
    height, width, _ = light.shape
    y, x = np.mgrid[0:height, 0:width]
    r2 = ((x / width - 0.5) ** 2 + (y / height - 0.5) ** 2) * 2
    light = np.maximum(light, 0) * (1 - vignette * r2)[..., None]
    light = light * (2.51 * light + 0.03) / (light * (2.43 * light + 0.59) + 0.14)
    picture = np.clip(light, 0, 1) ** (1 / 2.2)
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, grain, (height, width, 1)) + rng.normal(0, grain / 2, (height, width, 3))
    return (np.clip(picture + noise, 0, 1) * 255 + 0.5).astype(np.uint8)


def smaller(light, factor):
    """Box average: rendered larger, so that edges are smooth."""
    height, width, channels = light.shape
    return light.reshape(height // factor, factor, width // factor, factor, channels).mean((1, 3))
