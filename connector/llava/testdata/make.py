"""Writes the reference cases of package connector/llava: a tiny random LLaVA in every layout that LLaVA checkpoints come in, one that looks at
several layers of its tower, one with <im_start> and <im_end> around pictures, and a tiny LLaVA-NeXT, with what transformers computes with them in float32.

    pip install torch transformers safetensors
    python make.py [llava llava_layers llava_marks llava_next]   # transformers 5.23, torch 2.15
"""
import copy, json, os, shutil, sys
import torch
from safetensors.torch import save_file
from transformers import (CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, LlavaNextConfig,
                          LlavaNextForConditionalGeneration)

HERE = os.path.dirname(os.path.abspath(__file__))
torch.set_num_threads(1)
IGNORE, PLACE, SIZE = -100, -200, 8
VISION = CLIPVisionConfig(hidden_size=8, intermediate_size=10, num_hidden_layers=2, num_attention_heads=2, image_size=SIZE, patch_size=4, projection_dim=6)
TEXT = LlamaConfig(hidden_size=12, intermediate_size=14, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1, vocab_size=24,
                   max_position_embeddings=64, rms_norm_eps=1e-3, pad_token_id=0, bos_token_id=1, eos_token_id=2)
IMAGE = 23
TOLERANCE = {"out_abs": 1e-4, "loss_abs": 1e-4, "grad_rel": 1e-3, "grad_floor": 1e-6}
FACTS = {"format": 1, "image_token_index": IMAGE, "tolerance": TOLERANCE, "generation": {"greedy": {"max_new_tokens": 6, "eos_token_id": None, "pad_token_id": 0}}}

KEEP = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "vocab_size",
        "max_position_embeddings", "rms_norm_eps", "hidden_act", "pad_token_id", "bos_token_id", "eos_token_id")
ORIGINAL = {"architectures": ["LlavaLlamaForCausalLM"], "model_type": "llava_llama", **{k: getattr(TEXT, k) for k in KEEP}, "torch_dtype": "float32",
            "mm_vision_tower": "vision_tower", "mm_hidden_size": 8, "mm_projector_type": "mlp2x_gelu", "mm_vision_select_layer": -2,
            "mm_vision_select_feature": "patch", "mm_use_im_start_end": False, "mm_use_im_patch_token": False, "image_aspect_ratio": "pad",
            "tokenizer_padding_side": "right", "tokenizer_model_max_length": 64}


def draw(model, seed):
    g = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        x = torch.randn(p.shape, generator=g)
        if "norm" in name and name.endswith("weight"):
            x = 1 + 0.3 * x
        p.data = x * 1.5 / p[0].numel() ** 0.5 if p.dim() > 1 else x * 0.3 if "norm" not in name or name.endswith("bias") else x
    model.set_attn_implementation("eager")
    return model.eval()


def write(path, value):
    with open(path, "w") as f:
        json.dump(value, f)


def expand(rows, lengths, side):
    """One image token for each feature; rows hold one PLACE for each picture, and how many ids at the end are an answer."""
    lengths, full = list(lengths), []
    for ids, answer in rows:
        out = []
        for i in ids:
            out += [IMAGE] * lengths.pop(0) if i == PLACE else [i]
        full.append((out, [IGNORE] * (len(out) - answer) + out[len(out) - answer:]))
    T = max(len(r) for r, _ in full)
    pad = lambda r, v: [v] * (T - len(r)) + r if side == "left" else r + [v] * (T - len(r))
    return {"input_ids": torch.tensor([pad(r, 0) for r, _ in full]), "attention_mask": torch.tensor([pad([1] * len(r), 0) for r, _ in full]),
            "labels": torch.tensor([pad(l, IGNORE) for _, l in full])}


def record(dir, model, rows, lengths, inputs, counts):
    b = expand(rows, lengths, "right")
    out = model(**b, **inputs)
    model.zero_grad()
    out.loss.backward()
    features = model.get_image_features(**inputs).pooler_output
    t = {"in.pixel_values": inputs["pixel_values"], "in.images_per_sample": torch.tensor(counts), "out.loss": out.loss,
         "out.logits": out.logits * b["attention_mask"][..., None], "out.image_features": torch.cat([f.reshape(-1, f.shape[-1]) for f in features])}
    if "image_sizes" in inputs:
        t["in.image_sizes"] = inputs["image_sizes"]
    T = max(len(r) for r, _ in rows)
    t["in.original.input_ids"] = torch.tensor([r + [0] * (T - len(r)) for r, _ in rows])
    t["in.original.attention_mask"] = torch.tensor([[1] * len(r) + [0] * (T - len(r)) for r, _ in rows])
    t["in.original.labels"] = torch.tensor([[IGNORE] * (len(r) - a) + r[len(r) - a:] + [IGNORE] * (T - len(r)) for r, a in rows])
    t |= {"in." + k: v for k, v in b.items()}
    for n, p in model.named_parameters():
        if p.grad is not None and ("projector" in n or "newline" in n or "embed_tokens" in n or "layers.0.self_attn.k_proj.weight" in n):
            t["grad." + n] = p.grad
    prompts = expand([(r[:len(r) - a], 0) for r, a in rows], lengths, "left")
    del prompts["labels"]
    ids = model.generate(**prompts, **inputs, max_new_tokens=6, do_sample=False, eos_token_id=None, pad_token_id=0)
    t |= {"in.gen." + k: v for k, v in prompts.items()} | {"out.gen.greedy": ids[:, prompts["input_ids"].shape[1]:]}
    save_file({k: (v.detach().float() if v.is_floating_point() else v.int()).clone().contiguous() for k, v in t.items()}, os.path.join(dir, "expected.safetensors"))


