package llava

import (
	"context"
	"crypto/sha256"
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/gollava/gollava/connector"
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
	x := r.assistant.Model.Connector.(*llava.Connector)
	for _, other := range []vit.Tower{x.SecondTower, x.VideoTower} {
		if other != nil {
			towers = append(towers, other)
		}
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

// shard is how many images, or frames of videos, go into one file of the feature cache, which is in memory until it is
// written.
const shard = 128

// visual is an image or a video with the key of its features.
type visual struct {
	data.Visual
	key string
}

// fillFeatures computes what the cache lacks of a set's images and videos. The processes of a run take turns at its
// files.
func (r *Run) fillFeatures(ctx context.Context, set data.Set) error {
	images, videos, err := r.visuals(func(err error) error {
		if r.config.Skip {
			return nil
		}
		return err
	}, set)
	if err != nil {
		return err
	}
	all, err := r.identify(ctx, append(images, videos...), r.config.Skip)
	if err != nil {
		return err
	}
	name := func(key string) string { return key[:max(0, strings.LastIndexByte(key, '@'))] }
	kept := map[string]string{} // keys of what is there, by the names in them
	for _, key := range r.features.Names() {
		kept[name(key)] = key
	}
	for _, p := range all {
		if was := kept[name(p.key)]; was != "" && p.key != "" && was != p.key {
			return fmt.Errorf("%s keeps the features of another %s called %s: it has changed, or images is another "+
				"folder; name a new folder for features, or delete this one", r.config.Features, p.kind(), p.Name)
		}
	}
	var missing [][]visual // by the files that they go into
	n, full := 0, shard
	seen := map[string]bool{}
	for _, p := range all {
		if p.key != "" && !seen[p.key] && !r.features.Has(p.key) {
			if full >= shard {
				missing, full = append(missing, nil), 0
			}
			last := &missing[len(missing)-1]
			*last = append(*last, p)
			if n, full = n+1, full+1; p.Video {
				full += r.config.Frames - 1
			}
		}
		seen[p.key] = true
	}
	if n == 0 {
		return nil
	}
	r.say("computing the features of %d pictures once; %d are there already", n, r.features.Len())
	next := r.features.Next()
	if r.comm != nil {
		if _, err := r.comm.Share(nil); err != nil { // none writes before all have seen what is missing
			return err
		}
	}
	_, err = train.Map(ctx, r.comm, len(missing), func(ctx context.Context, i int) (bool, error) {
		err := r.fillShard(ctx, next+i, missing[i])
		to := 0
		for _, list := range missing[:i+1] {
			to += len(list)
		}
		r.say("features %d/%d", to, n)
		return true, err
	})
	return err
}

func (v visual) kind() string {
	if v.Video {
		return "video"
	}
	return "picture"
}

// identify reads every image and video for its key, on all processors. That of a faulty one is empty, if faults are
// skipped, else an error.
func (r *Run) identify(ctx context.Context, list []data.Visual, skip bool) ([]visual, error) {
	out := make([]visual, len(list))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, v := range list {
		g.Go(func() error {
			err := ctx.Err()
			if err != nil {
				return err
			}
			out[i].Visual = v
			if v.Video {
				out[i].key, err = data.VideoKey(ctx, r.images, v.Name, r.config.Frames)
			} else {
				out[i].key, _, err = data.ImageKey(r.images, v.Name, imaging.Options{})
			}
			if err != nil && skip {
				out[i].key, err = "", ctx.Err()
			}
			return err
		})
	}
	return out, g.Wait()
}

// fillShard computes and stores the features of some images and videos; of a faulty one there are none, which its
// sample's batch reports.
func (r *Run) fillShard(ctx context.Context, n int, list []visual) error {
	m := r.assistant.Model
	w := r.features.Shard(n)
	for _, v := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		is, err := r.look(ctx, v.Visual)
		if err != nil && r.config.Skip && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return err
		}
		var media []connector.Media // nil: every view is an image
		if is.Frames > 0 {
			media = []connector.Media{{Size: is.Size, Frames: is.Frames}}
		}
		if caught := tensor.Catch(func() {
			tensor.Scope(func(s *tensor.Arena) {
				p := is.Pixels
				x := tensor.Wrap(p.Data, p.N, len(p.Data)/(p.N*p.H*p.W), p.H, p.W).NoGrad().In(s)
				err = w.Add(v.key, m.Features(x, media))
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
