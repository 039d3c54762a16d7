"""Reads a run's TensorBoard files as TensorBoard does, and holds them against its metrics.jsonl.

    pip install tensorboard
    python read_events.py RUN…   # tensorboard 2.21

A run is a directory that train.Run wrote, also one that was killed and resumed.
"""
import json, math, os, sys
import tensorboard
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

print("tensorboard", tensorboard.__version__)
wrong = 0
for run in sys.argv[1:]:
    want = {}  # stage -> tag -> step -> value
    with open(os.path.join(run, "metrics.jsonl")) as f:
        for e in map(json.loads, f):
            put = lambda tag, v: want.setdefault(e["stage"], {}).setdefault(tag, {}).__setitem__(e["step"], v)
            if e["kind"] == "step":
                put("loss", e["loss"]), put("loss_average", e["average"]), put("grad_norm", e["grad_norm"])
                for i, v in enumerate(e["lr"]):
                    put(f"lr/{i}", v)
            elif e["kind"] == "evaluation":
                for k, v in e.get("scores", {}).items():
                    put(f"{e['text']}/{k}", v)
    for stage, tags in want.items():
        board = EventAccumulator(os.path.join(run, "tensorboard", stage), size_guidance={"scalars": 0})
        board.Reload()
        points = 0
        for tag, values in tags.items():
            got = {e.step: e.value for e in board.Scalars(tag)} if tag in board.Tags()["scalars"] else {}
            if got.keys() != values.keys() or any(not math.isclose(got[s], v, rel_tol=1e-6, abs_tol=1e-12) for s, v in values.items()):
                wrong += 1
                print(f"  {tag}: {len(got)} points of {len(values)}")
            points += len(got)
        print(f"{os.path.basename(os.path.normpath(run)):12} {stage:10} {len(tags):3} tags {points:6} points  {'WRONG' if wrong else 'ok'}")
sys.exit(wrong > 0)
