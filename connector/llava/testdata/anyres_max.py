"""Writes anyres_max.json: how LLaVA-NeXT lays out pictures of more tiles than anyres_max_N allows, computed with torch's own interpolation.

    pip install torch
    python anyres_max.py   # torch 2.15

Tiles are 12x12 pixels of 3x3 features; canvases are all of 1x1 to 4x4 tiles. Feature i of a picture's views is (i * 37 % 101, i * i % 89).
"""
import json, math, os
import torch

TILE, SIDE, MOST = 12, 3, 2


def canvas(w, h):
    """LLaVA's select_best_resolution: most pixels kept, then least waste."""
    best, keeps, wastes = None, 0, math.inf
    for cols in range(1, 5):
        for rows in range(1, 5):
            W, H = cols * TILE, rows * TILE
            scale = min(W / w, H / h)
            keep = min(int(w * scale) * int(h * scale), w * h)
            waste = W * H - keep
            if keep > keeps or keep == keeps and waste < wastes:
                best, keeps, wastes = (cols, rows), keep, waste
    return best


def pack(w, h):
    cols, rows = canvas(w, h)
    n = (1 + cols * rows) * SIDE * SIDE
    i = torch.arange(n, dtype=torch.int64)
    f = torch.stack([i * 37 % 101, i * i % 89], 1).float().view(-1, SIDE * SIDE, 2)
    x = f[1:].view(rows, cols, SIDE, SIDE, 2).permute(4, 0, 2, 1, 3).reshape(2, rows * SIDE, cols * SIDE)
    if w / h > x.shape[2] / x.shape[1]:  # black above and below
        pad = (x.shape[1] - int(h * x.shape[2] / w)) // 2
        x = x[:, pad:x.shape[1] - pad]
    else:
        pad = (x.shape[2] - int(w * x.shape[1] / h)) // 2
        x = x[:, :, pad:x.shape[2] - pad]
    times = math.sqrt(x.shape[1] * x.shape[2] / (MOST * SIDE ** 2))
    if times > 1.1:
        x = torch.nn.functional.interpolate(x[None], [int(x.shape[1] // times), int(x.shape[2] // times)], mode="bilinear")[0]
    x = torch.cat([x, torch.full((2, x.shape[1], 1), -1.0)], 2)
    return torch.cat([f[0], x.flatten(1).T]), times > 1.1


cases = []
for w, h in [(100, 100), (100, 70), (41, 97), (97, 41), (300, 50), (30, 20), (12, 12), (64, 63)]:
    out, shrunk = pack(w, h)
    cases.append({"w": w, "h": h, "shrunk": shrunk, "tokens": [[round(v, 5) for v in row] for row in out.tolist()]})
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "anyres_max.json"), "w") as f:
    json.dump(cases, f)
print([(c["w"], c["h"], c["shrunk"], len(c["tokens"])) for c in cases])
