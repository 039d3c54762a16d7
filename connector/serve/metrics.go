package serve

import (
	"fmt"
	"net/http"
	"sync/atomic"
)

// metrics are counters of the whole server.
type metrics struct {
	requests, refused, turnedAway, tokens atomic.Int64 // since the start
	active                                atomic.Int64 // now
}

// write answers GET /metrics in Prometheus' text format.
func (m *metrics) write(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	for _, x := range []struct {
		name, kind, help string
		value            *atomic.Int64
	}{
		{"gollava_requests_total", "counter", "Requests received.", &m.requests},
		{"gollava_requests_refused_total", "counter", "Requests refused for their host, origin, key, type or size.",
			&m.refused},
		{"gollava_requests_turned_away_total", "counter", "Requests turned away because the server was full.",
			&m.turnedAway},
		{"gollava_generated_tokens_total", "counter", "Tokens generated.", &m.tokens},
		{"gollava_answers_active", "gauge", "Answers in progress or waiting.", &m.active},
	} {
		fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n%s %d\n", x.name, x.help, x.name, x.kind, x.name, x.value.Load())
	}
}
