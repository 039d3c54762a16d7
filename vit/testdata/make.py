"""Writes the reference cases of package vit: tiny random towers of transformers, and what it computes with them in float32.

    pip install torch transformers safetensors
    python make.py            # transformers 5.23, torch 2.15

Every weight is far from its usual start (norms are not 1, biases not 0, epsilons large), so that an ignored one shows.
"""
import json, os, shutil
import torch
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig, CLIPVisionModel, SiglipVisionConfig, SiglipVisionModel

HERE = os.path.dirname(os.path.abspath(__file__))
torch.set_num_threads(1)
TOLERANCE = {"out_abs": 1e-4, "loss_abs": 1e-4, "grad_rel": 1e-3, "grad_floor": 1e-6, "traj_loss_abs": 1e-4, "traj_grad_norm_rel": 1e-3, "traj_final_rel": 5e-3}


def draw(model, seed):
    g = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        x = torch.randn(p.shape, generator=g)
        if "norm" in name and name.endswith("weight") and p.dim() == 1:
            x = 1 + 0.3 * x
        elif p.dim() > 1:
            x = x * 1.3 / p[0].numel() ** 0.5
        else:
            x = x * 0.3
        p.data = torch.tensor(1.5) if name == "logit_scale" else x
    model.set_attn_implementation("eager")
    return model.eval()


class Case:
    def __init__(self, name, **facts):
        self.dir, self.tensors = os.path.join(HERE, name), {}
        self.facts = {"format": 1, "task": name.split("-")[0], "tolerance": TOLERANCE, **facts}
        shutil.rmtree(self.dir, ignore_errors=True)
        os.makedirs(self.dir)

    def put(self, **tensors):
        for k, v in tensors.items():
            v = v.detach().clone().contiguous()
            self.tensors[k.replace("__", ".")] = v.float() if v.is_floating_point() else v.int()

    def gradients(self, model, loss):
        model.zero_grad()
        loss.backward()
        for n, p in model.named_parameters():
            if p.grad is not None:
                self.tensors["grad." + n] = p.grad.clone()

    def layout(self, sub, tensors):
        os.makedirs(os.path.join(self.dir, sub))
        save_file({k: v.detach().clone().contiguous() for k, v in tensors.items()}, os.path.join(self.dir, sub, "model.safetensors"), metadata={"format": "pt"})
        shutil.copy(os.path.join(self.dir, "config.json"), os.path.join(self.dir, sub, "config.json"))
        self.facts["checkpoints"].append(sub)

    def finish(self):
        save_file(self.tensors, os.path.join(self.dir, "expected.safetensors"))
        with open(os.path.join(self.dir, "case.json"), "w") as f:
            json.dump(self.facts, f)


def clip_vision(name, act, seed, prefixed):
    c = CLIPVisionConfig(hidden_size=12, intermediate_size=10, num_hidden_layers=2, num_attention_heads=3, image_size=9, patch_size=3,
                         hidden_act=act, layer_norm_eps=2e-3, projection_dim=8)
    m = draw(CLIPVisionModel(c), seed)
    k = Case(name, checkpoints=["."], select_layer=-2)
    m.save_pretrained(k.dir)
    if prefixed:  # as files of transformers 4 have it
        k.layout("transformers-4", {"vision_model." + n.removeprefix("vision_model."): p for n, p in m.named_parameters()}
                 | {"vision_model.embeddings.position_ids": torch.arange(10)[None]})
    g = torch.Generator().manual_seed(seed + 1)
    x, cot = torch.randn(2, 3, 9, 9, generator=g), 0.1 * torch.randn(2, 9, 12, generator=g)
    out = m(x, output_hidden_states=True)
    f = out.hidden_states[-2]
    k.put(in__pixel_values=x, in__cotangent__features__patch=cot, out__hidden_states=torch.stack(out.hidden_states), out__pooled=out.pooler_output,
          out__features__patch=f[:, 1:], out__features__cls_patch=f)
    if prefixed:
        k.gradients(m, (cot * f[:, 1:]).sum())
    k.finish()


def siglip():
    c = SiglipVisionConfig(hidden_size=12, intermediate_size=10, num_hidden_layers=2, num_attention_heads=3, image_size=9, patch_size=3, layer_norm_eps=1e-3)
    m = draw(SiglipVisionModel(c), 5)
    k = Case("siglip_vision", checkpoints=["."])
    m.save_pretrained(k.dir)
    g = torch.Generator().manual_seed(6)
    x, last, pooled = torch.randn(2, 3, 9, 9, generator=g), 0.1 * torch.randn(2, 9, 12, generator=g), 0.2 * torch.randn(2, 12, generator=g)
    out = m(x, output_hidden_states=True)
    k.put(in__pixel_values=x, in__cotangent__last_hidden_state=last, in__cotangent__pooled=pooled, out__hidden_states=torch.stack(out.hidden_states),
          out__last_hidden_state=out.last_hidden_state, out__pooled=out.pooler_output)
    k.gradients(m, (last * out.last_hidden_state).sum() + (pooled * out.pooler_output).sum())
    k.finish()


