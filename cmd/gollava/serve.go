package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/connector/serve"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/lora"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/vit"
)

type serveCommand struct {
	Models   []string `arg:"" help:"Models, as FOLDER or NAME=FOLDER: vision-language models in any layout that chat opens, plain language models, GGUF files of those, CLIP and ImageBind models, for embeddings, and Stable Diffusion with or without GLIGEN, which draw. The name is what clients ask for; default: that of the folder or file."`
	Base     string   `help:"Folder of the language model, or of the whole model, that projectors and adapters belong to."`
	Tower    string   `aliases:"mmproj" help:"Folder of the vision tower, where a model's folder does not hold it; of a model in GGUF: the file of its vision part (mmproj)."`
	Second   string   `name:"second-tower" help:"Folder of the second vision tower of a model that has two, where a model's folder does not hold it."`
	Template string   `help:"Conversation template of plain language models, where theirs is not known."`
	Exact    bool     `help:"Compute with weights in blocks (GGUF) as they are; otherwise activations are rounded to 8 bits where that is faster."`
	DType    string   `name:"dtype" enum:"float32,bfloat16,stored" default:"${dtype}" help:"What weights are kept as: ${enum}, in which float16 counts as float32."`

	Listen   string   `default:"127.0.0.1:8080" help:"Address to answer on."`
	APIKey   string   `name:"api-key" env:"GOLLAVA_API_KEY" help:"Key that clients must send; also read from GOLLAVA_API_KEY, where other users of the machine do not see it."`
	Host     []string `help:"Name or address that clients may use for this server besides this machine's own; * for any."`
	Origin   []string `help:"Origin of web pages elsewhere that may use this server, such as https://example.org."`
	Fetch    []string `help:"Host that images may be fetched from, when a request names an address; * for any public one. Default: none."`
	Tokens   int      `help:"Positions of prompts and answers that are computed at once, which bounds the memory of caches; other requests wait. Default: what takes 4 GiB."`
	Adapter  []string `placeholder:"NAME=FOLDER" help:"Adapter to serve under a name of its own, on the first model."`
	Adapters string   `type:"existingdir" placeholder:"FOLDER" help:"Let clients load, swap and unload the adapters in the folders of this one while serving. Default: they cannot."`

	Most int `name:"requests" default:"256" help:"Requests that are answered or wait at once; more are told to come back."`
}

func (serveCommand) Help() string {
	return `Speaks OpenAI's protocol under /v1 and Ollama's under /api, and shows a chat page at /.

Example:

  gollava serve ./llava-1.5-7b-hf
  curl http://127.0.0.1:8080/v1/chat/completions -H 'Content-Type: application/json' \
    -d '{"model": "llava-1.5-7b-hf", "messages": [{"role": "user", "content": "Hello"}]}'`
}

// opened is a model that can be served, alone and under adapters.
type opened struct {
	model    serve.Model
	template string                                // that it is asked with
	adapt    func(dir string) (serve.Model, error) // the model under the adapter in dir; nil: it takes none
}

// open loads a vision-language model, a plain language model in a folder or a GGUF file, or one that gives no answers.
func (v serveCommand) open(dir string, c console) (opened, error) {
	if config, err := vit.ReadCLIPConfig(dir); err == nil && config.ModelType == "clip" {
		m, err := v.openCLIP(dir, config)
		return opened{model: m, template: "none: embeddings only"}, err
	}
	if m, ok, err := v.openSilent(dir); ok {
		return m, err
	}
	from := source{Dir: dir, Base: v.Base, Tower: v.Tower, Second: v.Second, DType: v.DType, rounding: !v.Exact}
	if from.sees() {
		return v.openVision(from, c)
	}
	return v.openLanguage(from, c)
}

func (v serveCommand) openVision(from source, c console) (opened, error) {
	a, err := from.assistant("")
	if err != nil {
		return opened{}, err
	}
	c.ignored(a.Ignored)
	bounds := v.bounds(a.Model.Language.Config())
	if !llava.Describes(from.Dir) && !from.adapted() && from.Base == "" { // adapters of other systems are not known
		return opened{model: serve.Assistant(a, bounds), template: a.Template.Name}, nil
	}
	adapt := func(dir string) (serve.Model, error) {
		under := *a
		under.Model = nn.Share(a.Model)
		_, err := lora.Load(under.Model, dir, llava.Namings(under.Model)...)
		return serve.Assistant(&under, bounds), err
	}
	return opened{serve.Assistant(a, bounds), a.Template.Name, adapt}, nil
}

func (v serveCommand) openLanguage(from source, c console) (opened, error) {
	a, err := from.openText(v.Template)
	if err != nil {
		return opened{}, err
	}
	c.ignored(a.Ignored)
	bounds := v.bounds(a.Model.Language.Config())
	adapt := func(dir string) (serve.Model, error) {
		under := *a
		under.Model = connector.TextOnly(nn.Share(a.Model.Language))
		_, err := lora.Load(under.Model.Language, dir)
		return serve.Assistant(&under, bounds), err
	}
	return opened{serve.Assistant(a, bounds), a.Template.Name, adapt}, nil
}

