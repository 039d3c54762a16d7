package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/train/study"
)

// quick runs the toy preset and returns what it printed.
func quick(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	in := strings.NewReader("what color is the circle?\n/next\nwhere is the zebra?\n/quit\n")
	err := run(context.Background(), append([]string{"-preset", "toy"}, args...), in, &out, nil)
	return out.String(), err
}

// hook is an output that cancels a run once it has printed something.
type hook struct {
	text   bytes.Buffer
	at     string
	cancel func()
}

func (h *hook) Write(b []byte) (int, error) {
	if h.cancel != nil && strings.Contains(string(b), h.at) {
		h.cancel()
		h.cancel = nil
	}
	return h.text.Write(b)
}

// results are the files that must not depend on how often a run was interrupted.
func results(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, part := range append(study.Parts, study.ModelDir, study.ClipDir) {
		files, err := filepath.Glob(filepath.Join(dir, part, "*.safetensors"))
		require.NoError(t, err)
		more, err := filepath.Glob(filepath.Join(dir, part, "checkpoint-*", "*.safetensors"))
		require.NoError(t, err)
		files = append(files, more...)
		if part == study.Starts[1] || part == study.Starts[2] {
			require.Empty(t, files, part)
			continue
		}
		require.NotEmpty(t, files, part)
		for _, f := range files {
			b, err := os.ReadFile(f)
			require.NoError(t, err)
			name, err := filepath.Rel(dir, f)
			require.NoError(t, err)
			all[name] = fmt.Sprintf("%x", sha256.Sum256(b))
		}
	}
	var r study.Report
	b, err := os.ReadFile(filepath.Join(dir, "report.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &r))
	scores, err := json.Marshal(r.Scores)
	require.NoError(t, err)
	all["scores"] = string(scores)
	curves, err := json.Marshal(r.Curves)
	require.NoError(t, err)
	all["curves"] = string(curves)
	return all
}

// A run that is interrupted in each stage and resumed ends in the same bytes as one that is not; and the talk
// afterwards works.
func TestResume(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "whole")
	printed, err := quick(t, "-out", whole)
	require.NoError(t, err, printed)
	want := results(t, whole)

	torn := filepath.Join(t.TempDir(), "torn")
	_, err = quick(t, "-out", whole, "-chat", "-preset", "smoke") // the directory says which preset
	require.NoError(t, err)
	for i, at := range []string{"clip 2/", "language 4/", "align 3/", "tune 4/", "blind 1/"} {
		ctx, cancel := context.WithCancel(context.Background())
		out := &hook{at: at, cancel: cancel}
		args := []string{"-preset", "toy", "-out", torn}
		if at != "clip 2/" {
			args = append(args, "-resume")
		}
		err := run(ctx, args, strings.NewReader(""), out, nil)
		require.ErrorContains(t, err, "-resume", "interrupted at %s:\n%s", at, &out.text)
		require.Contains(t, out.text.String(), at)
		if i == 0 {
			_, err := quick(t, "-out", torn, "-chat")
			require.ErrorContains(t, err, "is not finished yet")
		}
	}
	printed, err = quick(t, "-out", torn, "-resume")
	require.NoError(t, err, printed)
	require.Equal(t, want, results(t, torn))

	var r study.Report
	b, err := os.ReadFile(filepath.Join(whole, "report.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &r))
	for _, name := range []string{"short", "blind", "no_stage_1", "random_encoder"} {
		require.Contains(t, r.Scores, name)
	}
	require.InDelta(t, r.Scores["short"]-r.Scores["random_encoder"], r.Scores["short_over_random"], 1e-9)
	for _, file := range []string{"contact-sheet.png", "loss.png", "vision-gain.png", "report.json"} {
		require.FileExists(t, filepath.Join(whole, file))
	}
	p, err := imaging.ReadProcessor(filepath.Join(whole, study.ClipDir)) // who joins the tower shows it such images
	require.NoError(t, err)
	of, err := imaging.ReadProcessor(filepath.Join(whole, study.ModelDir))
	require.NoError(t, err)
	require.Equal(t, of, p)
	require.InDelta(t, 0.85, p.Mean[0], 1e-6)
	talk, err := quick(t, "-out", whole, "-chat")
	require.NoError(t, err)
	require.Contains(t, talk, "I never learnt these words: zebra")
	require.Equal(t, 2, strings.Count(talk, "enlarged, is in"))

	_, err = quick(t, "-out", whole)
	require.ErrorContains(t, err, "-resume")
	_, err = quick(t, "-out", whole, "-resume", "-seed", "7")
	require.ErrorContains(t, err, "-seed was 1 and is now 7")
	args := []string{"-preset", "smoke", "-out", whole, "-resume"}
	err = run(context.Background(), args, strings.NewReader(""), &bytes.Buffer{}, nil)
	require.ErrorContains(t, err, "-preset was toy and is now smoke")
}

// What cannot work is refused with the next step, before anything is written. TestAssistant: the model in the run's
// directory is one that any program can talk with; the prompt is the same, token by token.
func TestAssistant(t *testing.T) {
	dir := t.TempDir()
	_, err := quick(t, "-out", dir)
	require.NoError(t, err)
	a, err := llava.Open(filepath.Join(dir, study.ModelDir), llava.LoadOptions{})
	require.NoError(t, err)
	v := study.NewVocabulary()
	spans, err := a.Template.Spans([]chat.Turn{{From: chat.Human, Value: "<image>\nwhat color is the circle ?"}, {From: chat.GPT, Open: true}})
	require.NoError(t, err)
	require.Equal(t, v.Prompt("what color is the circle ?", 1), a.Template.Encode(a.Tokenizer, spans, chat.Options{Pictures: true}).IDs)
}

func TestBadInput(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, []byte("mine"), 0o666))
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-out", dir}, "not empty and not a run of this program"},
		{[]string{"-out", filepath.Join(file, "run")}, "choose another directory with -out"},
		{[]string{"-out", filepath.Join(dir, "none"), "-chat"}, "make one with: go run ./examples/quickstart"},
		{[]string{"-out", filepath.Join(dir, "x"), "more"}, `"more" is no flag`},
		{[]string{"-preset", "huge"}, "use default (minutes) or smoke"},
	} {
		_, err := quick(t, c.args...)
		require.ErrorContains(t, err, c.want)
	}
}

