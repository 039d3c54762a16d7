package serve

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Adapters are loaded, swapped and unloaded while clients ask: no request is lost, and every answer is that of one
// state of the adapter.
func TestAdapters(t *testing.T) {
	fresh := func(says string) Model { return &prefixed{&letters{context: 500, pause: time.Millisecond}, says} }
	s := New(Config{Limits: Limits{Adapters: 2}, Log: t.Logf,
		Adapters: func(_ context.Context, model, adapter string) (Model, error) {
			switch {
			case model != "base":
				return nil, fmt.Errorf("a test of %s", model)
			case strings.HasPrefix(adapter, "v"):
				return fresh(adapter + ": "), nil
			case adapter == "broken":
				return nil, fmt.Errorf("open /secret/path: no")
			}
			return nil, fs.ErrNotExist
		}})
	s.Add("base", fresh("base: "))
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	load := func(name, adapter string) (int, string) {
		return post(t, h, "/v1/models/base/adapters", fmt.Sprintf(`{"name": %q, "adapter": %q}`, name, adapter))
	}
	unload := func(name string) int {
		q, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, h.URL+"/v1/models/base/adapters/"+name,
			nil)
		require.NoError(t, err)
		r, err := h.Client().Do(q)
		require.NoError(t, err)
		require.NoError(t, r.Body.Close())
		return r.StatusCode
	}
	for _, c := range []struct {
		status        int
		name, adapter string
		says          string
	}{
		{404, "a", "none", "adapter_not_found"}, {404, "a", "../../etc", "adapter_not_found"},
		{400, "a", "broken", "the server's log says why"},
		{400, "base", "v1", "name of another model"}, {400, "", "", "name"}, {200, "a", "v1", `"parent":"base"`},
		{200, "v2", "", `"id":"v2"`},
		{409, "b", "v1", "too_many_adapters"}, {200, "a", "v3", `"parent":"base"`},
	} {
		status, body := load(c.name, c.adapter)
		require.Equal(t, c.status, status, "%+v: %s", c, body)
		require.Contains(t, body, c.says)
		require.NotContains(t, body, "secret")
	}
	status, body := post(t, h, "/v1/models/a/adapters", `{"name": "c", "adapter": "v1"}`)
	require.Equal(t, 400, status)
	require.Contains(t, body, "is an adapter itself")
	require.Equal(t, 404, unload("base"))
	require.Equal(t, 200, unload("v2"))
	require.Equal(t, 404, unload("v2"))
	status, _ = post(t, h, "/v1/chat/completions", strings.Replace(ask(""), "letters", "v2", 1))
	require.Equal(t, 404, status)
	r, err := h.Client().Get(h.URL + "/v1/models/base/adapters")
	require.NoError(t, err)
	list, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	require.NoError(t, r.Body.Close())
	require.Equal(t, 1, strings.Count(string(list), `"parent":"base"`))

	var group sync.WaitGroup
	begun := time.Now()
	for i := range 8 {
		group.Go(func() {
			for n := 0; n < 6 || time.Since(begun) < 200*time.Millisecond; n++ {
				status, body := post(t, h, "/v1/chat/completions",
					strings.Replace(ask(fmt.Sprintf(`"seed": %d`, i)), "letters", "a", 1))
				if status != 200 || strings.Count(contentOf(t, body), ": ") != 1 {
					t.Errorf("%d %s", status, body)
				}
			}
		})
	}
	for i := range 20 {
		status, body := load("a", fmt.Sprintf("v%d", i))
		require.Equal(t, 200, status, body)
		time.Sleep(5 * time.Millisecond)
	}
	group.Wait()

	off := start(t, Config{}, &letters{context: 500})
	status, _ = post(t, off, "/v1/models/letters/adapters", `{"name": "a"}`)
	require.Equal(t, 403, status)
}

// prefixed is a model whose answers begin with its name.
type prefixed struct {
	*letters
	says string
}

func (m *prefixed) Generate(ctx context.Context, p Prompt, s Sampling, each func(Token) error) (Finish, error) {
	if err := each(Token{Text: m.says, Bytes: []byte(m.says)}); err != nil {
		return Finish{}, err
	}
	s.LogitBias = map[int32]float64{11: -1000} // no colon of its own
	return m.letters.Generate(ctx, p, s, each)
}
