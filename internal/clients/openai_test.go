package clients

import (
	"bytes"
	"encoding/base64"
	"errors"
	"image"
	"image/png"
	"net/url"
	"testing"
	"time"

	ollama "github.com/ollama/ollama/api"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/stretchr/testify/require"
)

func picture(t *testing.T) []byte {
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, image.NewGray(image.Rect(0, 0, 6, 4))))
	return b.Bytes()
}

func TestOpenAI(t *testing.T) {
	h := start(t, 0)
	c := openai.NewClient(option.WithBaseURL(h.URL+"/v1/"), option.WithAPIKey("none"), option.WithMaxRetries(0))
	ask := openai.ChatCompletionNewParams{
		Model:               "echo",
		MaxCompletionTokens: openai.Int(4),
		Messages: []openai.ChatCompletionMessageParamUnion{
			openai.SystemMessage("Be brief."),
			openai.UserMessage([]openai.ChatCompletionContentPartUnionParam{
				openai.ImageContentPart(
					openai.ChatCompletionContentPartImageImageURLParam{
						URL: "data:image/png;base64," + base64.StdEncoding.EncodeToString(picture(t)),
					},
				),
				openai.TextContentPart("one two three four five"),
			}),
		},
	}
	whole, err := c.Chat.Completions.New(t.Context(), ask)
	require.NoError(t, err)
	require.Equal(t, "[6×4] one two three", whole.Choices[0].Message.Content)
	require.Equal(t, "length", whole.Choices[0].FinishReason)
	require.EqualValues(t, 4, whole.Usage.CompletionTokens)

	var all openai.ChatCompletionAccumulator
	stream := c.Chat.Completions.NewStreaming(t.Context(), ask)
	for stream.Next() {
		require.True(t, all.AddChunk(stream.Current()))
	}
	require.NoError(t, stream.Err())
	require.Equal(t, "[6×4] one two three ", all.Choices[0].Message.Content)

	models, err := c.Models.List(t.Context())
	require.NoError(t, err)
	require.Equal(t, "echo", models.Data[0].ID)
	e, err := c.Embeddings.New(
		t.Context(),
		openai.EmbeddingNewParams{
			Model: "echo",
			Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{"a", "bb"}},
		},
	)
	require.NoError(t, err)
	require.InDeltaSlice(t, []float64{0.6, 0.8}, e.Data[0].Embedding, 1e-6)

	ask.Model = "other"
	_, err = c.Chat.Completions.New(t.Context(), ask)
	var refused *openai.Error
	require.True(t, errors.As(err, &refused))
	require.Equal(t, 404, refused.StatusCode)
	require.Equal(t, "model_not_found", refused.Code)
}

func TestOllama(t *testing.T) {
	h := start(t, time.Millisecond)
	at, err := url.Parse(h.URL)
	require.NoError(t, err)
	c := ollama.NewClient(at, h.Client())
	list, err := c.List(t.Context())
	require.NoError(t, err)
	require.Equal(t, "echo", list.Models[0].Name)

	text, rows := "", 0
	var last ollama.ChatResponse
	require.NoError(
		t,
		c.Chat(t.Context(), &ollama.ChatRequest{Model: "echo", Options: map[string]any{"num_predict": 3},
			Messages: []ollama.Message{
				{Role: "user", Content: "one two three", Images: []ollama.ImageData{picture(t)}},
			}}, func(r ollama.ChatResponse) error {
			text, last = text+r.Message.Content, r
			rows++
			return nil
		}),
	)
	require.Equal(t, "[6×4] one two ", text)
	require.Equal(t, 4, rows)
	require.True(t, last.Done)
	require.Equal(t, "length", last.DoneReason)
	require.Equal(t, 3, last.EvalCount)

	whole, no := "", false
	require.NoError(
		t,
		c.Generate(
			t.Context(),
			&ollama.GenerateRequest{Model: "echo", Prompt: "a b", Stream: &no},
			func(r ollama.GenerateResponse) error {
				whole += r.Response
				return nil
			},
		),
	)
	require.Equal(t, "a b", whole)
	require.Error(
		t,
		c.Chat(t.Context(), &ollama.ChatRequest{Model: "other"}, func(ollama.ChatResponse) error { return nil }),
	)
}
