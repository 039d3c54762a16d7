"""Loads in transformers what package connector/blip2 saves, and compares what both compute.

    pip install torch transformers safetensors
    python connector/blip2/testdata/load_saved.py            # from the repository's root

It lets the Go test TestSaveForPython write the models of testdata's cases again, and one on OPT, loads each with from_pretrained, and exits with
1 unless no key is missing, unexpected or mismatched and the results agree to 1e-4. load_saved.txt beside it is the output of its last run.
"""
import os, subprocess, sys, tempfile, warnings
import torch, transformers
from safetensors.torch import load_file
from transformers import Blip2ForConditionalGeneration, Blip2ForImageTextRetrieval, InstructBlipForConditionalGeneration

warnings.filterwarnings("ignore")
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
CLASSES = {"opt": Blip2ForConditionalGeneration, "blip2-t5": Blip2ForConditionalGeneration, "instructblip": InstructBlipForConditionalGeneration,
           "blip2_stage1": Blip2ForImageTextRetrieval}
HERE = os.path.dirname(os.path.abspath(__file__))


def check(dir):
    name = os.path.basename(dir)
    attention = "sdpa" if name == "blip2_stage1" else "eager"
    model, info = CLASSES[name].from_pretrained(dir, output_loading_info=True, attn_implementation=attention)
    own = os.path.join(dir, "expected.safetensors")
    t = load_file(own if os.path.exists(own) else os.path.join(HERE, name, "expected.safetensors"))
    ints = {k: t["in." + k].long() for k in ("input_ids", "attention_mask", "labels", "qformer_input_ids", "qformer_attention_mask") if "in." + k in t}
    with torch.no_grad():
        out = model(**ints, pixel_values=t["in.pixel_values"])
    if name == "blip2_stage1":  # transformers has no temperature
        got, want = out.logits_per_image, t["out.sim_i2t"] * load_file(os.path.join(dir, "stage1.safetensors"))["temp"]
    else:
        got, want = out.logits, t["out.logits"]
        real = ints["labels"] != -100 if name == "blip2-t5" else ints.get("attention_mask", torch.ones_like(ints["input_ids"])).bool()
        got, want = got[real], want[real]
    off = (got - want).abs().max().item()
    faults = {k: sorted(map(str, v)) for k, v in info.items() if k in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs") and v}
    ok = not faults and got.shape == want.shape and off <= 1e-4
    print(f"{name:16s} {type(model).__name__:38s} {len(model.state_dict()):4d} tensors  off by {off:.1e}  {'ok' if ok else 'FAILED'} {faults or ''}")
    return ok


with tempfile.TemporaryDirectory() as root:
    subprocess.run(["go", "test", "./connector/blip2", "-count=1", "-run", "TestSaveForPython", "-save", root], check=True, stdout=subprocess.DEVNULL)
    print(f"transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}")
    results = [check(os.path.join(root, d)) for d in sorted(os.listdir(root))]
sys.exit(not all(results))
