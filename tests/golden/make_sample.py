#!/usr/bin/env python3
"""Renders the sample pictures of deploy/sample/pictures: scenes that look enough like photographs
for crops, bars and compression to show. All of it is our own mathematics; the result is CC0.

Needs numpy and Pillow >= 13 with WebP; takes some twenty minutes of one processor:
    python3 tests/golden/make_sample.py [NAME …]
With names, only the pictures whose scene function is named (landscapes, still_lifes, others).
"""

import pathlib
import sys

import numpy as np
from PIL import Image

from sample_tools import fractal, lattice, mix, photograph, smaller, step, unit, value_noise

OUT = pathlib.Path(__file__).parent.parent.parent / "deploy" / "sample" / "pictures"


# landscapes: a height field, marched ray by ray


def sky(direction, sun, zenith, horizon, clouds, seed):
    up = np.clip(direction[..., 1], 0, 1)
    colour = mix(horizon, zenith, up**0.55)
    glow = np.clip((direction * sun).sum(-1), 0, 1)
    colour = colour + np.array([1.0, 0.75, 0.45]) * (0.35 * glow**8 + 6 * glow**900)[..., None]
    flat = np.maximum(up, 0.02)
    cx, cz = direction[..., 0] / flat * 1.3, direction[..., 2] / flat * 1.3
    cover = step(1 - clouds, 1.25 - clouds, fractal(cx, cz, 6, seed))
    shade = fractal(cx + sun[0] * 0.5, cz + sun[2] * 0.5, 4, seed)
    cloud = mix(np.array([1.0, 0.96, 0.92]), np.array([0.52, 0.55, 0.62]), step(0.35, 0.75, shade))
    return mix(colour, cloud * (0.9 + 0.5 * glow**4)[..., None], cover * step(0.02, 0.16, up))


def landscape(
    width,
    height,
    seed,
    sun,
    palette,
    *,
    eye=1.7,
    pitch=-0.08,
    relief=2.6,
    scale=0.16,
    sea=None,
    clouds=0.45,
    zenith=(0.12, 0.26, 0.58),
    horizon=(0.62, 0.72, 0.82),
    haze=0.028,
    ridged=True,
    field=1.0,
    snow=None,
    start=(31.0, 12.0),
    steps=240
):
    sun = unit(np.array(sun, float))
    y, x = np.mgrid[0:height, 0:width].astype(float)
    short = min(width, height)
    ray = np.stack(
        [
            (x - width / 2) / short * field,
            (height / 2 - y) / short * field + pitch,
            np.ones_like(x),
        ],
        -1,
    )
    ray = unit(ray)

    def ground(px, pz, octaves):
        h = fractal(px * scale, pz * scale, octaves, seed, 0.48, ridged)
        return relief * (h**1.6) * 2 - relief * 0.35

    ox, oz = start
    origin_y = (
        max(float(ground(np.array([ox]), np.array([oz]), 6)[0]), sea if sea is not None else -9)
        + eye
    )
    # Near points are tested closely, far ones coarsely.
    distance = np.full(x.shape, np.nan)
    last, last_gap = np.zeros(x.shape), np.full(x.shape, 1.0)
    open_rays = np.ones(x.shape, bool)
    t = 0.15
    for _ in range(steps):
        rows, cols = np.nonzero(open_rays)
        if not rows.size:
            break
        r = ray[rows, cols]
        px, py, pz = ox + r[:, 0] * t, origin_y + r[:, 1] * t, oz + r[:, 2] * t
        gap = py - ground(px, pz, 6 if t < 14 else 5)
        hit = gap < 0
        before, was = last[rows, cols], last_gap[rows, cols]
        at = before + (t - before) * was / np.maximum(was - gap, 1e-9)
        distance[rows[hit], cols[hit]] = at[hit]
        open_rays[rows[hit], cols[hit]] = False
        open_rays[rows, cols] &= ~((py > relief * 2) & (r[:, 1] > 0))
        last[rows, cols], last_gap[rows, cols] = t, gap
        t *= 1.026
        t += 0.01
    hit = ~np.isnan(distance)
    d = np.where(hit, distance, t)
    px, pz = ox + ray[..., 0] * d, oz + ray[..., 2] * d
    background = sky(ray, sun, np.array(zenith), np.array(horizon), clouds, seed + 50)
    e = np.maximum(0.004, d * 0.0016)
    normal = unit(
        np.stack(
            [
                ground(px - e, pz, 9) - ground(px + e, pz, 9),
                2 * e,
                ground(px, pz - e, 9) - ground(px, pz + e, 9),
            ],
            -1,
        )
    )
    py = ground(px, pz, 8)
    lit = np.clip((normal * sun).sum(-1), 0, 1)
    shadow = np.ones(x.shape)
    for k in range(1, 26):
        s = 0.06 * k**1.45
        above = py + sun[1] * s - ground(px + sun[0] * s, pz + sun[2] * s, 5)
        shadow = np.minimum(shadow, np.clip(0.5 + 5 * above / s, 0, 1))
    slope = normal[..., 1]
    fine = fractal(px * 3.1, pz * 3.1, 5, seed + 9)
    finer = fractal(px * 23, pz * 23, 3, seed + 19)
    low, rock, high = (np.array(c) for c in palette)
    colour = mix(low * 0.75, low * 1.2, step(0.3, 0.7, fine))
    colour = mix(colour, rock * 1.0, step(0.9, 0.68, slope + (fine - 0.5) * 0.25))
    top = snow if snow is not None else relief * 0.9
    colour = mix(
        colour, high, step(top - 0.25, top + 0.35, py + (fine - 0.5) * 0.8) * step(0.5, 0.75, slope)
    )
    colour = colour * (0.7 + 0.6 * finer)[..., None]
    sun_light = np.array([1.35, 1.15, 0.9]) * 1.7
    light = colour * (
        sun_light * (lit * shadow)[..., None]
        + (np.array(zenith) * 0.8 + 0.12) * (0.55 + 0.45 * slope)[..., None]
    )
    air = 1 - np.exp(-d * haze)
    glow = np.clip((ray * sun).sum(-1), 0, 1)
    light = mix(
        light, np.array(horizon) * 0.85 + np.array([0.35, 0.22, 0.1]) * glow[..., None] ** 6, air
    )
    out = np.where(hit[..., None], light, background)
    if sea is not None:
        out = water(
            out,
            ray,
            origin_y,
            sea,
            d,
            hit,
            sun,
            np.array(zenith),
            np.array(horizon),
            clouds,
            seed,
            (ox, oz),
            ground,
            haze,
        )
    return out


