#!/usr/bin/env python3
"""Makes deploy/sample/tiny-clip: a CLIP so small that it lies in the repository, for the quick
start and for tests of whole programs. Its weights are random numbers: it has the files, the shapes
and the arithmetic of a real one, and knows nothing. The result is CC0.

Its byte pairs are learnt from the shipped labels, so that every prompt fits into its 77 tokens.

Needs numpy, safetensors and tokenizers:
    python3 tests/golden/make_tiny_clip.py
"""

import json
import pathlib

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "deploy" / "sample" / "tiny-clip"
START, END = "<|startoftext|>", "<|endoftext|>"
SIDE, PATCH, CONTEXT, PROJECTION = 64, 16, 77, 32
VISION = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
          "num_attention_heads": 4}
TEXT = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4}
MERGES = 700


def prompts():
    labels = json.loads((ROOT / "deploy/labels/default.json").read_text())
    return [f"a photo of {text}." for group in labels.values() for text in group.values()]


def pipeline(model):
    """As the tokenizer.json of the published CLIP models has it."""
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    words = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]"
    split = pre_tokenizers.Split(Regex(words + r"|[^\s\p{L}\p{N}]+"), "removed", invert=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    return tokenizer


def make_tokenizer():
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    learner = pipeline(models.BPE(end_of_word_suffix="</w>"))
    learner.train_from_iterator(prompts(), trainers.BpeTrainer(
        vocab_size=10**6, min_frequency=3, initial_alphabet=letters, end_of_word_suffix="</w>",
        show_progress=False))
    learnt = json.loads(learner.to_str())["model"]["merges"][:MERGES]
    merges = [tuple(pair) for pair in learnt]
    tokens = letters + [letter + "</w>" for letter in letters] + ["".join(pair) for pair in merges]
    vocab = {token: number for number, token in enumerate(tokens + [START, END])}
    tokenizer = pipeline(models.BPE(vocab, merges, unk_token=END, end_of_word_suffix="</w>"))
    tokenizer.post_processor = processors.RobertaProcessing(
        (END, vocab[END]), (START, vocab[START]), trim_offsets=False, add_prefix_space=False)
    tokenizer.add_special_tokens([START, END])
    longest = max(len(encoding.ids) for encoding in tokenizer.encode_batch(prompts()))
    assert longest <= CONTEXT, longest
    return tokenizer, len(vocab)


def make_weights(vocab):
    """Larger than a training would start with, so that different pictures get different labels."""
    random = np.random.default_rng(2026)
    tensors = {}

    def put(name, *shape, scale=1.0, shift=0.0):
        tensors[name] = (random.standard_normal(shape) * scale + shift).astype(np.float16)

    def norm(name, width):
        put(f"{name}.weight", width, scale=0.1, shift=1.0)
        put(f"{name}.bias", width, scale=0.1)

    def linear(name, rows, columns):
        put(f"{name}.weight", rows, columns, scale=1.5 / columns**0.5)
        put(f"{name}.bias", rows, scale=0.1)

    def tower(name, sizes):
        width, inner = sizes["hidden_size"], sizes["intermediate_size"]
        for number in range(sizes["num_hidden_layers"]):
            layer = f"{name}.encoder.layers.{number}"
            for part in "q_proj", "k_proj", "v_proj", "out_proj":
                linear(f"{layer}.self_attn.{part}", width, width)
            linear(f"{layer}.mlp.fc1", inner, width)
            linear(f"{layer}.mlp.fc2", width, inner)
            norm(f"{layer}.layer_norm1", width)
            norm(f"{layer}.layer_norm2", width)

    width, inputs = VISION["hidden_size"], 3 * PATCH * PATCH
    put("vision_model.embeddings.class_embedding", width, scale=0.5)
    put("vision_model.embeddings.patch_embedding.weight", width, 3, PATCH, PATCH,
        scale=2.0 / inputs**0.5)
    put("vision_model.embeddings.position_embedding.weight", (SIDE // PATCH)**2 + 1, width,
        scale=0.3)
    norm("vision_model.pre_layrnorm", width)
    tower("vision_model", VISION)
    norm("vision_model.post_layernorm", width)
    put("visual_projection.weight", PROJECTION, width, scale=width**-0.5)
    width = TEXT["hidden_size"]
    put("text_model.embeddings.token_embedding.weight", vocab, width)
    put("text_model.embeddings.position_embedding.weight", CONTEXT, width, scale=0.2)
    tower("text_model", TEXT)
    norm("text_model.final_layer_norm", width)
    put("text_projection.weight", PROJECTION, width, scale=width**-0.5)
    tensors["logit_scale"] = np.array(2.6592, np.float32)
    return tensors


def dump(name, value):
    (OUT / name).write_text(json.dumps(value, indent=2) + "\n")


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    tokenizer, vocab = make_tokenizer()
    text = json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":"))
    (OUT / "tokenizer.json").write_text(text + "\n")
    save_file(make_weights(vocab), OUT / "model.safetensors", metadata={"format": "pt"})
    shared = {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "projection_dim": PROJECTION}
    dump("config.json", {
        "architectures": ["CLIPModel"], "model_type": "clip", "projection_dim": PROJECTION,
        "logit_scale_init_value": 2.6592,
        "vision_config": {**VISION, **shared, "image_size": SIDE, "patch_size": PATCH,
                          "num_channels": 3, "model_type": "clip_vision_model"},
        "text_config": {**TEXT, **shared, "vocab_size": vocab,
                        "max_position_embeddings": CONTEXT, "bos_token_id": vocab - 2,
                        "eos_token_id": vocab - 1, "pad_token_id": vocab - 1,
                        "model_type": "clip_text_model"},
    })
    dump("preprocessor_config.json", {
        "feature_extractor_type": "CLIPFeatureExtractor", "do_resize": True, "size": SIDE,
        "do_center_crop": True, "crop_size": SIDE, "do_normalize": True, "resample": 3,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    })
    for path in sorted(OUT.iterdir()):
        print(f"{path.stat().st_size:8} {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
