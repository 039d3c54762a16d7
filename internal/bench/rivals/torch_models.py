"""Training steps and models in PyTorch, written as a PyTorch user would."""


def load(torch, compiled):
    """compiled is torch.compile, or leaves functions as they are."""
    F = torch.nn.functional
    sdpa = F.scaled_dot_product_attention

    def weight(*shape):
        return (torch.randn(*shape) * 0.02).requires_grad_()

    def mlp_loss(m, in_, hidden, out):
        x = torch.rand(m, in_)
        params = [weight(hidden, in_), weight(hidden), weight(out, hidden), weight(out)]

        def loss():
            h = F.relu(F.linear(x, params[0], params[1]))
            y = F.linear(h, params[2], params[3])
            return (y * y).mean()

        return params, loss

    def step(params, loss, adamw=False):
        optimizer = torch.optim.AdamW(params, lr=1e-4, fused=True) if adamw else None
        loss = compiled(loss)

        def run():
            loss().backward()
            if optimizer:
                optimizer.step()
            for p in params:
                p.grad = None

        return run

    def mlp(**sizes):
        return step(*mlp_loss(**sizes))

    def tiny(**sizes):
        return step(*mlp_loss(**sizes), adamw=True)

    class ViTBlock:
        def __init__(self, d=1024, ff=4096, heads=16):
            self.heads = heads
            self.norms = [torch.ones(d).requires_grad_(), torch.zeros(d).requires_grad_(), torch.ones(d).requires_grad_(), torch.zeros(d).requires_grad_()]
            self.w = [weight(d, d) for _ in range(4)] + [weight(ff, d), weight(d, ff)]
            self.b = [weight(d) for _ in range(4)] + [weight(ff), weight(d)]
            self.params = self.norms + self.w + self.b

        def __call__(self, x):
            b, t, d = x.shape
            h = F.layer_norm(x, (d,), self.norms[0], self.norms[1], 1e-5)
            q, k, v = (F.linear(h, self.w[i], self.b[i]).view(b, t, self.heads, -1).transpose(1, 2) for i in range(3))
            x = x + F.linear(sdpa(q, k, v).transpose(1, 2).reshape(b, t, d), self.w[3], self.b[3])
            h = F.linear(F.layer_norm(x, (d,), self.norms[2], self.norms[3], 1e-5), self.w[4], self.b[4])
            return x + F.linear(h * torch.sigmoid(1.702 * h), self.w[5], self.b[5])

    def vit_blocks(layers):
        blocks = [ViTBlock() for _ in range(layers)]
        x, dy = torch.rand(1, 577, 1024).requires_grad_(), torch.rand(1, 577, 1024)
        params = [x] + [p for b in blocks for p in b.params]

        @compiled
        def forward(x):
            for b in blocks:
                x = b(x)
            return x

        def run():
            forward(x).backward(dy)
            for p in params:
                p.grad = None

        return run

    def vit_forward():
        blocks = [ViTBlock() for _ in range(24)]
        patch, cls, pos = weight(1024, 3, 14, 14), weight(1024), weight(577, 1024)
        norm = [torch.ones(1024), torch.zeros(1024)]
        pixels = torch.rand(1, 3, 336, 336)

        @compiled
        def forward(pixels):
            x = F.conv2d(pixels, patch, stride=14).flatten(2).transpose(1, 2)
            x = torch.cat([cls.expand(1, 1, -1), x], 1) + pos
            x = F.layer_norm(x, (1024,), *norm, 1e-5)
            for b in blocks:
                x = b(x)
            return x

        def run():
            with torch.no_grad():
                forward(pixels)

        return run

    class Llama:
        def __init__(self, layers, width, heads, mlp, vocabulary, t):
            self.heads, d = heads, width
            self.layers = [[torch.ones(d).requires_grad_(), torch.ones(d).requires_grad_()] + [weight(d, d) for _ in range(4)]
                           + [weight(mlp, d), weight(mlp, d), weight(d, mlp)] for _ in range(layers)]
            self.norm = torch.ones(d).requires_grad_()
            self.embedding, self.head = weight(vocabulary, d), weight(vocabulary, d)
            a = torch.outer(torch.arange(t).float(), 10000 ** (-torch.arange(0, d // heads, 2).float() / (d // heads)))
            a = torch.cat([a, a], -1)
            self.cos, self.sin = (x[None, None].to(self.norm.dtype) for x in (a.cos(), a.sin()))

        def body(self):
            return [self.norm] + [p for l in self.layers for p in l]

        def params(self):
            return self.body() + [self.embedding, self.head]

        def rotate(self, x):
            a, b = x.chunk(2, -1)
            return x * self.cos + torch.cat([-b, a], -1) * self.sin

        def hidden(self, x):
            b, t, d = x.shape
            for n1, n2, wq, wk, wv, wo, gate, up, down in self.layers:
                h = F.rms_norm(x, (d,), n1, 1e-5)
                q, k, v = (F.linear(h, w).view(b, t, self.heads, -1).transpose(1, 2) for w in (wq, wk, wv))
                y = sdpa(self.rotate(q), self.rotate(k), v, is_causal=True)
                x = x + F.linear(y.transpose(1, 2).reshape(b, t, d), wo)
                h = F.rms_norm(x, (d,), n2, 1e-5)
                x = x + F.linear(F.silu(F.linear(h, gate)) * F.linear(h, up), down)
            return F.rms_norm(x, (d,), self.norm, 1e-5)

        def loss(self, x, labels):
            logits = F.linear(self.hidden(x), self.head)
            return F.cross_entropy(logits[:, :-1].reshape(-1, logits.shape[-1]), labels[:, 1:].reshape(-1), ignore_index=-100)

    def llama_blocks(b, t, **sizes):
        m = Llama(t=t, **sizes)
        x, dy = torch.rand(b, t, sizes["width"]).requires_grad_(), torch.rand(b, t, sizes["width"])
        hidden = compiled(m.hidden)

        def run():
            hidden(x).backward(dy)
            for p in [x] + m.body():
                p.grad = None

        return run

    def llama_train(adamw):
        def prepare(b, t, **sizes):
            m = Llama(t=t, **sizes)
            ids = torch.randint(0, sizes["vocabulary"], (b, t))
            return step(m.params(), lambda: m.loss(F.embedding(ids, m.embedding), ids), adamw)

        return prepare

    def llava_step(b, t, **sizes):
        m, pictures, supervised = Llama(t=t, **sizes), 256, 100
        d = sizes["width"]
        projector = [weight(d, 1024), weight(d), weight(d, d), weight(d)]
        features, ids = torch.rand(b, pictures, 1024), torch.randint(0, sizes["vocabulary"], (b, t - pictures))
        labels = torch.full((b, t), -100)
        labels[:, t - supervised:] = ids[:, -supervised:]

        def loss():
            h = F.linear(F.gelu(F.linear(features, projector[0], projector[1])), projector[2], projector[3])
            return m.loss(torch.cat([h, F.embedding(ids, m.embedding)], 1), labels)

        return step(projector + m.params(), loss, adamw=True)

    return {"mlp": mlp, "tiny": tiny, "vit_blocks": vit_blocks, "vit_forward": vit_forward, "llama_blocks": llama_blocks,
            "llama_loss": llama_train(False), "llama_step": llama_train(True), "llava_step": llava_step}
