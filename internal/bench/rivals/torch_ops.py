"""PyTorch on the CPU."""


def load(threads):
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(1)

    def gemm(which, m, n, k):
        x, w, y = torch.rand(m, k), torch.rand(n, k), torch.rand(m, n)
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

    return {"gemm": gemm, "attention": attention, "decode": decode}
