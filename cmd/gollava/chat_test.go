package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/data/tokenizer"
	"github.com/gollava/gollava/llm"
	"github.com/gollava/gollava/nn"
)

// A plain language model is talked with in text, and what is said can be saved.
func TestChatLanguage(t *testing.T) {
	dir := t.TempDir()
	tok, err := tokenizer.Train(slices.Values([]string{"a b c"}),
		tokenizer.TrainConfig{Size: 280, Specials: []string{"<s>", "</s>"}, BOS: "<s>", EOS: "</s>"})
	require.NoError(t, err)
	m, err := llm.New(rand.New(rand.NewPCG(1, 2)), llm.Config{ModelType: "llama", VocabSize: tok.Size(), HiddenSize: 16,
		IntermediateSize: 32, NumHiddenLayers: 1,
		NumAttentionHeads: 2, NumKeyValueHeads: 2, HeadDim: 8, MaxPositionEmbeddings: 512, NormEps: 1e-5,
		HiddenAct: "silu", RoPE: nn.RoPEConfig{Theta: 1e4}, BOS: 0, EOS: []int{1}, PAD: -1})
	require.NoError(t, err)
	require.NoError(t, llm.Save(m, dir, nn.SaveOptions{}))
	require.NoError(t, tok.Save(dir))
	chatted := func(args ...string) (int, string, string) {
		var out, said bytes.Buffer
		code := run(t.Context(), append([]string{"chat", dir, "--template", "vicuna_v1", "--max-tokens", "5",
			"--temperature", "0"}, args...), &out, &said)
		return code, out.String(), said.String()
	}
	code, answer, said := chatted("--ask", "a b")
	require.Equal(t, 0, code, said)
	require.NotEmpty(t, strings.TrimSpace(answer))
	_, again, _ := chatted("--ask", "a b")
	require.Equal(t, answer, again)
	code, _, said = chatted("--ask", "a b", "--temperature=-1")
	require.Equal(t, 1, code)
	require.Contains(t, said, "--temperature -1")
}

// echo says what it was asked.
type echo struct{ text string }

func (e *echo) Watch(_ context.Context, turns []chat.Turn, shown []connector.Visual,
	onText func(string) error) (string, error) {
	answer := strings.TrimSpace(e.text + strings.ReplaceAll(turns[len(turns)-1].Value, chat.ImageToken, ""))
	for _, v := range shown {
		answer += fmt.Sprintf(" [%d frames]", v.Media().Frames)
	}
	return answer, onText(answer)
}

func (e *echo) takes(v connector.Visual) error {
	if v.Media().Frames == 1 {
		return errors.New("one frame is no video")
	}
	return nil
}

func (e *echo) system(text string) error { e.text = text + ": "; return nil }

// The commands of a conversation: a system text, a picture, a file of what was said, a new beginning.
func TestChatCommands(t *testing.T) {
	dir := t.TempDir()
	var out, said bytes.Buffer
	file, taken := filepath.Join(dir, "said.json"), filepath.Join(dir, "taken.json")
	require.NoError(t, os.WriteFile(taken, nil, 0o666))
	talk := talk{session: &echo{}, out: &out}
	input := "/save " + file + "\n/system Loud\nhello\n/save " + file + "\n/save " + taken + "\n/reset\n/quit\n"
	require.NoError(t, talk.loop(t.Context(), console{in: strings.NewReader(input), out: &out, err: &said}))
	require.Equal(t, "Loud: hello\n", out.String())
	require.Contains(t, said.String(), "nothing to save")
	require.Contains(t, said.String(), "taken.json")
	require.Empty(t, talk.turns)
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	var samples []struct{ Conversations []chat.Turn }
	require.NoError(t, json.Unmarshal(b, &samples))
	require.Equal(t, []chat.Turn{{From: chat.Human, Value: "hello"}, {From: chat.GPT, Value: "Loud: hello"}},
		samples[0].Conversations)
}

// A conversation may show videos: what the model cannot be shown is refused at once, and is not in the next question.
func TestChatVideo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a clip")
	require.NoError(t, os.Mkdir(dir, 0o777))
	for i := range 5 {
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%d.png", i)))
		require.NoError(t, err)
		require.NoError(t, png.Encode(f, imaging.New(4, 3)))
		require.NoError(t, f.Close())
	}
	var out, said bytes.Buffer
	input := "/video '" + dir + "'\nwhat moves?\n/video none.gif\n/image " + filepath.Join(dir, "0.png") + "\nand here?\n"
	chat := talk{session: &echo{}, frames: 3, out: &out}
	require.NoError(t, chat.loop(t.Context(), console{in: strings.NewReader(input), out: &out, err: &said}))
	require.Equal(t, "what moves? [3 frames]\nand here? [3 frames] [0 frames]\n", out.String())
	require.Contains(t, said.String(), "none.gif")
	require.Equal(t, "<image>\nand here?", chat.turns[2].Value)
	out.Reset()
	chat = talk{session: &echo{}, frames: 1, out: &out}
	require.NoError(t, chat.loop(t.Context(), console{in: strings.NewReader(input), out: &out, err: &said}))
	require.Equal(t, "what moves?\nand here? [0 frames]\n", out.String())
	require.Contains(t, said.String(), "a clip: one frame is no video")
}

// The tabulator goes on as far as there is one way to.
func TestComplete(t *testing.T) {
	dir := t.TempDir() + string(filepath.Separator)
	for _, name := range []string{"cat-1.png", "cat-2.png", "dog.png", ".hidden"} {
		require.NoError(t, os.WriteFile(dir+name, nil, 0o666))
	}
	require.NoError(t, os.Mkdir(dir+"more", 0o777))
	for line, want := range map[string]string{
		"/im": "/image ", "/s": "/s", "/q": "/quit ", "/x": "/x", "hello": "hello",
		"/image " + dir + "d": "/image " + dir + "dog.png",
		"/image " + dir + "c": "/image " + dir + "cat-", "/image " + dir + "cat-1": "/image " + dir + "cat-1.png",
		"/image " + dir:            "/image " + dir,
		"/image " + dir + "m":      "/image " + dir + "more" + string(filepath.Separator),
		"/image " + dir + ".":      "/image " + dir + ".hidden",
		"/image " + dir + "none/x": "/image " + dir + "none/x", "/system a": "/system a",
	} {
		require.Equal(t, want, complete(line), line)
	}
}
