package blip2

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/internal/atomicfile"
	"github.com/gollava/gollava/internal/jsonfile"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
	"github.com/gollava/gollava/vit"
)

// imageConfig reads config.json without its language model.
type imageConfig struct{ config Config }

func (c *imageConfig) UnmarshalJSON(raw []byte) error { return c.config.read(raw, false) }

// ReadRetrievalConfig reads dir/config.json of a [Retrieval] or a [Stage1], whose language model counts for nothing.
// Its errors name the file and the field.
func ReadRetrievalConfig(dir string) (Config, error) {
	var c imageConfig
	path := filepath.Join(dir, "config.json")
	err := jsonfile.Read(path, &c)
	if err == nil {
		if err = c.config.validateImage(); err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
	}
	return c.config, err
}

// LoadRetrieval reads the Blip2ForImageTextRetrieval in dir. Its errors name the file, and list all tensors that are
// missing, unexpected or misshapen.
func LoadRetrieval(dir string, o LoadOptions) (*Retrieval, error) {
	c, err := ReadRetrievalConfig(dir)
	if err != nil {
		return nil, err
	}
	v, err := vit.New(nil, c.Vision)
	if err != nil {
		return nil, err
	}
	m, err := NewRetrieval(nil, v, c)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, "config.json"), err)
	}
	return m, o.fill(m, dir)
}

// fill reads all parameters of m, whose names are the file's, from path.
func (o LoadOptions) fill(m any, path string) error {
	return nn.WithWeights(path, o.Alias, func(w *nn.Weights) error {
		return nn.Load(m, w, nn.LoadOptions{DType: keep(o.DType), Alias: o.Alias, Ignore: []string{"**.position_ids"}})
	})
}

// stage1File holds, beside a Retrieval's files, what transformers has no place for.
const stage1File = "stage1.safetensors"

// beside are these parameters.
type beside struct {
	Temp  *tensor.Tensor `param:"temp"`
	Words *WordHead      `param:"cls.predictions"`
}

// LoadStage1 reads weights of the model that c describes ([ReadRetrievalConfig]): a folder that [SaveStage1] wrote, in
// transformers' names, or a file of LAVIS's, such as blip2_pretrained.pth. Its errors name the file, and list all
// tensors that are missing, unexpected or misshapen.
func LoadStage1(c Config, path string, o LoadOptions) (*Stage1, error) {
	v, err := vit.New(nil, c.Vision)
	if err != nil {
		return nil, err
	}
	m, err := NewStage1(nil, v, c)
	if err != nil {
		return nil, err
	}
	if w, err := nn.OpenWeights(path); err != nil {
		return nil, err
	} else if isLAVIS(w) {
		defer w.Close()
		return m, o.fillLAVIS(m, w)
	} else if err = w.Close(); err != nil {
		return nil, err
	}
	if err := o.fill(&m.Retrieval, path); err != nil {
		return nil, err
	}
	return m, o.fill(&beside{m.Temp, m.Words}, filepath.Join(path, stage1File))
}

// SaveStage1 writes m to dir: config.json and model.safetensors as transformers' Blip2ForImageTextRetrieval loads them,
// and in stage1.safetensors, under LAVIS's names, what that has no place for. The vision encoder must be EVA's.
func SaveStage1(dir string, m *Stage1, o SaveOptions) error {
	if err := SaveRetrieval(dir, &m.Retrieval, o); err != nil {
		return err
	}
	return nn.Save(&beside{m.Temp, m.Words}, filepath.Join(dir, stage1File), nn.SaveOptions{DType: o.DType})
}

// SaveRetrieval writes m to dir as transformers' Blip2ForImageTextRetrieval loads it. The vision encoder must be EVA's.
func SaveRetrieval(dir string, m *Retrieval, o SaveOptions) error {
	f, err := m.config.fields(false)
	if err != nil {
		return err
	}
	f["architectures"] = []string{"Blip2ForImageTextRetrieval"}
	if err := nn.Save(m, dir, nn.SaveOptions{DType: o.DType, MaxShard: o.MaxShard}); err != nil {
		return err
	}
	return atomicfile.WriteJSON(filepath.Join(dir, "config.json"), f)
}

// StartFrom gives a joined model what stage 1 has trained: the norm behind the vision encoder, the queries and the
// Q-Former but for what only reads text. It is the start of stage 2. The error names the first parameter that stage 1
// does not have in that shape; m is then unchanged.
func StartFrom(m *connector.VLM, s *Stage1) error {
	x, ok := m.Connector.(*Connector)
	if !ok {
		return fmt.Errorf("start from stage 1: the connector is a %T, not BLIP-2's", m.Connector)
	}
	have := map[string]*tensor.Tensor{}
	for name, p := range nn.Params(s) {
		have[name] = p
	}
	into := map[*tensor.Tensor]*tensor.Tensor{}
	for name, p := range nn.Params(x) {
		if strings.HasPrefix(name, "language_projection.") {
			continue
		}
		from := have[name]
		if from == nil {
			return fmt.Errorf("start from stage 1: it has no %s", name)
		}
		if fmt.Sprint(from.Shape()) != fmt.Sprint(p.Shape()) {
			return fmt.Errorf("start from stage 1: %s is %v there and %v here", name, from.Shape(), p.Shape())
		}
		into[p] = from
	}
	for p, from := range into {
		p.CopyFrom(from)
	}
	return nil
}
