package serve

import (
	"flag"
	"net"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var listen = flag.String(
	"listen",
	"",
	"address on which TestListen answers, with a model that babbles, until it is interrupted",
)

// TestListen serves the babbling model of these tests, for clients in other languages.
func TestListen(t *testing.T) {
	if *listen == "" {
		t.Skip("no -listen ADDRESS")
	}
	ctx, cancel := signal.NotifyContext(t.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	l, err := net.Listen("tcp", *listen)
	require.NoError(t, err)
	s := New(Config{Log: t.Logf})
	s.Add("letters", &letters{context: 4096, pause: 2 * time.Millisecond})
	require.NoError(t, s.Serve(ctx, l))
}
