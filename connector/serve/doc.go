// Package serve answers OpenAI's and Ollama's chat protocols over HTTP from models of this library: an http.Handler
// that a program can mount beside its own, and that `gollava serve` runs.
//
// A [Server] owns one or several [Model]s. It speaks
//
//	POST /v1/chat/completions   text and images in, an answer out, whole or as server-sent events
//	POST /v1/completions        a text goes on
//	POST /v1/embeddings         vectors of texts, images and sounds
//	POST /v1/images/generations images of texts
//	GET  /v1/models, /health, /metrics, /            models, liveness, Prometheus' counters, a chat page
//	POST /api/chat, /api/generate; GET /api/tags     Ollama's dialect
//
// A field of a request that would change the answer is heeded or refused by name, never ignored; fields that are for
// accounting (user, metadata, store and the like) and fields that nobody knows are ignored, the latter with a line in
// the log. Requests come from outside: no content of one can cause a panic or reach the file system, and what one can
// take of memory and time is bounded by [Limits].
//
// The wire format is that of OpenAI's API reference, checked with its clients.
package serve
