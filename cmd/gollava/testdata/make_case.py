#!/usr/bin/env python3
"""Record what transformers and PEFT compute with a checkpoint, as a case for `gollava verify`.

    python make_case.py --task causal_lm --model ./vicuna-7b --out cases/vicuna
    python make_case.py --task peft --model ./vicuna-7b --adapter ./my-lora --out cases/my-lora
    python make_case.py --task clip --model ./clip-vit-large-patch14-336 --out cases/clip
    python make_case.py --task llava --model ./llava-1.5-7b-hf --out cases/llava
    python make_case.py --task llava_next --model ./llava-v1.6-vicuna-7b-hf --out cases/llava_next
    gollava verify cases

The model is any folder that from_pretrained reads. Inputs are random ids and random pixels, drawn from --seed; what they mean does not matter
for the comparison. Everything is computed in float32 on the CPU, by the plain ("eager") attention. A case is a folder with

    case.json              the task, where the checkpoint is, how far results may be off
    expected.safetensors   in.*: inputs; out.*: results; grad.<name>: gradients of the loss, by the names in the checkpoint's files
    model, adapter         links to the folders given, or copies with --copy

Logits of padded positions are stored as 0. Greedy continuations are recorded only where the best logit leads by a margin, so that rounding
cannot change them. Gradients are recorded as long as they fit into --gradient-mib, in the order of the parameters.
"""

import argparse
import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
import transformers
from safetensors.torch import load_file, save_file

IGNORE = -100
TOLERANCE = {"out_abs": 1e-4, "loss_abs": 1e-4, "grad_rel": 1e-3, "grad_floor": 1e-6, "traj_loss_abs": 1e-4,
             "traj_grad_norm_rel": 1e-3, "traj_final_rel": 5e-3}


class Case:
    """A folder in the making."""

    def __init__(self, args):
        self.args, self.out = args, Path(args.out)
        self.out.mkdir(parents=True, exist_ok=True)
        self.facts = {"format": 1, "task": args.task, "checkpoints": ["model"]}
        self.tensors = {}
        self.random = torch.Generator().manual_seed(args.seed)
        self.place("model", args.model)
        if args.adapter:
            self.place("adapter", args.adapter)
            self.facts["adapter"] = "adapter"

    def place(self, name, source):
        """Link or copy a checkpoint into the case."""
        source, target = Path(source).resolve(), self.out / name
        if not source.is_dir():
            sys.exit(f"{source} is no folder")
        if target.is_symlink():
            target.unlink()
        if self.args.copy:
            shutil.copytree(source, target, dirs_exist_ok=True)
        elif not target.exists():
            target.symlink_to(source, target_is_directory=True)

    def put(self, name, value):
        t = torch.as_tensor(value).detach().clone().contiguous()
        self.tensors[name] = t.float() if t.is_floating_point() else t.to(torch.int32)

    def put_all(self, prefix, tensors):
        for name, t in tensors.items():
            self.put(prefix + name, t)

    def ids(self, n, low, high, never=()):
        """n random ids of [low, high), none of which is in never."""
        out = []
        while len(out) < n:
            i = torch.randint(low, high, (1,), generator=self.random).item()
            if i not in never:
                out.append(i)
        return out

    def pixels(self, n, config):
        return torch.randn(n, config.num_channels, config.image_size, config.image_size, generator=self.random)

    def gradients(self, loss, names):
        """Gradients of all parameters that the loss reaches, within the limit of memory."""
        loss.backward()
        left = self.args.gradient_mib * 2**20
        for name, p in names:
            if p.grad is None or name is None:
                continue
            if (left := left - 4 * p.grad.numel()) < 0:
                print(f"gradients: the first {self.args.gradient_mib} MiB are recorded, up to {name}")
                return
            self.put(f"grad.{name}", p.grad)

    def finish(self):
        versions = {"transformers": transformers.__version__, "torch": torch.__version__.split("+")[0]}
        if self.args.adapter:
            import peft
            versions["peft"] = peft.__version__
        self.facts.update(made_with={**versions, "seed": self.args.seed}, tolerance=TOLERANCE, tensors=len(self.tensors))
        save_file(self.tensors, self.out / "expected.safetensors", metadata={"format": "pt"})
        with open(self.out / "case.json", "w") as f:
            json.dump(self.facts, f, indent=1)
            f.write("\n")
        print(f"{self.out}: {len(self.tensors)} tensors; next: gollava verify {self.out}")


