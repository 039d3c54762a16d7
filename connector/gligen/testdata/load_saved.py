#!/usr/bin/env python3
"""Load what connector/gligen saves in diffusers, without a missing or an unexpected key, and draw the same image:

    python connector/gligen/testdata/load_saved.py

Needs Go, diffusers and transformers. It exits with 1 if a key is missing or too many, or an image is off by more than
1e-4. Its last output is load_saved.txt beside it.
"""

import os
import subprocess
import sys
import tempfile

import diffusers
import torch
import transformers
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.pipelines.deprecated.stable_diffusion_gligen.pipeline_stable_diffusion_gligen import StableDiffusionGLIGENPipeline
from safetensors.torch import load_file
from transformers import CLIPTextModel, CLIPTokenizer

torch.set_num_threads(1)
HERE = os.path.dirname(os.path.abspath(__file__))
bad = False
print(f"diffusers {diffusers.__version__}, transformers {transformers.__version__}, torch {torch.__version__}")
with tempfile.TemporaryDirectory() as out:
    subprocess.run(["go", "test", ".", "-count=1", "-run", "TestSaveForPython", "-save", out], cwd=os.path.dirname(HERE), check=True,
                   stdout=subprocess.DEVNULL)
    for name in sorted(os.listdir(out)):
        folder = os.path.join(out, name)
        faults = {}
        parts = {"tokenizer": CLIPTokenizer.from_pretrained(folder, subfolder="tokenizer", model_max_length=12)}
        for part, cls in (("unet", UNet2DConditionModel), ("vae", AutoencoderKL), ("text_encoder", CLIPTextModel)):
            parts[part], info = cls.from_pretrained(folder, subfolder=part, output_loading_info=True)
            for k in ("missing_keys", "unexpected_keys", "mismatched_keys"):
                faults[k] = faults.get(k, 0) + len(info[k])
        pipe_cls = StableDiffusionPipeline if name == "plain" else StableDiffusionGLIGENPipeline
        whole = pipe_cls.from_pretrained(folder, safety_checker=None, requires_safety_checker=False)  # by model_index.json
        pipe = pipe_cls(**parts, scheduler=whole.scheduler, safety_checker=None, feature_extractor=None, requires_safety_checker=False)
        pipe.set_progress_bar_config(disable=True)
        want = load_file(os.path.join(folder, "expected.safetensors"))
        boxes = {} if name == "plain" else dict(gligen_phrases=["a cat"], gligen_boxes=[[0.1, 0.2, 0.6, 0.7]], gligen_scheduled_sampling_beta=1.0)
        with torch.no_grad():
            got = pipe("a cat on a mat", negative_prompt="blurry", num_inference_steps=3, guidance_scale=4.0, latents=want["latents"], height=16,
                       width=16, output_type="pt", **boxes).images
        off = (got - want["image"]).abs().max().item()
        bad = bad or any(faults.values()) or not off <= 1e-4
        print(f"{name:8} {faults} largest difference of an image {off:.1e}")
sys.exit(bad)