def water(
    out,
    ray,
    origin_y,
    sea,
    ground_distance,
    hit,
    sun,
    zenith,
    horizon,
    clouds,
    seed,
    start,
    ground,
    haze,
):
    down = ray[..., 1] < -1e-4
    d = np.where(down, (sea - origin_y) / np.where(down, ray[..., 1], -1), np.inf)
    wet = down & ((d < ground_distance) | ~hit) & (d < 90)
    d = np.where(wet, d, 1.0)
    px, pz = start[0] + ray[..., 0] * d, start[1] + ray[..., 2] * d

    def waves(x, z):
        return (
            fractal(x * 2.2 + 3, z * 3.6, 5, seed + 77) * 0.16
            + fractal(x * 13, z * 19, 3, seed + 79) * 0.02
        )

    e = 0.01 + 0.002 * d
    calm = 1 / (1 + 0.08 * d)
    normal = unit(
        np.stack(
            [
                (waves(px - e, pz) - waves(px + e, pz)) * calm,
                2 * e,
                (waves(px, pz - e) - waves(px, pz + e)) * calm,
            ],
            -1,
        )
    )
    cosine = np.clip(-(ray * normal).sum(-1), 0, 1)
    mirror = unit(ray + 2 * normal * cosine[..., None])
    mirror[..., 1] = np.abs(mirror[..., 1])
    reflected = sky(mirror, sun, zenith, horizon, clouds, seed + 50)
    # The land on the other side, darkly.
    for k in (1.0, 2.2, 4.5, 9.0):
        over = (
            ground(px + mirror[..., 0] * k, pz + mirror[..., 2] * k, 4) > sea + mirror[..., 1] * k
        )
        reflected = np.where(over[..., None], np.array([0.10, 0.12, 0.09]), reflected)
    depth = np.clip((sea - ground(px, pz, 5)) * 1.2, 0, 1)
    body = mix(np.array([0.16, 0.26, 0.22]), np.array([0.015, 0.06, 0.09]), depth)
    fresnel = 0.03 + 0.97 * (1 - cosine) ** 5
    surface = mix(body, reflected, np.clip(fresnel, 0, 1))
    foam = step(0.05, 0.0, sea - ground(px, pz, 7) - 0.03 * fractal(px * 6, pz * 6, 3, seed + 88))
    surface = mix(surface, np.array([0.75, 0.78, 0.78]), foam * 0.5)
    surface = mix(surface, horizon * 0.85, 1 - np.exp(-d * haze))
    return np.where(wet[..., None], surface, out)


