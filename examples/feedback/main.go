// Command feedback serves a model and learns from corrected answers meanwhile: {"question": "What is this?", "image":
// "<base64>", "answer": "A red circle."} posted to /v1/corrections. What an adapter has learnt is served as "learnt".
package main

import (
	"context"
	"encoding/json"
	"errors"
	"log"
	"math/rand/v2"
	"net/http"
	"os"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/connector/serve"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/lora"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/train"
)

func main() {
	a, err := llava.Open(append(os.Args, "run/model")[1], llava.LoadOptions{}) // the folder of a finished model
	check(err)
	s, corrections := serve.New(serve.Config{Log: log.Printf}), make(chan connector.Sample, 64)
	s.Add("base", serve.Assistant(a, llm.EngineConfig{}))
	http.Handle("/", s)
	http.Handle("POST /v1/corrections", s.Guard(correct(a, corrections)))
	go learn(a, s, corrections, os.TempDir()+"/gollava-learnt")
	check(http.ListenAndServe("127.0.0.1:8080", nil))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// correct makes samples of corrected answers.
func correct(a *connector.Assistant, corrections chan<- connector.Sample) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Question, Answer string
			Image            []byte
		}
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 32<<20)).Decode(&q)
		m, wrong := imaging.Decode(q.Image, imaging.Options{Orient: true})
		turns := []chat.Turn{{From: chat.Human, Value: chat.ImageToken + "\n" + q.Question},
			{From: chat.GPT, Value: q.Answer}}
		x, none := a.Sample(turns, []*imaging.RGB{m})
		if err = errors.Join(err, wrong, none); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		corrections <- x
	}
}

// learn takes steps on all corrections so far whenever one comes, and serves the adapter that comes of it.
func learn(a *connector.Assistant, s *serve.Server, corrections <-chan connector.Sample, dir string) {
	student, all := nn.Share(a.Model), []connector.Sample(nil)
	adapter, err := lora.Wrap(student, lora.LLaVA(), rand.New(rand.NewPCG(1, 1)), llava.Transformers5)
	check(err)
	for x := range corrections {
		all = append(all, x)
		_, err := train.Run(context.Background(), student, train.Options{},
			train.Stage[connector.Batch]{Name: "corrections", Steps: 30, Clip: 1,
				Groups: []train.Group{{Params: "**.lora_*.**", LR: 1e-3}},
				Batches: func(_ context.Context, n int) (connector.Batch, error) { // the newest first
					return a.Model.Splice(all[(n+len(all)-1)%len(all):][:1], false)
				}})
		check(errors.Join(err, adapter.Save(dir, lora.SaveOptions{})))
		learnt := *a
		learnt.Model = nn.Share(a.Model)
		_, err = lora.Load(learnt.Model, dir, llava.Namings(learnt.Model)...)
		check(err)
		s.Add("learnt", serve.Assistant(&learnt, llm.EngineConfig{})) // requests in progress keep the one before
	}
}
