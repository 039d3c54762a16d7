"""Measures a rival on request: python3 rival.py NAME THREADS [MODE]

Reads one JSON request a line and writes one JSON answer a line: {"op", "args", "budget"} -> {"seconds"} of the fastest run, or
{"resident": true} -> {"bytes"} resident at most in three runs, building what they need included, beyond those before. What cannot be imported or is not known is answered by {"absent": why}.
"""
import importlib
import json
import os
import sys
import time


def fastest(run, budget):
    run()
    best, n, start = float("inf"), 0, time.perf_counter()
    while n < 1 or time.perf_counter() - start < budget:
        t = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - t)
        n += 1
    return best


def resident(field):
    with open("/proc/self/status") as f:
        for line in f:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    raise RuntimeError("no " + field)


def resident_during(f):
    with open("/proc/self/clear_refs", "w") as c:
        c.write("5")  # VmHWM becomes VmRSS
    before = resident("VmRSS")
    f()
    return resident("VmHWM") - before


def main():
    name, threads = sys.argv[1], int(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not mix with the answers

    def answer(**a):
        print(json.dumps(a), file=answers, flush=True)

    try:
        ops = importlib.import_module(name + "_ops").load(threads, *sys.argv[3:])
    except ImportError as e:
        answer(absent=f"not installed: {e}")
        return
    answer(ready=True)
    key = run = None
    for line in sys.stdin:
        r = json.loads(line)
        op = ops.get(r["op"])
        if op is None:
            answer(absent=f"{name} has no {r['op']}")
            continue
        try:
            if r["resident"]:
                def thrice():
                    run = op(**r["args"])
                    for _ in range(3):
                        run()

                answer(bytes=resident_during(thrice))
                continue
            if key != (r["op"], r["args"]):
                run = None  # frees what the last case kept
                key, run = (r["op"], r["args"]), op(**r["args"])
            answer(seconds=fastest(run, r["budget"]))
        except Exception as e:  # noqa: BLE001: reported, and the next case goes on
            key = run = None
            answer(absent=f"{type(e).__name__}: {e}")


main()
