// Package gitcase checks GIT against transformers' GitForCausalLM: the task git.
package gitcase

import (
	"context"
	"fmt"
	"slices"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/git"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/internal/verify/traincase"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// caseFile is case.json.
type caseFile struct {
	Folders    []string `json:"checkpoints"`
	Tokens     int      `json:"image_tokens"`
	Generation map[string]verify.Generation
	Runs       map[string]traincase.Recorded
}

// Run checks the task git.
func Run(dir string) ([]verify.Row, error) {
	return verify.Check(dir, func(r *verify.Report, c caseFile) error {
		return r.Checkpoints(c.Folders, func(dir string) error { return (&check{r, c, dir}).everything() })
	})
}

// check is a case at work on one of its checkpoints.
type check struct {
	*verify.Report
	caseFile
	dir string
}

func (k *check) load() (*connector.VLM, error) {
	return git.Load(k.dir, git.LoadOptions{DType: verify.InBlocks})
}

// batch reads the one under a prefix ("in."): the places of an image before the text of each row.
func (k *check) batch(in string, m *connector.VLM) (b connector.Batch, err error) {
	c := git.ConfigOf(m)
	if c.ImageTokens() != k.Tokens {
		return b, fmt.Errorf("image_tokens %d; the config has %d", k.Tokens, c.ImageTokens())
	}
	ids, pixels := k.Rows(in+"input_ids"), k.Tensor(in+"pixel_values")
	mask := k.RowsLike(in+"attention_mask", ids)
	var labels [][]int32
	if k.Has(in + "labels") {
		labels = k.RowsLike(in+"labels", ids)
	}
	if k.Err != nil {
		return b, k.Err
	}
	if len(ids) == 0 || len(ids[0]) == 0 || pixels.Rank() < 4 {
		return b, fmt.Errorf("%sinput_ids and pixel_values %v: no rows of words and images", in, pixels.Shape())
	}
	var flat, learnt []int32
	for i, row := range ids {
		flat = append(append(flat, slices.Repeat([]int32{chat.ImageIndex}, k.Tokens)...), row...)
		b.Mask = append(append(b.Mask, slices.Repeat([]int32{1}, k.Tokens)...), mask[i]...)
		b.Sizes = append(b.Sizes, imaging.Size{W: c.Vision.ImageSize, H: c.Vision.ImageSize})
		b.Pictures = append(b.Pictures, 1)
		if labels != nil { // nothing predicts the first word
			learnt = append(append(learnt, slices.Repeat([]int32{tensor.IgnoreIndex}, k.Tokens+1)...), labels[i][1:]...)
		}
	}
	b.IDs = tensor.WrapInts(flat, len(ids), len(flat)/len(ids))
	if labels != nil {
		b.Labels = tensor.WrapInts(learnt, b.IDs.Shape()...)
	}
	s := pixels.Shape() // [B, 3, S, S] or [B, frames, 3, S, S]
	b.Pixels = pixels.Reshape(append([]int{-1}, s[len(s)-3:]...)...)
	return b, m.Check(b)
}

// canonical is git.Canonical; buffers have no name.
func canonical(name string) string {
	c, _ := git.Canonical(name)
	return c
}

func (k *check) everything() error {
	m, err := k.load()
	if err != nil {
		return err
	}
	b, err := k.batch("in.", m)
	if err != nil {
		return err
	}
	k.Output("vision", vit.Features(m.Vision, b.Pixels, m.Config().Select)) // [B·frames, P, D]
	k.Masked("logits", llm.Logits(m.Language, m.Hidden(b)), b.Mask)
	loss := m.Loss(b)
	k.Loss("loss", loss)
	k.Loss("loss_smooth", git.Smooth{VLM: m}.Loss(b))
	loss.Backward()
	k.Gradients(m, canonical)
	for _, name := range verify.Sorted(k.Generation) {
		if err := k.generate(m, name); err != nil {
			return err
		}
	}
	for _, name := range verify.Sorted(k.Runs) {
		fresh, err := k.load()
		if err != nil {
			return err
		}
		if err := traincase.Follow(k.Report, name, k.Runs[name], fresh, []connector.Batch{b}, canonical); err != nil {
			return err
		}
	}
	return nil
}

// generate compares the ids that a recorded generation made, with a cache and without.
func (k *check) generate(m *connector.VLM, name string) error {
	b, err := k.batch("in.gen.", m)
	if err != nil {
		return err
	}
	o, err := k.Generation[name].Options()
	if err != nil {
		return fmt.Errorf("generation %s: %w", name, err)
	}
	for _, how := range []string{"cached", "recomputed"} {
		if o.NoCache = how == "recomputed"; o.NoCache && o.Beams > 1 {
			continue
		}
		got, err := m.Generate(context.Background(), b, o)
		if err != nil {
			return err
		}
		k.Add(verify.IDs("generated ids, "+name+", "+how, verify.Padded(got.IDs, int32(o.PAD)),
			k.Rows("out.gen."+name)))
	}
	return nil
}
