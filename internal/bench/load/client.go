package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// questions are the bodies of different requests, with short and long prompts.
func questions(o options) [][]byte {
	topics := []string{"a harbour at dawn", "why leaves fall", "a recipe with beans", "the moons of Jupiter",
		"how a bicycle stays upright", "a letter to a neighbour", "sorting a list", "the colours of birds"}
	bodies := make([][]byte, o.prompts)
	for i := range bodies {
		text := fmt.Sprintf("Request %d. Write a few sentences about %s.", i, topics[i%len(topics)])
		text += strings.Repeat(" Be precise, and say what you do not know.", i%5*2)
		var content any = text
		if o.images && i%2 == 1 {
			content = []any{map[string]any{"type": "text", "text": text},
				map[string]any{"type": "image_url", "image_url": map[string]any{"url": picture(i)}}}
		}
		bodies[i], _ = json.Marshal(map[string]any{
			"model": "model", "messages": []any{map[string]any{"role": "user", "content": content}},
			"max_tokens": o.tokens, "temperature": 0.8, "top_p": 0.95, "seed": 1000 + i, "stream": true,
			"stream_options": map[string]any{"include_usage": true}, "cache_prompt": false,
		})
	}
	return bodies
}

// picture is a small image as a URL that holds it.
func picture(i int) string {
	m := image.NewRGBA(image.Rect(0, 0, 64, 64))
	for y := range 64 {
		for x := range 64 {
			c := color.RGBA{uint8(37 * i), uint8(4 * x), uint8(4 * y), 255}
			if (x-32)*(x-32)+(y-32)*(y-32) < 20*i%600 {
				c = color.RGBA{255, 255, uint8(11 * i), 255}
			}
			m.Set(x, y, c)
		}
	}
	var b bytes.Buffer
	_ = png.Encode(&b, m) // a buffer takes everything
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(b.Bytes())
}

// reply is one answer.
type reply struct {
	text       string
	tokens     int
	began      time.Time
	first, end time.Duration // since began, of the first token and of the last
}

var errCut = errors.New("the stream ended before its answer")

// ask sends a request and reads the streamed answer.
func ask(ctx context.Context, c *http.Client, url string, body []byte) (r reply, err error) {
	r.began = time.Now()
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		return r, err
	}
	q.Header.Set("Content-Type", "application/json")
	q.Header["Idempotency-Key"] = nil // a server that closed an idle connection is asked again; nothing is sent of it
	a, err := c.Do(q)
	if err != nil {
		return r, err
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(a.Body, 500))
		return r, fmt.Errorf("status %d: %s", a.StatusCode, said)
	}
	var text strings.Builder
	finished, done := false, false
	lines := bufio.NewScanner(a.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !ok {
			continue
		}
		if done = string(data) == "[DONE]"; done {
			continue
		}
		var event struct {
			Choices []struct {
				Delta  struct{ Content string }
				Finish *string `json:"finish_reason"`
			}
			Usage *struct {
				Tokens int `json:"completion_tokens"`
			}
			Error json.RawMessage
		}
		if err := json.Unmarshal(data, &event); err != nil {
			return r, fmt.Errorf("event %.100q: %w", data, err)
		}
		if event.Error != nil {
			return r, fmt.Errorf("error in the stream: %.300s", event.Error)
		}
		for _, x := range event.Choices {
			if x.Delta.Content != "" {
				if r.end = time.Since(r.began); r.first == 0 {
					r.first = r.end
				}
				text.WriteString(x.Delta.Content)
			}
			finished = finished || x.Finish != nil
		}
		if event.Usage != nil {
			r.tokens = event.Usage.Tokens
		}
	}
	if err := lines.Err(); err != nil {
		return r, err
	}
	if !finished || !done || r.tokens == 0 {
		return r, errCut
	}
	r.text = text.String()
	return r, nil
}

// row is what clients met in a time.
type row struct {
	rate     float64   // tokens a second
	first    []float64 // ms
	answers  int
	others   int // than alone
	failed   int
	err      error // the first
	resident int64 // bytes, at most
}

// load lets n clients ask for a time, and waits for their last answers. Of these, tokens that came later do not count.
func (s *server) load(ctx context.Context, requests [][]byte, n int, most time.Duration) row {
	var r row
	var lock sync.Mutex
	var group sync.WaitGroup
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: n}}
	defer client.CloseIdleConnections()
	begin := time.Now()
	tokens := 0.0
	for i := range n {
		group.Go(func() {
			for k := i * 7; time.Since(begin) < most; k++ {
				which := k % len(requests)
				a, err := ask(ctx, client, s.url, requests[which])
				lock.Lock()
				switch {
				case err != nil:
					if r.failed++; r.err == nil {
						r.err = err
					}
				default:
					if r.answers++; a.text != s.alone[which] {
						r.others++
					}
					r.first = append(r.first, float64(a.first)/1e6)
					tokens += float64(a.tokens) * within(a, begin.Add(most))
				}
				lock.Unlock()
				if err != nil {
					time.Sleep(10 * time.Millisecond)
				}
			}
		})
	}
	stop := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			r.resident = max(r.resident, s.resident())
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
	group.Wait()
	close(stop)
	watch.Wait()
	r.rate = tokens / most.Seconds()
	return r
}

// within is the part of an answer's tokens that came before the end, as if they came evenly.
func within(a reply, end time.Time) float64 {
	left := end.Sub(a.began.Add(a.first))
	if left <= 0 {
		return 0
	}
	return min(1, float64(left)/math.Max(1, float64(a.end-a.first)))
}

// percentile of values, by the nearest rank; 0 of none.
func percentile(values []float64, p int) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(0, (len(sorted)*p+99)/100-1)]
}