# ---- names -----------------------------------------------------------------------------------------------------------------------------


def stored_tensors(folder):
    """Every tensor of a checkpoint's files, by its name there."""
    out = {}
    for f in sorted(Path(folder).iterdir()):
        if f.suffix == ".safetensors":
            out.update(load_file(f))
        elif f.suffix == ".bin" and f.name.startswith(("pytorch_model", "adapter_model")):
            out.update(torch.load(f, map_location="cpu", weights_only=True))
    return out


def digest(t):
    t = t.detach().float().contiguous()
    return hashlib.sha256(repr(tuple(t.shape)).encode() + t.numpy().tobytes()).hexdigest()


class Part:
    """A part of a parameter, as a file stores it: transformers 5 stacks experts in memory."""

    def __init__(self, p, index):
        self.p, self.index = p, index

    @property
    def grad(self):
        return None if self.p.grad is None else self.p.grad[self.index]


def file_names(model, folder):
    """[(name in the files, parameter)]: programs call parameters otherwise than files do, so equal contents decide, and of several files' names
    with the same contents the one whose end agrees best."""
    known = {}
    for name, t in stored_tensors(folder).items():
        known.setdefault(digest(t), []).append(name)

    def agreement(a, b):
        a, b = a.split(".")[::-1], b.split(".")[::-1]
        n = 0
        while n < min(len(a), len(b)) and a[n] == b[n]:
            n += 1
        return n

    out = []
    for name, p in model.named_parameters():
        names = known.get(digest(p), [])
        if not names and ".experts." in name and p.dim() == 3:
            half = p.shape[1] // 2
            rows = [slice(0, half), slice(half, None)] if "gate_up" in name else [slice(None)]
            for index in ((e, s) for e in range(len(p)) for s in rows):
                out.append((known[digest(p[index])][0], Part(p, index)))
            continue
        plain = name.replace(".default", "").replace("modules_to_save.", "").replace("base_layer.", "")
        out.append((max(names, key=lambda n: agreement(n, plain)) if names else None, p))
    return out


# ---- batches ---------------------------------------------------------------------------------------------------------------------------


def padded(rows, value, side):
    width = max(map(len, rows))
    return torch.tensor([[value] * (width - len(r)) + list(r) if side == "left" else list(r) + [value] * (width - len(r)) for r in rows])


def batch(rows, pad, side, labels=None):
    """ids, mask and positions, which count the real tokens of a row from 0."""
    mask = padded([[1] * len(r) for r in rows], 0, side)
    out = {"input_ids": padded(rows, pad, side), "attention_mask": mask, "position_ids": (mask.cumsum(-1) - 1).clamp(min=0)}
    if labels is not None:
        out["labels"] = padded(labels, IGNORE, side)
    return out


def masked(logits, mask):
    return logits * mask[..., None].to(logits.dtype)


def special(config):
    """Ids that have a meaning: beginning, end, padding."""
    out = set()
    for key in ("bos_token_id", "eos_token_id", "pad_token_id"):
        v = getattr(config, key, None)
        out.update(v if isinstance(v, (list, tuple)) else [] if v is None else [v])
    return out


def prompts(c, config, lengths):
    never = special(config)
    bos = config.bos_token_id if isinstance(getattr(config, "bos_token_id", None), int) else None
    rows = [c.ids(n, 3 if config.vocab_size > 16 else 0, config.vocab_size, never) for n in lengths]
    return [[bos] + r[1:] if bos is not None else r for r in rows]


