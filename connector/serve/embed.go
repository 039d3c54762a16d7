package serve

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math"
	"net/http"
)

// embeddingRequest is the body of POST /v1/embeddings.
type embeddingRequest struct {
	Model      string  `json:"model"`
	Input      inputs  `json:"input"`
	Format     *string `json:"encoding_format"`
	Dimensions *int    `json:"dimensions"`
}

// embed answers POST /v1/embeddings.
func (s *Server) embed(w http.ResponseWriter, r *http.Request) {
	var q embeddingRequest
	p := s.readBody(w, r, &q)
	if p == nil {
		p = s.answerEmbedding(w, r, &q)
	}
	if p != nil {
		p.write(w)
	}
}

func (s *Server) answerEmbedding(w http.ResponseWriter, r *http.Request, q *embeddingRequest) *problem {
	format := or(q.Format, "float")
	switch {
	case format != "float" && format != "base64":
		return invalid("encoding_format", "%.50q is not float or base64", format)
	case q.Dimensions != nil:
		return unsupported("dimensions", "is not supported: vectors have the model's own length")
	}
	vectors, tokens, p := s.vectors(r.Context(), q.Model, "input", q.Input)
	if p != nil {
		return p
	}
	data := []any{}
	for i, v := range vectors {
		var e any = v
		if format == "base64" {
			b := make([]byte, 0, 4*len(v))
			for _, x := range v {
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
			}
			e = base64.StdEncoding.EncodeToString(b)
		}
		data = append(data, map[string]any{"object": "embedding", "index": i, "embedding": e})
	}
	writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": data, "model": q.Model,
		"usage": map[string]any{"prompt_tokens": tokens, "total_tokens": tokens}})
	return nil
}

// vectors embeds what a field holds.
func (s *Server) vectors(ctx context.Context, model, field string, in inputs) ([][]float32, int, *problem) {
	m, p := s.model(model)
	switch {
	case p != nil:
		return nil, 0, p
	case len(in) == 0:
		return nil, 0, invalid(field, "is missing or empty")
	case len(in) > s.config.Limits.Inputs:
		return nil, 0, invalid(field, "%d inputs of at most %d", len(in), s.config.Limits.Inputs)
	}
	ctx, leave, p := s.begin(ctx)
	if p != nil {
		return nil, 0, p
	}
	defer leave()
	list, p := s.inputs(ctx, field, in)
	if p != nil {
		return nil, 0, p
	}
	v, tokens, err := m.Embed(ctx, list)
	switch {
	case errors.Is(err, ErrNoEmbeddings):
		return nil, 0, refused(http.StatusNotImplemented, "no_embeddings", "model %s has no embeddings", quote(model))
	case err != nil:
		return nil, 0, s.unfit(m, field, err)
	}
	return v, tokens, nil
}
