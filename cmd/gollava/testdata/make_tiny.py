#!/usr/bin/env python3
"""Write the tiny random checkpoints that the packages' tests use, and record with make_case.py what transformers and PEFT compute with them.

    python make_tiny.py --root ../../.. [--only gemma2 mixtral]

Every parameter is far from its usual initial value, so that one which is ignored shows, and so do the epsilons and windows of the configs.
"""

import argparse
import math
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
import transformers as tr

HERE = Path(__file__).resolve().parent
IDS = dict(bos_token_id=1, eos_token_id=2, pad_token_id=0)
SMALL = dict(hidden_size=12, intermediate_size=10, num_hidden_layers=2, num_attention_heads=2, vocab_size=23, max_position_embeddings=48, rms_norm_eps=2e-3, **IDS)


def scatter(model, seed):
    r = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=r)
            if p.dim() < 2:
                p.copy_(1 + 0.3 * noise if name.endswith("weight") else 0.2 * noise)
            elif "embed" in name or "wte" in name:
                p.copy_(0.6 * noise)
            else:
                p.copy_(noise * 1.4 / math.sqrt(p[0].numel()))
    return model


def decoders():
    llama3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=24, rope_theta=5000.0)
    long = dict(rope_type="longrope", rope_theta=10000.0, original_max_position_embeddings=15, short_factor=[1.0, 1.1, 1.3], long_factor=[1.5, 2.2, 3.0])
    one = {**SMALL, "num_hidden_layers": 1}
    yield "llama", tr.LlamaForCausalLM(tr.LlamaConfig(**SMALL, head_dim=8, num_key_value_heads=1, rope_parameters=llama3))
    yield "mistral", tr.MistralForCausalLM(tr.MistralConfig(**SMALL, num_key_value_heads=1, sliding_window=4))
    yield "qwen2", tr.Qwen2ForCausalLM(tr.Qwen2Config(**one, num_key_value_heads=1, tie_word_embeddings=True))
    yield "phi3", tr.Phi3ForCausalLM(tr.Phi3Config(**{**one, "num_key_value_heads": 2}, rope_parameters=long, original_max_position_embeddings=15))
    yield "mpt", tr.MptForCausalLM(tr.MptConfig(d_model=12, n_heads=3, n_layers=1, vocab_size=23, max_seq_len=48, layer_norm_epsilon=2e-3, **IDS))
    own = {**one, "head_dim": 8, "num_key_value_heads": 1}
    yield "gemma", tr.GemmaForCausalLM(tr.GemmaConfig(**own))
    yield "gemma2", tr.Gemma2ForCausalLM(tr.Gemma2Config(**{**own, "num_hidden_layers": 2}, sliding_window=4, query_pre_attn_scalar=11, attn_logit_softcapping=1.5,
                                                         final_logit_softcapping=4.0))
    flat = {k: v for k, v in one.items() if k != "rms_norm_eps"}
    yield "phi", tr.PhiForCausalLM(tr.PhiConfig(**flat, layer_norm_eps=2e-3, partial_rotary_factor=0.7, qk_layernorm=True))
    yield "stablelm", tr.StableLmForCausalLM(tr.StableLmConfig(**flat, layer_norm_eps=2e-3, partial_rotary_factor=0.7, num_key_value_heads=1, use_qkv_bias=True))
    yield "stablelm-parallel", tr.StableLmForCausalLM(tr.StableLmConfig(**flat, layer_norm_eps=2e-3, num_key_value_heads=2, partial_rotary_factor=1.0, use_parallel_residual=True))
    router = dict(num_experts_per_tok=2, output_router_logits=True, router_aux_loss_coef=0.5)
    yield "mixtral", tr.MixtralForCausalLM(tr.MixtralConfig(**{**one, "intermediate_size": 6}, num_key_value_heads=1, num_local_experts=3, **router))
    yield "qwen2_moe", tr.Qwen2MoeForCausalLM(tr.Qwen2MoeConfig(**SMALL, num_key_value_heads=1, num_experts=3, moe_intermediate_size=5, shared_expert_intermediate_size=4,
                                                                mlp_only_layers=[0], norm_topk_prob=False, **router))
    opt = dict(hidden_size=12, ffn_dim=10, num_hidden_layers=2, num_attention_heads=3, vocab_size=23, max_position_embeddings=48, **IDS)
    yield "opt", tr.OPTForCausalLM(tr.OPTConfig(**opt, word_embed_proj_dim=12))
    yield "opt_350m", tr.OPTForCausalLM(tr.OPTConfig(**{**opt, "num_hidden_layers": 1}, word_embed_proj_dim=8, do_layer_norm_before=False))


