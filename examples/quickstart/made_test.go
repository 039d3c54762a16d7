package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/train/study"
)

// TestMade goes the way from captions and boxes to two models that are compared, and back to it when it is done.
func TestMade(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	said, err := quick(t, "-made", "-out", dir)
	require.NoError(t, err, said)
	require.Contains(t, said, "about 96 images")
	var r study.Report
	b, err := os.ReadFile(filepath.Join(dir, "report.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &r))
	require.InDelta(t, r.Scores["own"]-r.Scores["mix"], r.Scores["own_minus_made"], 1e-9)
	for _, name := range []string{"shuffled", "mean_picture", "blind"} {
		require.Contains(t, r.Scores, name)
	}

	replies := filepath.Join(dir, study.MadeDir, "replies.jsonl")
	before, err := os.ReadFile(replies)
	require.NoError(t, err)
	again, err := quick(t, "-made", "-out", dir, "-resume")
	require.NoError(t, err)
	after, err := os.ReadFile(replies)
	require.NoError(t, err)
	require.Equal(t, before, after, "a second run asks nothing")
	table := func(s string) string { return s[strings.Index(s, "questions, % right"):strings.Index(s, "own:")] }
	require.Equal(t, table(said), table(again))
	_, err = quick(t, "-out", dir, "-resume")
	require.ErrorContains(t, err, "-made was true and is now false")
}

// TestMadeIsTrue: what the rules make of captions and boxes is what the world itself answers.
func TestMadeIsTrue(t *testing.T) {
	var out strings.Builder
	j, err := begin([]string{"-preset", "toy", "-made", "-out", filepath.Join(t.TempDir(), "run")}, &out, nil)
	require.NoError(t, err)
	l := j.Lesson()
	_, report, err := j.Make(t.Context(), l)
	require.NoError(t, err)
	require.Equal(t, report.Pictures, len(l.Pool.Scenes))
	f, err := data.Open(filepath.Join(j.Flags.Out, study.MadeDir, "all.json"), data.Options{})
	require.NoError(t, err)
	defer f.Close()
	require.Equal(t, report.Accepted, f.Len())
	about := map[string]int{}
	for i := range l.Pool.Scenes {
		about[l.Pool.Scenes[i].ImageName()] = i
	}
	asked := 0
	for i := range f.Len() {
		s, err := f.Sample(i)
		require.NoError(t, err)
		require.Contains(t, about, s.Images[0])
		scene := l.Pool.Scenes[about[s.Images[0]]]
		for k := 0; k < len(s.Turns); k += 2 {
			q := strings.TrimSpace(strings.ReplaceAll(s.Turns[k].Value, chat.ImageToken, ""))
			want, err := scene.Answer(q)
			require.NoError(t, err)
			require.Equal(t, want, s.Turns[k+1].Value, "%s: %s", s.Images[0], q)
			asked++
		}
	}
	require.Greater(t, asked, 2*len(about))
}
