#!/usr/bin/env python3
"""Write a tiny random Gemma and what transformers computes with it: the family that llm's tests add from outside.

    pip install torch transformers
    python make.py
"""

import json
import math

import torch
import transformers as tr

torch.manual_seed(5)
c = tr.GemmaConfig(vocab_size=23, hidden_size=12, intermediate_size=10, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, head_dim=8,
                   max_position_embeddings=48, rms_norm_eps=2e-3, hidden_act="gelu_pytorch_tanh", hidden_activation="gelu_pytorch_tanh", bos_token_id=1, eos_token_id=2, pad_token_id=0)
m = tr.GemmaForCausalLM(c).eval()
with torch.no_grad():
    for name, p in m.named_parameters():
        noise = torch.randn(p.shape)
        p.copy_(0.3 * noise if p.dim() < 2 else 0.6 * noise if "embed" in name else noise * 1.4 / math.sqrt(p[0].numel()))
m.save_pretrained("model")
ids = torch.tensor([[3, 9, 4, 17, 5, 6, 20, 8, 11, 2, 7, 19]])
with torch.no_grad():
    logits = m(ids).logits[0]
greedy = m.generate(ids[:, :5], max_new_tokens=8, do_sample=False, eos_token_id=None, pad_token_id=0)[0, 5:]
with open("expected.json", "w") as f:
    json.dump(dict(transformers=tr.__version__, ids=ids[0].tolist(), logits=[[round(v, 6) for v in row] for row in logits.tolist()], greedy=greedy.tolist()), f)
    f.write("\n")
