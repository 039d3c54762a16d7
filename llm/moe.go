package llm

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// Experts describes a mixture of experts: MLPs of which each token passes a few, and a router that chooses them.
type Experts struct {
	Count       int     // num_experts, or num_local_experts; 0: every layer has a single MLP
	PerToken    int     // num_experts_per_tok
	Width       int     // moe_intermediate_size, or intermediate_size
	SharedWidth int     // shared_expert_intermediate_size, of an expert that every token passes; 0: none
	Normalize   bool    // norm_topk_prob: the weights of a token's experts add up to 1
	Dense       []int   // layers with a single MLP instead
	AuxLoss     float64 // router_aux_loss_coef
	UseAuxLoss  bool    // output_router_logits: [Loss] adds AuxLoss times the load-balancing loss
}

func (e *Experts) validate() error {
	switch {
	case e.Count == 0:
		return nil
	case e.Count < 0 || e.Count > 1<<16:
		return fmt.Errorf("num_experts %d is out of range", e.Count)
	case e.PerToken < 1 || e.PerToken > e.Count:
		return fmt.Errorf("num_experts_per_tok %d of %d experts", e.PerToken, e.Count)
	case e.Width < 1 || e.Width > 1<<28:
		return fmt.Errorf("moe_intermediate_size %d is missing or out of range", e.Width)
	case e.SharedWidth < 0 || e.SharedWidth > 1<<28:
		return fmt.Errorf("shared_expert_intermediate_size %d is out of range", e.SharedWidth)
	case !(e.AuxLoss >= 0 && e.AuxLoss < 1e6):
		return fmt.Errorf("router_aux_loss_coef %v is out of range", e.AuxLoss)
	}
	return nil
}

// MoE is Σ wₑ·Expertₑ(x) over the experts e that the router finds most probable for a token, with wₑ their
// probabilities, plus, if there is one, σ(g·x) times a shared expert. Sources: Jiang et al. 2024, "Mixtral of
// Experts"; Qwen Team 2024, "Qwen1.5-MoE".
// It is safe for concurrent use while nobody changes its parameters.
type MoE struct {
	Router     nn.Layer   `param:"gate"` // [E, C]
	Experts    []nn.Layer `param:"experts"`
	Shared     nn.Layer   `param:"shared_expert,optional"`
	SharedGate nn.Layer   `param:"shared_expert_gate,optional"` // [1, C]

	perToken  int
	normalize bool
}

// newMoE builds a mixture of the experts that expert makes.
func newMoE(r *rand.Rand, c *Config, expert func() nn.Layer) *MoE {
	e := c.Experts
	m := &MoE{Router: linear(r, c.HiddenSize, e.Count, false), perToken: e.PerToken, normalize: e.Normalize}
	for range e.Count {
		m.Experts = append(m.Experts, expert())
	}
	return m
}

// Forward maps x [..., C] to the same shape in a pass of the model.
func (m *MoE) Forward(x *tensor.Tensor, p *Pass) *tensor.Tensor {
	shape, C := x.Shape(), x.Dim(-1)
	x = x.Reshape(-1, C) // [N, C]
	z := m.Router.Forward(x)
	p.route(z)
	w, ids := z.Softmax().TopK(m.perToken, 1) // [N, K]
	if m.normalize {
		w = w.Div(w.Sum(1).Reshape(-1, 1))
	}
	N, K := w.Dims2()
	w = w.Reshape(N*K, 1)
	rows, slots := make([][]int32, len(m.Experts)), make([][]int32, len(m.Experts))
	for i, e := range ids.Host().IntData() {
		rows[e], slots[e] = append(rows[e], int32(i/K)), append(slots[e], int32(i))
	}
	var parts []*tensor.Tensor
	var to []int32
	for e, expert := range m.Experts {
		n := len(rows[e])
		if n == 0 && !x.Recorded() { // in training an expert without tokens gets a gradient of 0
			continue
		}
		y := expert.Forward(tensor.Gather(x, tensor.WrapInts(rows[e], n))) // [n, C]
		parts = append(parts, y.Mul(tensor.Gather(w, tensor.WrapInts(slots[e], n))))
		to = append(to, rows[e]...)
	}
	y := tensor.ScatterAddRows(N, tensor.WrapInts(to, len(to)), tensor.Concat(0, parts...)) // [N, C]
	if m.Shared != nil {
		y = y.Add(m.Shared.Forward(x).Mul(m.SharedGate.Forward(x).Sigmoid()))
	}
	return y.Reshape(shape...)
}

// routing collects the logits of a pass's routers, [B, T, E] each.
type routing struct{ logits []*tensor.Tensor }

// loss is the load-balancing loss E·Σₑ fₑ·Pₑ over the real positions and all layers with experts: fₑ is the share of
// tokens that pass expert e, Pₑ the mean probability that the routers give it. Source: Fedus et al. 2021, equations
// 4–6, for several experts a token as transformers' load_balancing_loss_func.
func (r *routing) loss(in Input, e Experts) *tensor.Tensor {
	p := &Pass{in: in}
	p.rows, p.T, _ = in.Embeds.Dims3()
	var real []int32
	for b := range p.rows {
		from, to := p.real(b)
		for t := from; t < to; t++ {
			real = append(real, int32(b*p.T+t))
		}
	}
	var layers []*tensor.Tensor
	for _, z := range r.logits {
		layers = append(layers, tensor.Gather(z.Reshape(-1, e.Count), tensor.WrapInts(real, len(real))))
	}
	probs := tensor.Concat(0, layers...).Softmax() // [L·R, E]
	_, ids := probs.NoGrad().TopK(e.PerToken, 1)
	share := make([]float32, e.Count)
	for _, i := range ids.Host().IntData() {
		share[i] += 1 / float32(probs.Dim(0))
	}
	return probs.Mean(0).Mul(tensor.Wrap(share, e.Count)).Sum().Scale(float32(e.Count))
}

// sparse reports whether a layer has experts.
func (e *Experts) sparse(layer int) bool { return e.Count > 0 && !slices.Contains(e.Dense, layer) }
