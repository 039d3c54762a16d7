"""PyTorch on the CPU. MODE is empty for float32, or medium, autocast, bf16, or compile."""


def load(threads, mode=""):
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(1)
    if mode == "medium":
        torch.set_float32_matmul_precision("medium")
    if mode == "bf16":
        torch.set_default_dtype(torch.bfloat16)
    if mode == "compile":
        torch._dynamo.config.suppress_errors = False  # what cannot be compiled is no rival

    def gemm(which, m, n, k, dtype):
        x, w, y = (torch.rand(*s).to(getattr(torch, dtype)) for s in ((m, k), (n, k), (m, n)))
        if which == "x·Wᵀ":
            return lambda: torch.mm(x, w.t(), out=y)
        if which == "dy·W":
            return lambda: torch.mm(y, w, out=x)
        return lambda: torch.mm(y.t(), x, out=w)

    sdpa = torch.nn.functional.scaled_dot_product_attention

    def attention(b, t, h, d, causal):
        # [B, T, H, D] as projections leave it, seen as [B, H, T, D]
        q, k, v, d_out = (torch.rand(b, t, h, d).transpose(1, 2) for _ in range(4))
        for x in (q, k, v):
            x.requires_grad_()

        def run():
            q.grad = k.grad = v.grad = None
            sdpa(q, k, v, is_causal=causal).backward(d_out)

        return run

    def decode(b, s, h, g, d):
        q, k, v = torch.rand(b, h, 1, d), torch.rand(b, g, s, d), torch.rand(b, g, s, d)

        def run():
            with torch.no_grad():
                sdpa(q, k, v, enable_gqa=g != h)

        return run

    def conv(b, channels, side, backward):
        x, w = torch.rand(b, channels, side, side) * 2 - 1, torch.rand(channels, channels, 3, 3) * 2 - 1
        dy = torch.rand(b, channels, side, side)
        if not backward:
            def forward():
                with torch.no_grad():
                    torch.conv2d(x, w, padding=1)

            return forward
        x.requires_grad_()
        w.requires_grad_()

        def run():
            x.grad = w.grad = None
            torch.conv2d(x, w, padding=1).backward(dy)

        return run

    def rows_op(name):
        F, aten = torch.nn.functional, torch.ops.aten
        fresh = {
            "exp": lambda x, w: torch.exp(x),
            "silu": lambda x, w: F.silu(x),
            "gelu": lambda x, w: F.gelu(x),
            "rmsnorm": lambda x, w: F.rms_norm(x, w.shape, w, 1e-6),
            "layernorm": lambda x, w: F.layer_norm(x, w.shape, w, w, 1e-5),
            "softmax": lambda x, w: torch.softmax(x, -1),
        }[name]

        def prepare(rows, cols, output):
            x, w, y = torch.rand(rows, cols) * 2 - 1, torch.rand(cols), torch.empty(rows, cols)
            mean, rstd = torch.empty(rows, 1), torch.empty(rows, 1)
            reused = {
                "exp": lambda: torch.exp(x, out=y),
                "silu": lambda: aten.silu.out(x, out=y),
                "gelu": lambda: aten.gelu.out(x, out=y),
                "layernorm": lambda: aten.native_layer_norm.out(x, w.shape, w, w, 1e-5, out0=y, out1=mean, out2=rstd),
                "softmax": lambda: torch.softmax(x, -1, out=y),
            }
            run = reused.get(name) if output == "reused" else lambda: fresh(x, w)
            if run is None:
                raise RuntimeError(f"torch writes no {name} into memory that is there")

            def without_grad():
                with torch.no_grad():
                    run()

            return without_grad

        return prepare

    ops = {"gemm": gemm, "conv": conv, "attention": attention, "decode": decode}
    for name in ("exp", "silu", "gelu", "rmsnorm", "layernorm", "softmax"):
        ops[name] = rows_op(name)
    import torch_models
    import torch_recipe
    import torch_systems

    models = torch_models.load(torch, torch.compile if mode == "compile" else lambda f: f)
    if mode == "autocast":
        return {name: autocast(torch, prepare) for name, prepare in models.items()}
    if mode:
        return models
    return ops | models | torch_recipe.load(torch) | torch_systems.load(torch)


def autocast(torch, prepare):
    def prepared(**sizes):
        run = prepare(**sizes)

        def within():
            with torch.autocast("cpu", torch.bfloat16):
                run()

        return within

    return prepared
