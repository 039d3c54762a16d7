// Package clients tests the server with clients that other people wrote: OpenAI's and Ollama's for Go, and a browser.
// It is a module of its own, so that nobody who uses this library downloads them.
package clients
