"""Writes golden.json: results and gradients of PyTorch for the cases of golden_test.go, of the same names.

    python3 golden.py    (PyTorch 2.15.0, on the CPU)

Inputs are not stored: element i of input k is ((7919·i + 104729·k) mod 1009)/504.5 − 1, and the loss weighs element
i of a result with what input 9 would hold there.
"""
import json
import math

import torch
import torch.nn.functional as F


def values(k, shape):
    n = math.prod(shape)
    i = torch.arange(n, dtype=torch.float64)
    return (((7919 * i + 104729 * k) % 1009) / 504.5 - 1).to(torch.float32).reshape(shape)


def ids(n, *shape):
    return (torch.arange(math.prod(shape)) * 7 % n).reshape(shape)


def conv(*shapes, transposed=False, padding=0, **args):
    name = {3: "1d", 4: "2d", 5: "3d"}[len(shapes[0])]
    f = getattr(F, ("conv_transpose" if transposed else "conv") + name)
    if isinstance(padding, list):  # of all four sides
        t, b, l, r = padding
        return lambda x, w, *bias: f(F.pad(x, (l, r, t, b)), w, *bias, **args), shapes
    return lambda x, w, *bias: f(x, w, *bias, padding=padding, **args), shapes


def resize(shape, size, **args):
    return lambda x: F.interpolate(x, size=size, **args), [shape]


def sample(x, grid, **args):
    return lambda x, g: F.grid_sample(x, g * 1.3, **args), [x, grid]


p1, p2 = (1, 2, 7, 9), (1, 2, 8, 11)
cases = {
    "conv": conv((2, 3, 7, 9), (5, 3, 3, 3), (5,), padding=1),
    "conv stride 2, 1": conv((1, 3, 9, 8), (4, 3, 3, 2), (4,), stride=(2, 1), padding=(1, 0)),
    "conv right and bottom": conv((1, 3, 8, 8), (4, 3, 3, 3), (4,), stride=2, padding=[0, 1, 0, 1]),
    "conv dilation": conv((1, 2, 11, 9), (3, 2, 3, 2), dilation=(2, 3), padding=(2, 1)),
    "conv groups": conv((2, 6, 5, 7), (4, 3, 3, 3), (4,), groups=2, padding=1),
    "conv depthwise": conv((1, 5, 7, 6), (10, 1, 5, 5), (10,), groups=5, padding=2, stride=(1, 2)),
    "conv patches": conv((2, 3, 8, 8), (6, 3, 4, 4), stride=4),
    "conv 1×1": conv((2, 5, 3, 17), (7, 5, 1, 1), (7,)),
    "conv 1d": conv((2, 3, 19), (4, 3, 5), (4,), stride=3, padding=2),
    "conv 3d": conv((1, 2, 4, 6, 5), (3, 2, 2, 3, 3), (3,), stride=(2, 1, 2), padding=(0, 1, 1)),
    "conv transpose": conv((2, 4, 5, 3), (4, 3, 2, 2), (3,), transposed=True, stride=2),
    "conv transpose 4": conv((1, 4, 5, 3), (4, 3, 4, 4), (3,), transposed=True, stride=2, padding=1),
    "conv transpose odd": conv((1, 6, 3, 4), (6, 2, 3, 3), (4,), transposed=True, stride=(2, 3), padding=1, groups=2,
                               output_padding=(1, 2), dilation=(1, 2)),
    "group norm": (lambda x, w, b: F.group_norm(x, 3, w, b, 1e-5), [(2, 6, 5, 3), (6,), (6,)]),
    "nearest": resize(p1, (11, 4)),
    "nearest ×2": resize(p1, (14, 18)),
    "nearest exact": resize(p1, (10, 5), mode="nearest-exact"),
    "bilinear": resize(p1, (13, 5), mode="bilinear"),
    "bilinear aligned": resize(p1, (13, 1), mode="bilinear", align_corners=True),
    "bilinear smooth": resize(p1, (4, 13), mode="bilinear", antialias=True),
    "bicubic": resize(p1, (5, 16), mode="bicubic"),
    "bicubic aligned": resize(p1, (5, 16), mode="bicubic", align_corners=True),
    "bicubic smooth": resize(p1, (3, 16), mode="bicubic", antialias=True),
    "area": resize(p1, (4, 13), mode="area"),
    "avg pool": (lambda x: F.avg_pool2d(x, (3, 2), (2, 3), (1, 0)), [p2]),
    "avg pool ceil": (lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True), [p2]),
    "avg pool ceil without padding": (
        lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False), [p2]),
    "max pool": (lambda x: F.max_pool2d(x, 3, 2, 1), [p2]),
    "max pool ceil": (lambda x: F.max_pool2d(x, (2, 3), (3, 2), (1, 1), (2, 1), ceil_mode=True), [p2]),
    "where": (lambda m, a, b: torch.where(m > 0, a, b), [(3, 1), (4, 1, 5), (3, 5)]),
    "sort": (lambda x: x.sort(dim=1, stable=True)[0], [(3, 7, 2)]),
    "sort descending": (lambda x: x.sort(dim=0, descending=True, stable=True)[0], [(5, 3)]),
    "top-k": (lambda x: x.topk(4, -1)[0], [(3, 9)]),
    "gather": (lambda x: x.gather(1, ids(5, 2, 4, 3)), [(2, 5, 3)]),
    "cumsum": (lambda x: x.cumsum(1), [(2, 7, 3)]),
}
for mode in ("bilinear", "nearest"):
    for padding in ("zeros", "border", "reflection"):
        for align in (False, True):
            cases[f"grid sample {mode} {padding} {align}"] = sample(
                (2, 3, 5, 7), (2, 3, 4, 2), mode=mode, padding_mode=padding, align_corners=align)


def run(f, shapes):
    inputs = [values(k, s).requires_grad_() for k, s in enumerate(shapes)]
    y = f(*inputs)
    (y * values(9, y.shape)).sum().backward()
    flat = lambda t: [float(f"{v:.7g}") for v in t.detach().flatten().tolist()]
    return {"shapes": shapes, "shape": list(y.shape), "y": flat(y),
            "grads": [flat(x.grad) if x.grad is not None else None for x in inputs]}


with open("golden.json", "w") as out:
    json.dump({name: run(*c) for name, c in cases.items()}, out, separators=(",", ":"))
    out.write("\n")
