#!/usr/bin/env python3
"""Load with transformers and PEFT what gollava has saved, and compare what both compute. Needs Go, transformers, peft,
and bitsandbytes with accelerate for weights in 4 bits.

    python check_saved.py > check_saved.txt

A missing, unexpected or misshapen key, or a logit that differs by more than 1e-4, is a failure.
"""

import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
warnings.filterwarnings("ignore")

import peft
import torch
import transformers as tr
from safetensors.torch import load_file

tr.utils.logging.disable_progress_bar()
failed = 0


def report(kind, folder, faults, difference=None):
    global failed
    if difference is not None and not difference <= 1e-4:
        faults = faults + [f"logits differ by {difference:.1e}"]
    failed += bool(faults)
    number = "" if difference is None else f", logits within {difference:.1e}"
    print(f"{kind:44} {folder:24} {'FAIL ' + '; '.join(faults) if faults else 'no missing or unexpected key' + number}")


def load(cls, folder):
    model, info = cls.from_pretrained(folder, output_loading_info=True, dtype=torch.float32)
    for layer in model.modules():
        if type(layer).__name__ == "Linear4bit":
            layer.support_avx512bf16_for_cpu = False  # its kernel for such processors multiplies in bfloat16
    return model.eval(), [f"{k}: {sorted(map(str, v))[:4]}" for k, v in info.items() if v and k != "error_msgs"]


def difference(model, folder):
    c = load_file(folder / "computed.safetensors")
    more = {"pixel_values": c["pixel_values"]} if "pixel_values" in c else {}
    with torch.no_grad():
        return (model(input_ids=c["input_ids"].long(), **more).logits - c["logits"]).abs().max().item()


def adapter(cls, folder):
    """PEFT warns of missing adapter keys and says nothing of unexpected ones: both sets are compared here."""
    base, _ = load(cls, (folder / peft.PeftConfig.from_pretrained(folder).base_model_name_or_path).resolve())
    model = peft.PeftModel.from_pretrained(base, folder).eval()
    want, got = set(peft.get_peft_model_state_dict(model)), set(load_file(folder / "adapter_model.safetensors"))
    return model, [f"{k}: {sorted(v)[:4]}" for k, v in (("missing", want - got), ("unexpected", got - want)) if v]


def main():
    from importlib.metadata import version
    print(f"transformers {tr.__version__}, peft {peft.__version__}, bitsandbytes {version('bitsandbytes')}, torch {torch.__version__.split('+')[0]}")
    here = Path(__file__).resolve().parent
    with tempfile.TemporaryDirectory() as tmp:
        root = Path(tmp)
        subprocess.run(["go", "test", "-count=1", "-run", "^TestSaved$", ".", "-saved", tmp], cwd=here.parent, check=True, stdout=subprocess.DEVNULL)
        for folder in sorted((root / "lm").iterdir()):
            model, faults = load(tr.AutoModelForCausalLM, folder)
            report(type(model).__name__, folder.name, faults, difference(model, folder))
        for folder in sorted((root / "adapters").iterdir()):
            model, faults = adapter(tr.AutoModelForCausalLM, folder)
            report("PeftModel of " + type(model.get_base_model()).__name__, folder.name, faults, difference(model, folder))
        for folder in sorted((root / "vlm").iterdir()):
            model, faults = load(tr.LlavaForConditionalGeneration, folder)
            report(type(model).__name__, folder.name, faults, difference(model, folder))
        model, faults = adapter(tr.LlavaForConditionalGeneration, root / "adapters-vlm/llava")
        report("PeftModel of " + type(model.get_base_model()).__name__, "llava", faults, difference(model, root / "adapters-vlm/llava"))
        model, faults = load(tr.CLIPVisionModel, root / "towers/clip")
        report(type(model).__name__, "clip", faults)
        others = torch.load(root / "original/llava-lora/non_lora_trainables.bin", map_location="cpu", weights_only=True)
        want = {f"base_model.model.model.mm_projector.{i}.{k}" for i in (0, 2) for k in ("weight", "bias")}
        report("torch.load", "non_lora_trainables.bin", [] if set(others) == want else [str(sorted(others))])
    print(f"{failed} failures" if failed else "all load")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
