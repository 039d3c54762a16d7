"""Writes testdata/timm_*: tiny towers as timm saves them for the Hub, and the features that timm computes with them in
float32, those of the last block but one.

    pip install torch torchvision timm safetensors
    python make_timm.py   # timm 1.0.22, torch 2.15
"""
import json, os, shutil
import torch
from safetensors.torch import save_file
from timm.models import create_model
from timm.models.vision_transformer import checkpoint_filter_fn

HERE = os.path.dirname(os.path.abspath(__file__))
torch.set_num_threads(1)
SIZES = dict(embed_dim=16, depth=3, num_heads=2, patch_size=4, num_classes=0)
for seed, (name, arch, args) in enumerate([
        ("timm_dinov2", "vit_small_patch14_dinov2", dict(mlp_ratio=2, img_size=20)),
        ("timm_dinov2_reg4", "vit_small_patch14_reg4_dinov2", dict(mlp_ratio=2, img_size=20, reg_tokens=3)),
        ("timm_clip", "vit_base_patch16_clip_224", dict(mlp_ratio=3, img_size=16)),
        ("timm_clip_quickgelu", "vit_base_patch16_clip_quickgelu_224", dict(mlp_ratio=3, img_size=16)),
        ("timm_siglip", "vit_so400m_patch14_siglip_224", dict(mlp_ratio=2.5, img_size=16))]):
    args = {**SIZES, **args}
    model = create_model(arch, **args).eval()
    g = torch.Generator().manual_seed(seed)
    for n, p in model.named_parameters():
        x = torch.randn(p.shape, generator=g)
        if "norm" in n and n.endswith("weight") or n.endswith("gamma"):
            x = 1 + 0.3 * x
        elif p.dim() > 1 and n not in ("cls_token", "reg_token", "pos_embed"):
            x = x * 1.3 / p[0].numel() ** 0.5
        else:
            x = x * 0.3
        p.data = x
    out = os.path.join(HERE, name)
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    with open(os.path.join(out, "config.json"), "w") as f:
        json.dump({"architecture": arch, "num_classes": 0, "num_features": 16,
                   "pretrained_cfg": {"input_size": [3, args["img_size"], args["img_size"]]}, "model_args": args}, f, indent=1)
    save_file(model.state_dict(), os.path.join(out, "model.safetensors"))
    pixels = torch.randn(2, 3, args["img_size"], args["img_size"], generator=g)
    with torch.no_grad():
        features = model.get_intermediate_layers(pixels, n={len(model.blocks) - 2})[0]
    expected = {"pixels": pixels, "features": features.contiguous()}
    if "reg4" in arch:  # on images of another size, as timm loads a checkpoint for them
        other = create_model(arch, **{**args, "img_size": 16}).eval()
        other.load_state_dict(checkpoint_filter_fn(dict(model.state_dict()), other))
        with torch.no_grad():
            expected["smaller"] = other.get_intermediate_layers(pixels[:, :, :16, :16], n={len(other.blocks) - 2})[0].contiguous()
    save_file(expected, os.path.join(out, "expected.safetensors"))
