package gligen

import (
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
	"github.com/gollava/gollava/vit/unet"
)

// prompts are those of a batch: with guidance the negative ones first.
func prompts(rs []Request, guided bool) (texts []string) {
	if guided {
		for _, r := range rs {
			texts = append(texts, r.Negative)
		}
	}
	for _, r := range rs {
		texts = append(texts, r.Prompt)
	}
	return texts
}

// IDs are the tokens of texts with start and end of text, int32 [B, T]: longer ones are cut, and end in the end of text
// all the same, shorter ones are padded, to the tower's number of positions if full, else to the longest text.
func (p *Pipeline) IDs(texts []string, full bool) *tensor.Tensor {
	most := p.Text.Config().MaxPositionEmbeddings
	rows, T := make([][]int32, len(texts)), 0
	for i, text := range texts {
		row := p.Tokenizer.Wrap(p.Tokenizer.Encode(text))
		if len(row) == 0 || row[len(row)-1] != p.Tokenizer.EOS() { // CLIP's own tokenizer ends texts, a trained one not
			row = append(row, p.Tokenizer.EOS())
		}
		if len(row) > most {
			row = append(row[:most-1:most-1], p.Tokenizer.EOS())
		}
		rows[i], T = row, max(T, len(row))
	}
	if full {
		T = most
	}
	pad := p.Tokenizer.Pad()
	if pad < 0 {
		pad = p.Tokenizer.EOS()
	}
	ids := make([]int32, 0, len(texts)*T)
	for _, row := range rows {
		ids = append(ids, row...)
		for range T - len(row) {
			ids = append(ids, pad)
		}
	}
	return tensor.WrapInts(ids, len(texts), T)
}

// embed is what the UNet attends to: [B, T, D]. Padding is attended to as well.
func (p *Pipeline) embed(texts []string, s *tensor.Arena) *tensor.Tensor {
	return p.Text.Hidden(p.IDs(texts, true).In(s), nil)
}

// tokens are the grounding tokens of a batch, with guidance those without any box first: [B or 2·B, N, D].
func (p *Pipeline) tokens(rs []Request, guided bool, s *tensor.Arena) *tensor.Tensor {
	if guided {
		rs = append(make([]Request, len(rs)), rs...)
	}
	return p.Ground(rs, s)
}

// Ground makes the grounding tokens of requests, [B, N, D], in the memory of s, which may be nil. Places without an
// object hold null tokens. It is recorded where the parameters of the position net train; the text tower is not.
func (p *Pipeline) Ground(rs []Request, s *tensor.Arena) *tensor.Tensor {
	B, N, E := len(rs), p.Slots, p.UNet.Config().CrossAttentionDim
	boxes, mask, phrases := tensor.New(B, N, 4), tensor.New(B, N), tensor.New(B, N, E)
	phraseMask, images, imageMask := tensor.New(B, N), tensor.New(B, N, E), tensor.New(B, N)
	var texts []string
	var at []int // place of each text
	for b, r := range rs {
		for i, o := range r.Objects {
			n := b*N + i
			mask.Data()[n] = 1
			for k, v := range o.Box {
				boxes.Data()[4*n+k] = float32(v)
			}
			if o.Phrase != "" {
				texts, at = append(texts, o.Phrase), append(at, n)
				phraseMask.Data()[n] = 1
			}
			if o.Feature != nil {
				imageMask.Data()[n] = 1
				copy(images.Data()[n*E:], o.Feature.Host().Data())
			}
		}
	}
	if len(texts) > 0 {
		tensor.Scope(func(a *tensor.Arena) {
			pooled := p.Text.Pooled(p.IDs(texts, false).In(a), nil).Host().Data() // [texts, E]
			for i, n := range at {
				copy(phrases.Data()[n*E:(n+1)*E], pooled[i*E:])
			}
		})
	}
	if s != nil {
		boxes = boxes.In(s)
	}
	if p.UNet.Config().AttentionType == unet.GatedTextImage {
		return p.UNet.Position.ForwardTextImage(boxes, mask, phrases, phraseMask, images, imageMask)
	}
	return p.UNet.Position.Forward(boxes, mask, phrases)
}

// ImageFeature is what stands for an image in a box, [E]: CLIP's embedding of pixels [1, 3, S, S] taken back through
// the transposed text projection, at the length 28.7 that phrases have. Source: the GLIGEN authors'
// gligen_inference.py; diffusers' StableDiffusionGLIGENTextImagePipeline.
func ImageFeature(m *vit.CLIP, pixels *tensor.Tensor) (feature *tensor.Tensor) {
	tensor.Scope(func(s *tensor.Arena) {
		e := m.EncodeImage(pixels.In(s).NoGrad()) // [1, E]
		w := m.TextProjection.(*nn.Linear).Weight // [E, Dt]
		f := e.MatMul(w.Detach()).L2Normalize(1e-12).Scale(28.7)
		feature = f.Reshape(-1).Clone()
	})
	return feature
}