def openai(m):
    """The names of OpenAI's files: q, k and v stacked, projections transposed."""
    p, out = dict(m.named_parameters()), {"input_resolution": torch.tensor(8), "context_length": torch.tensor(8), "vocab_size": torch.tensor(20)}
    names = {"logit_scale": "logit_scale", "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
             "positional_embedding": "text_model.embeddings.position_embedding.weight", "visual.class_embedding": "vision_model.embeddings.class_embedding",
             "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight", "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight"}
    for theirs, ours in names.items():
        out[theirs] = p[ours]
    out["text_projection"], out["visual.proj"] = p["text_projection.weight"].T, p["visual_projection.weight"].T
    for kind in ("weight", "bias"):
        for theirs, ours in (("ln_final", "text_model.final_layer_norm"), ("visual.ln_pre", "vision_model.pre_layrnorm"), ("visual.ln_post", "vision_model.post_layernorm")):
            out[f"{theirs}.{kind}"] = p[f"{ours}.{kind}"]
        for theirs, ours in (("transformer", "text_model"), ("visual.transformer", "vision_model")):
            for i in range(2):
                a, b = f"{ours}.encoder.layers.{i}", f"{theirs}.resblocks.{i}"
                out[f"{b}.attn.in_proj_{kind}"] = torch.cat([p[f"{a}.self_attn.{x}_proj.{kind}"] for x in "qkv"])
                for x, y in (("attn.out_proj", "self_attn.out_proj"), ("ln_1", "layer_norm1"), ("ln_2", "layer_norm2"), ("mlp.c_fc", "mlp.fc1"), ("mlp.c_proj", "mlp.fc2")):
                    out[f"{b}.{x}.{kind}"] = p[f"{a}.{y}.{kind}"]
    return out


def clip(name, eos, rows, seed):
    text = CLIPTextConfig(vocab_size=20, hidden_size=8, intermediate_size=14, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=8,
                          eos_token_id=eos, bos_token_id=10, pad_token_id=1, projection_dim=10)
    vision = CLIPVisionConfig(hidden_size=12, intermediate_size=10, num_hidden_layers=2, num_attention_heads=3, image_size=8, patch_size=4, projection_dim=10)
    m = draw(CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=10)), seed)
    k = Case(name, checkpoints=["."], runs={} if eos == 2 else {"adamw": {
        "optimizer": "adamw", "steps": 5, "lr": 1e-3, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.01, "schedule": "constant",
        "trainable": [n for n, _ in m.named_parameters()]}})
    m.save_pretrained(k.dir)
    if eos != 2:
        k.layout("openai", openai(m))
    T = max(map(len, rows))
    ids = torch.tensor([r + [r[-1]] * (T - len(r)) for r in rows])
    mask = torch.tensor([[1] * len(r) + [0] * (T - len(r)) for r in rows])
    x = torch.randn(len(rows), 3, 8, 8, generator=torch.Generator().manual_seed(seed + 1))
    out = m(input_ids=ids, attention_mask=mask, pixel_values=x, return_loss=True)
    n = out.vision_model_output.last_hidden_state
    k.put(in__pixel_values=x, in__input_ids=ids, in__attention_mask=mask, out__image_embeds=out.image_embeds, out__text_embeds=out.text_embeds,
          out__logits_per_image=out.logits_per_image, out__loss=out.loss, out__text_last_hidden_state=out.text_model_output.last_hidden_state,
          out__vision_pooled=m.vision_model.post_layernorm(n[:, 0]))
    if eos == 2:
        return k.finish()
    k.gradients(m, out.loss)
    opt, losses, norms = torch.optim.AdamW(m.parameters(), lr=1e-3, weight_decay=0.01), [], []
    for _ in range(5):
        opt.zero_grad()
        loss = m(input_ids=ids, attention_mask=mask, pixel_values=x, return_loss=True).loss
        loss.backward()
        losses.append(loss.detach())
        norms.append(torch.linalg.vector_norm(torch.stack([p.grad.norm() for p in m.parameters()])))
        opt.step()
    k.put(traj__adamw__loss=torch.stack(losses), traj__adamw__grad_norm=torch.stack(norms), traj__adamw__lr=torch.full((5,), 1e-3))
    for n, p in m.named_parameters():
        if n in ("logit_scale", "visual_projection.weight", "text_projection.weight", "text_model.embeddings.token_embedding.weight", "vision_model.encoder.layers.0.mlp.fc1.bias"):
            k.tensors["traj.adamw.final." + n] = p.detach().clone()
    k.finish()


clip_vision("clip_vision-quickgelu", "quick_gelu", 1, True)
clip_vision("clip_vision-gelu", "gelu", 3, False)
siglip()
clip("clip", 11, [[10, 19, 4, 5, 11], [10, 6, 12, 11], [10, 7, 11]], 7)  # ids above the end token's occur: the largest is the wrong row
clip("clip-legacy_eos", 2, [[10, 3, 4, 5, 19], [10, 6, 12, 19], [10, 7, 19]], 9)
