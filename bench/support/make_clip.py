"""Writes a CLIP of a published size with random weights: make_clip.py MODEL FOLDER.

The files are those of a published one (f32 weights, vision tower and its projection; without the
text tower), but no tokenizer. The sizes are those of torch_clip.py.
"""

import json
import pathlib
import sys

import numpy as np
from safetensors.numpy import save_file

from torch_clip import MODELS


def weights(name):
    hidden, inner, layers, _, side, patch, projection = MODELS[name]
    random = np.random.default_rng(1)
    tokens = (side // patch) ** 2 + 1

    def normal(*shape, scale=0.02):
        values = random.standard_normal(shape, dtype=np.float32)
        values *= scale
        return values

    tensors = {
        "vision_model.embeddings.class_embedding": normal(hidden),
        "vision_model.embeddings.patch_embedding.weight": normal(hidden, 3, patch, patch),
        "vision_model.embeddings.position_embedding.weight": normal(tokens, hidden),
        "visual_projection.weight": normal(projection, hidden),
    }

    def norm(prefix):
        tensors[f"{prefix}.weight"] = np.ones(hidden, np.float32)
        tensors[f"{prefix}.bias"] = np.zeros(hidden, np.float32)

    def linear(prefix, rows, columns):
        tensors[f"{prefix}.weight"] = normal(rows, columns)
        tensors[f"{prefix}.bias"] = normal(rows)

    norm("vision_model.pre_layrnorm")
    norm("vision_model.post_layernorm")
    for number in range(layers):
        layer = f"vision_model.encoder.layers.{number}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            linear(f"{layer}.self_attn.{part}", hidden, hidden)
        linear(f"{layer}.mlp.fc1", inner, hidden)
        linear(f"{layer}.mlp.fc2", hidden, inner)
        norm(f"{layer}.layer_norm1")
        norm(f"{layer}.layer_norm2")
    return tensors


def main():
    name, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    hidden, inner, layers, heads, side, patch, projection = MODELS[name]
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "model_type": "clip_vision_model", "hidden_size": hidden, "intermediate_size": inner,
        "num_hidden_layers": layers, "num_attention_heads": heads, "image_size": side,
        "patch_size": patch, "projection_dim": projection, "hidden_act": "quick_gelu",
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    preprocessor = {
        "crop_size": side, "do_center_crop": True, "do_normalize": True, "do_resize": True,
        "feature_extractor_type": "CLIPFeatureExtractor", "resample": 3, "size": side,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor, indent=1))
    save_file(weights(name), folder / "model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    main()