def padding(config):
    pad = getattr(config, "pad_token_id", None)
    return pad if isinstance(pad, int) and pad >= 0 else 0


# ---- generation ------------------------------------------------------------------------------------------------------------------------


def generate(model, inputs, pad, **settings):
    config = transformers.GenerationConfig(pad_token_id=pad, return_dict_in_generate=True, output_logits=True, **settings)
    model.generation_config = transformers.GenerationConfig(pad_token_id=pad)
    with torch.no_grad():
        out = model.generate(**{k: v for k, v in inputs.items() if k != "position_ids"}, generation_config=config)
    out.new = out.sequences[:, inputs["input_ids"].shape[1]:]
    return out


def margin(out):
    top = torch.stack(out.logits).topk(2, dim=-1).values
    return (top[..., 0] - top[..., 1]).min().item()


def record_greedy(c, model, pad, make):
    """Greedy ids of the first prompts that leave no step to rounding. Returns the inputs."""
    for _ in range(50):
        inputs = make()
        out = generate(model, inputs, pad, do_sample=False, max_new_tokens=c.args.new_tokens)
        if margin(out) > c.args.margin:
            c.put_all("in.gen.", {k: inputs[k] for k in ("input_ids", "attention_mask")})
            c.put("out.gen.greedy", out.new)
            c.facts["generation"] = {"greedy": {"max_new_tokens": c.args.new_tokens, "num_beams": 1, "eos_token_id": None,
                                                "pad_token_id": pad, "margin": round(margin(out), 4)}}
            return inputs
    print(f"greedy search: no prompt leads by {c.args.margin} throughout; not recorded (--margin)")
    return None


# ---- tasks -----------------------------------------------------------------------------------------------------------------------------


def load(cls, folder):
    return cls.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def load_lm(folder):
    try:
        return load(transformers.AutoModelForCausalLM, folder)
    except ValueError:  # MPT has one attention only
        return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def call(model, inputs, **more):
    if model.config.model_type == "mpt":
        inputs = {k: v for k, v in inputs.items() if k != "position_ids"}
    return model(**inputs, use_cache=False, **more)


