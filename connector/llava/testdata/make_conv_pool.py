"""Writes testdata/conv_pool: a tiny LLaVA-NeXT-Video whose frames are pooled by a convolution (spatial_pool_mode conv),
as transformers saves it, and the tokens that it makes of a video in float32.

    pip install torch transformers safetensors
    python make_conv_pool.py   # transformers 5.24, torch 2.15
"""
import json, os
import torch
from safetensors.torch import save_file
from transformers import (CLIPVisionConfig, LlamaConfig, LlavaNextVideoConfig, LlavaNextVideoForConditionalGeneration)

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "conv_pool")
torch.set_num_threads(1)
vision = CLIPVisionConfig(hidden_size=8, intermediate_size=10, num_hidden_layers=2, num_attention_heads=2, image_size=20,
                          patch_size=4, projection_dim=6)  # 5×5 patches, of which the last row and column fill no window
text = LlamaConfig(hidden_size=12, intermediate_size=14, num_hidden_layers=1, num_attention_heads=2,
                   num_key_value_heads=1, vocab_size=24, max_position_embeddings=64, pad_token_id=0, bos_token_id=1,
                   eos_token_id=2)
config = LlavaNextVideoConfig(vision_config=vision, text_config=text, image_token_index=22, video_token_index=23,
                              spatial_pool_mode="conv", spatial_pool_stride=2,
                              image_grid_pinpoints=[[20, 40], [40, 20]])
model = LlavaNextVideoForConditionalGeneration(config).eval()
g = torch.Generator().manual_seed(5)
for name, p in model.named_parameters():
    scale = 1.5 / p[0].numel() ** 0.5 if p.dim() > 1 else 0.3
    p.data = torch.randn(p.shape, generator=g) * scale + (1 if "norm" in name and name.endswith("weight") else 0)
model.save_pretrained(OUT)
video = torch.randn(3, 3, 20, 20, generator=g)
with torch.no_grad():
    seen = model.model.vision_tower(video, output_hidden_states=True).hidden_states[-2][:, 1:]
    pooled = model.model.vision_resampler(seen)
    tokens = model.model.multi_modal_projector(pooled)
save_file({"video": video, "pooled": pooled.contiguous(), "tokens": tokens.contiguous()},
          os.path.join(OUT, "expected.safetensors"))