# still lifes: spheres on a table, with soft shadows and reflections


class Sphere:
    def __init__(self, centre, radius, colour, kind="matt", seed=0):
        self.centre, self.radius = np.array(centre, float), radius
        self.colour, self.kind, self.seed = np.array(colour, float), kind, seed


def hit_spheres(origin, ray, spheres):
    best = np.full(ray.shape[:-1], np.inf)
    which = np.full(ray.shape[:-1], -1)
    for index, sphere in enumerate(spheres):
        oc = origin - sphere.centre
        b = (oc * ray).sum(-1)
        root = b * b - (oc * oc).sum(-1) + sphere.radius**2
        near = -b - np.sqrt(np.maximum(root, 0))
        closer = (root > 0) & (near > 1e-3) & (near < best)
        best = np.where(closer, near, best)
        which = np.where(closer, index, which)
    return best, which


def room(direction):
    """A window on the left, a lamp, dim walls."""
    colour = mix(
        np.array([0.16, 0.13, 0.11]),
        np.array([0.30, 0.30, 0.33]),
        step(-0.2, 0.9, direction[..., 1]),
    )
    pane = (np.abs(direction[..., 0] + 0.72) < 0.26) & (np.abs(direction[..., 1] - 0.52) < 0.26)
    bars = (np.abs(direction[..., 0] + 0.72) < 0.016) | (np.abs(direction[..., 1] - 0.52) < 0.016)
    colour = np.where((pane & ~bars)[..., None], np.array([3.2, 3.5, 3.9]), colour)
    return (
        colour
        + np.array([1.5, 1.1, 0.6])
        * step(0.985, 0.995, (direction * unit(np.array([0.6, 0.7, -0.3]))).sum(-1))[..., None]
    )


def wood(x, z, seed):
    """Boards with rings and fibres."""
    board = np.floor(x / 0.9)
    x = x + lattice((board.astype(np.int64) + 999) & 0xFFFF, np.zeros(x.shape, np.int64), seed) * 7
    wobble = fractal(x * 1.5, z * 0.22 + board * 7, 4, seed)
    ring = 0.5 + 0.5 * np.sin((x * 3 + wobble * 5.5) * 6.5)
    fibre = fractal(x * 55, z * 1.6, 3, seed + 5)
    colour = mix(
        np.array([0.30, 0.15, 0.065]),
        np.array([0.56, 0.33, 0.16]),
        step(0.1, 0.95, ring * 0.6 + fibre * 0.4),
    )
    return colour * (0.8 + 0.4 * fibre)[..., None]


def cloth(x, z, seed):
    thread = 0.75 + 0.25 * np.sin(x * 130) * np.sin(z * 130)
    stripe = step(0.42, 0.46, np.abs((x * 1.1 + 0.06 * fractal(x, z, 3, seed)) % 1 - 0.5)) + step(
        0.42, 0.46, np.abs((z * 1.1) % 1 - 0.5)
    )
    colour = mix(
        np.array([0.62, 0.58, 0.50]), np.array([0.32, 0.07, 0.07]), np.clip(stripe, 0, 1.6) / 1.6
    )
    return colour * (thread * (0.75 + 0.5 * fractal(x * 2, z * 2, 4, seed)))[..., None]


def skin(sphere, point, normal):
    """Colour of a sphere where it is hit."""
    local = (point - sphere.centre) / sphere.radius
    u = np.arctan2(local[..., 2], local[..., 0]) * 2
    v = local[..., 1] * 3
    if sphere.kind == "apple":
        streak = fractal(u * 9, v * 0.9, 4, sphere.seed)
        blush = fractal(u + 3, v, 3, sphere.seed + 3)
        colour = mix(
            sphere.colour,
            np.array([0.72, 0.52, 0.10]),
            step(0.45, 0.75, streak * 0.5 + blush * 0.5),
        )
        dots = step(0.80, 0.9, value_noise(u * 20, v * 20, sphere.seed + 7))
        return mix(colour, np.array([0.8, 0.65, 0.35]), dots * 0.45)
    if sphere.kind == "orange":
        return sphere.colour * (0.86 + 0.28 * fractal(u * 22, v * 22, 2, sphere.seed))[..., None]
    if sphere.kind == "marble":
        vein = np.abs(fractal(u * 1.5, v * 1.5, 6, sphere.seed) - 0.5) * 9
        return mix(sphere.colour * 0.25, sphere.colour, step(0.0, 0.9, vein))
    return np.broadcast_to(sphere.colour, point.shape)


