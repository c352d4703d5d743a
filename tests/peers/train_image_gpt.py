"""The model of the recipe `igpt-fashion` in PyTorch, trained as that recipe trains it, from the same first weights and on the
same batches, so that the two curves lie on each other until rounding has parted them:

    pip install torch safetensors
    wavetape train igpt-fashion --steps STEPS --out RUN
    wavetape train igpt-fashion --steps STEPS --stop-after 1 --set optimizer.rate=1e-30 --out FIRST     # leaves the first weights
    cargo run --release -p wavetape-datasets --example epoch_order -- 60000 0 0 > order.json
    python tests/peers/train_image_gpt.py FOLDER_OF_FASHION_MNIST STEPS --weights FIRST/checkpoint.safetensors --order order.json

Without the last two options: PyTorch's own random numbers. Prints a JSON line every 50 steps (`step`, `images`, `train_bits_per_dim`
since the line before, `seconds`) and one with `test_bits_per_dim` over all test images at the end.
"""

import argparse
import gzip
import json
import math
import re
import sys
import time
from pathlib import Path

import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import load_file

SIDE, DIM, DEPTH, HEADS, MLP, VOCAB = 28, 128, 6, 4, 512, 256
GAMMA, FEATURES, HIDDEN = 0.2, 128, 32
BATCH, PEAK, FLOOR, WARMUP = 16, 2e-3, 0.05, 0.03


def linear(inputs, outputs, std=None):
    layer = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight) if std is None else nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)
    nn.init.zeros_(layer.bias)
    return layer


class Fourier(nn.Module):
    def __init__(self):
        super().__init__()
        self.wr = nn.Parameter(torch.randn(FEATURES // 2, 2) / GAMMA)
        self.fc1, self.fc2 = linear(FEATURES, HIDDEN), linear(HIDDEN, DIM)

    def forward(self, places):
        angles = places @ self.wr.T
        features = torch.cat([angles.cos(), angles.sin()], -1) / math.sqrt(FEATURES)
        return self.fc2(F.gelu(self.fc1(features)))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(DIM, eps=1e-6), nn.LayerNorm(DIM, eps=1e-6)
        self.qkv, self.proj = linear(DIM, 3 * DIM), linear(DIM, DIM)
        self.fc1, self.fc2 = linear(DIM, MLP), linear(MLP, DIM)

    def forward(self, x):
        batch, n, _ = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(batch, n, 3, HEADS, DIM // HEADS).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(seen.transpose(1, 2).reshape(batch, n, DIM))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class ImageGpt(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(VOCAB + 1, DIM)
        nn.init.normal_(self.emb.weight, std=0.02)
        self.pe = Fourier()
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.norm, self.head = nn.LayerNorm(DIM, eps=1e-6), linear(DIM, VOCAB, std=0.02)
        at = torch.arange(SIDE) / SIDE
        self.register_buffer("places", torch.stack(torch.meshgrid(at, at, indexing="ij"), -1).reshape(-1, 2))

    def loss(self, images, reduction="mean"):
        """Cross-entropy of the pixels [B, 784], in nats; each is predicted at its own place from those before it."""
        fed = torch.cat([torch.full_like(images[:, :1], VOCAB), images[:, :-1]], 1)
        x = self.emb(fed) + self.pe(self.places)
        for block in self.blocks:
            x = block(x)
        return F.cross_entropy(self.head(self.norm(x)).flatten(0, 1), images.flatten(), reduction=reduction)


def images(folder, name):
    path = next(path for path in Path(folder).glob(name + "*"))
    raw = gzip.open(path).read() if path.suffix == ".gz" else path.read_bytes()
    return torch.frombuffer(bytearray(raw), dtype=torch.uint8, offset=16).view(-1, SIDE * SIDE).long()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("steps", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--weights")
    parser.add_argument("--order")
    arguments = parser.parse_args()
    folder, steps = arguments.folder, arguments.steps
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    train, test = images(folder, "train-images"), images(folder, "t10k-images")
    model = ImageGpt()
    if arguments.weights:
        stored = load_file(arguments.weights)
        shorter = {name.removeprefix("model."): value for name, value in stored.items() if name.startswith("model.")}
        own = {re.sub(r"\.(attn|mlp)\.", ".", name): value for name, value in shorter.items()}
        model.load_state_dict(own | {"places": model.places})
    decayed = [p for name, p in model.named_parameters() if p.ndim == 2 and name not in ("emb.weight", "pe.wr")]
    kept = [p for p in model.parameters() if all(p is not other for other in decayed)]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": kept, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=PEAK, betas=(0.9, 0.95), eps=1e-8, fused=True)
    order = torch.tensor(json.load(open(arguments.order))) if arguments.order else torch.randperm(len(train))
    warmup, start = round(WARMUP * steps), time.time()
    if steps * BATCH > len(train):
        sys.exit(f"{steps} steps of {BATCH} images: at most the {len(train)} of one epoch")
    recent = 0.0
    for step in range(steps):
        progress = (step - warmup) / max(steps - warmup, 1)
        cosine = FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * progress))
        for group in optimizer.param_groups:
            group["lr"] = PEAK * ((step + 1) / warmup if step < warmup else cosine)
        loss = model.loss(train[order[step * BATCH : (step + 1) * BATCH]])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        recent += loss.item() / math.log(2) / 50
        if (step + 1) % 50 == 0:
            line = {"step": step + 1, "images": (step + 1) * BATCH, "train_bits_per_dim": recent}
            print(json.dumps(line | {"seconds": time.time() - start}), flush=True)
            recent = 0.0
    with torch.no_grad():
        nats = sum(model.loss(part, "sum").item() for part in test.split(50)) / test.numel()
    line = {"test_bits_per_dim": nats / math.log(2), "images": steps * BATCH, "seconds": time.time() - start}
    print(json.dumps(line), flush=True)


main()
