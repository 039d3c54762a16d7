package blip2case

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/gollava/gollava/connector/blip2"
	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// Vision checks the task blip2_vision: EVA-ViT-g's tower.
func Vision(dir string) ([]verify.Row, error) { return each(dir, vision) }

func vision(k *check) error {
	loaded, err := vit.Load(k.dir, nn.LoadOptions{DType: nn.As(tensor.Float32)})
	if err != nil {
		return err
	}
	tower, ok := loaded.(*vit.EVAVision)
	if !ok {
		return fmt.Errorf("%s: the tower is a %T", k.dir, loaded)
	}
	pixels, cotangent := k.Tensor("in.pixel_values"), k.Tensor("in.cotangent.last_hidden_state")
	if k.Err != nil {
		return k.Err
	}
	states := tower.HiddenStates(pixels, tower.Config().NumHiddenLayers)
	k.Output("hidden_states", stack(states))
	last := tower.LastHidden(states[len(states)-1])
	k.Output("last_hidden_state", last)
	k.Output("pooled", tower.Pooled(last))
	last.BackwardFrom(cotangent)
	k.Gradients(tower, nil)
	return nil
}

// QFormer checks the task blip2_qformer: the Q-Former alone in its three uses.
func QFormer(dir string) ([]verify.Row, error) { return each(dir, qformer) }

func qformer(k *check) error {
	var c blip2.QFormerConfig
	if err := verify.ReadJSON(filepath.Join(k.dir, "config.json"), &c); err != nil {
		return err
	}
	m, err := blip2.NewQFormer(nil, c)
	if err != nil {
		return err
	}
	w, err := nn.OpenWeights(k.dir)
	if err != nil {
		return err
	}
	defer w.Close()
	if err := nn.Load(m, w, nn.LoadOptions{DType: nn.As(tensor.Float32)}); err != nil {
		return err
	}
	queries, text, image := k.Tensor("in.query_embeds"), k.Tensor("in.text_embeds"),
		k.Tensor("in.encoder_hidden_states")
	mask, imageMask := k.Tensor("in.attention_mask"), k.Tensor("in.encoder_attention_mask")
	if k.Err != nil {
		return k.Err
	}
	n, err := lengths(mask)
	if err != nil {
		return err
	}
	seen, err := lengths(imageMask)
	if err != nil {
		return err
	}
	q, _ := m.Forward(blip2.Input{Queries: queries, Image: image, ImageLengths: seen})
	_, t := m.Forward(blip2.Input{Text: text, Lengths: n})
	bothQ, bothT := m.Forward(blip2.Input{Queries: queries, Text: text, Lengths: n, Image: image})
	both := tensor.Concat(1, bothQ, bothT)
	k.Output("query", q)
	k.Masked("text", t, mask.IntData())
	B, Q, _ := queries.Dims3()
	k.Masked("both", both, withQueries(mask, B, Q))
	loss := tensor.New()
	for _, x := range []struct {
		name string
		y    *tensor.Tensor
	}{{"query", q}, {"text", t}, {"both", both}} {
		cotangent := k.Tensor("in.cotangent." + x.name)
		if k.Err != nil {
			return k.Err
		}
		loss = loss.Add(x.y.Mul(cotangent).Sum())
	}
	loss.Backward()
	k.Gradients(m, nil)
	return nil
}

// withQueries puts Q ones before each row of a mask [B, T].
func withQueries(mask *tensor.Tensor, B, Q int) []int32 {
	T := mask.Dim(1)
	var all []int32
	for b := range B {
		all = append(all, slices.Repeat([]int32{1}, Q)...)
		all = append(all, mask.IntData()[b*T:(b+1)*T]...)
	}
	return all
}