def shade_scene(origin, ray, spheres, ground, sun, bounces, rng):
    distance, which = hit_spheres(origin, ray, spheres)
    with np.errstate(divide="ignore", invalid="ignore"):
        floor = np.where(ray[..., 1] < -1e-6, -origin[..., 1] / ray[..., 1], np.inf)
    on_floor = (floor < distance) & (floor < 60)
    d = np.where(on_floor, floor, np.where(which >= 0, distance, 1.0))
    point = origin + ray * d[..., None]
    normal = np.zeros(point.shape)
    normal[..., 1] = 1.0
    colour = ground(point[..., 0], point[..., 2])
    mirror_of = np.where(on_floor, 0.04, 0.0)
    gloss = np.where(on_floor, 0.02, 0.0)
    for index, sphere in enumerate(spheres):
        mine = (which == index) & ~on_floor
        if not mine.any():
            continue
        n = (point[mine] - sphere.centre) / sphere.radius
        if sphere.kind == "orange":
            local = n * 26
            dent = (
                np.stack(
                    [value_noise(local[:, 1] + 40, local[:, 2] + 40, k) for k in (1, 2, 3)], -1
                )
                - 0.5
            )
            n = unit(n + dent * 0.16)
        normal[mine] = n
        colour[mine] = skin(sphere, point[mine], n)
        mirror_of[mine] = {"chrome": 0.85, "glass": 0.5, "apple": 0.05, "marble": 0.07}.get(
            sphere.kind, 0.03
        )
        gloss[mine] = {
            "apple": 0.5,
            "orange": 0.25,
            "marble": 0.9,
            "chrome": 1.0,
            "glass": 1.0,
        }.get(sphere.kind, 0.05)
    seen = on_floor | (which >= 0)
    light = np.zeros(point.shape)
    jitter = unit(sun + rng.normal(0, 0.09, point.shape))
    start = point + normal * 2e-3
    blocked, _ = hit_spheres(start, jitter, spheres)
    lit = np.clip((normal * jitter).sum(-1), 0, 1) * np.isinf(blocked)
    near = np.zeros(d.shape)
    for sphere in spheres:  # what the spheres keep of the sky's light
        to = sphere.centre - point
        far = np.sqrt((to * to).sum(-1))
        near += (
            np.clip((unit(to) * normal).sum(-1), 0, 1)
            * np.clip(sphere.radius / np.maximum(far, sphere.radius), 0, 1) ** 2
        )
    ambient = (0.42 + 0.25 * normal[..., 1]) * np.clip(1 - near, 0.05, 1)
    light = colour * (
        np.array([1.0, 0.93, 0.82]) * 2.6 * lit[..., None]
        + np.array([0.40, 0.43, 0.50]) * ambient[..., None]
    )
    half = unit(jitter - ray)
    light += (gloss * np.isinf(blocked) * np.clip((half * normal).sum(-1), 0, 1) ** 180)[
        ..., None
    ] * 2.2
    if bounces:
        cosine = np.clip(-(ray * normal).sum(-1), 0, 1)
        mirror = unit(ray + 2 * normal * cosine[..., None])
        amount = np.clip(mirror_of + (1 - mirror_of) * (1 - cosine) ** 5 * (0.25 + gloss), 0, 0.95)
        light = light * (1 - amount)[..., None] + amount[..., None] * shade_scene(
            start, mirror, spheres, ground, sun, bounces - 1, rng
        )
    back = room(ray)
    return np.where(
        seen[..., None], mix(light, back, 1 - np.exp(-np.where(on_floor, d, 0) * 0.05)), back
    )


def still_life(
    width,
    height,
    spheres,
    ground,
    seed,
    eye=(0, 1.7, -5.2),
    look=(0, 0.55, 0),
    field=0.9,
    blur=0.035,
    samples=12,
):
    rng = np.random.default_rng(seed)
    sun = unit(np.array([-0.62, 0.75, -0.30]))
    eye, look = np.array(eye, float), np.array(look, float)
    forward = unit(look - eye)
    right = unit(np.cross(np.array([0, 1.0, 0]), forward))
    up = np.cross(forward, right)
    focus = np.sqrt(((look - eye) ** 2).sum())
    y, x = np.mgrid[0:height, 0:width].astype(float)
    short = min(width, height)
    total = np.zeros((height, width, 3))
    for _ in range(samples):
        sx = (x + rng.random(x.shape) - width / 2) / short * field
        sy = (height / 2 - y - rng.random(x.shape)) / short * field
        target = eye + (forward + right * sx[..., None] + up * sy[..., None]) * focus
        angle, radius = rng.random(x.shape) * 2 * np.pi, np.sqrt(rng.random(x.shape)) * blur
        origin = (
            eye
            + right * (np.cos(angle) * radius)[..., None]
            + up * (np.sin(angle) * radius)[..., None]
        )
        total += shade_scene(origin, unit(target - origin), spheres, ground, sun, 2, rng)
    return total / samples


