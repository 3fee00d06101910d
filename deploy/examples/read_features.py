#!/usr/bin/env python3
"""Reads what `vlmq run encode` has written, and searches in it.

    read_features.py FOLDER                        what is there
    read_features.py FOLDER --like KEY             the images nearest to one of them
    read_features.py FOLDER --text TEXT --model DIR   the images nearest to a text

Needs numpy and safetensors; --text also torch and transformers, and the folder of the model that
the images were encoded with. Use it as a program, or take `shards` and `Index` from it.

A shard is NNNNN.safetensors, tensors with a row for each image that was encoded, and NNNNN.jsonl,
a line for each sample. A line's "row" says which row is its; samples without one have a "status"
that says why. Files of --feature-dtype bf16 need ml_dtypes besides: numpy has no such numbers.
"""

import argparse
import json
import pathlib
import sys

import numpy
from safetensors import safe_open
from safetensors.numpy import load_file


def shards(folder):
    """Yields (name, tensors, lines) of each shard, lines in the order of the tensors' rows."""
    for path in sorted(pathlib.Path(folder).glob("*.safetensors")):
        tensors = load_file(path)
        with open(path.with_suffix(".jsonl"), encoding="utf-8") as file:
            lines = [line for line in map(json.loads, file) if "row" in line]
        lines.sort(key=lambda line: line["row"])
        for name, tensor in tensors.items():
            if len(tensor) != len(lines):
                sys.exit(f"{path}: {name} has {len(tensor)} rows, and {len(lines)} lines name one")
        yield path.stem, tensors, lines


def metadata(folder):
    """How the features were made: model, dtype, hidden state, …, of the first shard."""
    for path in sorted(pathlib.Path(folder).glob("*.safetensors")):
        with safe_open(path, framework="numpy") as file:
            return file.metadata() or {}
    return {}


class Index:
    """All embeddings in memory: 3 GB for a million images of 768 numbers in f32."""

    def __init__(self, folder):
        self.lines, parts = [], []
        for name, tensors, lines in shards(folder):
            if "embedding" not in tensors:
                sys.exit(f"{name} has no embeddings; encode with --embedding")
            parts.append(tensors["embedding"].astype(numpy.float32))
            self.lines += [dict(line, shard=name) for line in lines]
        self.embedding = numpy.concatenate(parts) if parts else numpy.empty((0, 0), "float32")

    def nearest(self, query, top):
        """Pairs (cosine, line), the nearest first; embeddings and query are of length 1."""
        cosine = self.embedding @ query.astype(numpy.float32)
        best = numpy.argsort(-cosine, kind="stable")[:top]
        return [(float(cosine[i]), self.lines[i]) for i in best]

    def of_key(self, key):
        for i, line in enumerate(self.lines):
            if line["key"] == key:
                return self.embedding[i]
        sys.exit(f"no image with features has the key {key}")


def embed_text(text, model):
    """The text's embedding by Hugging Face's CLIP; labels and captions are embedded alike."""
    import torch
    from transformers import AutoTokenizer, CLIPModel

    tokens = AutoTokenizer.from_pretrained(model)([text], truncation=True, return_tensors="pt")
    clip = CLIPModel.from_pretrained(model)
    with torch.no_grad():
        pooled = clip.text_model(**tokens).pooler_output
        vector = clip.text_projection(pooled)[0].numpy()
    return vector / numpy.linalg.norm(vector)


def describe(line):
    label = (line.get("labels") or [{}])[0].get("label", "")
    return "\t".join([line["shard"], line["key"], label, line.get("caption", "")])


def summary(folder):
    for key, value in metadata(folder).items():
        print(f"{key}: {value}")
    for name, tensors, lines in shards(folder):
        shapes = ", ".join(f"{k} {v.dtype}{list(v.shape)}" for k, v in sorted(tensors.items()))
        print(f"{name}: {len(lines)} images; {shapes}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="the output of an encode job")
    parser.add_argument("--like", metavar="KEY", help="search images like this one")
    parser.add_argument("--text", help="search images for this text")
    parser.add_argument("--model", metavar="DIR", help="the model's folder, for --text")
    parser.add_argument("--top", type=int, default=10, help="how many (default 10)")
    args = parser.parse_args()
    if args.text and not args.model:
        parser.error("--text needs --model")
    if not args.like and not args.text:
        summary(args.folder)
        return
    index = Index(args.folder)
    query = embed_text(args.text, args.model) if args.text else index.of_key(args.like)
    for cosine, line in index.nearest(query, args.top):
        print(f"{cosine:.4f}\t{describe(line)}")


if __name__ == "__main__":
    main()
