#!/usr/bin/env python3
"""Record what diffusers' GLIGEN pipeline draws with a small model: python make_case.py

Writes the folder pipeline beside itself, a case for `gollava verify` without weights: these are a function of a
parameter's name and an element's index (`fill`, nntest.Fill in Go). The tokenizer's files must be there. Recorded with
diffusers 0.42 and transformers 5.24 on PyTorch 2, float32, one thread.
"""

import json
import os
import zlib

import diffusers
import numpy as np
import torch
from diffusers.pipelines.deprecated.stable_diffusion_gligen.pipeline_stable_diffusion_gligen import StableDiffusionGLIGENPipeline
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

torch.set_num_threads(1)
HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pipeline")
COMMON = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1)
SCHEDULERS = {
    "DDIMScheduler": diffusers.DDIMScheduler(**COMMON, set_alpha_to_one=False, clip_sample=False),
    "PNDMScheduler": diffusers.PNDMScheduler(**COMMON, set_alpha_to_one=False, skip_prk_steps=True),
    "DPMSolverMultistepScheduler": diffusers.DPMSolverMultistepScheduler(**COMMON),
}
RUNS = {"ddim": ("DDIMScheduler", 3, 5.0, 0.5), "free": ("DDIMScheduler", 2, 1.0, 1.0), "pndm": ("PNDMScheduler", 4, 2.0, 0.3),
        "dpm": ("DPMSolverMultistepScheduler", 4, 3.0, 1.0)}
PROMPT, NEGATIVE = "a cat on a mat", "blurry"
PHRASES, BOXES = ["a cat", "the red mat"], [[0.1, 0.0, 0.5, 0.9], [0.25, 0.5, 1.0, 0.85]]


def fill(model, prefix=""):
    with torch.no_grad():
        for name, p in model.named_parameters():
            i = np.arange(p.numel(), dtype=np.uint64)
            name = name if name.startswith(prefix) else prefix + name
            h = (i * np.uint64(2654435761) + np.uint64(zlib.crc32(name.encode()))) & np.uint64(0xFFFFFFFF)
            h = ((h ^ (h >> np.uint64(15))) * np.uint64(2246822519)) & np.uint64(0xFFFFFFFF)
            u = (h >> np.uint64(8)).astype(np.float64) / 2**24
            s, c = (1 / np.sqrt(p[0].numel()), 0.0) if p.dim() > 1 else (0.5, 0.5)
            p.copy_(torch.tensor((s * (2 * u - 1) + c).astype(np.float32)).view(p.shape))
    return model.eval()


def main():
    tokenizer = CLIPTokenizer.from_pretrained(os.path.join(HERE, "tokenizer"), model_max_length=12)
    E = 8
    text = fill(CLIPTextModel(CLIPTextConfig(vocab_size=len(tokenizer), hidden_size=E, intermediate_size=12, num_hidden_layers=2,
                                             num_attention_heads=2, max_position_embeddings=12, hidden_act="quick_gelu", projection_dim=E,
                                             bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
                                             pad_token_id=tokenizer.pad_token_id)), "text_model.")
    unet = fill(diffusers.UNet2DConditionModel(
        sample_size=8, block_out_channels=(4, 8), norm_num_groups=2, layers_per_block=1, cross_attention_dim=E, attention_head_dim=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_type="gated"))
    vae = fill(diffusers.AutoencoderKL(latent_channels=4, block_out_channels=(4, 8), norm_num_groups=2, sample_size=16,
                                       down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2))
    latents = torch.randn(1, 4, 8, 12, generator=torch.Generator().manual_seed(1))
    out, runs = {"in.latents": latents}, {}
    for name, (scheduler, steps, scale, tau) in RUNS.items():
        xs = []
        pipe = StableDiffusionGLIGENPipeline(vae=vae, text_encoder=text, tokenizer=tokenizer, unet=unet, scheduler=SCHEDULERS[scheduler],
                                             safety_checker=None, feature_extractor=None, requires_safety_checker=False)
        pipe.set_progress_bar_config(disable=True)
        negative = NEGATIVE if scale > 1 else None
        with torch.no_grad():
            image = pipe(PROMPT, num_inference_steps=steps, guidance_scale=scale, negative_prompt=negative, gligen_phrases=PHRASES,
                         gligen_boxes=BOXES, gligen_scheduled_sampling_beta=tau, latents=latents.clone(), output_type="pt", height=16, width=24,
                         callback=lambda i, t, x: xs.append(x.clone()), callback_steps=1).images
        out.update({f"out.{name}.latents": torch.stack(xs), f"out.{name}.image": image, f"out.{name}.timesteps": pipe.scheduler.timesteps.int()})
        runs[name] = {"scheduler": scheduler, "steps": steps, "guidance_scale": scale, "tau": tau, "negative_prompt": negative}
    ids = tokenizer(PHRASES, padding=True, return_tensors="pt")
    prompt = tokenizer(PROMPT, padding="max_length", max_length=12, return_tensors="pt").input_ids
    with torch.no_grad():
        out.update({"out.phrase_ids": ids.input_ids.int(), "out.phrase_embeds": text(**ids).pooler_output, "out.prompt_ids": prompt.int(),
                    "out.prompt_embeds": text(prompt).last_hidden_state})
    save_file({k: v.contiguous() for k, v in out.items()}, os.path.join(HERE, "expected.safetensors"))
    for part, config in (("unet", unet.config), ("vae", vae.config), ("scheduler", {"_class_name": "DDIMScheduler", **SCHEDULERS["DDIMScheduler"].config}),
                         ("text_encoder", text.config.to_diff_dict())):
        os.makedirs(os.path.join(HERE, part), exist_ok=True)
        with open(os.path.join(HERE, part, "scheduler_config.json" if part == "scheduler" else "config.json"), "w") as f:
            json.dump(dict(config), f, indent=1, default=list)
            f.write("\n")
    with open(os.path.join(HERE, "case.json"), "w") as f:
        json.dump({"format": 1, "task": "gligen_pipeline", "checkpoints": ["."], "prompt": PROMPT, "phrases": PHRASES, "boxes": BOXES,
                   "runs": runs, "tolerance": {"out_abs": 5e-4},
                   "made_with": {"diffusers": diffusers.__version__, "torch": torch.__version__.split("+")[0]}}, f, indent=1)
        f.write("\n")


main()