# flat things


def bricks(width, height, seed):
    y, x = np.mgrid[0:height, 0:width].astype(float)
    x, y = x + 5 * fractal(x / 90, y / 90, 3, seed), y + 5 * fractal(
        x / 70 + 9, y / 70, 3, seed + 1
    )
    tall, wide = 38.0, 104.0
    row = np.floor(y / tall)
    shifted = (
        x
        + (row % 2) * wide / 2
        + lattice(row.astype(np.int64) & 0xFFFF, row.astype(np.int64) & 1, 3) * 18
    )
    column = np.floor(shifted / wide)
    fx, fy = shifted / wide - column, y / tall - row
    edge = np.minimum(np.minimum(fx, 1 - fx) * wide, np.minimum(fy, 1 - fy) * tall)
    edge = edge + 2.4 * (fractal(x / 9, y / 9, 3, seed + 2) - 0.5)
    body = step(2.2, 4.6, edge)
    tint = lattice(column.astype(np.int64) & 0xFFFF, row.astype(np.int64) & 0xFFFF, seed)
    rough = fractal(x / 14, y / 14, 6, seed + 3, 0.6)
    colour = (
        mix(np.array([0.33, 0.10, 0.06]), np.array([0.50, 0.22, 0.12]), tint)
        * (0.55 + 0.9 * rough)[..., None]
    )
    colour = mix(colour, np.array([0.12, 0.07, 0.06]), step(0.86, 0.95, tint) * 0.75)
    mortar = (
        np.array([0.42, 0.40, 0.37]) * (0.6 + 0.7 * fractal(x / 5, y / 5, 4, seed + 4))[..., None]
    )
    depth = body * (3.0 + 2.2 * rough) + fractal(x / 4, y / 4, 3, seed + 6) * 0.9
    gy, gx = np.gradient(depth)
    lit = np.clip(1 - 0.55 * gx * 0.9 - 0.55 * gy * 1.1, 0.15, 2.2)
    moss = step(0.56, 0.74, fractal(x / 120, y / 120, 5, seed + 8) + 0.22 * (y / height - 0.5)) * (
        1 - 0.55 * body
    )
    colour = mix(mortar, colour, body)
    colour = mix(colour, np.array([0.10, 0.15, 0.04]) * (0.6 + 0.8 * rough)[..., None], moss)
    fall = 1.25 - 0.7 * np.hypot(x / width - 0.3, y / height - 0.25)
    return colour * (lit * fall * 1.35)[..., None]


