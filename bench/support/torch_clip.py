"""Pictures per second of CLIP's vision tower in PyTorch on the CPU, for bench/encode.py.

    torch_clip.py MODEL DTYPE THREADS BATCH MODE

MODEL: large-336, large-224 or base-32. DTYPE: f32 or bf16. MODE: eager (with PyTorch's fused
attention) or compiled (inductor, weights frozen). Each line of the output is the rate of one round;
a round ends by a line on stdin, so that rounds of two programs can take turns.
"""

import os
import sys
import time

MODELS = {  # hidden, MLP, layers, heads, side, patch, projection
    "large-336": (1024, 4096, 24, 16, 336, 14, 768),
    "large-224": (1024, 4096, 24, 16, 224, 14, 768),
    "base-32": (768, 3072, 12, 12, 224, 32, 512),
}


def main():
    name, dtype, threads, batch, mode = sys.argv[1:]
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = threads
    import torch
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(1)
    torch.set_num_threads(int(threads))
    hidden, inner, layers, heads, side, patch, projection = MODELS[name]
    config = CLIPVisionConfig(
        hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers,
        num_attention_heads=heads, image_size=side, patch_size=patch, projection_dim=projection,
        attn_implementation="sdpa",
    )
    kind = {"f32": torch.float32, "bf16": torch.bfloat16}[dtype]
    model = CLIPVisionModelWithProjection(config).eval().to(kind)
    pixels = torch.randn(int(batch), 3, side, side, dtype=kind)
    if mode == "compiled":
        import torch._inductor.config as inductor

        inductor.freezing = True
        model = torch.compile(model)
    with torch.inference_mode():
        model(pixel_values=pixels)
        print("ready", flush=True)
        while sys.stdin.readline():
            start = time.perf_counter()
            model(pixel_values=pixels)
            print(int(batch) / (time.perf_counter() - start), flush=True)


if __name__ == "__main__":
    main()
