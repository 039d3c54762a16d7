package main

import (
	"fmt"
	"math"

	"github.com/gollava/gollava/internal/backend"
	"github.com/gollava/gollava/internal/cpu"
)

// attentionCases are forward and backward of attentions: a ViT-L's, a decoder's, a small model's, and steps of decoding
// against a cache.
func attentionCases() []Case {
	return []Case{
		attentionCase("full", 1, 577, 16, 64, false), attentionCase("causal", 1, 2048, 16, 64, true),
		attentionCase("causal", 1, 1024, 32, 64, true), attentionCase("causal", 32, 64, 8, 24, true),
		attentionCase("full", 64, 37, 4, 16, false),
		decodeCase(1, 2048, 32, 8, 128), decodeCase(1, 1024, 12, 12, 64),
	}
}

func attentionCase(kind string, b, t, h, d int, causal bool) Case {
	pairs := float64(t) * float64(t) // of a query and a key that it sees
	if causal {
		pairs = float64(t) * float64(t+1) / 2
	}
	return Case{
		Name: fmt.Sprintf("attention/%s/%d×%d×%d×%d", kind, b, t, h, d), Op: "attention",
		Args: size{"b": b, "t": t, "h": h, "d": d, "causal": causal}, Rivals: []string{"torch"},
		Unit: "GFLOP/s", Work: 7 * 2e-9 * float64(b*h*d) * pairs, Share: byArithmetic,
		Setup: func() func() {
			dev, n := cpu.New(), b*t*h*d
			q, k, v, dOut := random(dev, n), random(dev, n), random(dev, n), random(dev, n)
			dq, dk, dv := random(dev, n), random(dev, n), random(dev, n)
			a := &backend.Attention{Q: q, K: k, V: v, Out: random(dev, n), LSE: random(dev, b*h*t), B: b, T: t, S: t, H: h, G: h,
				D: d, Keys: t,
				Causal: causal, Scale: float32(1 / math.Sqrt(float64(d)))}
			return func() {
				dev.Attention(a)
				dev.AttentionGrad(a, dq, dk, dv, dOut)
			}
		},
	}
}

// decodeCase is one query of each head against a cache.
func decodeCase(b, s, h, g, d int) Case {
	return Case{
		Name: fmt.Sprintf("attention/decode/%d×%d×%d:%d×%d", b, s, h, g, d), Op: "decode",
		Args: size{"b": b, "s": s, "h": h, "g": g, "d": d}, Rivals: []string{"torch"},
		Unit: "GB/s", Work: 8e-9 * float64(b*s*g*d), // from the third-level cache
		Setup: func() func() {
			dev := cpu.New()
			q, k, v := random(dev, b*h*d), random(dev, b*s*g*d), random(dev, b*s*g*d)
			a := &backend.Attention{Q: q, K: k, V: v, Out: random(dev, b*h*d), B: b, T: 1, S: s, H: h, G: g, D: d, Keys: s,
				Causal: true, Offset: s - 1,
				Scale: float32(1 / math.Sqrt(float64(d)))}
			return func() { dev.Attention(a) }
		},
	}
}
