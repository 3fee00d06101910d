"""CLIP's vision tower and its attention in PyTorch on a CUDA device, as rows of tests/gpu.

    torch_bench.py DEVICE SECONDS MODEL:BATCH...      cuda:0 180 large-336:29 base-32:328

The model is written here with PyTorch's own parts (scaled_dot_product_attention, torch.compile,
bf16), so that no other package is needed; random weights. It is compiled in several ways, each in a
process of its own, as long as SECONDS last; for each model the fastest way counts. Bytes of
pictures are normalised on the device, a pass is begun before the one before is waited for, and
embeddings are read, as bench_model.c does it. From device memory: the bytes lie there. From host
memory: the next ones are copied from pinned memory, on a stream of their own, beside each pass.
"""

import contextlib
import json
import math
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

ROUNDS = 3
ROUND_S = 1.0
PASSES_MIN = 8
LEAST_S = 20  # no way is begun with less time left
WAYS = (("default", 1), ("max-autotune", 1), ("default", 2))  # and the batch, times ours
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)


def shapes():
    """name: (hidden, mlp, layers, heads, side, patch, projection), of shapes.h."""
    text = (pathlib.Path(__file__).parent / "shapes.h").read_text()
    return {name: tuple(map(int, numbers.split(",")))[:7]
            for name, numbers in re.findall(r'\{"([a-z0-9-]+)", ([0-9, ]+)\}', text)}


def best_s(once, round_s, least):
    """Seconds of one, the best of some rounds; the first round is no measurement."""
    best = math.inf
    for number in range(-1, ROUNDS):
        start, count = time.perf_counter(), 0
        while count < least or time.perf_counter() - start < round_s:
            once()
            count += 1
        if number >= 0:
            best = min(best, (time.perf_counter() - start) / count)
    return best


# One way, in a process of its own.


def make_model(torch, sizes):
    functional = torch.nn.functional
    hidden, mlp, layers, heads, side, patch, projection = sizes

    class Layer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1 = torch.nn.LayerNorm(hidden)
            self.qkv = torch.nn.Linear(hidden, 3 * hidden)
            self.out = torch.nn.Linear(hidden, hidden)
            self.norm2 = torch.nn.LayerNorm(hidden)
            self.fc1 = torch.nn.Linear(hidden, mlp)
            self.fc2 = torch.nn.Linear(mlp, hidden)

        def forward(self, x):
            count, tokens, _ = x.shape
            qkv = self.qkv(self.norm1(x)).view(count, tokens, 3, heads, -1)
            q, k, v = qkv.permute(2, 0, 3, 1, 4)
            attended = functional.scaled_dot_product_attention(q, k, v)
            x = x + self.out(attended.transpose(1, 2).reshape(count, tokens, hidden))
            inner = self.fc1(self.norm2(x))
            return x + self.fc2(inner * torch.sigmoid(1.702 * inner))

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            tokens = (side // patch) ** 2 + 1
            self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1) * 255)
            self.register_buffer("deviation", torch.tensor(DEVIATION).view(1, 3, 1, 1) * 255)
            self.patch = torch.nn.Conv2d(3, hidden, patch, patch, bias=False)
            self.class_token = torch.nn.Parameter(torch.randn(hidden) * 0.02)
            self.position = torch.nn.Parameter(torch.randn(tokens, hidden) * 0.02)
            self.before = torch.nn.LayerNorm(hidden)
            self.layers = torch.nn.ModuleList(Layer() for _ in range(layers))
            self.after = torch.nn.LayerNorm(hidden)
            self.projection = torch.nn.Linear(hidden, projection, bias=False)

        def forward(self, pictures):
            pixels = (pictures.permute(0, 3, 1, 2).float() - self.mean) / self.deviation
            patches = self.patch(pixels.to(torch.bfloat16)).flatten(2).transpose(1, 2)
            first = self.class_token.expand(len(patches), 1, -1)
            x = self.before(torch.cat((first, patches), 1) + self.position)
            for layer in self.layers:
                x = layer(x)
            return functional.normalize(self.projection(self.after(x[:, 0])), dim=-1)

    return Model().eval()


def wait(torch, device):
    if device.type == "cuda":
        torch.cuda.synchronize()


