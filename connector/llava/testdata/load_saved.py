"""Loads in transformers what packages connector/llava and vit save, and compares what both compute.

    pip install torch transformers safetensors
    python connector/llava/testdata/load_saved.py            # from the repository's root

It lets the Go test TestSaveForPython write models of every family, loads each with from_pretrained, and exits with 1 unless no key is missing,
unexpected or mismatched and the results agree to 1e-4. load_saved.txt beside it is the output of its last run.
"""
import os, subprocess, sys, tempfile, warnings
import torch, transformers
from safetensors.torch import load_file
from transformers import AutoConfig, CLIPModel, CLIPVisionModel, LlavaForConditionalGeneration, LlavaNextForConditionalGeneration, SiglipVisionModel

warnings.filterwarnings("ignore")
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
CLASSES = {"llava": LlavaForConditionalGeneration, "llava_next": LlavaNextForConditionalGeneration, "clip": CLIPModel, "clip_vision_model": CLIPVisionModel,
           "siglip_vision_model": SiglipVisionModel, "llava_next_video": transformers.LlavaNextVideoForConditionalGeneration,
           "llava_onevision": transformers.LlavaOnevisionForConditionalGeneration, "vipllava": transformers.VipLlavaForConditionalGeneration,
           "video_llava": transformers.VideoLlavaForConditionalGeneration}


def check(dir):
    try:
        kind = AutoConfig.from_pretrained(dir).model_type
    except KeyError as e:
        print(f"{os.path.basename(dir):16s} this version of transformers has no {e}")
        return True
    model, info = CLASSES[kind].from_pretrained(dir, output_loading_info=True, attn_implementation="eager")
    t = load_file(os.path.join(dir, "expected.safetensors"))
    ints = {k: t[k].long() for k in ("input_ids", "image_sizes") if k in t}
    if "pixel_values_videos" in t:  # the frames of one video
        pixels = {"pixel_values_videos": t["pixel_values_videos"][None]}
    else:
        pixels = {"pixel_values": t["pixel_values"][None] if kind == "llava_next" else t["pixel_values"]}
    with torch.no_grad():
        if kind.endswith("vision_model"):
            got, want = model(**pixels, output_hidden_states=True).hidden_states[-2], t["hidden_state"]
        else:
            out = model(**ints, **pixels)
            got, want = (out.logits, t["logits"]) if "logits" in t else (out.logits_per_image, t["logits_per_image"])
    off = (got - want).abs().max().item()
    faults = {k: sorted(map(str, v)) for k, v in info.items() if k in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs") and v}
    ok = not faults and got.shape == want.shape and off <= 1e-4
    print(f"{os.path.basename(dir):16s} {type(model).__name__:34s} {len(model.state_dict()):4d} tensors  off by {off:.1e}  {'ok' if ok else 'FAILED'} {faults or ''}")
    return ok


with tempfile.TemporaryDirectory() as root:
    subprocess.run(["go", "test", "./connector/llava", "-count=1", "-run", "TestSaveForPython", "-save", root], check=True, stdout=subprocess.DEVNULL)
    print(f"transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}")
    results = [check(os.path.join(root, d)) for d in sorted(os.listdir(root))]
sys.exit(not all(results))
