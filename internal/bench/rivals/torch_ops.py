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

    return {"gemm": gemm}
