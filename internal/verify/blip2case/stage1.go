package blip2case

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/connector/blip2"
	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
)

// pairs reads the batch of images and captions.
func (k *check) pairs() (b blip2.Pairs, err error) {
	b = blip2.Pairs{Pixels: k.Tensor("in.pixel_values"), IDs: k.Tensor("in.input_ids")}
	mask := k.Tensor("in.attention_mask")
	if k.Err != nil {
		return b, k.Err
	}
	b.Lengths, err = lengths(mask)
	return b, err
}

// Retrieval checks the task blip2_retrieval.
func Retrieval(dir string) ([]verify.Row, error) { return each(dir, retrieval) }

// retrieval checks similarities and match logits.
func retrieval(k *check) error {
	m, err := blip2.LoadRetrieval(k.dir, blip2.LoadOptions{DType: nn.As(tensor.Float32)})
	if err != nil {
		return err
	}
	b, err := k.pairs()
	if err != nil {
		return err
	}
	if c := m.Config(); c.Image >= 0 { // placeholders stand before the text
		Q, T := c.NumQueryTokens, b.IDs.Dim(1)
		if Q >= T {
			return fmt.Errorf("%d placeholders in texts of %d tokens", Q, T)
		}
		var ids []int32
		for _, row := range k.Rows("in.input_ids") {
			ids = append(ids, row[Q:]...)
		}
		b.IDs = tensor.WrapInts(ids, len(b.Lengths), T-Q)
		for i := range b.Lengths {
			b.Lengths[i] -= int32(Q)
		}
	}
	image := m.Image(b)
	images, texts := m.EmbedImage(image), m.EmbedText(b.IDs, b.Lengths)
	sim, match := blip2.Similarity(images, texts), m.MatchLogits(image, b.IDs, b.Lengths)
	k.Output("itc.image_embeds", images)
	k.Output("itc.text_embeds", texts)
	k.Output("itc.logits_per_image", sim)
	k.Output("itm.logits", match)
	bySim, byMatch := k.Tensor("in.cotangent.itc"), k.Tensor("in.cotangent.itm")
	if k.Err != nil {
		return k.Err
	}
	sim.Mul(bySim).Sum().Add(match.Mul(byMatch).Sum()).Backward()
	k.Gradients(m, nil)
	return nil
}

// Stage1 checks the task blip2_stage1.
func Stage1(dir string) ([]verify.Row, error) { return each(dir, stage1) }

// stage1 checks the three losses, their gradients and the recorded run, of the checkpoint in transformers' names and of
// those in LAVIS's.
func stage1(k *check) error {
	c, err := blip2.ReadRetrievalConfig(k.dir)
	if err != nil {
		return err
	}
	if k.DEC != nil {
		c.QFormer.DEC = *k.DEC
	}
	files := map[string]string{"": k.dir}
	for _, sub := range k.Also {
		dir, err := verify.Inside(k.dir, sub)
		if err != nil {
			return err
		}
		found, err := filepath.Glob(filepath.Join(dir, "*.pth"))
		if err != nil || len(found) != 1 {
			return fmt.Errorf("%s: %d files end in .pth, one is wanted", dir, len(found))
		}
		files[sub+": "] = found[0]
	}
	if k.Extra != "" {
		if _, err := os.Stat(filepath.Join(k.dir, k.Extra)); err != nil {
			return errors.Join(errors.New("extra"), err)
		}
	}
	prefix := k.Prefix
	for _, sub := range verify.Sorted(files) {
		k.Prefix = prefix + sub
		if err := k.losses(c, files[sub]); err != nil {
			return err
		}
	}
	return nil
}

// losses checks the weights in path.
func (k *check) losses(c blip2.Config, path string) error {
	load := func() (*blip2.Stage1, error) {
		return blip2.LoadStage1(c, path, blip2.LoadOptions{DType: nn.As(tensor.Float32)})
	}
	m, err := load()
	if err != nil {
		return err
	}
	for name, p := range nn.Params(m) {
		p.SetTrainable(!strings.HasPrefix(name, "vision_model.") || strings.Contains(name, "post_layernorm"))
	}
	b, err := k.pairs()
	if err != nil {
		return err
	}
	b.NegativeImages, b.NegativeTexts = k.Ints("in.negative_image"), k.Ints("in.negative_text")
	mask := k.Ints("in.attention_mask")
	if k.Err != nil {
		return k.Err
	}
	t := m.Terms(b)
	k.Output("sim_i2t", t.Similarity)
	for name, odds := range map[string][][]float64{"odds.negative_text": t.TextOdds,
		"odds.negative_image": t.ImageOdds} {
		k.Add(verify.Absolute(name, slices.Concat(odds...), k.Numbers("out."+name), k.Tolerance.Out))
	}
	k.Output("itm_logits", t.Match)
	k.Masked("itg_logits", m.WordLogits(t.States), mask)
	k.Loss("loss_itc", t.ITC)
	k.Loss("loss_itm", t.ITM)
	k.Loss("loss_itg", t.ITG)
	loss := m.Loss(b)
	k.Loss("loss", loss)
	loss.Backward()
	k.Gradients(m, nil)
	return follow(k, func() (train.Model[blip2.Pairs], error) { return load() }, b, nil)
}
