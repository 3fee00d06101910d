#!/usr/bin/env python3
"""Writes tests/golden/preprocess.txt: what CLIP's image processors make of made-up pictures.

Needs numpy, Pillow, torch, torchvision and transformers (made with 2.4.6, 13.0.0, 2.15.0, 0.29.2
and 5.23.0):
    python3 tests/golden/make_preprocess.py
The pictures are the formula of make_resize.py, which tests/unit/pipe/preprocess_test.c repeats.
Lines, fields apart by blanks, the last one JSON, a preprocessor_config.json:
    hf WIDTH HEIGHT CHANNELS SIDE SHA-256 JSON      bytes [SIDE, SIDE, 3] before they are scaled, of
                                                    transformers' CLIPImageProcessorPil
    openai WIDTH HEIGHT CHANNELS SIDE SHA-256 JSON  the same of torchvision's Resize and CenterCrop,
                                                    which openai/CLIP uses
    table SHA-256 JSON                              f32 [3, 256]: what each level becomes, of
                                                    transformers' CLIPImageProcessorPil
"""

import hashlib
import json
import pathlib

import numpy
from make_resize import noise
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

HERE = pathlib.Path(__file__).parent
SIZES = [
    (640, 480), (480, 640), (500, 375), (333, 500), (224, 224), (225, 224), (224, 225),
    (227, 224), (224, 229), (447, 300), (300, 447), (1, 1), (1, 7), (7, 1), (1, 300), (300, 2),
    (3, 2), (97, 89), (2000, 31), (31, 2000), (50, 49), (49, 50), (1024, 683), (223, 223),
    (222, 400), (447, 448),
]
SMALL_SIZES = [(30, 20), (31, 20), (5, 40), (5, 41), (6, 40), (25, 26), (1, 1), (60, 61), (200, 3)]


def picture(width, height, channels):
    data = noise(width * height * channels).reshape(height, width, channels)
    return Image.fromarray(data[:, :, 0] if channels == 1 else data)


def by_transformers(config, image):
    processor = CLIPImageProcessorPil(**config)
    pixels = processor(image, do_rescale=False, do_normalize=False, return_tensors="np")
    out = numpy.asarray(pixels["pixel_values"])[0]
    assert out.dtype == numpy.uint8 and out.shape[0] == 3
    return numpy.ascontiguousarray(out.transpose(1, 2, 0))


def by_torchvision(side, image):
    transform = Compose([Resize(side, interpolation=InterpolationMode.BICUBIC), CenterCrop(side)])
    return numpy.asarray(transform(image.convert("RGB")))


def line(kind, size, channels, config, out):
    digest = hashlib.sha256(out.tobytes()).hexdigest()
    width, height = size
    return f"{kind} {width} {height} {channels} {out.shape[0]} {digest} {json.dumps(config)}"


def hf_lines():
    old = {"crop_size": 224, "size": 224, "resample": 3}
    for number, size in enumerate(SIZES):
        channels = 3 if number % 4 else 1
        yield line("hf", size, channels, old, by_transformers(old, picture(*size, channels)))
    configs = [{"size": {"shortest_edge": 24}, "crop_size": {"height": 27, "width": 27}}]
    configs += [{"size": {"shortest_edge": 33}, "crop_size": 27, "resample": n} for n in range(5)]
    configs += [{"do_resize": False, "crop_size": side} for side in (26, 27)]
    configs += [{"do_center_crop": False, "size": {"height": 27, "width": 27}}]
    configs += [{"size": {"height": 21, "width": 40}, "crop_size": 28}]
    for config in configs:
        for number, size in enumerate(SMALL_SIZES):
            channels = 3 if number % 3 else 1
            out = by_transformers(config, picture(*size, channels))
            yield line("hf", size, channels, config, out)


def openai_lines():
    for side in (224, 25):
        config = {"size": side, "crop_size": side}
        for size in SIZES + SMALL_SIZES:
            yield line("openai", size, 3, config, by_torchvision(side, picture(*size, 3)))


def table_lines():
    levels = numpy.arange(256, dtype=numpy.uint8).reshape(16, 16)
    image = Image.fromarray(numpy.stack([levels] * 3, axis=2))
    rescaled = {"do_normalize": False}
    configs = [{}, {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}, rescaled]
    configs += [{"do_rescale": False}, {"rescale_factor": 1 / 127.5, "image_mean": 1.0}]
    configs += [{"do_rescale": False, "do_normalize": False}]
    configs += [{"image_mean": [0.1, 0.2, 1 / 3], "image_std": [0.7, 3.1, 1 / 3]}]
    for config in configs:
        processor = CLIPImageProcessorPil(**config, do_resize=False, do_center_crop=False)
        out = numpy.asarray(processor(image, return_tensors="np")["pixel_values"])[0]
        digest = hashlib.sha256(out.astype(numpy.float32).tobytes()).hexdigest()
        yield f"table {digest} {json.dumps(config)}"


def main():
    lines = ["# Made by make_preprocess.py, which says what is in a line."]
    lines += [*hf_lines(), *openai_lines(), *table_lines()]
    (HERE / "preprocess.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
