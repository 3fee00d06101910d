"""Seeds about models: files of them, tokenizers, labels, statistics, the hub. See make_seeds.py."""

import json
import struct

from seed_files import SEEDS, put


def models():
    """The first byte is the kind of file."""
    golden = SEEDS.parents[1] / "golden" / "nn"
    for file in sorted(golden.glob("**/*.safetensors")):
        put("load", file.stem, b"\0" + file.read_bytes())
    put("load", "index", b"\1" + (golden / "sharded/model.safetensors.index.json").read_bytes())
    for kind, pattern in ((b"\2", "clip_*.json"), (b"\3", "preprocessor_*.json")):
        for file in sorted((golden / "config").glob(pattern)):
            put("load", file.stem, kind + file.read_bytes())


def tokenizers():
    """Small tokenizers: what the vocabulary lacks is <|endoftext|>."""
    tokens = ["a", "b", "a</w>", "b</w>", "ab", "ab</w>", "\u0120"]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocab = {token: number for number, token in enumerate(tokens)}
    steps = {"type": "NFC"}, {"type": "Lowercase"}
    spaces = {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "}
    words = {"type": "Split", "pattern": {"Regex": r"'s|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"}}
    words |= {"behavior": "Removed", "invert": True}
    model = {"type": "BPE", "end_of_word_suffix": "</w>", "unk_token": tokens[8], "vocab": vocab}
    model |= {"merges": [["a", "b"], "a b</w>"]}
    added = [{"id": 9, "content": "X", "normalized": True}, {"id": 8, "content": tokens[8]}]
    whole = {"normalizer": {"type": "Sequence", "normalizers": [*steps, spaces]}, "model": model}
    rules = [words, {"type": "ByteLevel"}]
    whole |= {"pre_tokenizer": {"type": "Sequence", "pretokenizers": rules}}
    ends = {"type": "RobertaProcessing", "cls": [tokens[7], 7], "sep": [tokens[8], 8]}
    text = "Ab 's\u00e9 e\u0301 &amp; &#39;s \u0391\u03a3 x".encode() + tokens[8].encode()
    for name, more in (("json", {"post_processor": ends}), ("added", {"added_tokens": added})):
        file = json.dumps(whole | more, separators=(",", ":")).encode()
        put("clip_tokens", name, b"\0" + struct.pack(">HH", len(file), 0) + file + text)
    file = json.dumps(vocab, separators=(",", ":")).encode()
    merges = b"#version: 0.2\na b\na b</w>\n"
    head = b"\1" + struct.pack(">HH", len(file), len(merges))
    put("clip_tokens", "pair", head + file + merges + text)
    broken = b"\xff\xf0\x9f\x98" + "\U0001f600".encode()
    put("clip_tokens", "text", b"\2" + b"\0" * 4 + text + broken)
    html = b"&notit;&#x80;&#0;&nGt;&&#x;&eacute&#99999999999;"
    put("clip_tokens", "html", b"\2" + b"\0" * 4 + html)


def clip_tensors(vision, text):
    """A file of the smallest model: width 8, a layer, MLP and embedding of 4, patches of 2."""
    shapes = {"logit_scale": []}
    layer = {f"self_attn.{part}_proj": (8, 8) for part in ("q", "k", "v", "out")}
    layer |= {"mlp.fc1": (4, 8), "mlp.fc2": (8, 4)}
    norms = {"vision": ("pre_layrnorm", "post_layernorm"), "text": ("final_layer_norm",)}
    for tower in ("vision",) * vision + ("text",) * text:
        front, names = tower + "_model.", norms[tower]
        names += ("encoder.layers.0.layer_norm1", "encoder.layers.0.layer_norm2")
        for name in names:
            shapes |= {front + name + ".weight": (8,), front + name + ".bias": (8,)}
        for name, shape in layer.items():
            name = front + "encoder.layers.0." + name
            shapes |= {name + ".weight": shape, name + ".bias": shape[:1]}
        place = front + "embeddings."
        shapes[place + "position_embedding.weight"] = (5, 8) if tower == "vision" else (3, 8)
    if vision:
        shapes["vision_model.embeddings.class_embedding"] = (8,)
        shapes["vision_model.embeddings.patch_embedding.weight"] = (8, 3, 2, 2)
        shapes["visual_projection.weight"] = (4, 8)
    if text:
        shapes["text_model.embeddings.token_embedding.weight"] = (6, 8)
        shapes["text_projection.weight"] = (4, 8)
    header, data = {}, b""
    for name, shape in shapes.items():
        count = 1
        for size in shape:
            count *= size
        begin = len(data)
        data += b"".join(struct.pack("<e", (i * 7 % 13 - 6) / 8) for i in range(count))
        offsets = [begin, len(data)]
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": offsets}
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    return struct.pack("<Q", len(head)) + head + data


def clips():
    """Lengths and choices, a configuration, a file of tensors: see clip_fuzz.c."""
    tower = {"hidden_size": 8, "intermediate_size": 4, "num_hidden_layers": 1}
    tower |= {"num_attention_heads": 1, "projection_dim": 4}
    vision = tower | {"image_size": 5, "patch_size": 2}
    text = tower | {"vocab_size": 6, "max_position_embeddings": 3}
    both = {"model_type": "clip", "projection_dim": 4, "vision_config": vision}
    for name, choice, eos in (("largest", 2, 2), ("first", 5, 0), ("sight", 0, 2)):
        config = json.dumps(both | {"text_config": text | {"eos_token_id": eos}}).encode()
        head = struct.pack(">HBB", len(config), choice, len(name) * 5)
        put("clip", name, head + config + clip_tensors(True, True))
    config = json.dumps({"model_type": "clip_vision_model", **vision}).encode()
    bare = clip_tensors(True, False).replace(b'"vision_model.', b'             "')
    put("clip", "bare", struct.pack(">HBB", len(config), 0, 0) + config + bare)
    config = json.dumps({"model_type": "clip_text_model", **text, "eos_token_id": 0}).encode()
    head = struct.pack(">HBB", len(config), 1, 3)
    put("clip", "text", head + config + clip_tensors(False, True))


def labels():
    fox = '"fox": "a red fox"'
    for name, text in (
        ("two", '{"animals": {%s, "owl": "an owl"}, "urban": {"bridge": "a bridge"}}' % fox),
        ("unicode", '{"caf\u00e9": {"\u732b": "a \\u5bb6 cat \U0001f600"}}'),
        ("twice", '{"a": {%s}, "b": {"Fox": "another fox"}}' % fox),
        ("same", '{"a": {%s, "vixen": "A red fox"}}' % fox),
        ("key", '{"a": {%s, %s}}' % (fox, fox)),
        ("number", '{"a": {%s, "n": 1}}' % fox),
        ("empty", '{"a": {}}'),
        ("space", '{"a": {"b": " c"}}'),
        ("line", '{"a": {"b": "c\\nd"}}'),
        ("long", '{"a": {"b": "%s"}}' % ("c" * 501)),
        ("list", '[{"a": {"b": "c"}}]'),
    ):
        put("labels", name, b"\0" + text.encode())
    put("labels", "templates", b"\1a photo of {}.\0{}\0a drawing of {}")
    put("labels", "no_place", b"\1a photo")
    put("labels", "two_places", b"\1a {} of {}")


def stats():
    whole = {
        "count": 12, "successes": 10, "start_time": 1000.5, "end_time": 1020.5,
        "stages": [{"name": "decode", "threads": 2, "items": 12, "busy_ms": 8000}],
        "labels": {"animals": {"fox": 6, "owl & <b>": 2}, "urban": {"bridge": 2}},
        "confidence": [1] * 20,
        "filtered": [{"key": "0001", "cosine": 0.5, "picture": "/9j/AAA="}],
    }  # fmt: skip
    put("stats", "whole", json.dumps(whole))
    put("stats", "lies", '{"labels":{"a":{"b":-1,"c":"x","d":{}},"e":3},"stages":[1,{"name":""}]}')
    put("stats", "large", '{"labels":{"a":{"b":9223372036854775807}},"start_time":1e300}')
    put("stats", "picture", '{"filtered":[{"key":"<k>","cosine":2,"picture":"\\"><script>"}]}')


def hub():
    sha256, git = "ab" * 32, "cd" * 20
    names = ["config.json", "README.md", "a/b.txt", ".gitattributes", "../x"]
    plain = [{"type": "file", "path": n, "size": 5, "oid": git} for n in names]
    whole = {"type": "file", "path": "model.safetensors", "size": 134, "oid": git}
    whole["lfs"] = {"oid": sha256, "size": 1000, "pointerSize": 134}
    shards = [dict(whole, path=f"model-0000{i}-of-00002.safetensors") for i in (1, 2)]
    index = dict(plain[0], path="model.safetensors.index.json")
    folder = {"type": "directory", "path": "a", "oid": git, "size": 0}
    pickle = dict(whole, path="pytorch_model.bin")
    put("hub", "commit", b"\0" + json.dumps({"id": "a/b", "sha": git}).encode())
    for which, name in ((1, "needed"), (2, "all")):
        start = bytes([which])
        put("hub", f"{name}_whole", start + json.dumps([folder, *plain[:4], whole]).encode())
        put("hub", f"{name}_shards", start + json.dumps([plain[0], index, *shards]).encode())
        put("hub", f"{name}_pickle", start + json.dumps([plain[0], pickle]).encode())
        put("hub", f"{name}_escape", start + json.dumps([*plain, whole]).encode())
    lines = (
        "HTTP/1.1 206 Partial Content",
        "Content-Length: 100",
        "Content-Range: bytes 50-149/150",
        'ETag: "abc"',
        "Retry-After: 7",
        "X-Error-Code: GatedRepo",
        'Link: <https://h/1>; rel="prev", <https://h/2>; rel="next"',
        "",
    )
    put("hub", "headers", b"\3" + "\r\n".join(lines).encode())
    file = {"name": "config.json", "bytes": 5, "mtime_ns": 1, "sha256": sha256}
    about = {"version": 1, "repository": "a/b", "revision": git, "endpoint": "https://h"}
    put("hub", "info", b"\4" + json.dumps(about | {"pulled_at_ms": 1, "files": [file]}).encode())
    tensor = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
    header = {"__metadata__": {"format": "pt"}, "a": tensor, "b": dict(tensor, dtype="BF16")}
    put("hub", "weights", b"\5" + json.dumps(header).encode())
    for i, name in enumerate(("openai/clip-vit-base-patch32", "a/../b", "config.json", "a/b/c")):
        put("hub", f"name_{i}", b"\6" + name.encode())
