#!/usr/bin/env python3
"""Compares a full-size CLIP with transformers: random weights, ViT-L/14-336 unless told otherwise.

Needs torch, transformers, safetensors, numpy and Pillow as make_clip.py does, 4 GB of memory and
2 GB of disk, and our program:
    cmake --preset release -B build/bench -DVLMQ_TESTS=OFF -DVLMQ_BENCH=ON
    ninja -C build/bench bench_clip_features
    python3 tests/golden/clip_full.py FOLDER
FOLDER is outside of the repository; the checkpoint and what transformers makes of it stay there, so
that a second run only measures us. Prints for each type of numbers the relative L2 to transformers
in f32 of each feature, and for comparison that of transformers in bf16 itself.
"""

import argparse
import json
import pathlib
import subprocess
import sys

import numpy
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "build" / "bench" / "bench" / "bench_clip_features"
# Of vision: width, MLP, layers, heads, picture, patch; of text: width, MLP, heads; the embedding.
SIZES = {
    "L14-336": ((1024, 4096, 24, 16, 336, 14), (768, 3072, 12), 768),
    "L14": ((1024, 4096, 24, 16, 224, 14), (768, 3072, 12), 768),
    "B16": ((768, 3072, 12, 12, 224, 16), (512, 2048, 8), 512),
    "B32": ((768, 3072, 12, 12, 224, 32), (512, 2048, 8), 512),
}
END = 49407


def make_model(size):
    import torch
    from transformers import CLIPConfig, CLIPModel

    (width, mlp, layers, heads, side, patch), (t_width, t_mlp, t_heads), projection = SIZES[size]
    vision = {"hidden_size": width, "intermediate_size": mlp, "num_hidden_layers": layers}
    vision |= {"num_attention_heads": heads, "image_size": side, "patch_size": patch}
    text = {"hidden_size": t_width, "intermediate_size": t_mlp, "num_hidden_layers": 12}
    text |= {"num_attention_heads": t_heads, "bos_token_id": 0, "eos_token_id": 2}
    config = CLIPConfig(vision_config=vision, text_config=text, projection_dim=projection)
    torch.manual_seed(1)
    model = CLIPModel(config).eval()
    for name, parameter in model.named_parameters():  # what transformers leaves at 1 and 0
        if "norm" in name and name.endswith("weight"):
            parameter.data += 0.2 * torch.randn_like(parameter)
        elif name.endswith("bias"):
            parameter.data += 0.05 * torch.randn_like(parameter)
    return model


def make_pictures(count, side):
    """Shapes and grain, as pictures have both."""
    random = numpy.random.default_rng(2)
    pictures = []
    for _ in range(count):
        coarse = random.integers(0, 256, (7, 7, 3), dtype=numpy.uint8)
        picture = numpy.asarray(Image.fromarray(coarse).resize((side, side), Image.BICUBIC))
        grain = random.integers(-20, 21, picture.shape)
        pictures.append(numpy.clip(picture + grain, 0, 255).astype(numpy.uint8))
    return numpy.stack(pictures)


def make_texts(count):
    random = numpy.random.default_rng(3)
    ids = numpy.full((count, 77), END, dtype=numpy.int64)
    for row in range(count):
        length = int(random.integers(1, 75))
        ids[row, 0] = END - 1
        ids[row, 1 : 1 + length] = random.integers(0, END - 1, length)
    return ids


def features(model, pixels, ids):
    import torch

    batch = [model.vision_model(one[None], output_hidden_states=True) for one in pixels]
    hidden = [torch.cat([out.hidden_states[k] for out in batch]).float() for k in (-1, -2)]
    pooled = torch.cat([out.pooler_output for out in batch])
    images = model.visual_projection(pooled).float()
    texts = model.get_text_features(input_ids=ids).pooler_output.float()
    return {
        "tokens": hidden[0][:, 1:].contiguous(),
        "tokens_before": hidden[1][:, 1:].contiguous(),
        "cls": hidden[0][:, 0].contiguous(),
        "image_embedding": images / images.norm(dim=-1, keepdim=True),
        "text_embedding": texts / texts.norm(dim=-1, keepdim=True),
    }


def make(folder, arguments):
    """The checkpoint, the inputs, and what transformers makes of them in f32 and in bf16."""
    import torch
    from safetensors.torch import save_file
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    torch.set_grad_enabled(False)
    folder.mkdir(parents=True, exist_ok=True)
    side = SIZES[arguments.size][0][4]
    model = make_model(arguments.size)
    model.save_pretrained(folder, max_shard_size="20GB")
    processor = CLIPImageProcessorPil(size=side, crop_size=side)
    processor.save_pretrained(folder)
    pictures, ids = make_pictures(arguments.pictures, side), make_texts(arguments.texts)
    pictures.tofile(folder / "pixels")
    ids.astype(numpy.uint32).tofile(folder / "ids")
    pixels = processor(list(pictures), return_tensors="pt")["pixel_values"]
    ids = torch.from_numpy(ids)
    want = features(model, pixels, ids)
    model = model.to(torch.bfloat16)
    save_file(features(model, pixels.to(torch.bfloat16), ids), folder / "bf16.st")
    save_file(want, folder / "f32.st")  # last: it tells that all is there


def load(path):
    from safetensors.numpy import load_file

    return load_file(path)


def distance(got, want):
    got, want = got.astype(numpy.float64), want.astype(numpy.float64)
    return numpy.linalg.norm(got - want) / numpy.linalg.norm(want)


def ours(folder, arguments, dtype, state):
    out = folder / f"ours_{dtype}.st"
    argv = [arguments.program, folder, "--pixels", folder / "pixels", "--ids", folder / "ids"]
    argv += ["--out", out, "--dtype", dtype, "--device", arguments.device]
    argv += ["--hidden-state", str(state)]
    done = subprocess.run([str(part) for part in argv], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return load(out), json.loads(done.stdout)


def show(name, got, want):
    parts = [f"{key} {distance(got[key], want[key]):.2g}" for key in want if key in got]
    print(f"{name:18} " + ", ".join(parts), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--size", choices=SIZES, default="L14-336")
    parser.add_argument("--pictures", type=int, default=3)
    parser.add_argument("--texts", type=int, default=8)
    parser.add_argument("--program", type=pathlib.Path, default=PROGRAM)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", action="append", choices=("F32", "BF16", "F16", "I8"))
    arguments = parser.parse_args()
    if not (arguments.folder / "f32.st").exists():
        make(arguments.folder, arguments)
    want = load(arguments.folder / "f32.st")
    show("transformers BF16", load(arguments.folder / "bf16.st"), want)
    for dtype in arguments.dtype or ("F32", "BF16", "F16", "I8"):
        got, took = ours(arguments.folder, arguments, dtype, -1)
        got["tokens_before"] = ours(arguments.folder, arguments, dtype, -2)[0]["tokens"]
        show(f"ours {dtype}", got, want)
        print(json.dumps(took), flush=True)


if __name__ == "__main__":
    main()
