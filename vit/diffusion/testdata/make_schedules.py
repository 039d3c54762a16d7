#!/usr/bin/env python3
"""Record diffusers' noise schedules and samplers over random model outputs: python make_schedules.py

Writes the folder diffusion_schedules beside itself, a case for `gollava verify`. Recorded with diffusers 0.39 or later
on PyTorch 2, float32, one thread.
"""

import json
import os

import diffusers
import torch
from safetensors.torch import save_file

torch.set_num_threads(1)
HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "diffusion_schedules")
COMMON = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000)
DDIM, PNDM, DPM = "DDIMScheduler", "PNDMScheduler", "DPMSolverMultistepScheduler"
SD = dict(set_alpha_to_one=False, steps_offset=1)
RUNS = {
    "ddim": (DDIM, 7, dict(clip_sample=False, **SD)),
    "ddim_defaults": (DDIM, 7, dict()),
    "ddim_sample": (DDIM, 7, dict(clip_sample=False, prediction_type="sample")),
    "ddim_linspace": (DDIM, 7, dict(clip_sample=False, timestep_spacing="linspace")),
    "ddim_trailing": (DDIM, 7, dict(clip_sample=False, timestep_spacing="trailing", prediction_type="v_prediction")),
    "ddim_linear": (DDIM, 5, dict(clip_sample=False, beta_schedule="linear", num_train_timesteps=130)),
    "ddim_cosine": (DDIM, 5, dict(clip_sample=False, beta_schedule="squaredcos_cap_v2", num_train_timesteps=130)),
    "pndm": (PNDM, 4, dict(skip_prk_steps=True, **SD)),
    "pndm_v": (PNDM, 7, dict(skip_prk_steps=True, prediction_type="v_prediction", timestep_spacing="linspace")),
    "pndm_prk": (PNDM, 7, dict(**SD)),
    "pndm_prk_linspace": (PNDM, 6, dict(timestep_spacing="linspace")),
    "dpm": (DPM, 5, dict()),
    "dpm_1": (DPM, 5, dict(solver_order=1, timestep_spacing="leading", steps_offset=1)),
    "dpm_2_heun": (DPM, 6, dict(solver_type="heun", lower_order_final=False, timestep_spacing="trailing")),
    "dpm_3": (DPM, 7, dict(solver_order=3, prediction_type="v_prediction")),
    "dpm_3_sigma_min": (DPM, 7, dict(solver_order=3, lower_order_final=False, final_sigmas_type="sigma_min")),
    "dpm_3_long": (DPM, 16, dict(solver_order=3, euler_at_final=True, final_sigmas_type="sigma_min")),
}


def randn(*shape, key):
    return torch.randn(shape, generator=torch.Generator().manual_seed(key))


def main():
    os.makedirs(HERE, exist_ok=True)
    x0, noise, t = randn(2, 3, 1, 5, key=1), randn(2, 3, 1, 5, key=2), torch.tensor([17, 871], dtype=torch.int32)
    s = diffusers.DDIMScheduler(**COMMON)
    out = {"in.x0": x0, "in.noise": noise, "in.timesteps": t, "out.betas": s.betas, "out.alphas_cumprod": s.alphas_cumprod,
           "out.add_noise": s.add_noise(x0, noise, t.long()), "out.velocity": s.get_velocity(x0, noise, t.long())}
    runs = {}
    for i, (name, (cls, steps, extra)) in enumerate(RUNS.items()):
        config = {**COMMON, **extra}
        s = getattr(diffusers, cls)(**config)
        s.set_timesteps(steps)
        x, xs = randn(1, 3, 5, key=100 + i), []
        eps = 0.8 * randn(len(s.timesteps), 1, 3, 5, key=200 + i)
        out[f"in.{name}.x"], out[f"in.{name}.eps"] = x, eps
        for k, ts in enumerate(s.timesteps):
            x = s.step(eps[k], ts, x).prev_sample
            xs.append(x)
        out[f"out.{name}.timesteps"], out[f"out.{name}.x"] = s.timesteps.int(), torch.stack(xs)
        runs[name] = {"class": cls, **config, "steps": steps}
    save_file({k: v.float().contiguous() if v.is_floating_point() else v.contiguous() for k, v in out.items()},
              os.path.join(HERE, "expected.safetensors"))
    facts = {"format": 1, "task": "diffusion_schedules", "runs": runs, "tolerance": {"out_abs": 1e-4},
             "made_with": {"diffusers": diffusers.__version__, "torch": torch.__version__.split("+")[0]}}
    with open(os.path.join(HERE, "case.json"), "w") as f:
        json.dump(facts, f, indent=1)
        f.write("\n")


main()
