package llava

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data"
)

// undecided are the keys that do not decide what the weights become; the paths are decided by what is read from them.
var undecided = []string{"out", "features", "workers", "every", "keep", "evaluate", "memory", "layout", "recompute",
	"vision", "second_vision", "llm", "model", "projector",
	"data", "images", "zero1",
	"frames", "video_pool", "video_stride"} // these decide where a model takes videos

// decides is what decides the weights beside those that the run begins with, for a resumed run to be held against: the
// config, and digests of everything that is read.
func (r *Run) decides(ctx context.Context) (any, error) {
	all := map[string]string{}
	fields(reflect.ValueOf(&r.config).Elem(), "", func(key string, _ reflect.StructField, v reflect.Value) {
		if !slices.Contains(undecided, key) && !(strings.HasPrefix(key, "lora.") && r.config.LoRA.Rank == 0) {
			all[key] = fmt.Sprint(reflect.Indirect(v))
		}
	})
	var err error
	if all["contents of data"], err = digestOfData(r.config.Data); err != nil {
		return nil, err
	}
	if all["contents of images"], err = r.digestOfImages(ctx); err != nil {
		return nil, err
	}
	if all["tokenizer"], err = r.digestOfTokens(); err != nil {
		return nil, err
	}
	all["image processor"] = r.preprocessing()
	if v := llava.ConfigOf(r.assistant.Model).Video; v != nil {
		all["as videos are seen"] = fmt.Sprintf("%d frames, %+v", r.config.Frames, *v)
	}
	all["template's text"] = fmt.Sprintf("%+v", r.assistant.Template)
	return all, nil
}

// preprocessing is how images are prepared for the encoder.
func (r *Run) preprocessing() string {
	p, err := json.Marshal(r.assistant.Processor)
	if err != nil { // of what transformers has no word for
		p = fmt.Appendf(nil, "%+v", *r.assistant.Processor)
	}
	return string(p)
}

// digestOfData is that of the bytes of all data files.
func digestOfData(path string) (string, error) {
	paths, err := data.MixturePaths(path)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, p := range paths {
		f, err := os.Open(p)
		if err != nil {
			return "", err
		}
		n, err := io.Copy(h, f)
		f.Close()
		if err != nil {
			return "", err
		}
		fmt.Fprintln(h, n)
	}
	return fmt.Sprintf("%.16x", h.Sum(nil)), nil
}

// mostImages and mostVideos are how many are read for the digest; of larger sets, as many spread over all.
const (
	mostImages = 20000
	mostVideos = 500
)

// digestOfImages is that of the images and videos that the samples name. What cannot be read is the loader's to report.
func (r *Run) digestOfImages(ctx context.Context) (string, error) {
	if r.images == nil {
		return "none", nil
	}
	images, videos, err := r.visuals(func(error) error { return nil }, r.train, r.valid)
	if err != nil {
		return "", err
	}
	keys, err := r.identify(ctx, append(spread(images, mostImages), spread(videos, mostVideos)...), true)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, p := range keys {
		fmt.Fprintln(h, p.Name, p.key)
	}
	return fmt.Sprintf("%.16x", h.Sum(nil)), nil
}

// visuals are the images and videos that the samples of sets name, each once, in order. What a sample that cannot be
// read means is for unread to say.
func (r *Run) visuals(unread func(error) error, sets ...data.Set) (images, videos []data.Visual, err error) {
	seen := map[data.Visual]bool{}
	for _, set := range sets {
		if set == nil {
			continue
		}
		for i := range set.Len() {
			s, err := set.Sample(i)
			if err != nil {
				if err = unread(err); err != nil {
					return nil, nil, err
				}
			}
			for _, v := range s.Visuals() {
				if !seen[v] && v.Video {
					videos = append(videos, v)
				} else if !seen[v] {
					images = append(images, v)
				}
				seen[v] = true
			}
		}
	}
	return images, videos, nil
}

// spread is a list, sorted by name, or n of it.
func spread(list []data.Visual, n int) []data.Visual {
	slices.SortFunc(list, func(a, b data.Visual) int { return strings.Compare(a.Name, b.Name) })
	every := (len(list) + n - 1) / n
	if every <= 1 {
		return list
	}
	some := list[:0]
	for i := 0; i < len(list); i += every {
		some = append(some, list[i])
	}
	return some
}

// digestOfTokens is that of the vocabulary and of how the tokenizer cuts some text.
func (r *Run) digestOfTokens() (string, error) {
	t := r.assistant.Tokenizer
	h := sha256.New()
	for id := range t.Size() {
		fmt.Fprintf(h, "%d %q\n", id, t.Token(int32(id)))
	}
	fmt.Fprintln(h, t.Encode("The quick brown fox, 12345 of them, jumps over\n\tthe lazy dog's café — 你好!"))
	for i := range min(50, r.train.Len()) {
		s, err := r.train.Sample(i)
		if err != nil {
			continue
		}
		for _, turn := range s.Turns {
			fmt.Fprintln(h, t.Encode(turn.Value))
		}
	}
	return fmt.Sprintf("%.16x", h.Sum(nil)), nil
}