def llava():
    dir = os.path.join(HERE, "llava")
    shutil.rmtree(dir, ignore_errors=True)
    model = draw(LlavaForConditionalGeneration(LlavaConfig(vision_config=VISION, text_config=TEXT, image_token_index=IMAGE, image_seq_length=4,
                                                           vision_feature_layer=-2, vision_feature_select_strategy="default")), 1)
    model.save_pretrained(os.path.join(dir, "transformers-5"))
    for f in ("generation_config.json",):
        if os.path.exists(os.path.join(dir, "transformers-5", f)):
            os.remove(os.path.join(dir, "transformers-5", f))
    params = {k: p.detach().clone() for k, p in model.named_parameters()}
    v5 = json.load(open(os.path.join(dir, "transformers-5", "config.json")))
    v4 = json.loads(json.dumps(v5))
    v4["torch_dtype"], v4["text_config"]["rope_theta"] = v4.pop("dtype"), v4["text_config"].pop("rope_parameters")["rope_theta"]

    def layout(name, tensors, config, file="model.safetensors", zipped=None):
        os.makedirs(os.path.join(dir, name))
        path = os.path.join(dir, name, file)
        if zipped is None:
            save_file(tensors, path, metadata={"format": "pt"})
        else:
            torch.save(tensors, path, _use_new_zipfile_serialization=zipped)
        write(os.path.join(dir, name, "config.json"), config)

    def hub(n):
        n = n.replace("model.vision_tower.", "vision_tower.vision_model.").replace("model.multi_modal_projector", "multi_modal_projector")
        return n.replace("model.language_model.", "language_model.model.") if n != "lm_head.weight" else "language_model.lm_head.weight"

    position_ids = {"vision_tower.vision_model.embeddings.position_ids": torch.arange(5)[None]}
    layout("transformers-4", {hub(k): t for k, t in params.items()} | position_ids, v4)
    layout("transformers-4.52-native", {k.replace("vision_tower.", "vision_tower.vision_model."): t for k, t in params.items()}, v4)
    layout("transformers-5-native", params, v5)

    first = {k.replace("model.multi_modal_projector.linear_1", "model.mm_projector.0").replace("model.multi_modal_projector.linear_2", "model.mm_projector.2")
             .replace("model.language_model.", "model."): t for k, t in params.items() if "vision_tower" not in k}
    layout("original", first, ORIGINAL)
    tower = {k.replace("model.vision_tower.", "vision_model."): t for k, t in params.items() if "vision_tower" in k}
    vision = {**json.loads(VISION.to_json_string(use_diff=False)), "model_type": "clip_vision_model"}
    layout("original/vision_tower", tower, vision)
    everything = first | {"model.vision_tower.vision_tower." + k: t for k, t in tower.items()}
    layout("original-with-tower", everything, ORIGINAL | {"vision_config": vision})
    layout("original-bin", everything, ORIGINAL | {"vision_config": vision}, "pytorch_model.bin", True)
    projector = {k: torch.nn.Parameter(t) if "bias" in k else t for k, t in first.items() if "mm_projector" in k}  # both occur in real files
    layout("projector-only", projector, ORIGINAL, "mm_projector.bin", True)
    layout("projector-only-legacy", projector, ORIGINAL, "mm_projector.bin", False)
    layout("language", {k: t for k, t in first.items() if "mm_projector" not in k}, {k: v for k, v in ORIGINAL.items() if "mm_" not in k and "image" not in k}
           | {"model_type": "llama", "architectures": ["LlamaForCausalLM"]})

    rows = [([1, 5, PLACE, 6, 7, PLACE, 8, 9, 2], 3), ([1, 10, 11, 12, 2], 2), ([1, PLACE, 13, 14, 15, 2], 2)]  # two pictures, none, one
    x = torch.randn(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2))
    record(dir, model, rows, [4, 4, 4], {"pixel_values": x}, [2, 0, 1])
    write(os.path.join(dir, "case.json"), FACTS | {"task": "llava", "projector_only": ["projector-only", "projector-only-legacy"], "checkpoints": [
        "transformers-5", "transformers-4", "transformers-4.52-native", "transformers-5-native", "original", "original-with-tower", "original-bin"]})


