// Package visioncase checks vision towers, CLIP and vision-language models against what transformers and the original LLaVA compute: the tasks
// clip_vision, siglip_vision, clip, llava, llava_next, llava_original and gguf_llava.
package visioncase

import (
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/gollava/gollava/internal/verify"
	"github.com/gollava/gollava/internal/verify/traincase"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// caseFile is case.json.
type caseFile struct {
	Task        string
	Checkpoints []checkpoint
	Projectors  []string `json:"projector_only"`
	Select      int      `json:"select_layer"`
	Image       *int32   `json:"image_token_index"`
	Views       []int    `json:"views_per_image"`
	TokensOf    []int    `json:"tokens_per_image"`
	Base        string
	Generation  map[string]generation
	Runs        map[string]traincase.Recorded
	Described   struct{ MMProj string }
	Tolerance   verify.Tolerance
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

// generation is how ids were generated.
type generation struct {
	MaxNew int             `json:"max_new_tokens"`
	Beams  int             `json:"num_beams"`
	EOS    json.RawMessage `json:"eos_token_id"`
	PAD    *int            `json:"pad_token_id"`
}

// Run checks a folder and returns a row for each result. Differences are no errors; a folder that cannot be read is.
func Run(dir string) (rows []verify.Row, err error) {
	var c caseFile
	if err := verify.ReadJSON(filepath.Join(dir, "case.json"), &c); err != nil {
		return nil, err
	}
	tasks := map[string]func(*check) error{"clip_vision": clipVision, "siglip_vision": siglipVision, "clip": clip,
		"llava": joined, "llava_next": joined, "llava_original": llavaOriginal, "gguf_llava": inGGUF}
	task := tasks[c.Task]
	if task == nil {
		return nil, fmt.Errorf("task %q is not known to visioncase", c.Task)
	}
	if len(c.Checkpoints) == 0 {
		return nil, fmt.Errorf("checkpoints: none are listed")
	}
	e, err := verify.Open(dir, "expected.safetensors")
	if err != nil {
		return nil, err
	}
	defer e.Close()
	k := &check{caseFile: c, root: dir, e: e}
	for i, sub := range c.Checkpoints {
		k.first = i == 0
		if k.dir, err = verify.Inside(dir, sub.Model); err != nil {
			return nil, err
		}
		if k.mmproj = ""; sub.MMProj != "" {
			if k.mmproj, err = verify.Inside(dir, sub.MMProj); err != nil {
				return nil, err
			}
		}
		if k.prefix = ""; sub.Model != "." {
			k.prefix = sub.Model + ": "
		}
		if caught := tensor.Catch(func() { err = task(k) }); caught != nil {
			err = caught
		}
		if err == nil {
			err = e.Err
		}
		if err != nil { // the others may still agree
			e.Err = nil
			k.rows = append(k.rows, verify.Failed(k.prefix+"load and compute", err))
		}
	}
	return k.rows, nil
}

// check is a case at work on one of its checkpoints.
type check struct {
	caseFile
	root   string
	dir    string // of the checkpoint
	mmproj string // its vision part in GGUF, or ""
	prefix string // of the rows' names
	first  bool   // of the checkpoints
	e      *verify.Expected
	rows   []verify.Row
}

func (k *check) add(r verify.Row) {
	r.What = k.prefix + r.What
	k.rows = append(k.rows, r)
}

// output compares with out.<name>, element by element.
func (k *check) output(name string, got *tensor.Tensor) {
	k.add(verify.Absolute(name, verify.Widen(got.Data()), k.e.Numbers("out."+name), k.Tolerance.Out))
}

// loss compares with out.loss.
func (k *check) loss(got *tensor.Tensor) {
	k.add(verify.Absolute("loss", []float64{float64(got.Item())}, k.e.Numbers("out.loss"), k.Tolerance.Loss))
}

// gradients compares all that are recorded, whose names canonical translates into m's.
func (k *check) gradients(m any, canonical func(string) string) {
	grads := map[string]*tensor.Tensor{}
	for name, p := range nn.Params(m) {
		grads[name] = p.Grad()
	}
	for _, r := range k.e.Gradients(k.Tolerance, func(name string) *tensor.Tensor { return grads[canonical(name)] }) {
		k.add(r)
	}
}

// masked compares logits [B, T, V] with out.<name> where the mask [B·T] is 1.
func (k *check) masked(what, name string, got *tensor.Tensor, mask []int32) {
	k.add(verify.Absolute(what, pick(verify.Widen(got.Data()), mask), pick(k.e.Numbers("out."+name), mask), k.Tolerance.Out))
}

// pick keeps the rows where the mask is 1. Rows that do not fit the mask are kept as they are.
func pick(x []float64, mask []int32) []float64 {
	if len(mask) == 0 || len(x)%len(mask) != 0 {
		return x
	}
	var out []float64
	n := len(x) / len(mask)
	for i, m := range mask {
		if m != 0 {
			out = append(out, x[i*n:(i+1)*n]...)
		}
	}
	return out
}
