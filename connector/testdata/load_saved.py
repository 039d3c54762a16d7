"""Loads in transformers what packages connector/flamingo (IDEFICS) and connector/git save, and compares what both compute.

    pip install torch transformers safetensors
    python connector/testdata/load_saved.py            # from the repository's root

It lets the Go tests TestSaveForPython write models, loads each with from_pretrained, and exits with 1 unless no key is
missing, unexpected or mismatched and the logits agree to 1e-4. load_saved.txt beside it is the output of its last run.
"""
import os, subprocess, sys, tempfile, warnings
import torch, transformers
from safetensors.torch import load_file
from transformers import AutoConfig, GitForCausalLM, IdeficsForVisionText2Text

warnings.filterwarnings("ignore")
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
CLASSES = {"idefics": IdeficsForVisionText2Text, "git": GitForCausalLM}
FAULTS = ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs")


def check(dir):
    kind = AutoConfig.from_pretrained(dir).model_type
    model, info = CLASSES[kind].from_pretrained(dir, output_loading_info=True, attn_implementation="eager")
    t = load_file(os.path.join(dir, "expected.safetensors"))
    want = t.pop("logits")
    batch = {k: v if k == "pixel_values" else v.long() for k, v in t.items()}
    with torch.no_grad():
        got = model(**batch, use_cache=False).logits
    off = (got - want).abs().max().item()
    faults = {k: sorted(map(str, info[k])) for k in FAULTS if info.get(k)}
    ok = not faults and got.shape == want.shape and off <= 1e-4
    print(f"{os.path.basename(dir):16s} {type(model).__name__:26s} {len(model.state_dict()):4d} tensors  off by {off:.1e}  "
          f"{'ok' if ok else 'FAILED'} {faults or ''}")
    return ok


with tempfile.TemporaryDirectory() as root:
    subprocess.run(["go", "test", "./connector/flamingo", "./connector/git", "-count=1", "-run", "TestSaveForPython", "-save", root],
                   check=True, stdout=subprocess.DEVNULL)
    print(f"transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}")
    results = [check(os.path.join(root, d)) for d in sorted(os.listdir(root))]
sys.exit(not all(results))
