package llava

import (
	"context"
	"crypto/sha256"
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/vit"
)

// openFeatures opens the cache of the frozen encoder's outputs and computes what it lacks.
func (r *Run) openFeatures(ctx context.Context) error {
	key := r.key()
	var err error
	if r.features, err = data.OpenFeatures(r.config.Features, key); err != nil {
		return err
	}
	r.closers = append(r.closers, closer(func() error {
		if r.features == nil {
			return nil
		}
		return r.features.Close()
	}))
	for _, set := range []data.Set{r.train, r.valid} {
		if set != nil {
			if err := r.fillFeatures(ctx, set); err != nil {
				return err
			}
			if r.comm == nil || r.comm.Size() == 1 {
				continue
			}
			if err := r.features.Close(); err != nil {
				return err
			}
			if r.features, err = data.OpenFeatures(r.config.Features, key); err != nil { // with the shards of the others
				return err
			}
		}
	}
	return nil
}

type closer func() error

func (c closer) Close() error { return c() }

// key says what the tower's outputs depend on.
func (r *Run) key() data.FeatureKey {
	h := sha256.New()
	towers := []vit.Tower{r.assistant.Model.Vision}
	if second := r.assistant.Model.Connector.(*llava.Connector).SecondTower; second != nil {
		towers = append(towers, second)
	}
	for _, tower := range towers {
		for name, p := range nn.Params(tower) {
			fmt.Fprintln(h, name, p.Shape(), p.DType())
			h.Write(p.Host().Bytes())
		}
	}
	s := r.assistant.Model.Config().Select
	encoder := fmt.Sprintf("%x layers %v %s", h.Sum(nil), s.Layers, s.Class)
	if scales := llava.ConfigOf(r.assistant.Model).Scales; scales != nil {
		encoder += fmt.Sprintf(" scales %v", scales)
	}
	return data.FeatureKey{Encoder: encoder, Preprocessing: r.preprocessing()}
}

// shard is how many images go into one file of the feature cache, which is in memory until it is written.
const shard = 128

// picture is an image with the key of its features.
type picture struct{ name, key string }

// fillFeatures computes what the cache lacks of a set's pictures. The processes of a run take turns at its files.
func (r *Run) fillFeatures(ctx context.Context, set data.Set) error {
	var names []string
	seen := map[string]bool{}
	for i := range set.Len() {
		s, err := set.Sample(i)
		if err != nil && !r.config.Skip {
			return err
		}
		for _, name := range s.Images {
			if !seen[name] {
				names = append(names, name)
			}
			seen[name] = true
		}
	}
	all, err := r.identify(ctx, names, r.config.Skip)
	if err != nil {
		return err
	}
	kept := map[string]string{} // keys of what is there, by the pictures' names
	for _, key := range r.features.Names() {
		if i := strings.LastIndexByte(key, '@'); i >= 0 {
			kept[key[:i]] = key
		}
	}
	for _, p := range all {
		if was := kept[p.name]; was != "" && p.key != "" && was != p.key {
			return fmt.Errorf("%s keeps the features of another picture called %s: it has changed, or images is another "+
				"folder; name a new folder for features, or delete this one", r.config.Features, p.name)
		}
	}
	var missing []picture
	for _, p := range all {
		if p.key != "" && !seen["key "+p.key] && !r.features.Has(p.key) {
			missing = append(missing, p)
		}
		seen["key "+p.key] = true
	}
	if len(missing) == 0 {
		return nil
	}
	r.say("computing the features of %d pictures once; %d are there already", len(missing), r.features.Len())
	next := r.features.Next()
	if r.comm != nil {
		if _, err := r.comm.Share(nil); err != nil { // none writes before all have seen what is missing
			return err
		}
	}
	_, err = train.Map(ctx, r.comm, (len(missing)+shard-1)/shard, func(ctx context.Context, i int) (bool, error) {
		to := min((i+1)*shard, len(missing))
		err := r.fillShard(ctx, next+i, missing[i*shard:to])
		r.say("features %d/%d", to, len(missing))
		return true, err
	})
	return err
}

// identify reads every picture for its key, on all processors. That of a faulty one is empty, if faults are skipped,
// else an error.
func (r *Run) identify(ctx context.Context, names []string, skip bool) ([]picture, error) {
	out := make([]picture, len(names))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, name := range names {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			key, _, err := data.ImageKey(r.images, name, imaging.Options{})
			if out[i] = (picture{name, key}); err != nil && skip {
				out[i].key, err = "", nil
			}
			return err
		})
	}
	return out, g.Wait()
}

// fillShard computes and stores the features of some images; of a faulty one there are none, which its sample's batch
// reports.
func (r *Run) fillShard(ctx context.Context, n int, pictures []picture) error {
	m := r.assistant.Model
	w := r.features.Shard(n)
	for _, is := range pictures {
		if err := ctx.Err(); err != nil {
			return err
		}
		p, err := r.pixels(is.name)
		if err != nil && r.config.Skip {
			continue
		}
		if err != nil {
			return err
		}
		if caught := tensor.Catch(func() {
			tensor.Scope(func(s *tensor.Arena) {
				x := tensor.Wrap(p.Data, p.N, len(p.Data)/(p.N*p.H*p.W), p.H, p.W).NoGrad().In(s)
				err = w.Add(is.key, m.Features(x, nil))
			})
		}); caught != nil {
			return caught
		}
		if err != nil {
			return err
		}
	}
	return w.Commit()
}

// pixels reads an image as the encoder gets it.
func (r *Run) pixels(name string) (imaging.Pixels, error) {
	m, err := data.LoadImage(r.images, name, imaging.Options{})
	if err != nil {
		return imaging.Pixels{}, err
	}
	return r.assistant.Processor.Process(m)
}
