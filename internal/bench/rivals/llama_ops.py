"""llama.cpp through llama-cpp-python, or through xllamacpp, whose wheels are built already, on a GGUF file of random weights."""
import json
import os
import tempfile
import urllib.request


def load(threads):
    import gguf
    import numpy as np
    try:
        import llama_cpp
    except ImportError:
        llama_cpp = None
        import xllamacpp

    def write(path, layers, width, heads, mlp, vocabulary, dtype):
        w = gguf.GGUFWriter(path, "llama")
        w.add_context_length(4096)
        w.add_embedding_length(width)
        w.add_block_count(layers)
        w.add_feed_forward_length(mlp)
        w.add_head_count(heads)
        w.add_head_count_kv(heads)
        w.add_layer_norm_rms_eps(1e-5)
        w.add_rope_dimension_count(width // heads)
        w.add_vocab_size(vocabulary)
        w.add_tokenizer_model("llama")
        w.add_token_list([f"<{i}>".encode() for i in range(vocabulary)])
        w.add_token_scores([0.0] * vocabulary)
        w.add_token_types([gguf.TokenType.NORMAL] * vocabulary)
        w.add_bos_token_id(1)
        w.add_eos_token_id(2)
        rng = np.random.default_rng(1)

        def matrix(name, *shape):
            x = (rng.standard_normal(shape) * 0.02).astype(np.float32)
            if dtype == "bf16":
                w.add_tensor(name, (x.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8), raw_dtype=gguf.GGMLQuantizationType.BF16)
            elif dtype != "f32":
                kind = gguf.GGMLQuantizationType["Q4_K" if dtype == "q4_k" else dtype.upper()]
                w.add_tensor(name, gguf.quants.quantize(x, kind), raw_dtype=kind)  # gguf-py cannot write Q4_K
            else:
                w.add_tensor(name, x)

        def norm(name):
            w.add_tensor(name, np.ones(width, np.float32))

        matrix("token_embd.weight", vocabulary, width)
        matrix("output.weight", vocabulary, width)
        norm("output_norm.weight")
        for i in range(layers):
            norm(f"blk.{i}.attn_norm.weight")
            norm(f"blk.{i}.ffn_norm.weight")
            for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
                matrix(f"blk.{i}.{name}.weight", width, width)
            matrix(f"blk.{i}.ffn_gate.weight", mlp, width)
            matrix(f"blk.{i}.ffn_up.weight", mlp, width)
            matrix(f"blk.{i}.ffn_down.weight", width, mlp)
        w.write_header_to_file()
        w.write_kv_data_to_file()
        w.write_tensors_to_file()
        w.close()

    def generate(b, t, n, dtype, **sizes):
        with tempfile.TemporaryDirectory() as d:
            path = os.path.join(d, "model.gguf")
            write(path, dtype=dtype, **sizes)
            if llama_cpp is None:
                return served(path, t, n, sizes["vocabulary"])
            model = llama_cpp.Llama(path, n_ctx=1024, n_batch=512, n_threads=threads, n_threads_batch=threads, use_mmap=False, verbose=False)
        prompt = [i * 31 % sizes["vocabulary"] for i in range(t)]

        def run():
            model.reset()
            model.eval(prompt)
            for _ in range(n):
                model.eval([0])

        return run

    def served(path, t, n, vocabulary):
        p = xllamacpp.CommonParams()
        p.model.path, p.n_ctx, p.n_batch, p.n_ubatch, p.n_parallel, p.warmup, p.verbosity = path, 1024, 512, 512, 1, False, -1
        p.cpuparams.n_threads = p.cpuparams_batch.n_threads = threads
        server = xllamacpp.Server(p)
        body = {"prompt": [i * 31 % vocabulary for i in range(t)], "n_predict": n + 1 if n else 0, "temperature": 0, "ignore_eos": True, "cache_prompt": False}

        def run():
            q = urllib.request.Request(server.listening_address + "/completion", json.dumps(body).encode(), {"Content-Type": "application/json"})
            urllib.request.urlopen(q).read()

        return run

    return {"generate": generate}
