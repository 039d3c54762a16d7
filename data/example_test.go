package data_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/tokenizer"
)

func Example() {
	dir, err := os.MkdirTemp("", "data")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "chat.json")
	err = os.WriteFile(path, []byte(`[
  {"id": "a", "conversations": [{"from": "human", "value": "Who sits on the table?"}, {"from": "gpt", "value": "The cat."}]},
  {"id": "b", "conversations": [{"from": "human", "value": "Who else?"}, {"from": "gpt", "value": " "}]},
  {"id": "c", "conversations": [{"from": "human", "value": "Where is the dog?"}, {"from": "gpt", "value": "On the left."}]}
]`), 0o644)
	if err != nil {
		panic(err)
	}

	ctx := context.Background()
	faults, err := data.Check(ctx, path, nil, data.CheckOptions{})
	fmt.Println(data.Summary(faults), err)

	set, err := data.Open(path, data.Options{})
	if err != nil {
		panic(err)
	}
	defer set.Close()
	tok, err := tokenizer.Load("tokenizer/testdata/cases/llama")
	if err != nil {
		panic(err)
	}
	template := chat.VicunaV1()
	loader, err := data.NewLoader(set, data.LoaderConfig[chat.Tokens]{
		Batch: 3, Order: data.Shuffled(set.Len(), 1), Skip: true,
		Prepare: func(_ context.Context, s data.Sample) (chat.Tokens, error) {
			return template.Train(tok, s.Turns, chat.Options{})
		},
	})
	if err != nil {
		panic(err)
	}
	batch, err := loader.Batch(ctx, 0)
	fmt.Println(len(batch), "samples,", batch[0].Supervised()+batch[1].Supervised(), "tokens train,", err)
	fmt.Println("left out:", loader.Report().Kinds)
	// Output:
	// 1 blank_answer <nil>
	// 2 samples, 14 tokens train, <nil>
	// left out: map[blank_answer:1]
}
