package llava

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// loader makes batches of a set in the recipe's order.
func (r *Run) loader(ctx context.Context, set data.Set, shuffle bool) (*data.Loader, error) {
	c := data.LoaderConfig{Batch: r.config.Micro, Text: r.template.Samples(r.tokenizer, chat.Options{}), Pad: max(0, r.tokenizer.Pad()), MaxLength: r.config.MaxLength, Images: r.images, Processor: r.processor,
		Picture: r.picture, Skip: r.config.Skip}
	if r.features != nil {
		c.Processor = nil
	}
	if shuffle {
		c.Order = data.Shuffled(set.Len(), r.config.Seed)
		if *r.config.GroupByLength {
			lengths, err := data.Lengths(ctx, set)
			if err != nil {
				return nil, err
			}
			c.Order = data.ModalityGrouped(lengths, r.config.Micro, r.config.Batch/r.config.Micro, r.config.Seed)
		}
	}
	return data.NewLoader(set, c)
}

// picture says how many tokens a picture of that size becomes.
func (r *Run) picture(size imaging.Size) data.Picture {
	return r.model.Connector.Layout(size).Picture()
}

// batch makes micro-batch n of a loader ready for the model.
func (r *Run) batch(l *data.Loader) func(ctx context.Context, n int) (connector.Batch, error) {
	return func(ctx context.Context, n int) (connector.Batch, error) {
		b, err := l.Batch(ctx, n)
		if err != nil {
			return connector.Batch{}, err
		}
		if b.B == 0 {
			return connector.Batch{}, fmt.Errorf("every sample of batch %d is faulty: `gollava data check` lists why", n)
		}
		out, err := r.model.NewBatch(&b)
		if err == nil && r.features != nil {
			out.Features, err = r.cached(b)
		}
		return out, err
	}
}

// cached reads what the tower made of a batch's pictures: [V, P, D]. It runs beside a training step, hence without operations of package tensor.
func (r *Run) cached(b data.Batch) (*tensor.Tensor, error) {
	var x []float32
	views, shape := 0, []int(nil)
	for _, ms := range b.Images {
		for _, m := range ms {
			bits, s, err := r.features.Load(m.Name)
			if err != nil {
				return nil, err
			}
			for _, h := range bits {
				x = append(x, math.Float32frombits(uint32(h)<<16))
			}
			shape, views = s, views+s[0]
		}
	}
	if views == 0 {
		return nil, nil
	}
	return tensor.Wrap(x, views, shape[1], shape[2]), nil
}

// key says what the tower's outputs depend on.
func (r *Run) key() (data.FeatureKey, error) {
	h := sha256.New()
	for name, p := range nn.Params(r.model.Vision) {
		fmt.Fprintln(h, name, p.Shape(), p.DType())
		h.Write(p.Bytes())
	}
	p, err := json.Marshal(r.processor)
	s := r.model.Config().Select
	return data.FeatureKey{Encoder: fmt.Sprintf("%x layers %v %s", h.Sum(nil), s.Layers, s.Class), Preprocessing: string(p)}, err
}

// shard is how many pictures go into one file of the feature cache.
const shard = 256

// fillFeatures computes what the cache lacks of a set's pictures.
func (r *Run) fillFeatures(ctx context.Context, set data.Set) error {
	var missing []string
	seen := map[string]bool{}
	for i := range set.Len() {
		s, err := set.Sample(i)
		if err != nil && !r.config.Skip {
			return err
		}
		for _, name := range s.Images {
			if !seen[name] && !r.features.Has(name) {
				missing = append(missing, name)
			}
			seen[name] = true
		}
	}
	if len(missing) == 0 {
		return nil
	}
	r.say("computing the features of %d pictures once; %d are there already", len(missing), r.features.Len())
	for from := 0; from < len(missing); from += shard {
		part := missing[from:min(from+shard, len(missing))]
		if err := r.fillShard(ctx, r.features.Next(), part); err != nil {
			return err
		}
		r.say("features %d/%d", from+len(part), len(missing))
	}
	return nil
}

// fillShard computes and stores the features of some pictures; of a faulty one there are none, which its sample's batch reports.
func (r *Run) fillShard(ctx context.Context, n int, names []string) error {
	w, err := r.features.Shard(n, names)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return joinAbort(err, w)
		}
		raw, err := r.images.Load(name)
		var rgb *imaging.RGB
		if err == nil {
			rgb, err = imaging.Decode(raw, imaging.Options{Limits: data.DefaultLimits()})
		}
		var p imaging.Pixels
		if err == nil {
			p, err = r.processor.Process(rgb)
		}
		if err != nil {
			if r.config.Skip {
				continue
			}
			return joinAbort(fmt.Errorf("picture %s: %w", name, err), w)
		}
		err = tensor.Catch(func() {
			tensor.Scope(func(s *tensor.Arena) {
				pixels := tensor.Wrap(p.Data, p.N, 3, p.H, p.W).NoGrad().In(s)
				x := vit.Features(r.model.Vision, pixels, r.model.Config().Select)
				err = w.Add(name, x.Data(), x.Shape()...)
			})
		})
		if err != nil {
			return joinAbort(err, w)
		}
	}
	return w.Commit()
}

func joinAbort(err error, w *data.FeatureShard) error {
	if e := w.Abort(); e != nil {
		return fmt.Errorf("%w (and %w)", err, e)
	}
	return err
}