def leaf(width, height, seed):
    """One leaf without a background: colour and alpha."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    u, v = (x / width - 0.5) * 2.2, (0.52 - y / height) * 2.2
    t = np.clip((v + 0.85) / 1.7, 0, 1)
    spine = 0.10 * np.sin(t * 2.4)
    side = u - spine
    half = 0.72 * np.sin(np.pi * t**0.82) ** 0.8 * (1 - 0.25 * t)
    saw = 0.02 * np.abs(((t * 26) % 1) - 0.5) * 2
    inside = step(-0.012, 0.012, half - saw - np.abs(side)) * ((v > -0.85) & (v < 0.85))
    stem = step(0.028, 0.016, np.abs(u - spine - 0.05 * (v + 0.85))) * ((v <= -0.78) & (v > -1.06))
    alpha = np.clip(inside + stem, 0, 1)
    vein_at = (t * 9 - np.abs(side) * 4.5) % 1
    vein = step(0.10, 0.02, np.minimum(vein_at, 1 - vein_at)) * step(0.0, 0.06, np.abs(side))
    rib = step(0.022, 0.006, np.abs(side))
    cells = fractal(u * 22, v * 22, 4, seed)
    colour = mix(
        np.array([0.50, 0.10, 0.02]),
        np.array([0.78, 0.42, 0.05]),
        fractal(u * 2.2 + 4, v * 2.2, 5, seed + 1),
    )
    colour = mix(
        colour,
        np.array([0.20, 0.26, 0.04]),
        step(0.55, 0.8, fractal(u * 1.6, v * 1.6 + 9, 4, seed + 2)),
    )
    colour = colour * (0.7 + 0.5 * cells)[..., None]
    colour = mix(colour, np.array([0.80, 0.55, 0.22]), np.clip(0.55 * vein + 0.8 * rib, 0, 1))
    bump = 0.25 * cells + 0.6 * np.abs(((vein_at) - 0.5)) - 0.8 * rib - np.abs(side) * 0.6
    gy, gx = np.gradient(bump)
    lit = np.clip(1 + 9 * gx - 9 * gy, 0.4, 1.9)
    spots = step(0.80, 0.86, value_noise(u * 15, v * 15, seed + 5))
    return mix(colour * lit[..., None], np.array([0.12, 0.05, 0.02]), spots * 0.7), alpha


def night(width, height, seed):
    """A town across the water: lit windows, their reflections, a moon."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    shore = height * 0.62
    up = np.clip((shore - y) / shore, 0, 1)
    light = mix(np.array([0.11, 0.065, 0.075]), np.array([0.005, 0.008, 0.03]), up**0.5)
    haze = fractal(x / 180, y / 60, 5, seed)
    light = light + np.array([0.055, 0.035, 0.035]) * (step(0.45, 0.8, haze) * (1 - up))[..., None]
    stars = lattice(x.astype(np.int64), y.astype(np.int64), seed + 1)
    light = light + (step(0.9993, 1.0, stars) * up * 1.2)[..., None]
    moon = np.hypot(x - width * 0.8, y - height * 0.15)
    face = 0.75 + 0.4 * fractal(x / 12, y / 12, 4, seed + 2)
    light = (
        light
        + np.array([1.0, 0.95, 0.82])
        * (step(19, 17, moon) * face * 1.6 + 0.28 * np.exp(-moon / 42))[..., None]
    )
    rng = np.random.default_rng(seed)
    for layer, (dim, low, high) in enumerate(
        ((0.4, 0.10, 0.33), (0.7, 0.06, 0.25), (1.0, 0.03, 0.15))
    ):
        left = -10.0
        while left < width:
            wide, tall = rng.integers(26, 74), shore * rng.uniform(low, high) * 1.5
            body = (x >= left) & (x < left + wide) & (y > shore - tall) & (y <= shore)
            base = np.array([0.012, 0.012, 0.022]) * (1.6 - 0.35 * layer)
            light = np.where(body[..., None], base, light)
            wx, wy = np.floor((x - left) / 6), np.floor((y - shore + tall) / 8)
            on = lattice(
                wx.astype(np.int64) & 0xFFFF,
                wy.astype(np.int64) & 0xFFFF,
                seed + int(left) % 997 + 31 * layer,
            )
            pane = (
                ((x - left) % 6 > 1.6)
                & ((x - left) % 6 < 4.8)
                & ((y - shore + tall) % 8 > 2)
                & ((y - shore + tall) % 8 < 6)
            )
            warm = mix(
                np.array([1.7, 1.0, 0.38]),
                np.array([1.1, 1.3, 1.5]),
                step(0.9, 0.95, (on * 7.3) % 1),
            )
            lamp = body & pane & (on > 0.62) & (x - left > 3) & (x - left < wide - 3)
            light = np.where(
                lamp[..., None], warm * dim * (0.35 + 1.1 * ((on * 13.7) % 1))[..., None], light
            )
            left += wide * rng.uniform(0.75, 1.15)
    rows = np.clip(2 * shore - y + 0, 0, height - 1)
    sway = (fractal(x / 22, y / 2.6, 4, seed + 4) - 0.5) * (6 + (y - shore) * 0.18)
    stretch = (fractal(x / 9 + 5, y / 5, 3, seed + 5) - 0.5) * (10 + (y - shore) * 0.35)
    ry = np.clip(rows + stretch, 0, shore).astype(int)
    rx = np.clip(x + sway, 0, width - 1).astype(int)
    mirrored = light[ry, rx]
    for shift in (-9, -5, -2, 2, 5, 9, 14):
        mirrored = mirrored + light[np.clip(ry + shift, 0, int(shore)), rx]
    mirrored = mirrored / 8 * np.array([0.75, 0.8, 0.9]) * 0.9 + np.array([0.002, 0.004, 0.01])
    return np.where((y > shore)[..., None], mirrored, light) * 1.5


