"""The stages of the quickstart's recipe in PyTorch, written as a PyTorch user would: modules, fused AdamW, clipped gradients, logits of learnt tokens only."""


def load(torch):
    nn, F = torch.nn, torch.nn.functional
    cells, merge, vocabulary = 9, 2, 162

    class Attention(nn.Module):
        def __init__(self, width, heads, causal, bias=True, rope=None):
            super().__init__()
            self.heads, self.causal, self.rope = heads, causal, rope
            self.q, self.k, self.v, self.o = (nn.Linear(width, width, bias=bias) for _ in range(4))
            if rope:
                self.q_norm, self.k_norm = nn.RMSNorm(width // heads, eps=1e-5), nn.RMSNorm(width // heads, eps=1e-5)

        def forward(self, x):
            b, t, c = x.shape
            q, k, v = (f(x).view(b, t, self.heads, -1) for f in (self.q, self.k, self.v))
            if self.rope:
                q, k = self.q_norm(q), self.k_norm(k)
            q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
            if self.rope:
                q, k = self.rope(q), self.rope(k)
            y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
            return self.o(y.transpose(1, 2).reshape(b, t, c))

    class CLIPBlock(nn.Module):
        def __init__(self, width, heads, hidden, causal=False):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.attention = Attention(width, heads, causal)
            self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

        def forward(self, x):
            x = x + self.attention(self.norm1(x))
            h = self.up(self.norm2(x))
            return x + self.down(h * torch.sigmoid(1.702 * h))

    class Image(nn.Module):
        def __init__(self, width=64, patch=8, side=48, layers=3):
            super().__init__()
            n = (side // patch) ** 2
            self.patch = nn.Conv2d(3, width, patch, patch, bias=False)
            self.start, self.place = nn.Parameter(torch.randn(width)), nn.Parameter(torch.randn(n + 1, width) * 0.17)
            self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
            self.blocks = nn.Sequential(*[CLIPBlock(width, 4, 4 * width) for _ in range(layers)])
            self.project = nn.Linear(width, 64, bias=False)

        def forward(self, pixels):
            x = self.patch(pixels).flatten(2).transpose(1, 2)
            x = torch.cat([self.start.expand(len(x), 1, -1), x], 1) + self.place
            x = self.blocks(self.before(x))
            return F.normalize(self.project(self.after(x[:, 0])), dim=-1)

    class Text(nn.Module):
        def __init__(self, width=64, layers=2, longest=96):
            super().__init__()
            self.words, self.place = nn.Embedding(vocabulary, width), nn.Parameter(torch.randn(longest, width) * 0.01)
            self.blocks = nn.Sequential(*[CLIPBlock(width, 4, 4 * width, causal=True) for _ in range(layers)])
            self.after, self.project = nn.LayerNorm(width), nn.Linear(width, 64, bias=False)

        def forward(self, ids, last):
            x = self.blocks(self.words(ids) + self.place[: ids.shape[1]])
            return F.normalize(self.project(self.after(x[torch.arange(len(ids)), last])), dim=-1)

    def rotary(size, longest, theta=1e6):
        angle = torch.outer(torch.arange(longest).float(), theta ** (-torch.arange(0, size, 2).float() / size))
        cos, sin = angle.cos(), angle.sin()

        def rotate(x):
            a, b = x.chunk(2, -1)
            c, s = cos[: x.shape[2]], sin[: x.shape[2]]
            return torch.cat([a * c - b * s, b * c + a * s], -1)

        return rotate

    class LlamaBlock(nn.Module):
        def __init__(self, width, heads, hidden, rope):
            super().__init__()
            self.norm1, self.norm2 = nn.RMSNorm(width, eps=1e-5), nn.RMSNorm(width, eps=1e-5)
            self.attention = Attention(width, heads, True, bias=False, rope=rope)
            self.gate, self.up, self.down = nn.Linear(width, hidden, bias=False), nn.Linear(width, hidden, bias=False), nn.Linear(hidden, width, bias=False)

        def forward(self, x):
            x = x + self.attention(self.norm1(x))
            h = self.norm2(x)
            return x + self.down(F.silu(self.gate(h)) * self.up(h))

    class Language(nn.Module):
        def __init__(self, width=96, layers=3, heads=6, hidden=256):
            super().__init__()
            rope = rotary(width // heads, 512)
            self.words = nn.Embedding(vocabulary, width)
            self.blocks = nn.Sequential(*[LlamaBlock(width, heads, hidden, rope) for _ in range(layers)])
            self.norm = nn.RMSNorm(width, eps=1e-5)

        def loss(self, x, labels):
            h, wanted = self.norm(self.blocks(x))[:, :-1], labels[:, 1:]
            learnt = wanted != -100
            return F.cross_entropy(F.linear(h[learnt], self.words.weight), wanted[learnt])

    def steps(params, loss):
        params = list(params)
        optimizer = torch.optim.AdamW(params, lr=1e-3, betas=(0.9, 0.95), weight_decay=0.0, fused=True)

        def run():
            optimizer.zero_grad(set_to_none=True)
            loss().backward()
            torch.nn.utils.clip_grad_norm_(params, 1.0)
            optimizer.step()

        return run

    def clip():
        image, text = Image(), Text()
        scale = nn.Parameter(torch.tensor(2.66))
        pixels, ids, last = torch.rand(64, 3, 48, 48), torch.randint(0, vocabulary, (128, 23)), 22 - torch.arange(128) % 8
        same, mine = torch.zeros(64, 128), torch.arange(64)

        def loss():
            logits = image(pixels) @ text(ids, last).T * scale.exp() + same
            return (F.cross_entropy(logits, mine) + F.cross_entropy(logits[:, :64].T, mine)) / 2

        return steps([*image.parameters(), *text.parameters(), scale], loss)

    def text(b, t, supervised):
        ids, labels = torch.randint(0, vocabulary, (b, t)), torch.full((b, t), -100)
        labels[:, t - supervised // b:] = ids[:, t - supervised // b:]
        seen = torch.zeros(b, t, dtype=torch.bool)
        seen[:, 1: 1 + cells] = True
        return ids, labels, seen

    def splice(x, seen, tokens):
        x = x.clone()
        x[seen] = tokens
        return x

    def language(b, t, supervised):
        m, width = Language(), 96
        told = nn.EmbeddingBag(vocabulary, width, mode="sum")
        out = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))
        ids, labels, seen = text(b, t, supervised)
        words, noise = torch.randint(0, vocabulary, (b * cells, 4)), torch.randn(b * cells, width) * 0.1
        return steps([*m.parameters(), *told.parameters(), *out.parameters()], lambda: m.loss(splice(m.words(ids), seen, out(told(words)) + noise), labels))

    def joined(b, t, supervised, whole):
        m = Language()
        projector = nn.Sequential(nn.Linear(64 * merge * merge, 96), nn.Linear(96, 96))
        ids, labels, seen = text(b, t, supervised)
        features = torch.rand(b, 36, 64)
        m.requires_grad_(whole)

        def loss():
            f = features.view(b, 3, merge, 3, merge, 64).permute(0, 1, 3, 2, 4, 5).reshape(b * cells, -1)
            return m.loss(splice(m.words(ids), seen, projector(f)), labels)

        return steps([*projector.parameters(), *(m.parameters() if whole else [])], loss)

    def align(**sizes):
        return joined(**sizes, whole=False)

    def tune(**sizes):
        return joined(**sizes, whole=True)

    def whole(batches, **counts):
        runs = {"clip": clip(), **{n: f(**b) for n, f, b in zip(("language", "align", "tune"), (language, align, tune), batches)}}

        def run():
            for name in ("clip", "language", "align", "tune"):
                for _ in range(counts[name]):
                    runs[name]()

        return run

    return {"recipe_clip": clip, "recipe_language": language, "recipe_align": align, "recipe_tune": tune, "recipe_all": whole}
