"""Pictures per second of CLIP's vision tower in PyTorch on a CUDA device, as rows of tests/gpu.

    torch_bench.py DEVICE MODEL...      cuda:0 large-336 large-224 base-32

The model is written here with PyTorch's own parts (scaled_dot_product_attention, torch.compile,
bf16), so that no other package is needed; random weights. Batches are those of shapes.h and twice
as large, and the faster one counts. From device memory: normalised pictures lie there. From host
memory: pinned bytes are copied without blocking, and normalised on the device.
"""

import pathlib
import re
import sys
import time

import torch
import torch.nn.functional as functional

ROUND_S = 1.0
ROUNDS = 5
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)


def shapes():
    """name: (hidden, mlp, layers, heads, side, patch, projection, batch), of shapes.h."""
    text = (pathlib.Path(__file__).parent / "shapes.h").read_text()
    return {name: tuple(map(int, numbers.split(",")))
            for name, numbers in re.findall(r'\{"([a-z0-9-]+)", ([0-9, ]+)\}', text)}


class Layer(torch.nn.Module):
    def __init__(self, hidden, mlp, heads):
        super().__init__()
        self.heads = heads
        self.norm1 = torch.nn.LayerNorm(hidden)
        self.qkv = torch.nn.Linear(hidden, 3 * hidden)
        self.out = torch.nn.Linear(hidden, hidden)
        self.norm2 = torch.nn.LayerNorm(hidden)
        self.fc1 = torch.nn.Linear(hidden, mlp)
        self.fc2 = torch.nn.Linear(mlp, hidden)

    def forward(self, x):
        count, tokens, hidden = x.shape
        qkv = self.qkv(self.norm1(x)).view(count, tokens, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(q, k, v)
        x = x + self.out(attended.transpose(1, 2).reshape(count, tokens, hidden))
        inner = self.fc1(self.norm2(x))
        return x + self.fc2(inner * torch.sigmoid(1.702 * inner))


class Vision(torch.nn.Module):
    def __init__(self, hidden, mlp, layers, heads, side, patch, projection):
        super().__init__()
        tokens = (side // patch) ** 2 + 1
        self.patch = torch.nn.Conv2d(3, hidden, patch, patch, bias=False)
        self.class_token = torch.nn.Parameter(torch.randn(hidden) * 0.02)
        self.position = torch.nn.Parameter(torch.randn(tokens, hidden) * 0.02)
        self.before = torch.nn.LayerNorm(hidden)
        self.layers = torch.nn.ModuleList(Layer(hidden, mlp, heads) for _ in range(layers))
        self.after = torch.nn.LayerNorm(hidden)
        self.projection = torch.nn.Linear(hidden, projection, bias=False)

    def forward(self, pixels):
        patches = self.patch(pixels).flatten(2).transpose(1, 2)
        first = self.class_token.expand(len(patches), 1, -1)
        x = self.before(torch.cat((first, patches), 1) + self.position)
        for layer in self.layers:
            x = layer(x)
        return functional.normalize(self.projection(self.after(x[:, 0])), dim=-1)


class FromBytes(torch.nn.Module):
    def __init__(self, vision):
        super().__init__()
        self.vision = vision
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1) * 255)
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(1, 3, 1, 1) * 255)

    def forward(self, pictures):
        pixels = (pictures.permute(0, 3, 1, 2).float() - self.mean) / self.deviation
        return self.vision(pixels.to(torch.bfloat16))


def rate(once, batch):
    """The best of some rounds, after enough calls for what is compiled and chosen then."""
    for _ in range(5):
        once()
    torch.cuda.synchronize()
    best = 0.0
    for _ in range(ROUNDS):
        start, calls = time.perf_counter(), 0
        while calls < 8 or time.perf_counter() - start < ROUND_S:
            once()
            calls += 1
            if calls % 8 == 0:
                torch.cuda.synchronize()
        torch.cuda.synchronize()
        best = max(best, calls * batch / (time.perf_counter() - start))
    return best


def measure(device, shape, batch):
    *sizes, _ = shape
    side = sizes[4]
    vision = Vision(*sizes).eval().to(device, torch.bfloat16)
    whole = FromBytes(vision).to(device)
    pixels = torch.randn(batch, 3, side, side, dtype=torch.bfloat16, device=device)
    host = [torch.randint(256, (batch, side, side, 3), dtype=torch.uint8).pin_memory()
            for _ in range(2)]
    compiled, compiled_whole = torch.compile(vision), torch.compile(whole)
    turn = [0]

    def from_host():
        turn[0] += 1
        compiled_whole(host[turn[0] % 2].to(device, non_blocking=True)).to("cpu", non_blocking=True)

    return rate(lambda: compiled(pixels), batch), rate(from_host, batch)


def main():
    device, names = sys.argv[1], sys.argv[2:]
    torch.manual_seed(1)
    torch.cuda.set_device(torch.device(device))
    known = shapes()
    with torch.inference_mode():
        for name in names:
            shape = known[name]
            rates = {batch: measure(device, shape, batch) for batch in (shape[-1], 2 * shape[-1])}
            for place, memory in enumerate(("device", "host")):
                batch = max(rates, key=lambda each: rates[each][place])
                print(f"pytorch\t{name} bf16, batch {batch}, from {memory} memory\t"
                      f"{rates[batch][place]:.4g}\timages/s\tPyTorch {torch.__version__}, compiled",
                      flush=True)
            torch.compiler.reset()


if __name__ == "__main__":
    main()
