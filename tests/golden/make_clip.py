#!/usr/bin/env python3
"""Writes tests/golden/clip/: tiny random CLIP checkpoints and what transformers makes of them.

Needs torch (CPU suffices), transformers, tokenizers, safetensors, numpy and Pillow (made with
2.15.0, 5.23.0, 0.23.3, 0.8.0, 2.4.6 and 13.0.0):
    python3 tests/golden/make_clip.py
A folder for each variant, with the files that a repository of such a model has, and
expected.safetensors, all from transformers in f32:
    hidden                [2, layers + 1, tokens, hidden]: hidden_states of the vision tower, of the
                          first two pictures
    image_embedding       [pictures, projection], of length 1; where there is a projection
    pooled_N              [pictures, N, hidden]: avg_pool2d of hidden_states[-1] without CLS
    ids                   i32 [texts, positions]
    text_embedding        [texts, projection], of length 1
The pictures are the formula of make_resize.py over the byte's index, all of a variant in a row
[pictures, side, side, 3], which tests/unit/nn/models/clip_test.c repeats. They go through
CLIPImageProcessorPil, so the arithmetic from bytes to numbers is in it too.

    both      quick_gelu, patches of 14 (588 numbers, no multiple of 8), a grid of 3 x 3 and pixels
              left over, heads of 8; eos_token_id 2 as published configurations have it; the files
              of a tokenizer; position_ids beside the weights, as old files have them
    sharded   gelu, patches of 16, 5 x 5, heads of 16; the first end of text counts; stored in bf16
              in several files with an index
    half      patches of 32, 2 x 2, stored in f16, CLIPVisionModelWithProjection
    vision    CLIPVisionModel: no projection, names without "vision_model."; heads of 64, bf16
    text      CLIPTextModelWithProjection
    long      heads of 64 with 82 tokens, and a causal text tower with 77: more than a tile of a
              kernel; bf16, one layer each, without hidden
"""

import json
import pathlib
import shutil

import numpy
import torch
from make_resize import noise
from safetensors import torch as st
from tokenizers import pre_tokenizers
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModel,
    CLIPVisionModelWithProjection,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

HERE = pathlib.Path(__file__).parent
OUT = HERE / "clip"
PICTURES = 3
START, END = "<|startoftext|>", "<|endoftext|>"
TEXTS = [
    "a photo of a cat",
    "",
    "two dogs",
    "the city skyline at night with bright lights and a full moon over it",
    "x",
]


def tower(hidden, mlp, layers, heads, **more):
    return {
        "hidden_size": hidden,
        "intermediate_size": mlp,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "projection_dim": 20,
        **more,
    }


def randomize(model, seed):
    """Numbers at which each part of the model matters, and so does each mistake."""
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if name == "logit_scale":
            parameter.data.fill_(3.5)
        elif "norm" in name and name.endswith("weight"):
            parameter.data = 1 + 0.3 * torch.randn_like(parameter)
        elif name.endswith("bias"):
            parameter.data = 0.3 * torch.randn_like(parameter)
        elif "embedding" in name and "patch" not in name:
            parameter.data = 0.5 * torch.randn_like(parameter)
        else:
            fan_in = parameter[0].numel()
            parameter.data = 1.2 * fan_in**-0.5 * torch.randn_like(parameter)
    return model.eval()


def save(name, model, dtype, **options):
    """Writes the model in dtype, and gives it back with those numbers in f32."""
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    model.to(dtype).save_pretrained(folder, **options)
    return folder, model.to(torch.float32)


def pictures(folder, side):
    processor = CLIPImageProcessorPil(crop_size=side, size=side)
    processor.save_pretrained(folder)
    data = noise(PICTURES * side * side * 3).reshape(PICTURES, side, side, 3)
    return processor(list(data), return_tensors="pt")["pixel_values"]


def unit(vectors):
    return vectors / vectors.norm(dim=-1, keepdim=True)


def see(vision, projection, pixels, pools, keeps_hidden=True):
    """The vision tower's part of expected.safetensors."""
    out = vision(pixels, output_hidden_states=True)
    hidden = torch.stack(out.hidden_states, dim=1)
    expected = {"hidden": hidden[:2]} if keeps_hidden else {}
    if projection is not None:
        expected["image_embedding"] = unit(projection(out.pooler_output))
    cells = hidden[:, -1, 1:]
    grid = int(cells.shape[1] ** 0.5)
    cells = cells.transpose(1, 2).reshape(PICTURES, -1, grid, grid)
    for window in pools:
        pooled = torch.nn.functional.avg_pool2d(cells, window).flatten(2).transpose(1, 2)
        expected[f"pooled_{pooled.shape[1]}"] = pooled.contiguous()
    return expected


def write(folder, expected):
    tensors = {name: value.detach().contiguous() for name, value in expected.items()}
    st.save_file(tensors, folder / "expected.safetensors")
    for path in folder.iterdir():
        path.chmod(0o644)


