#!/usr/bin/env python3
"""Writes tests/golden/nn/config/*: configurations, and what transformers makes of them.

Needs transformers and pillow (made with 5.23.0 and 13.0.0), but not torch:
    python3 tests/golden/make_nn_config.py
clip_*.json are config.json of models, expected.txt has a line for each: the file; of the vision
tower hidden size, MLP, layers, heads, embedding, activation, epsilon, channels, picture, patch; of
the text tower the same up to epsilon, vocabulary, positions, ids of begin, end, padding; the
initial logit scale. "-" stands for a tower that is not there. preprocessor_*.json are
preprocessor_config.json; their lines: the five steps, shortest edge or height and width, filter,
crop, factor, means, deviations. Real numbers are printed with 17 digits.
"""

import json
import pathlib

from transformers import CLIPConfig, CLIPTextConfig, CLIPVisionConfig
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

FOLDER = pathlib.Path(__file__).parent / "nn" / "config"
CLASSES = {"clip_vision_model": CLIPVisionConfig, "clip_text_model": CLIPTextConfig}

L14 = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 336,
    "patch_size": 14,
    "projection_dim": 768,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-05,
    "model_type": "clip_vision_model",
}
L14_TEXT = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_attention_heads": 12,
    "projection_dim": 768,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 1,
    "id2label": {"0": "LABEL_0", "1": "LABEL_1"},
    "architectures": None,
}
SMALL = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
}

MODELS = {
    "bare": {"model_type": "clip"},
    "l14": {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": 768,
        "logit_scale_init_value": 2.6592,
        "vision_config": L14,
        "text_config": L14_TEXT,
        "vision_config_dict": None,
        "text_config_dict": None,
        "torch_dtype": "float32",
    },
    # As in the conversions of open_clip's models: the old field counts, and its defaults too.
    "old": {
        "model_type": "clip",
        "projection_dim": 24,
        "vision_config": SMALL | {"hidden_act": "quick_gelu", "patch_size": 7},
        "vision_config_dict": SMALL
        | {"hidden_act": "gelu", "image_size": 64, "num_hidden_layers": 3},
        "text_config": {"hidden_size": 64, "num_hidden_layers": 5},
        "text_config_dict": {"hidden_size": 32},
    },
    "tiny": {
        "model_type": "clip",
        "projection_dim": 16,
        "logit_scale_init_value": 3,
        "vision_config": SMALL | {"image_size": 30, "patch_size": 6, "hidden_act": "gelu"},
        "text_config": SMALL
        | {"vocab_size": 99, "max_position_embeddings": 12, "layer_norm_eps": 1e-6}
        | {"bos_token_id": None},
    },
    "vision": L14,
    "vision_bare": {"model_type": "clip_vision_model", "projection_dim": 40},
    "text": L14_TEXT | {"model_type": "clip_text_model", "eos_token_id": 49407},
}

OPENAI = {
    "crop_size": 336,
    "do_center_crop": True,
    "do_normalize": True,
    "do_resize": True,
    "feature_extractor_type": "CLIPFeatureExtractor",
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
    "size": 336,
}
PROCESSORS = {
    "bare": {},
    "openai": OPENAI,
    "dicts": OPENAI
    | {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 30},
        "crop_size": {"height": 30, "width": 40},
        "do_rescale": True,
        "rescale_factor": 0.00392156862745098,
        "do_convert_rgb": True,
    },
    "odd": {
        "size": {"height": 40, "width": 56},
        "crop_size": {"height": 33, "width": 17},
        "resample": 2,
        "do_center_crop": False,
        "do_convert_rgb": False,
        "do_normalize": False,
        "do_rescale": False,
        "do_resize": False,
        "rescale_factor": 0.5,
        "image_mean": [0.5, 0, -1],
        "image_std": [0.5, 1, 2],
    },
    # As CLIPProcessor of transformers 5 saves it.
    "nested": {
        "image_processor": {
            "size": {"shortest_edge": 28},
            "image_processor_type": "CLIPImageProcessor",
        },
        "processor_class": "CLIPProcessor",
    },
}


def tower(config, projection_dim):
    sizes = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    rest = config.num_attention_heads, projection_dim, config.hidden_act
    return *sizes, *rest, "%.17g" % config.layer_norm_eps


def number(value):
    return -1 if value is None else value


def model_line(config):
    vision, text, scale = config, config, "2.6591999999999998"
    if config.model_type == "clip":
        vision, text = config.vision_config, config.text_config
        scale = "%.17g" % config.logit_scale_init_value
    fields = []
    if config.model_type != "clip_text_model":
        fields += tower(vision, config.projection_dim)
        fields += vision.num_channels, vision.image_size, vision.patch_size
    else:
        fields += "-"
    if config.model_type != "clip_vision_model":
        fields += tower(text, config.projection_dim)
        fields += text.vocab_size, text.max_position_embeddings
        fields += map(number, (text.bos_token_id, text.eos_token_id, text.pad_token_id))
    else:
        fields += "-"
    return " ".join(map(str, [*fields, scale]))


def processor_line(file):
    fields = file.get("image_processor", file)
    made = CLIPImageProcessorPil(**{k: v for k, v in fields.items() if not k.endswith("_type")})
    steps = made.do_convert_rgb, made.do_resize, made.do_center_crop
    steps += made.do_rescale, made.do_normalize
    size = dict(made.size)
    sides = [size["shortest_edge"]] if "shortest_edge" in size else [size["height"], size["width"]]
    reals = [made.rescale_factor, *made.image_mean, *made.image_std]
    crop = made.crop_size["height"], made.crop_size["width"]
    return " ".join(map(str, [*map(int, steps), *sides, int(made.resample), *crop])) + "".join(
        " %.17g" % real for real in reals
    )


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    lines = []
    for name, file in MODELS.items():
        path = FOLDER / f"clip_{name}.json"
        path.write_text(json.dumps(file, indent=2) + "\n")
        config = CLASSES.get(file["model_type"], CLIPConfig).from_dict(json.loads(path.read_text()))
        lines.append(f"{path.name} {model_line(config)}\n")
    for name, file in PROCESSORS.items():
        path = FOLDER / f"preprocessor_{name}.json"
        path.write_text(json.dumps(file, indent=2) + "\n")
        lines.append(f"{path.name} {processor_line(json.loads(path.read_text()))}\n")
    (FOLDER / "expected.txt").write_text("".join(lines))


main()
