package serve_test

import (
	"log"
	"net/http"
	"os"

	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/connector/serve"
	"github.com/gollava/gollava/llm"
)

// A model beside a program's own handlers.
func Example() {
	assistant, err := llava.Open("run/model", llava.LoadOptions{})
	if err != nil {
		log.Fatal(err)
	}
	mux, key := http.NewServeMux(), os.Getenv("API_KEY")

	s := serve.New(serve.Config{APIKey: key, Log: log.Printf})
	s.Add("llava", serve.Assistant(assistant, llm.EngineConfig{MaxTokens: 65536}))
	mux.Handle("/v1/", s)

	log.Fatal(http.ListenAndServe("127.0.0.1:8080", mux))
}
