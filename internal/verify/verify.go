// Package verify checks this module against folders of results that reference programs have recorded: a case is a folder with a case.json,
// whose task says which of the packages below knows the rest. They share this package's rows, comparisons and reader of recorded tensors.
package verify

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Row is how far one result is off.
type Row struct {
	What      string  `json:"what"` // "logits", "stage1: loss", "decode PNG", …
	MaxAbs    float64 `json:"max_abs"`
	MaxRel    float64 `json:"max_rel"`   // ‖got−want‖₂/‖want‖₂ of a tensor, or the largest |got−want|/|want| of numbers
	Tolerance float64 `json:"tolerance"` // of MaxRel if Relative, else of MaxAbs
	Relative  bool    `json:"relative"`
	Pass      bool    `json:"pass"`
	Detail    string  `json:"detail,omitempty"` // what was compared, or where it fails first
}

// Failed is a row for something that could not be compared at all.
func Failed(what string, err error) Row { return Row{What: what, Detail: err.Error()} }

// Tolerance says, in case.json, how far results may be off.
type Tolerance struct {
	Out       float64 `json:"out_abs"`
	Loss      float64 `json:"loss_abs"`
	Grad      float64 `json:"grad_rel"`
	GradFloor float64 `json:"grad_floor"` // times the norm of all gradients together
	TrajLoss  float64 `json:"traj_loss_abs"`
	TrajNorm  float64 `json:"traj_grad_norm_rel"`
	TrajFinal float64 `json:"traj_final_rel"`
}

// maxJSON is far above any case.json.
const maxJSON = 16 << 20

// ReadJSON reads a file of at most 16 MiB.
func ReadJSON(path string, to any) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxJSON+1))
	switch {
	case err == nil && len(b) > maxJSON:
		err = fmt.Errorf("more than %d bytes", maxJSON)
	case err == nil:
		err = json.Unmarshal(b, to)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// Inside joins a folder and the name of something in it, which may not lead out of it.
func Inside(dir, name string) (string, error) {
	if !filepath.IsLocal(name) {
		return "", fmt.Errorf("%q leads out of the case's folder", name)
	}
	return filepath.Join(dir, filepath.FromSlash(name)), nil
}