def attention_rate(torch, device, sizes, batch):
    """TFLOP/s of scaled_dot_product_attention alone, q, k and v beside each other as in a model."""
    hidden, _, _, heads, side, patch, _ = sizes
    tokens = (side // patch) ** 2 + 1
    qkv = torch.randn(batch, tokens, 3, heads, hidden // heads, dtype=torch.bfloat16, device=device)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    calls = 20

    def once():
        for _ in range(calls):
            torch.nn.functional.scaled_dot_product_attention(q, k, v)
        wait(torch, device)

    return 4e-12 * batch * tokens**2 * hidden * calls / best_s(once, 0.2, 2)


def model_rates(torch, device, sizes, batch, mode):
    """Pictures per second from device memory, and from host memory."""
    side, projection = sizes[4], sizes[6]
    model = make_model(torch, sizes).to(device)
    for part in (model.patch, model.before, model.layers, model.after, model.projection):
        part.to(torch.bfloat16)
    model.class_token.data = model.class_token.data.to(torch.bfloat16)
    model.position.data = model.position.data.to(torch.bfloat16)
    compiled = torch.compile(model, mode=None if mode == "default" else mode)
    pinned = device.type == "cuda"
    host = [torch.randint(256, (batch, side, side, 3), dtype=torch.uint8) for _ in range(4)]
    host = [pictures.pin_memory() if pinned else pictures for pictures in host]
    there = [host[0].to(device), host[1].to(device)]
    embedding = [torch.empty(batch, projection, dtype=torch.bfloat16, pin_memory=pinned)
                 for _ in range(2)]
    copies = torch.cuda.Stream() if pinned else None
    ended = [torch.cuda.Event() for _ in range(2)] if pinned else []
    turn = [0]

    def once(from_host=False):
        turn[0] += 1
        here, before = turn[0] % 2, (turn[0] + 1) % 2
        if copies:
            torch.cuda.current_stream().wait_stream(copies)
        result = compiled(there[here if from_host else 0])
        embedding[here].copy_(result, non_blocking=True)
        if copies:
            ended[here].record()
            ended[before].synchronize()
        if from_host:  # into the buffer of the pass before, which has been waited for
            with torch.cuda.stream(copies) if copies else contextlib.nullcontext():
                there[before].copy_(host[turn[0] % 4], non_blocking=True)

    once()  # compiles
    wait(torch, device)
    return [batch / best_s(lambda place=place: once(from_host=place), ROUND_S, PASSES_MIN)
            for place in (False, True)]


def one_way(device, name, batch, mode):
    import torch  # noqa: PLC0415  only where it is measured

    device, sizes = torch.device(device), shapes()[name]
    torch.manual_seed(1)
    torch.backends.cudnn.benchmark = True
    if device.type == "cuda":
        torch.cuda.set_device(device)
    with torch.inference_mode():
        rates = model_rates(torch, device, sizes, batch, mode)
        alone = attention_rate(torch, device, sizes, batch)
    print(json.dumps({"rates": rates, "attention": alone, "version": torch.__version__}))


# All ways.


def measured(argv, seconds):
    """What one way printed; or a sentence that says why it printed nothing."""
    with tempfile.TemporaryFile("w+") as out:  # which, unlike a pipe, its own children may keep
        child = subprocess.Popen([sys.executable, __file__, "--way", *argv], stdout=out,
                                 start_new_session=True)
        try:
            status = child.wait(seconds)
        except subprocess.TimeoutExpired:
            return "no time left"
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        out.seek(0)
        return json.loads(out.readlines()[-1]) if status == 0 else f"failed with {status}"


def tell(*cells):
    print(*cells, sep="\t", flush=True)


def tell_model(name, found):
    """found: [way, batch, what was measured]."""
    ends = [f"{way}, batch {batch}: {what}" for way, batch, what in found if isinstance(what, str)]
    good = [each for each in found if not isinstance(each[2], str)]
    for place, memory in enumerate(("device", "host")):
        if not good:
            tell("pytorch", f"{name} bf16, from {memory} memory", "", "images/s", "; ".join(ends))
            continue
        way, batch, best = max(good, key=lambda each: each[2]["rates"][place])
        others = [f"{w}, batch {b}: {r['rates'][place]:.4g}" for w, b, r in good if r is not best]
        beside = "; ".join([f"PyTorch {best['version']}, {way}", *others, *ends])
        tell("pytorch", f"{name} bf16, batch {batch}, from {memory} memory",
             f"{best['rates'][place]:.4g}", "images/s", beside)


def tell_attention(name, batch, found):
    for _, own_batch, what in found:
        if own_batch == batch and not isinstance(what, str):
            _, _, _, _, side, patch, _ = shapes()[name]
            tell("pytorch", f"{name} attention {batch} x {(side // patch) ** 2 + 1} tokens bf16",
                 f"{what['attention']:.4g}", "TFLOP/s", "scaled_dot_product_attention alone")
            return


def main():
    device, seconds = sys.argv[1], float(sys.argv[2])
    models = [(name, int(batch)) for name, batch in (each.split(":") for each in sys.argv[3:])]
    end, found = time.monotonic() + seconds, {name: [] for name, _ in models}
    for way, times in WAYS:
        for name, batch in models:
            left = end - time.monotonic()
            what = "no time left"
            if left > LEAST_S:
                what = measured([device, name, str(times * batch), way], left)
            found[name].append((way, times * batch, what))
    for name, batch in models:
        tell_model(name, found[name])
        tell_attention(name, batch, found[name])


if __name__ == "__main__":
    if sys.argv[1] == "--way":
        one_way(sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5])
    else:
        main()