def portrait_flower(width, height, seed):
    """A flower before a blurred meadow."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    short = min(width, height)
    u, v = (x - width * 0.5) / short, (y - height * 0.42) / short
    back = mix(
        np.array([0.05, 0.11, 0.025]),
        np.array([0.22, 0.34, 0.09]),
        step(0.3, 0.75, fractal(u * 2.1 + 8, v * 2.1 + 3, 3, seed)),
    )
    back = mix(
        back,
        np.array([0.55, 0.60, 0.42]),
        step(0.62, 0.85, fractal(u * 3 + 2, v * 3, 2, seed + 1)) * 0.5,
    )
    rng = np.random.default_rng(seed)
    for _ in range(26):  # lights out of focus
        cx, cy, r = rng.uniform(-0.6, 0.6), rng.uniform(-0.8, 0.9), rng.uniform(0.025, 0.075)
        disc = step(r, r * 0.88, np.hypot(u - cx, v - cy))
        back = back + np.array([0.30, 0.33, 0.16]) * (disc * rng.uniform(0.06, 0.3))[..., None]
    stem = step(0.019, 0.013, np.abs(u - 0.05 * np.sin(v * 3.2))) * (v > 0)
    light = mix(
        back,
        np.array([0.10, 0.20, 0.04]) * (1.4 - 18 * (u - 0.05 * np.sin(v * 3.2)))[..., None],
        stem,
    )
    r, a = np.hypot(u, v * 1.12), np.arctan2(v * 1.12, u)
    for ring, (count, length, turn) in enumerate(
        ((17, 0.33, 0.1), (15, 0.29, 0.35), (13, 0.235, 0.2))
    ):
        wave = a * count / (2 * np.pi) + turn
        index = np.floor(wave)
        f = wave - index - 0.5
        own = lattice(index.astype(np.int64) & 0xFF, np.full(x.shape, ring), seed + 3)
        reach = length * (0.88 + 0.2 * own)
        body = 0.47 * np.sqrt(np.clip(1 - (r / reach) ** 3.2, 0, 1)) * step(0.02, 0.12, r)
        petal = step(-0.03, 0.03, body - np.abs(f + (own - 0.5) * 0.14)) * step(
            reach, reach * 0.97, r
        )
        groove = (
            0.86
            + 0.14 * np.cos(f * 26) * step(0.0, 0.2, r)
            + 0.1 * (fractal(a * 30, r * 9, 3, seed + 6) - 0.5)
        )
        tint = mix(
            np.array([0.86, 0.50, 0.04]),
            np.array([0.95, 0.80, 0.22]),
            np.clip(r / reach, 0, 1) ** 0.8,
        )
        shade = (
            (0.55 + 0.22 * ring) * (0.62 + 0.38 * np.clip(r / reach, 0, 1)) * (0.82 + 0.36 * own)
        )
        shade = shade * (1 - 0.35 * step(0.25, 0.47, np.abs(f)))
        light = mix(light, tint * (groove * shade * (1.05 - 0.5 * v))[..., None], petal)
    angle = np.arange(420) * 2.39996323
    seeds_r = 0.0054 * np.sqrt(np.arange(420))
    disc = np.array([0.13, 0.06, 0.02]) * np.ones(light.shape)
    near = np.full(x.shape, 9.0)
    for sx, sy in zip(seeds_r * np.cos(angle), seeds_r * np.sin(angle) / 1.12):
        near = np.minimum(near, np.hypot(u - sx, v - sy))
    disc = (
        disc
        + np.array([0.50, 0.27, 0.06])
        * (step(0.0058, 0.001, near) * (0.35 + 0.8 * step(0.03, 0.11, r)))[..., None]
    )
    return mix(light, disc * (1.1 - 1.2 * v)[..., None], step(0.118, 0.108, r))


# the twelve


def save(name, picture, **options):
    Image.fromarray(picture).save(OUT / name, **options)
    print(name, picture.shape[1], picture.shape[0], (OUT / name).stat().st_size)


def landscapes():
    alpine = ((0.10, 0.16, 0.05), (0.26, 0.235, 0.21), (0.86, 0.89, 0.95))
    desert = ((0.50, 0.30, 0.15), (0.42, 0.20, 0.10), (0.58, 0.38, 0.22))
    coast = ((0.16, 0.20, 0.07), (0.30, 0.27, 0.23), (0.35, 0.33, 0.25))
    light = landscape(
        1280,
        960,
        15,
        (-0.7, 0.45, -0.25),
        alpine,
        relief=2.6,
        scale=0.13,
        snow=1.7,
        eye=2.2,
        pitch=-0.05,
        start=(20.0, 60.0),
    )
    save("mountains.jpg", photograph(smaller(light, 2), 1), quality=84)
    light = landscape(
        1680,
        672,
        23,
        (0.55, 0.22, 0.8),
        desert,
        relief=1.5,
        scale=0.11,
        ridged=False,
        clouds=0.25,
        zenith=(0.16, 0.25, 0.50),
        horizon=(0.88, 0.62, 0.42),
        haze=0.04,
        eye=0.8,
        pitch=-0.05,
    )
    save("desert_panorama.jpg", photograph(smaller(light, 2), 2), quality=84)
    light = landscape(
        1280,
        854,
        37,
        (0.35, 0.30, 0.9),
        coast,
        relief=2.4,
        sea=0.25,
        eye=0.55,
        pitch=-0.03,
        clouds=0.55,
        horizon=(0.80, 0.70, 0.62),
        start=(14.0, 41.0),
    )
    save("lake.jpg", photograph(smaller(light, 2), 3), quality=84, progressive=True)
    light = landscape(
        800,
        1120,
        52,
        (-0.5, 0.5, -0.3),
        alpine,
        relief=3.2,
        scale=0.13,
        snow=1.5,
        eye=2.0,
        pitch=0.1,
        haze=0.03,
        clouds=0.62,
        start=(5.0, 5.0),
    )
    save("peak_portrait.jpg", photograph(smaller(light, 2), 4), quality=84)


def still_lifes():
    fruit = [
        Sphere((-1.05, 0.62, 0.1), 0.62, (0.50, 0.035, 0.03), "apple", 5),
        Sphere((0.35, 0.55, -0.5), 0.55, (0.86, 0.33, 0.03), "orange", 8),
        Sphere((1.35, 0.60, 0.55), 0.60, (0.30, 0.42, 0.05), "apple", 12),
        Sphere((0.1, 0.50, 1.15), 0.50, (0.84, 0.36, 0.04), "orange", 4),
    ]
    light = still_life(640, 480, fruit, lambda x, z: cloth(x, z, 3), 1)
    save("fruit.webp", photograph(light, 5), quality=82, method=6)
    balls = [
        Sphere((-0.95, 0.7, 0.3), 0.7, (0.62, 0.64, 0.66), "chrome"),
        Sphere((0.65, 0.5, -0.35), 0.5, (0.90, 0.87, 0.80), "marble", 3),
        Sphere((0.05, 0.28, -1.15), 0.28, (0.03, 0.10, 0.42), "marble", 9),
        Sphere((1.5, 0.75, 1.0), 0.75, (0.06, 0.25, 0.14), "marble", 21),
    ]
    light = still_life(560, 560, balls, lambda x, z: wood(x, z, 4), 2, eye=(0.4, 2.0, -4.9))
    save("marbles.jpg", photograph(light, 6), quality=85)
    row = [
        Sphere((i * 1.02, 0.45, (i % 3) * 0.3), 0.45, colour, kind, i + 40)
        for i, (colour, kind) in zip(
            range(-5, 6),
            [
                ((0.45, 0.04, 0.03), "apple"),
                ((0.85, 0.34, 0.03), "orange"),
                ((0.62, 0.64, 0.66), "chrome"),
                ((0.85, 0.82, 0.75), "marble"),
                ((0.33, 0.40, 0.05), "apple"),
                ((0.86, 0.36, 0.04), "orange"),
                ((0.48, 0.05, 0.03), "apple"),
                ((0.10, 0.12, 0.40), "marble"),
                ((0.84, 0.33, 0.03), "orange"),
                ((0.62, 0.64, 0.66), "chrome"),
                ((0.42, 0.03, 0.03), "apple"),
            ],
        )
    ]
    light = still_life(
        1008,
        288,
        row,
        lambda x, z: wood(x, z, 7),
        3,
        eye=(0, 1.2, -4.6),
        look=(0, 0.42, 0),
        field=0.62,
    )
    save("shelf_wide.jpg", photograph(light, 7), quality=86)


def others():
    save("brick_wall.jpg", photograph(bricks(600, 450, 5), 8), quality=72)
    save("town_at_night.jpg", photograph(night(600, 400, 9), 9, grain=0.006), quality=72)
    save("flower.jpg", photograph(smaller(portrait_flower(800, 1200, 6), 2), 10), quality=86)
    save(
        "flower_tall.webp",
        photograph(smaller(portrait_flower(400, 1360, 14), 2), 11),
        quality=84,
        method=6,
    )
    colour, alpha = leaf(440, 560, 3)
    picture = np.dstack(
        [
            photograph(smaller(colour, 2), 12, grain=0.0, vignette=0.0),
            (smaller(alpha[..., None], 2) * 255 + 0.5).astype(np.uint8),
        ]
    )
    picture[picture[..., 3] == 0] = 0
    save("leaf.png", picture, optimize=True)


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    scenes = {"landscapes": landscapes, "still_lifes": still_lifes, "others": others}
    for scene in sys.argv[1:] or scenes:
        scenes[scene]()
