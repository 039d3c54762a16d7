package serve

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"slices"
	"time"
)

// served is a model under its name.
type served struct {
	name   string
	parent string // the model that this is an adapter on; "": none
	model  Model
	since  time.Time
}

// Add serves m under name, instead of the model of that name, if there is one: requests that it is answering keep it
// until their end, later ones get m. It may be called while the server runs.
func (s *Server) Add(name string, m Model) { s.put(served{name, "", m, time.Now()}) }

// Remove takes a model away, and reports whether there was one. Requests that it is answering keep it until their end.
func (s *Server) Remove(name string) bool {
	s.lock.Lock()
	defer s.lock.Unlock()
	i := s.find(name)
	if i < 0 {
		return false
	}
	s.models = slices.Delete(slices.Clone(s.models), i, i+1)
	return true
}

func (s *Server) put(m served) {
	s.lock.Lock()
	defer s.lock.Unlock()
	list := slices.Clone(s.models) // readers keep the old one
	if i := s.find(m.name); i >= 0 {
		list[i] = m
	} else {
		list = append(list, m)
	}
	s.models = list
}

// find is the place of a model; −1: there is none. s.lock is held.
func (s *Server) find(name string) int {
	return slices.IndexFunc(s.models, func(m served) bool { return m.name == name })
}

// list are the models at this moment.
func (s *Server) list() []served {
	s.lock.RLock()
	defer s.lock.RUnlock()
	return s.models
}

// named finds a model.
func (s *Server) named(name string) (served, *problem) {
	for _, m := range s.list() {
		if m.name == name {
			return m, nil
		}
	}
	if name == "" {
		return served{}, invalid("model", "is missing: name one of /v1/models")
	}
	return served{}, &problem{status: http.StatusNotFound, kind: "invalid_request_error", param: "model",
		code: "model_not_found", message: "model: there is no model " + quote(name) + ": GET /v1/models lists them"}
}

// model finds a model by name.
func (s *Server) model(name string) (Model, *problem) {
	m, p := s.named(name)
	return m.model, p
}

// base finds the model of a request about adapters.
func (s *Server) base(r *http.Request) (served, *problem) {
	if s.config.Adapters == nil {
		return served{}, refused(http.StatusForbidden, "adapters_off", "this server does not load adapters")
	}
	m, p := s.named(r.PathValue("model"))
	if p == nil && m.parent != "" {
		p = invalid("model", "%s is an adapter itself, on %s", quote(m.name), quote(m.parent))
	}
	return m, p
}

// adapters answers GET /v1/models/{model}/adapters.
func (s *Server) adapters(w http.ResponseWriter, r *http.Request) {
	base, p := s.base(r)
	if p != nil {
		p.write(w)
		return
	}
	data := []any{}
	for _, m := range s.list() {
		if m.parent == base.name {
			data = append(data, m.object())
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": data})
}

// loadAdapter answers POST /v1/models/{model}/adapters: {"name": what clients ask for, "adapter": which one, by default
// that of the name}. An adapter that is there under the name is replaced.
func (s *Server) loadAdapter(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Name    string `json:"name"`
		Adapter string `json:"adapter"`
	}
	base, p := s.base(r)
	if p == nil {
		p = s.readBody(w, r, &q)
	}
	if p == nil {
		if q.Adapter == "" {
			q.Adapter = q.Name
		}
		p = s.adapt(r.Context(), base, q.Name, q.Adapter)
	}
	if p != nil {
		p.write(w)
		return
	}
	m, p := s.named(q.Name)
	if p != nil { // somebody has unloaded it already
		p.write(w)
		return
	}
	writeJSON(w, http.StatusOK, m.object())
}

// adapt loads an adapter on base and serves it under a name. One is loaded at a time.
func (s *Server) adapt(ctx context.Context, base served, name, adapter string) *problem {
	if name == "" || len(name) > 200 {
		return invalid("name", "%.50q is empty or longer than 200 bytes", name)
	}
	select {
	case s.loading <- struct{}{}:
		defer func() { <-s.loading }()
	case <-ctx.Done():
		return s.failure(ctx.Err())
	}
	n := 0
	for _, m := range s.list() {
		switch {
		case m.name == name && m.parent != base.name:
			return invalid("name", "%s is the name of another model", quote(name))
		case m.parent == base.name && m.name != name:
			n++
		}
	}
	if n >= s.config.Limits.Adapters {
		return refused(http.StatusConflict, "too_many_adapters", "%d adapters are loaded: unload one first", n)
	}
	m, err := s.config.Adapters(ctx, base.name, adapter)
	if errors.Is(err, fs.ErrNotExist) {
		return &problem{status: http.StatusNotFound, kind: "invalid_request_error", param: "adapter",
			code: "adapter_not_found", message: "adapter: there is none " + quote(adapter)}
	}
	if err != nil {
		s.log("adapter %.200q: %v", adapter, err)
		return invalid("adapter", "%s cannot be loaded on %s; the server's log says why", quote(adapter),
			quote(base.name))
	}
	s.put(served{name, base.name, m, time.Now()})
	s.log("adapter %.200q is served as %.200q", adapter, name)
	return nil
}

// unloadAdapter answers DELETE /v1/models/{model}/adapters/{name}.
func (s *Server) unloadAdapter(w http.ResponseWriter, r *http.Request) {
	base, p := s.base(r)
	if p != nil {
		p.write(w)
		return
	}
	name := r.PathValue("name")
	if m, p := s.named(name); p != nil || m.parent != base.name || !s.Remove(name) {
		refused(http.StatusNotFound, "adapter_not_found", "there is no adapter %s on %s", quote(name),
			quote(base.name)).write(w)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"id": name, "object": "model", "deleted": true})
}

// object is a model in the protocol's form; parent is the field that other servers of adapters have, and chats is false
// for a model that only embeds or draws.
func (m served) object() map[string]any {
	o := map[string]any{"id": m.name, "object": "model", "created": m.since.Unix(), "owned_by": "gollava",
		"chats": chats(m.model), "videos": watches(m.model)}
	if m.parent != "" {
		o["parent"] = m.parent
	}
	return o
}
