"""Writes testdata/two_towers: a tiny DINOv2 with registers and a tiny CLIP, joined as Prismatic joins them, and what
transformers and PyTorch compute with them in float32.

    pip install torch transformers safetensors pillow
    python make_towers.py   # transformers 5.24, torch 2.15
"""
import json, os
import numpy as np, torch
from PIL import Image
from safetensors.torch import save_file
from transformers import (CLIPVisionConfig, CLIPVisionModel, Dinov2WithRegistersConfig, Dinov2WithRegistersModel)

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "two_towers")
torch.set_num_threads(1)
SIDE, WIDTH = 24, 12  # of the views; of the language model
MEAN = {"dino": (0.485, 0.456, 0.406), "clip": (0.48145466, 0.4578275, 0.40821073)}
STD = {"dino": (0.229, 0.224, 0.225), "clip": (0.26862954, 0.26130258, 0.27577711)}


def draw(module, seed):
    g = torch.Generator().manual_seed(seed)
    for p in module.parameters():
        scale = p[0].numel() ** -0.5 if p.dim() > 1 else 0.3
        p.data = torch.randn(p.shape, generator=g) * scale + (1 if p.dim() == 1 else 0)
    return module.eval()


def write(path, value):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        json.dump(value, f, indent=1)


def letterboxed(image, name):
    """On a square of the tower's own mean colour."""
    side = max(image.size)
    out = Image.new("RGB", (side, side), tuple(int(x * 255) for x in MEAN[name]))
    out.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return out


def pixels(image, name):
    """The shorter side scaled to SIDE, the middle cut out, normalised: [3, SIDE, SIDE]."""
    w, h = image.size
    size = (SIDE, int(SIDE * h / w)) if w <= h else (int(SIDE * w / h), SIDE)
    image = image.resize(size, Image.BICUBIC)
    x, y = (size[0] - SIDE) // 2, (size[1] - SIDE) // 2
    a = np.asarray(image.crop((x, y, x + SIDE, y + SIDE)), dtype=np.float32) / np.float32(255)
    a = (a - np.float32(MEAN[name])) / np.float32(STD[name])
    return torch.tensor(a.transpose(2, 0, 1).copy())


common = dict(num_hidden_layers=3, num_attention_heads=2, patch_size=4)
towers = {  # in the order in which their features are concatenated; the DINOv2 was trained on larger images
    "dino": draw(Dinov2WithRegistersModel(Dinov2WithRegistersConfig(hidden_size=20, mlp_ratio=2, image_size=28,
                                                                    num_register_tokens=3, **common)), 1),
    "clip": draw(CLIPVisionModel(CLIPVisionConfig(hidden_size=16, intermediate_size=24, image_size=SIDE, **common)), 2)}
fused = 20 + 16
projector = draw(torch.nn.Sequential(torch.nn.Linear(fused, 4 * fused), torch.nn.GELU(), torch.nn.Linear(4 * fused, WIDTH),
                                     torch.nn.GELU(), torch.nn.Linear(WIDTH, WIDTH)), 3)
for name, tower in towers.items():
    tower.save_pretrained(os.path.join(OUT, name))
    edge = 27 if name == "dino" else SIDE  # DINOv2's own crops a smaller part, which does not happen beside another
    write(os.path.join(OUT, name, "preprocessor_config.json"), {
        "image_processor_type": "BitImageProcessor" if name == "dino" else "CLIPImageProcessor", "resample": 3,
        "size": {"shortest_edge": edge}, "crop_size": {"height": SIDE, "width": SIDE}, "image_mean": MEAN[name],
        "image_std": STD[name], "do_rescale": True, "rescale_factor": 1 / 255})
save_file({f"model.mm_projector.{k}": v for k, v in projector.state_dict().items()},
          os.path.join(OUT, "mm_projector.safetensors"))
with open(os.path.join(OUT, "..", "llava", "language", "config.json")) as f:
    config = json.load(f)
config.update({"architectures": ["LlavaLlamaForCausalLM"], "model_type": "llava_llama", "mm_vision_tower": "dino",
               "mm_vision_tower_aux_list": ["dino", "clip"], "mm_hidden_size": fused, "mm_vision_select_layer": -2,
               "mm_projector_type": "fused-gelu-mlp", "mm_vision_select_feature": "patch", "image_aspect_ratio": "square"})
write(os.path.join(OUT, "config.json"), config)

image = Image.fromarray(np.random.default_rng(4).integers(0, 256, (23, 37, 3), dtype=np.uint8))
image.save(os.path.join(OUT, "picture.png"))
expected = {}
for aspect in ["square", "pad"]:
    x = {n: pixels(letterboxed(image, n) if aspect == "pad" else image, n)[None] for n in towers}
    skipped = {"dino": 1 + 3, "clip": 1}  # class token and registers
    with torch.no_grad():
        y = torch.cat([t(pixel_values=x[n], output_hidden_states=True).hidden_states[-2][:, skipped[n]:]
                       for n, t in towers.items()], dim=2)
        expected |= {aspect + ".pixels": torch.cat([x["dino"], x["clip"]], 1), aspect + ".features": y,
                     aspect + ".tokens": projector(y)}
save_file({k: v.contiguous() for k, v in expected.items()}, os.path.join(OUT, "expected.safetensors"))