// A text stage that falls short is repeated from other weights, and the best is taken, also by whoever comes back.
func TestStartsAgain(t *testing.T) {
	var out bytes.Buffer
	j, err := begin([]string{"-preset", "toy", "-seed", "4", "-out", filepath.Join(t.TempDir(), "run")}, &out, nil)
	require.NoError(t, err)
	j.Preset.Told, j.Preset.Quick, j.Preset.Text = 1.5, 20, length(600, 8, 3e-3) // out of reach
	l := j.Lesson()
	taken, err := j.language(t.Context(), l)
	require.NoError(t, err)
	require.Equal(t, 3, strings.Count(out.String(), "of the 150.0 % that are wanted"))

	most, different := "", map[string]bool{}
	for _, told := range regexp.MustCompile(`answers +([\d.]+) % are right`).FindAllStringSubmatch(out.String(), -1) {
		most = max(most, fmt.Sprintf("%5s", told[1]))
		different[told[1]] = true
	}
	require.Greater(t, len(different), 1, "the starts are told apart by what they answer")
	right, err := j.Telling(taken)(t.Context())
	require.NoError(t, err)
	require.Equal(t, most, fmt.Sprintf("%5.1f", 100*right["told"]))

	again, err := j.language(t.Context(), l)
	require.NoError(t, err)
	require.Equal(t, taken.Words.Weight.Data(), again.Words.Weight.Data())
}
