"""A character-level GPT in one file, in the manner of nanoGPT. It knows nothing of flopwise.

python train.py --learning_rate=1e-3 --n_layer=2 --max_iters=100
"""

import argparse
import inspect
import json
import math
import time

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

parser = argparse.ArgumentParser()
parser.add_argument("--learning_rate", type=float, default=1e-3)
parser.add_argument("--weight_decay", type=float, default=0.1)
parser.add_argument("--n_layer", type=int, default=2)
parser.add_argument("--n_embd", type=int, default=64)
parser.add_argument("--n_head", type=int, default=2)
parser.add_argument("--dropout", type=float, default=0.0)
parser.add_argument("--batch_size", type=int, default=16)
parser.add_argument("--block_size", type=int, default=64)
parser.add_argument("--max_iters", type=int, default=100)
parser.add_argument("--eval_interval", type=int, default=25)
parser.add_argument("--seed", type=int, default=1337)
parser.add_argument("--tie_weights", action="store_true")
args = parser.parse_args()

torch.manual_seed(args.seed)
text = "".join(inspect.getsource(module) for module in (argparse, inspect, json.decoder))
characters = sorted(set(text))
data = torch.tensor([characters.index(c) for c in text])
train_data, val_data = data[: int(0.9 * len(data))], data[int(0.9 * len(data)) :]


def get_batch(split, generator=None):
    source = train_data if split == "train" else val_data
    starts = torch.randint(len(source) - args.block_size - 1, (args.batch_size,), generator=generator).tolist()
    x = torch.stack([source[i : i + args.block_size] for i in starts])
    y = torch.stack([source[i + 1 : i + 1 + args.block_size] for i in starts])
    return x, y


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(args.n_embd), nn.LayerNorm(args.n_embd)
        self.qkv = nn.Linear(args.n_embd, 3 * args.n_embd)
        self.proj = nn.Linear(args.n_embd, args.n_embd)
        self.mlp = nn.Sequential(
            nn.Linear(args.n_embd, 4 * args.n_embd), nn.GELU(), nn.Linear(4 * args.n_embd, args.n_embd)
        )
        self.dropout = nn.Dropout(args.dropout)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (z.view(b, t, args.n_head, -1).transpose(1, 2) for z in self.qkv(self.ln1(x)).chunk(3, dim=-1))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.dropout(self.proj(y.transpose(1, 2).reshape(b, t, c)))
        return x + self.dropout(self.mlp(self.ln2(x)))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.wte = nn.Embedding(len(characters), args.n_embd)
        self.wpe = nn.Embedding(args.block_size, args.n_embd)
        self.blocks = nn.Sequential(*(Block() for _ in range(args.n_layer)))
        self.ln_f = nn.LayerNorm(args.n_embd)
        self.head = nn.Linear(args.n_embd, len(characters), bias=False)
        nn.init.normal_(self.wte.weight, std=0.02)
        if args.tie_weights:
            self.head.weight = self.wte.weight

    def forward(self, x, y):
        h = self.blocks(self.wte(x) + self.wpe(torch.arange(x.shape[1])))
        return F.cross_entropy(self.head(self.ln_f(h)).flatten(0, 1), y.flatten())


@torch.no_grad()
def estimate_loss():
    model.eval()
    generator = torch.Generator().manual_seed(0)
    losses = [model(*get_batch("val", generator)).item() for _ in range(8)]
    model.train()
    return sum(losses) / len(losses)


model = GPT()
optimizer = torch.optim.AdamW(model.parameters(), lr=args.learning_rate, weight_decay=args.weight_decay)
began = time.time()
for step in range(args.max_iters + 1):
    if step % args.eval_interval == 0 or step == args.max_iters:
        print(f"step {step}: val loss {estimate_loss():.4f}, {time.time() - began:.1f} s", flush=True)
    if step == args.max_iters:
        break
    rate = args.learning_rate * 0.5 * (1 + math.cos(math.pi * step / args.max_iters))
    for group in optimizer.param_groups:
        group["lr"] = rate
    loss = model(*get_batch("train"))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