def make_tokenizer(folder):
    """The bytes, and the first merges of the vocabulary that make_clip_tokens.py trained."""
    merges = (HERE / "clip_tokens" / "merges.txt").read_text().splitlines()[1:31]
    characters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = characters + [c + "</w>" for c in characters]
    tokens += [merge.replace(" ", "") for merge in merges] + [START, END]
    vocab = {token: number for number, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    tokenizer.save_pretrained(folder)
    assert tokenizer.convert_tokens_to_ids(END) == len(vocab) - 1
    return tokenizer


def make_both():
    scratch = OUT / "tokenizer"
    scratch.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(scratch)
    words = len(tokenizer)
    vision = tower(16, 40, 3, 2, image_size=44, patch_size=14)
    text = tower(16, 36, 2, 2, vocab_size=words, max_position_embeddings=14)
    text |= {"bos_token_id": 0, "eos_token_id": 2}
    config = CLIPConfig(vision_config=vision, text_config=text, projection_dim=20)
    folder, model = save("both", randomize(CLIPModel(config), 1), torch.float32)
    for path in scratch.iterdir():
        path.rename(folder / path.name)
    scratch.rmdir()
    tensors = st.load_file(folder / "model.safetensors")
    tensors["vision_model.embeddings.position_ids"] = torch.arange(10).expand(1, -1).contiguous()
    tensors["text_model.embeddings.position_ids"] = torch.arange(14).expand(1, -1).contiguous()
    st.save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    expected = see(model.vision_model, model.visual_projection, pictures(folder, 44), (1, 3))
    batch = tokenizer(TEXTS, padding="max_length", max_length=14, truncation=True)
    ids, mask = torch.tensor(batch["input_ids"]), torch.tensor(batch["attention_mask"])
    padded = ids[2:3] * mask[2:3]  # the same with zeros behind its end, as openai/CLIP pads
    ids, mask = torch.cat([ids, padded]), torch.cat([mask, torch.ones_like(padded)])
    expected["ids"] = ids.to(torch.int32)
    out = model.get_text_features(input_ids=ids, attention_mask=mask).pooler_output
    expected["text_embedding"] = unit(out)
    write(folder, expected)


def make_sharded():
    vision = tower(32, 40, 2, 2, image_size=80, patch_size=16, hidden_act="gelu")
    text = tower(32, 24, 2, 2, vocab_size=40, max_position_embeddings=9, hidden_act="gelu")
    text |= {"bos_token_id": 38, "eos_token_id": 7, "pad_token_id": 7, "layer_norm_eps": 1e-6}
    config = CLIPConfig(vision_config=vision, text_config=text, projection_dim=20)
    model = randomize(CLIPModel(config), 2)
    folder, model = save("sharded", model, torch.bfloat16, max_shard_size="60KB")
    assert (folder / "model.safetensors.index.json").exists()
    expected = see(model.vision_model, model.visual_projection, pictures(folder, 80), (2, 5))
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(8, 40, (7, 9), generator=generator)
    ids[:, 0] = 38
    for row, end in enumerate((8, 4, 1, 4, 5, 2, 0)):
        ids[row, end] = 7
        if row % 2:
            ids[row, end:] = 7
    expected["ids"] = ids.to(torch.int32)
    expected["text_embedding"] = unit(model.get_text_features(input_ids=ids).pooler_output)
    write(folder, expected)


def make_half():
    config = CLIPVisionConfig(**tower(8, 24, 2, 1, image_size=64, patch_size=32))
    model = randomize(CLIPVisionModelWithProjection(config), 4)
    folder, model = save("half", model, torch.float16)
    write(folder, see(model.vision_model, model.visual_projection, pictures(folder, 64), (1, 2)))


def make_vision():
    config = CLIPVisionConfig(**tower(64, 24, 2, 1, image_size=24, patch_size=4))
    folder, model = save("vision", randomize(CLIPVisionModel(config), 5), torch.bfloat16)
    write(folder, see(model, None, pictures(folder, 24), (2, 3)))


def make_text():
    config = CLIPTextConfig(
        **tower(16, 24, 2, 2, vocab_size=30, max_position_embeddings=6),
        bos_token_id=28,
        eos_token_id=29,
    )
    folder, model = save("text", randomize(CLIPTextModelWithProjection(config), 6), torch.float32)
    ids = torch.tensor([[28, 3, 29, 29, 29, 29], [28, 1, 2, 3, 4, 29], [28, 29, 0, 0, 0, 0]])
    write(folder, {"ids": ids.to(torch.int32), "text_embedding": unit(model(ids).text_embeds)})


def make_long():
    vision = tower(64, 8, 1, 1, image_size=36, patch_size=4)
    text = tower(64, 8, 1, 1, vocab_size=20, max_position_embeddings=77)
    text |= {"bos_token_id": 18, "eos_token_id": 19}
    config = CLIPConfig(vision_config=vision, text_config=text, projection_dim=20)
    folder, model = save("long", randomize(CLIPModel(config), 7), torch.bfloat16)
    expected = see(model.vision_model, model.visual_projection, pictures(folder, 36), (3, 9), False)
    ids = torch.randint(18, (5, 77), generator=torch.Generator().manual_seed(8))
    ids[:, 0] = 18
    for row, end in enumerate((76, 65, 64, 40, 1)):
        ids[row, end:] = 19
    expected["ids"] = ids.to(torch.int32)
    expected["text_embedding"] = unit(model.get_text_features(input_ids=ids).pooler_output)
    write(folder, expected)


def main():
    torch.set_grad_enabled(False)
    for make in (make_both, make_sharded, make_half, make_vision, make_text, make_long):
        make()
    sizes = [path.stat().st_size for path in OUT.rglob("*") if path.is_file()]
    print(f"{len(sizes)} files, {sum(sizes)} bytes; numpy {numpy.__version__}")


if __name__ == "__main__":
    main()
