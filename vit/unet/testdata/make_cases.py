#!/usr/bin/env python3
"""Record what diffusers computes with small models, as cases for `gollava verify`: python make_cases.py

Weights are no part of the cases: they are a function of a parameter's name and an element's index (`fill`), which the
tests compute too, so that the files stay small. Recorded with diffusers 0.42 on PyTorch 2, float32, one thread.
"""

import json
import os
import zlib

import diffusers
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

torch.set_num_threads(1)
HERE = os.path.dirname(os.path.abspath(__file__))
TOLERANCE = {"out_abs": 1e-4, "loss_abs": 1e-4, "grad_rel": 1e-3, "grad_floor": 1e-6}


def fill(model):
    """Element i of a parameter is s·(2u − 1) + c with u a hash of i and the name: s = 1/√fan_in, c = 0 for matrices and
    kernels; s = 0.5, c = 0.5 for vectors and scalars."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            i = np.arange(p.numel(), dtype=np.uint64)
            h = (i * np.uint64(2654435761) + np.uint64(zlib.crc32(name.encode()))) & np.uint64(0xFFFFFFFF)
            h = ((h ^ (h >> np.uint64(15))) * np.uint64(2246822519)) & np.uint64(0xFFFFFFFF)
            u = (h >> np.uint64(8)).astype(np.float64) / 2**24
            s, c = (1 / np.sqrt(p[0].numel()), 0.0) if p.dim() > 1 else (0.5, 0.5)
            p.copy_(torch.tensor((s * (2 * u - 1) + c).astype(np.float32)).view(p.shape))
    return model


def randn(*shape, key):
    return torch.randn(shape, generator=torch.Generator().manual_seed(key))


def boxes(B, N, key):
    r = torch.rand(B, N, 4, generator=torch.Generator().manual_seed(key))
    lo = r[..., :2] * 0.5
    return torch.cat([lo, lo + 0.1 + 0.4 * r[..., 2:]], -1)


def write(name, task, tensors, sub, config, **facts):
    folder = os.path.join(HERE, name)
    os.makedirs(os.path.join(folder, sub), exist_ok=True)
    save_file({k: (v.float() if v.is_floating_point() else v.int()).detach().contiguous() for k, v in tensors.items()},
              os.path.join(folder, "expected.safetensors"))
    with open(os.path.join(folder, "case.json"), "w") as f:
        json.dump({"format": 1, "task": task, "checkpoints": [sub], **facts, "tolerance": TOLERANCE,
                   "made_with": {"diffusers": diffusers.__version__, "torch": torch.__version__.split("+")[0]}}, f, indent=1)
        f.write("\n")
    with open(os.path.join(folder, sub, "config.json"), "w") as f:
        json.dump(dict(config), f, indent=1, default=list)
        f.write("\n")


def grads(model, loss, wanted):
    model.zero_grad()
    loss.backward()
    return {f"grad.{n}": p.grad for n, p in model.named_parameters() if p.grad is not None and wanted(n, p)}


def unet(name, **config):
    m = fill(diffusers.UNet2DConditionModel(**config))
    E, B, N = config["cross_attention_dim"], 2, 3
    b = {"in.sample": randn(B, 3, 7, 5, key=1), "in.timesteps": torch.tensor([7, 903]), "in.noise": randn(B, 3, 7, 5, key=2),
         "in.encoder_hidden_states": randn(B, 4, E, key=3), "in.boxes": boxes(B, N, 4),
         "in.masks": torch.tensor([[1.0, 1, 0], [1, 0, 0]]), "in.positive_embeddings": randn(B, N, E, key=5)}

    def call(g):
        return m(b["in.sample"], b["in.timesteps"], b["in.encoder_hidden_states"],
                 cross_attention_kwargs=g and {"gligen": {k: v.clone() for k, v in g.items()}}).sample

    g = {k: b["in." + k] for k in ("boxes", "masks", "positive_embeddings")}
    if config["attention_type"] == "gated":
        from diffusers.models.embeddings import get_fourier_embeds_from_boundingbox
        eps = call(g)
        loss = F.mse_loss(eps, b["in.noise"])
        b.update({"out.fourier": get_fourier_embeds_from_boundingbox(8, g["boxes"]), "out.objs": m.position_net(**g),
                  "out.eps": eps, "out.loss": loss})
        b.update(grads(m, loss, lambda n, p: p.numel() <= 300))
        with torch.no_grad():
            b["out.eps_null"] = call({k: torch.zeros_like(v) for k, v in g.items()})
    else:
        b.update({"in.image_embeddings": randn(B, N, E, key=6), "in.phrases_masks": torch.tensor([[1.0, 0, 0], [1, 1, 0]]),
                  "in.image_masks": torch.tensor([[0.0, 1, 0], [1, 0, 1]])})
        g = {"boxes": g["boxes"], "masks": g["masks"], "phrases_embeddings": b["in.positive_embeddings"],
             **{k: b["in." + k] for k in ("phrases_masks", "image_masks", "image_embeddings")}}
        with torch.no_grad():
            b["out.objs"], b["out.eps"] = m.position_net(**g), call(g)
    with torch.no_grad():
        for x in m.modules():
            if type(x).__name__ == "GatedSelfAttentionDense":
                x.enabled = False
        b["out.eps_base"] = call(g)
    write(name, "gligen_unet", b, "unet", m.config)


def vae(name, **config):
    m = fill(diffusers.AutoencoderKL(**config))
    x, noise = randn(2, 3, 12, 20, key=1).clamp(-1, 1), randn(2, 2, 3, 5, key=2)
    post = m.encode(x).latent_dist
    latents = (post.mean + post.std * noise) * config["scaling_factor"]
    image = m.decode(latents / config["scaling_factor"]).sample
    loss = F.mse_loss(image, x) + 1e-2 * post.kl().mean()
    out = {"in.pixel_values": x, "in.noise": noise, "out.mean": post.mean, "out.logvar": post.logvar, "out.latents": latents,
           "out.image": image, "out.kl": post.kl(), "out.loss": loss}
    out.update(grads(m, loss, lambda n, p: p.numel() <= 200))
    write(name, "ldm_vae", out, "vae", m.config)


SMALL = dict(sample_size=6, in_channels=3, out_channels=3, block_out_channels=(8, 12, 16), norm_num_groups=4,
             down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
             up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), layers_per_block=(1, 2, 1), cross_attention_dim=10,
             transformer_layers_per_block=(1, 2, 1), attention_head_dim=(1, 3, 2), norm_eps=1e-3)
unet("unet", attention_type="gated", use_linear_projection=True, freq_shift=1, **SMALL)
unet("unet-text-image", attention_type="gated-text-image", downsample_padding=0, flip_sin_to_cos=False, **SMALL)
vae("vae", latent_channels=2, layers_per_block=2, norm_num_groups=2, block_out_channels=(4, 6, 8), sample_size=12,
    down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3, scaling_factor=0.7)