// adapterIn is the folder of an adapter, one of those in --adapters. Only what is listed there is opened, whatever a
// client writes.
func (v serveCommand) adapterIn(name string) (string, error) {
	list, err := os.ReadDir(v.Adapters)
	if err != nil {
		return "", err
	}
	for _, e := range list {
		if e.IsDir() && e.Name() == name {
			return filepath.Join(v.Adapters, e.Name()), nil
		}
	}
	return "", fs.ErrNotExist
}

// openCLIP loads a CLIP, which embeds texts and images.
func (v serveCommand) openCLIP(dir string, config vit.CLIPConfig) (serve.Model, error) {
	m, err := vit.LoadCLIP(dir, nn.LoadOptions{DType: source{DType: v.DType}.dtype()})
	if err != nil {
		return nil, err
	}
	t, err := tokenizer.Load(dir)
	if err != nil {
		return nil, err
	}
	p, err := imaging.ReadProcessor(dir)
	if errors.Is(err, fs.ErrNotExist) {
		p, err = imaging.CLIP(config.Vision.ImageSize), nil
	}
	return serve.CLIP(m, t, p), err
}

// bounds are those of a model's engine. A quarter of the positions may be beginnings of prompts that are kept for
// others that begin alike.
func (v serveCommand) bounds(c llm.Config) llm.EngineConfig {
	const memory, float32s, keysAndValues = 4 << 30, 4, 2
	tokens := v.Tokens
	if tokens <= 0 {
		tokens = max(
			memory/(float32s*keysAndValues*max(1, c.NumHiddenLayers*c.NumKeyValueHeads*c.HeadDim)),
			c.MaxPositionEmbeddings,
		)
	}
	return llm.EngineConfig{MaxTokens: tokens, KeepTokens: tokens / 4}
}

func (v serveCommand) Run(ctx context.Context, c console) error {
	if _, _, err := net.SplitHostPort(v.Listen); err != nil {
		return fmt.Errorf("serve: --listen %s: want HOST:PORT, such as 127.0.0.1:8080: %w", v.Listen, err)
	}
	hosts := append(v.Host, hostOf(v.Listen)...)
	models := map[string]opened{}
	config := serve.Config{
		APIKey:  v.APIKey,
		Hosts:   hosts,
		Origins: v.Origin,
		Fetch:   v.Fetch,
		Limits:  serve.Limits{Requests: v.Most},
		Log:     func(format string, args ...any) { fmt.Fprintf(c.err, format+"\n", args...) },
	}
	if v.Adapters != "" {
		config.Adapters = func(_ context.Context, model, adapter string) (serve.Model, error) {
			dir, err := v.adapterIn(adapter)
			if err != nil {
				return nil, err
			}
			if models[model].adapt == nil {
				return nil, fmt.Errorf("%s takes no adapters", model)
			}
			return models[model].adapt(dir)
		}
	}
	s := serve.New(config)
	first := ""
	for _, arg := range v.Models {
		name, dir, named := strings.Cut(arg, "=")
		if !named {
			abs, err := filepath.Abs(arg)
			if err != nil {
				return fmt.Errorf("serve: %w", err)
			}
			name, dir = strings.TrimSuffix(filepath.Base(abs), ".gguf"), arg
		}
		if _, twice := models[name]; name == "" || twice {
			return fmt.Errorf("serve: the model name %q is empty or there twice: give names with NAME=FOLDER", name)
		}
		m, err := v.open(dir, c)
		if err != nil {
			return fmt.Errorf("serve: %w", err)
		}
		models[name] = m
		if first == "" {
			first = name
		}
		s.Add(name, m.model)
		fmt.Fprintf(c.err, "model %s: template %s\n", name, m.template)
	}
	for _, arg := range v.Adapter {
		name, dir, named := strings.Cut(arg, "=")
		_, twice := models[name]
		switch {
		case !named || name == "" || twice:
			return fmt.Errorf("serve: --adapter %s: want NAME=FOLDER with a name of its own", arg)
		case models[first].adapt == nil:
			return fmt.Errorf("serve: --adapter %s: %s takes no adapters", arg, first)
		}
		m, err := models[first].adapt(dir)
		if err != nil {
			return fmt.Errorf("serve: %w", err)
		}
		models[name] = opened{model: m}
		s.Add(name, m)
		fmt.Fprintf(c.err, "adapter %s on %s\n", name, first)
	}
	l, err := net.Listen("tcp", v.Listen)
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	ip := l.Addr().(*net.TCPAddr).IP
	if !ip.IsLoopback() && v.APIKey == "" {
		fmt.Fprintf(
			c.err,
			"WARNING: %s can be reached from other machines, and anybody there may use it: set --api-key\n",
			l.Addr(),
		)
	}
	if !ip.IsLoopback() && len(hosts) == 0 {
		fmt.Fprintln(
			c.err,
			"only requests for localhost are answered: name the addresses that clients use with --host",
		)
	}
	fmt.Fprintf(c.err, "chat page and API at http://%s/ (Ctrl-C stops)\n", l.Addr())
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the second signal ends the process at once
	if err := s.Serve(ctx, l); err != nil && err != http.ErrServerClosed {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}
