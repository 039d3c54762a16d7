#!/usr/bin/env python3
"""Compare with llama.cpp, Hugging Face's tokenizers and Jinja on a real model: SmolLM2-135M-Instruct in Q4_1.

    python compare.py --model SmolLM2-135M-Instruct.Q4_1.gguf --gollava GOLLAVA > all.txt
    python compare.py … --types "" --rounds 0 > compare.txt # without written models and speed

Needs Go, and xllamacpp (llama.cpp in a wheel), tokenizers, jinja2 and numpy. What is compared:

  tokens      10,000 random strings, against llama.cpp's tokenizer of the same file, and against `tokenizers` with the
              tokenizer.json that gollava writes
  template    1,000 random conversations, against jinja2 with the file's chat template
  answers     20 prompts, greedy: llama.cpp's ids, judged by the logits that gollava computes without rounding
  written     the model as gollava writes it, in several types, loads in llama.cpp, and answers are judged in the same way
  speed       llama.cpp and gollava in turns on the same file, the best of each
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import jinja2
import tokenizers
import xllamacpp

HERE = Path(__file__).resolve().parent
PROMPTS = (HERE / "prompts.txt").read_text().splitlines()


def strings(n, seed):
    """Random strings: words, digits, code, several scripts, white space, emoji, combining marks, controls."""
    r = random.Random(seed)
    alphabets = ["abcdefghijklmnopqrstuvwxyz", "ABCDEFG", "0123456789", " \t\n\r  ", ".,;:!?'\"()[]{}<>/\\|@#$%^&*-_=+`~", "äöüßéèñçøåšž", "αβγδεζ",
                 "абвгдежз", "日本語中文字漢", "한국어", "ابتثج", "अआइईउ", "\u0301\u0308\u200d\u200b\u00a0\u2028", "🦙🎈👩🏽‍🚀🇩🇪", "\x00\x01\x7f\x85"]
    words = ["the", "don't", "I'll", "we've", "Hello", "world", "3.14159", "foo_bar", "x=1;", "http://a.b/c?d=e", "<|im_start|>", "<|endoftext|>", "\n\n\n", "    "]
    out = []
    for _ in range(n):
        s = ""
        for _ in range(r.randint(0, 12)):
            if r.random() < 0.3:
                s += r.choice(words)
            else:
                a = r.choice(alphabets)
                s += "".join(r.choice(a) for _ in range(r.randint(1, 8)))
            if r.random() < 0.4:
                s += " "
        out.append(s)
    return out


def conversations(n, seed):
    r = random.Random(seed)
    out = []
    for _ in range(n):
        turns = [{"from": "system", "value": "Be brief. " + str(r.random())}] if r.random() < 0.3 else []
        for _ in range(r.randint(1, 4)):
            turns.append({"from": "human", "value": r.choice(strings(3, r.random())) + "?"})
            turns.append({"from": "gpt", "value": r.choice(strings(3, r.random())) + "."})
        out.append(turns)
    return out


class Gollava:
    """The Go side: a test binary that answers requests."""

    def __init__(self, tmp):
        self.tmp = Path(tmp)
        self.binary = self.tmp / "smollm.test"
        subprocess.run(["nice", "go", "test", "-c", "-o", self.binary, "."], cwd=HERE.parent, check=True)

    def ask(self, model, threads=2, **request):
        (self.tmp / "requests.json").write_text(json.dumps({"model": str(model), **request}))
        subprocess.run([self.binary, "-test.run", "^TestCompare$", "-compare", self.tmp], cwd=HERE.parent, check=True, stdout=sys.stderr,
                       env={**os.environ, "GOMAXPROCS": str(threads)})
        return json.loads((self.tmp / "answers.json").read_text())


def server(model, threads=1):
    p = xllamacpp.CommonParams()
    p.model.path = str(model)
    p.n_ctx, p.n_parallel, p.warmup, p.cache_prompt = 2048, 1, False, False
    p.cpuparams.n_threads = p.cpuparams_batch.n_threads = threads
    p.verbosity = -1
    return xllamacpp.Server(p)


def post(s, path, body):
    q = urllib.request.Request(s.listening_address + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    return json.loads(urllib.request.urlopen(q).read())


def complete(s, ids, n, **more):
    return post(s, "/completion", {"prompt": ids, "n_predict": n, "temperature": 0, "cache_prompt": False, "return_tokens": True, **more})


def judge(name, answer, theirs):
    wrong = [w for row in answer["judged"] for w in row or []]
    worst = max([w["gap"] for w in wrong], default=0)
    same = [a == b for a, b in zip(answer["exact"], theirs)]
    rounded = [a == b for a, b in zip(answer["rounding"], theirs)]
    print(f"{name:10} llama.cpp's {answer['positions']} tokens: {answer['positions'] - len(wrong)} are the likeliest without rounding; the others are "
          f"at most {worst:.3f} below it; whole answers equal: {sum(same)} without rounding, {sum(rounded)} with, of {len(same)}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--strings", type=int, default=10000)
    parser.add_argument("--types", default="q8_0,q4_k_m")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gollava", required=True, help="the command's binary, for writing models")
    args = parser.parse_args()
    model = Path(args.model).resolve()
    with tempfile.TemporaryDirectory() as tmp:
        go = Gollava(tmp)
        theirs = server(model)
        print(f"llama.cpp of xllamacpp {getattr(xllamacpp, '__version__', '')}, tokenizers {tokenizers.__version__}, {model.name}")
        print(f"its instructions: {xllamacpp.get_system_info().strip()}", flush=True)

        texts, talks = strings(args.strings, 1), conversations(1000, 2)
        prompts = [post(theirs, "/tokenize", {"content": f"<|im_start|>user\n{p}<|im_end|>\n<|im_start|>assistant\n", "parse_special": True})["tokens"]
                   for p in PROMPTS]
        ours = go.ask(model, texts=texts, conversations=talks)
        bad = 0
        for s, ids in zip(texts, ours["ids"]):
            want = post(theirs, "/tokenize", {"content": s, "parse_special": False, "add_special": False})["tokens"]
            bad += want != (ids or [])
        print(f"tokens     {len(texts)} strings, {bad} differ from llama.cpp's", flush=True)
        folder = Path(tmp) / "hub"
        subprocess.run([args.gollava, "quantise", "-q", model, "--type", "nf4", "--out", folder], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        hf = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        hf.encode_special_tokens = True
        bad = sum(hf.encode(s, add_special_tokens=False).ids != (ids or []) for s, ids in zip(texts, ours["ids"]))
        print(f"tokens     {len(texts)} strings, {bad} differ from those of `tokenizers` with the written tokenizer.json", flush=True)

        env = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
        program = env.from_string(post_template(theirs))
        role = {"human": "user", "gpt": "assistant", "system": "system"}
        bad = sum(program.render(messages=[{"role": role[t["from"]], "content": t["value"]} for t in talk], bos_token="<|im_start|>", eos_token="<|im_end|>",
                                 add_generation_prompt=False) != text for talk, text in zip(talks, ours["rendered"]))
        print(f"template   {len(talks)} conversations, {bad} differ from jinja2's", flush=True)

        def answers(s, path, name):
            out = [complete(s, p, 40)["tokens"] for p in prompts]
            a = go.ask(path, prompts=prompts, tokens=40, forced=[{"ids": p + o, "start": len(p)} for p, o in zip(prompts, out)])
            judge(name, a, out)

        answers(theirs, model, "answers")
        for kind in args.types.split(",") if args.types else ():
            path = Path(tmp) / f"{kind}.gguf"
            subprocess.run([args.gollava, "quantise", "-q", model, "--type", kind, "--out", path], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            answers(server(path), path, f"{kind}")

        for threads in (1, 2) if args.rounds else ():
            s, best = server(model, threads), {}
            for _ in range(args.rounds):
                a = go.ask(model, threads=threads, speed=[512, 64])
                b = complete(s, [100 + i % 1000 for i in range(512)], 64, ignore_eos=True)["timings"]
                for k, v in (("we read", a["read"]), ("we write", a["write"]), ("they read", b["prompt_per_second"]), ("they write", b["predicted_per_second"])):
                    best[k] = max(best.get(k, 0), v)
            print(f"speed      {threads} threads, tokens/s, best of {args.rounds}: prefill of 512 {best['we read']:.0f} and llama.cpp {best['they read']:.0f} "
                  f"({best['we read'] / best['they read']:.2f}×); decode {best['we write']:.1f} and {best['they write']:.1f} "
                  f"({best['we write'] / best['they write']:.2f}×); load {' '.join(open('/proc/loadavg').read().split()[:1])}", flush=True)


def post_template(s):
    return json.loads(urllib.request.urlopen(s.listening_address + "/props").read())["chat_template"]


if __name__ == "__main__":
    main()
