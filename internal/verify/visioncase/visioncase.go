// Package visioncase checks vision towers, CLIP and vision-language models against what transformers and the original
// LLaVA compute: the tasks clip_vision, siglip_vision, clip, llava, llava_next, llava_original, gguf_llava,
// llava_next_video, llava_onevision, vipllava, video_llava and video_pooling.
package visioncase

import (
	"encoding/json"

	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/internal/verify/traincase"
)

// caseFile is case.json.
type caseFile struct {
	Folders    []checkpoint `json:"checkpoints"`
	Projectors []string     `json:"projector_only"`
	Select     int          `json:"select_layer"`
	Image      *int32       `json:"image_token_index"`
	Video      *int32       `json:"video_token_index"`
	Views      []int        `json:"views_per_image"`
	TokensOf   []int        `json:"tokens_per_image"`
	Scales     []int        `json:"s2_scales"`
	Pooling    []pooling
	Base       string
	Generation map[string]verify.Generation
	Runs       map[string]traincase.Recorded
	Described  struct{ MMProj string }
}

// checkpoint is a folder, or a language model and its vision part in GGUF.
type checkpoint struct{ Model, MMProj string }

func (c *checkpoint) UnmarshalJSON(raw []byte) error {
	if json.Unmarshal(raw, &c.Model) == nil {
		return nil
	}
	type pair checkpoint
	return json.Unmarshal(raw, (*pair)(c))
}

// check is a case at work on one of its checkpoints.
type check struct {
	*verify.Report
	caseFile
	dir    string // of the checkpoint
	mmproj string // its vision part in GGUF, or ""
	first  bool   // of the checkpoints
}

// each runs task on every checkpoint of the case.
func each(dir string, task func(*check) error) ([]verify.Row, error) {
	return verify.Check(dir, func(r *verify.Report, c caseFile) error {
		var models []string
		for _, x := range c.Folders {
			models = append(models, x.Model)
		}
		i := -1
		return r.Checkpoints(models, func(model string) (err error) {
			i++
			k := &check{Report: r, caseFile: c, dir: model, first: i == 0}
			if part := c.Folders[i].MMProj; part != "" {
				if k.mmproj, err = verify.Inside(dir, part); err != nil {
					return err
				}
			}
			return task(k)
		})
	})
}