def tiny_llava():
    vision = tr.CLIPVisionConfig(hidden_size=8, intermediate_size=10, num_hidden_layers=2, num_attention_heads=2, image_size=6, patch_size=3, projection_dim=8)
    text = tr.LlamaConfig(**{**SMALL, "num_hidden_layers": 1, "num_key_value_heads": 1})
    return tr.LlavaForConditionalGeneration(tr.LlavaConfig(vision_config=vision, text_config=text, image_token_index=22, vision_feature_layer=-2, image_seq_length=4, **IDS))


def adapters():
    every = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    base = tr.LlamaForCausalLM(tr.LlamaConfig(**SMALL, num_key_value_heads=1))
    yield "dora", base, dict(r=3, lora_alpha=5, target_modules=every, use_dora=True)
    base = tr.LlamaForCausalLM(tr.LlamaConfig(**SMALL, num_key_value_heads=1))
    yield "patterns", base, dict(r=3, lora_alpha=5, use_rslora=True, target_modules=["q_proj", "down_proj"], modules_to_save=["lm_head"], layers_to_transform=[1],
                                 rank_pattern={r"layers\.\d+\.self_attn\.q_proj": 2}, alpha_pattern={"down_proj": 7})
    yield "llava", tiny_llava(), dict(r=2, lora_alpha=3, target_modules=r".*language_model.*\.(q_proj|up_proj)", modules_to_save=["multi_modal_projector"])


def record(task, model, out, *more):
    for name in ("case.json", "expected.safetensors"):
        (out / name).unlink(missing_ok=True)
    subprocess.run([sys.executable, HERE / "make_case.py", "--task", task, "--model", model, "--out", out, "--copy", *more], check=True)
    for f in out.rglob("*"):
        if f.name in ("README.md", "generation_config.json"):
            f.unlink()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--root", required=True, help="the repository")
    parser.add_argument("--only", nargs="*", help="names of those to write")
    args = parser.parse_args()
    root, wanted = Path(args.root), lambda name: not args.only or name in args.only
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        for i, (name, model) in enumerate(decoders()):
            if not wanted(name):
                continue
            scatter(model, i).save_pretrained(tmp / name)
            out = root / "llm" / "testdata" / name
            shutil.rmtree(out, ignore_errors=True)
            record("causal_lm", tmp / name, out, "--new-tokens", "8", "--margin", "0.01")
        for i, (name, base, settings) in enumerate(adapters()):
            if not wanted(name):
                continue
            import peft

            scatter(base, 100 + i).save_pretrained(tmp / name)
            model = peft.get_peft_model(base, peft.LoraConfig(task_type="CAUSAL_LM", **settings))
            r = torch.Generator().manual_seed(200 + i)
            with torch.no_grad():
                for n, p in model.named_parameters():
                    if p.requires_grad:
                        noise = torch.randn(p.shape, generator=r)
                        p.add_(0.3 * noise if "lora_" in n and "magnitude" not in n else 0.1 * noise)
            adapter = tmp / (name + "-adapter")
            model.save_pretrained(adapter)
            out = root / "lora" / "testdata" / name
            shutil.rmtree(out, ignore_errors=True)
            record("peft", tmp / name, out, "--adapter", adapter)
            config = out / "adapter" / "adapter_config.json"
            config.write_text(config.read_text().replace(str(tmp / name), "../model"))


if __name__ == "__main__":
    main()