def causal_lm(c):
    model = load_lm(c.args.model)
    if hasattr(model, "set_experts_implementation"):  # the grouped product needs widths that are multiples of 4
        model.set_experts_implementation("eager")
    config, pad, n = model.config, padding(model.config), c.args.length
    names = file_names(model, c.args.model)
    main = batch(prompts(c, config, [n, n - 3]), pad, "left")
    rows = prompts(c, config, [n - 2, n])
    scored = batch(rows, pad, "right", [[IGNORE] * 4 + r[4:] for r in rows])
    c.put_all("in.", main)
    c.put_all("in.loss.", scored)
    with torch.no_grad():
        c.put("out.logits", masked(call(model, main).logits, main["attention_mask"]))
    out = call(model, scored)
    c.put("out.loss", out.loss)
    c.put("out.loss_logits", masked(out.logits, scored["attention_mask"]))
    c.gradients(out.loss, names)
    config.output_router_logits = False  # transformers 5.24 fails at the balancing loss of a pass with a cache
    model.zero_grad()

    inputs = record_greedy(c, model, pad, lambda: batch(prompts(c, config, [n // 2, n // 2 - 2]), pad, "left"))
    if inputs is None:
        return
    beams = dict(do_sample=False, num_beams=3, max_new_tokens=c.args.new_tokens)
    got = generate(model, inputs, pad, output_scores=True, **beams)
    c.put("out.gen.beam", got.new)
    c.put("out.gen.beam_scores", got.sequences_scores)
    c.facts["generation"]["beam"] = {"max_new_tokens": c.args.new_tokens, "num_beams": 3, "length_penalty": 1.0, "early_stopping": False,
                                     "eos_token_id": None, "pad_token_id": pad}
    how = {"repetition_penalty": 1.3, "temperature": 0.8, "top_k": 20, "top_p": 0.8}
    got = generate(model, inputs, pad, do_sample=True, max_new_tokens=1, output_scores=True, **how)
    c.put("out.sample.logits", got.logits[0])
    c.put("out.sample.0.probs", got.scores[0].float().softmax(-1))
    c.facts["sampling"] = [how]


def peft_task(c):
    import peft

    vlm = "vision_config" in json.load(open(Path(c.args.model) / "config.json"))
    open_base = lambda: load(transformers.LlavaForConditionalGeneration, c.args.model) if vlm else load_lm(c.args.model)
    base = open_base()
    if vlm:
        inputs, pixels, _ = llava_inputs(c, base.config)
        inputs["pixel_values"] = pixels
    else:
        rows = prompts(c, base.config, [c.args.length, c.args.length - 3])
        inputs = batch(rows, padding(base.config), "right", [[IGNORE] * 4 + r[4:] for r in rows])
    c.put_all("in.", inputs)
    mask = inputs["attention_mask"]
    with torch.no_grad():
        c.put("out.logits_base", masked(call(base, inputs).logits, mask))
    model = peft.PeftModel.from_pretrained(open_base(), c.args.adapter, is_trainable=True).eval()
    trains = [(n, p) for n, p in file_names(model, c.args.adapter) if p.requires_grad]
    c.facts["trainable"] = sum(p.numel() for _, p in trains)
    out = call(model, inputs)
    c.put("out.logits", masked(out.logits, mask))
    c.put("out.loss", out.loss)
    c.gradients(out.loss, trains)
    with torch.no_grad():
        c.put("out.logits_merged", masked(call(model.merge_and_unload(), inputs).logits, mask))


def clip(c):
    model = load(transformers.CLIPModel, c.args.model)
    text, vision = model.config.text_config, model.config.vision_config
    legacy = text.eos_token_id == 2  # written before the id was right: the largest id is the end of the text
    end = text.vocab_size - 1 if legacy else text.eos_token_id
    n = min(c.args.length, text.max_position_embeddings)
    rows = [c.ids(n - 1 - 2 * i, 0, text.vocab_size, {end, text.vocab_size - 1}) + [end] for i in range(3)]
    mask = padded([[1] * len(r) for r in rows], 0, "right")
    inputs = {"input_ids": padded(rows, end, "right"), "attention_mask": mask, "pixel_values": c.pixels(3, vision)}
    c.put_all("in.", inputs)
    c.facts["text_pooling"] = "argmax of the ids" if legacy else "first eos_token_id"
    out = model(**inputs, return_loss=True)
    for name in ("image_embeds", "text_embeds", "logits_per_image", "loss"):
        c.put("out." + name, getattr(out, name))
    c.put("out.text_last_hidden_state", masked(out.text_model_output.last_hidden_state, mask))
    c.put("out.vision_pooled", out.vision_model_output.pooler_output)
    c.gradients(out.loss, file_names(model, c.args.model))


def llava_inputs(c, config, lengths, answer=4):
    """Samples of one picture each among text, right-padded, with an id for every feature; lengths are the features of the pictures."""
    token = config.image_token_index
    never = special(config.text_config) | {token}
    text = lambda n: c.ids(n, 3, config.text_config.vocab_size, never)
    rows = [text(k) + [token] * n + text(k + answer) for k, n in zip((2, 4), lengths)]
    labels = [[IGNORE] * (len(r) - answer) + r[-answer:] for r in rows]
    return batch(rows, padding(config.text_config), "right", labels)


def llava_pictures(c, model):
    """Two pictures as the model takes them, and how many features each has."""
    config, vision = model.config, model.config.vision_config
    if c.args.task == "llava":
        n = (vision.image_size // vision.patch_size) ** 2
        n += config.vision_feature_select_strategy == "full" and vision.model_type == "clip_vision_model"
        return {"pixel_values": c.pixels(2, vision)}, [n, n]
    # LLaVA-NeXT: a base view and tiles, as many as the picture's shape asks for; zeros fill up to the most
    from transformers.models.llava_next.modeling_llava_next import image_size_to_num_patches
    side = vision.image_size
    sizes = torch.tensor([[side * 5 // 4, side * 14 // 5], [side * 3, side * 9 // 10]])  # height, width
    views = [image_size_to_num_patches(s, config.image_grid_pinpoints, side) for s in sizes]
    pixels = torch.zeros(2, max(views), vision.num_channels, side, side)
    for i, n in enumerate(views):
        pixels[i, :n] = c.pixels(n, vision)
    inputs = {"pixel_values": pixels, "image_sizes": sizes}
    with torch.no_grad():
        lengths = [len(f) for f in model.get_image_features(**inputs, return_dict=True).pooler_output]
    c.facts.update(views_per_image=views, tokens_per_image=lengths)
    return inputs, lengths


def llava(c):
    cls = transformers.LlavaNextForConditionalGeneration if c.args.task == "llava_next" else transformers.LlavaForConditionalGeneration
    model = load(cls, c.args.model)
    config, pad = model.config, padding(model.config.text_config)
    pictures, lengths = llava_pictures(c, model)
    inputs = llava_inputs(c, config, lengths)
    token = config.image_token_index
    c.facts.update(image_token_index=token)
    c.put_all("in.", {**inputs, **pictures, "images_per_sample": torch.tensor([1, 1])})

    # The same samples as the original repository takes them: one −200 for each picture.
    rows, labels = [], []
    for ids, lab, m in zip(inputs["input_ids"].tolist(), inputs["labels"].tolist(), inputs["attention_mask"].tolist()):
        keep = [i for i in range(sum(m)) if ids[i] != token or i and ids[i - 1] != token]
        rows.append([-200 if ids[i] == token else ids[i] for i in keep])
        labels.append([lab[i] for i in keep])
    original = batch(rows, pad, "right", labels)
    del original["position_ids"]
    c.put_all("in.original.", original)

    names = file_names(model, c.args.model)
    with torch.no_grad():
        c.put("out.image_features", torch.cat(list(model.get_image_features(**pictures, return_dict=True).pooler_output)))
    out = model(**inputs, **pictures, use_cache=False)
    c.put("out.logits", masked(out.logits, inputs["attention_mask"]))
    c.put("out.loss", out.loss)
    c.gradients(out.loss, names)
    model.zero_grad()

    def make():
        never = special(config.text_config) | {token}
        text = lambda n: c.ids(n, 3, config.text_config.vocab_size, never)
        return {**batch([text(k) + [token] * n + text(k) for k, n in zip((2, 4), lengths)], pad, "left"), **pictures}

    record_greedy(c, model, pad, make)


TASKS = {"causal_lm": causal_lm, "peft": peft_task, "clip": clip, "llava": llava, "llava_next": llava}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], epilog="example: make_case.py --task causal_lm --model ./vicuna-7b --out cases/vicuna")
    parser.add_argument("--task", required=True, choices=sorted(TASKS))
    parser.add_argument("--model", required=True, help="folder that from_pretrained reads")
    parser.add_argument("--adapter", help="folder of a PEFT adapter (task peft)")
    parser.add_argument("--out", required=True, help="folder of the case")
    parser.add_argument("--copy", action="store_true", help="copy the checkpoint instead of linking to it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--length", type=int, default=16, help="tokens of the longest row, at least 8")
    parser.add_argument("--new-tokens", type=int, default=12)
    parser.add_argument("--margin", type=float, default=0.02, help="least lead of the best logit in greedy search")
    parser.add_argument("--gradient-mib", type=int, default=64, help="limit of the recorded gradients")
    args = parser.parse_args()
    if (args.task == "peft") != bool(args.adapter):
        parser.error("--adapter and --task peft belong together")
    if args.length < 8:
        parser.error("--length is less than 8")
    torch.manual_seed(args.seed)
    case = Case(args)
    TASKS[args.task](case)
    case.finish()


if __name__ == "__main__":
    main()