def layers():
    """A projector over three layers' features side by side, the class token included."""
    dir = os.path.join(HERE, "llava_layers")
    shutil.rmtree(dir, ignore_errors=True)
    model = draw(LlavaForConditionalGeneration(LlavaConfig(vision_config=VISION, text_config=TEXT, image_token_index=IMAGE, image_seq_length=5,
                                                           vision_feature_layer=[-1, 0, -2], vision_feature_select_strategy="full")), 5)
    model.save_pretrained(dir)
    rows = [([1, 5, PLACE, 6, 7, 8, 9, 2], 3), ([1, PLACE, 13, 14, 15, 2], 2)]
    x = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(6))
    record(dir, model, rows, [5, 5], {"pixel_values": x}, [1, 1])
    write(os.path.join(dir, "case.json"), FACTS | {"task": "llava", "checkpoints": ["."]})


def marks():
    """A projector with the embeddings of <im_start> and <im_end>, which its base does not have: LLaVA's initialize_vision_tokenizer, whose lines are here."""
    dir = os.path.join(HERE, "llava_marks")
    shutil.rmtree(dir, ignore_errors=True)
    model = draw(LlavaForConditionalGeneration(LlavaConfig(vision_config=VISION, text_config=copy.deepcopy(TEXT), image_token_index=IMAGE, image_seq_length=4,
                                                           vision_feature_layer=-2, vision_feature_select_strategy="default")), 1)  # as in llava()
    start, end = 24, 25
    model.resize_token_embeddings(26, mean_resizing=False)
    trained = torch.randn(2, TEXT.hidden_size, generator=torch.Generator().manual_seed(7))
    for table, rows in ((model.get_input_embeddings().weight.data, trained), (model.get_output_embeddings().weight.data, None)):
        table[-2:] = table[:-2].mean(dim=0, keepdim=True)
        if rows is not None:
            table[-2:] = rows
    projector = {f"model.mm_projector.{2 * i}.{k}": getattr(getattr(model.model.multi_modal_projector, f"linear_{i + 1}"), k).detach() for i in (0, 1) for k in ("weight", "bias")}
    table = model.get_input_embeddings().weight.detach().clone()
    for name, rows in (("two-rows", trained), ("all-rows", table)):
        os.makedirs(os.path.join(dir, name))
        torch.save(projector | {"model.embed_tokens.weight": rows}, os.path.join(dir, name, "mm_projector.bin"))
        write(os.path.join(dir, name, "config.json"), ORIGINAL | {"vocab_size": 26, "mm_use_im_start_end": True})
    rows = [([1, 5, start, PLACE, end, 6, 7, start, PLACE, end, 8, 9, 2], 3), ([1, 10, 11, end, 2], 2)]
    x = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(8))
    record(dir, model, rows, [4, 4], {"pixel_values": x}, [2, 0])


def next():
    dir = os.path.join(HERE, "llava_next")
    shutil.rmtree(dir, ignore_errors=True)
    grid = [[8, 16], [16, 8], [16, 16], [24, 8], [8, 24]]  # height, width
    model = draw(LlavaNextForConditionalGeneration(LlavaNextConfig(vision_config=VISION, text_config=TEXT, image_token_index=IMAGE, vision_feature_layer=-2,
                                                                   vision_feature_select_strategy="default", image_grid_pinpoints=grid)), 3)
    model.save_pretrained(dir)
    sizes, views = torch.tensor([[10, 23], [30, 27]]), [4, 5]  # height, width
    x = torch.zeros(2, 5, 3, SIZE, SIZE)
    for i, n in enumerate(views):
        x[i, :n] = torch.randn(n, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(4 + i))
    lengths = [len(f) for f in model.get_image_features(x, sizes).pooler_output]
    rows = [([1, 5, PLACE, 6, 7, 2], 2), ([1, PLACE, 8, 9, 10, 11, 2], 3)]
    record(dir, model, rows, lengths, {"pixel_values": x, "image_sizes": sizes}, [1, 1])
    write(os.path.join(dir, "case.json"), FACTS | {"task": "llava_next", "checkpoints": ["."], "views_per_image": views})


cases = {"llava": llava, "llava_layers": layers, "llava_marks": marks, "llava_next": next}
for name in sys.argv[1:] or cases:
    cases[name]()
