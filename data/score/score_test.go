package score

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// write puts files into a folder of the test's own.
func write(t testing.TB, files map[string]string) func(name string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o777))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o666))
	}
	return func(name string) string { return filepath.Join(dir, name) }
}

const popeQuestions = `{"question_id": 0, "image": "a.jpg", "text": "Is there a cat?", "category": "random", "label": "yes"}
{"question_id": 1, "image": "a.jpg", "text": "Is there a dog?", "category": "random", "label": "no"}
{"question_id": 2, "image": "b.jpg", "text": "Is there an owl?", "category": "random", "label": "yes"}
`

func said(id int, text, model string) string {
	return fmt.Sprintf(`{"question_id": %d, "prompt": "p", "text": %q, "model_id": %q}`+"\n", id, text, model)
}

// TestFaultsOfAnswers: what is missing, double, foreign, empty, unreadable, cut or of another model is counted and
// named, and never scored as if it were right.
func TestFaultsOfAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		answers  string
		faults   map[FaultKind]int
		accuracy float64
		says     string
	}{
		"all":        {said(2, "yes", "m") + said(0, "yes", "m") + said(1, "no", "m"), nil, 1, ""},
		"missing":    {said(0, "yes", "m") + said(2, "yes", "m"), map[FaultKind]int{Missing: 1}, 2. / 3, "1 questions without an answer count as wrong: answer them; 1"},
		"double":     {said(0, "no", "m") + said(0, "yes", "m") + said(1, "no", "m") + said(2, "yes", "m"), map[FaultKind]int{Double: 1}, 1, "answers.jsonl:2 and line 1"},
		"foreign":    {said(0, "yes", "m") + said(1, "no", "m") + said(2, "yes", "m") + said(77, "yes", "m"), map[FaultKind]int{Foreign: 1}, 1, "77 ("},
		"empty":      {said(0, "", "m") + said(1, "no", "m") + said(2, "yes", "m"), map[FaultKind]int{Empty: 1}, 1, "answers without text"},
		"models":     {said(0, "yes", "m") + said(1, "no", "other") + said(2, "yes", "m"), map[FaultKind]int{Models: 2}, 1, "other (1 answers)"},
		"cut":        {said(0, "yes", "m") + said(1, "no", "m") + said(2, "yes", "m")[:30], map[FaultKind]int{CutLine: 1, Missing: 1}, 2. / 3, "a last line that was cut"},
		"unreadable": {said(0, "yes", "m") + "what?\n" + `{"text": "yes"}` + "\n" + said(1, "no", "m") + said(2, "yes", "m"), map[FaultKind]int{Unreadable: 2}, 1, "answers.jsonl:2"},
		"marked":     {"\ufeff" + said(0, "yes", "m") + said(1, "no", "m") + said(2, "yes", "m"), nil, 1, ""},
		"text ids":   {`[{"question_id": "0", "text": "yes"}, {"question_id": "1", "answer": "no"}, {"question_id": 2, "text": "yes"}]`, nil, 1, ""},
	} {
		at := write(t, map[string]string{"q.jsonl": popeQuestions, "answers.jsonl": c.answers})
		b, err := Find("POPE")
		require.NoError(t, err)
		r, err := b.Score(Files{Questions: at("q.jsonl"), Answers: []string{at("answers.jsonl")}})
		require.NoError(t, err, name)
		for _, k := range []FaultKind{Missing, Double, Foreign, Empty, Unreadable, CutLine, Models} {
			require.Equal(t, c.faults[k], r.Faults.Count(k), "%s: %s", name, k)
		}
		got, _ := r.Get("random/accuracy")
		require.InDelta(t, c.accuracy, got, 1e-12, name)
		var text strings.Builder
		require.NoError(t, r.Write(&text))
		require.Contains(t, text.String(), c.says, name)
	}
}

// TestFilesThatDoNotBelongTogether: each is refused with file, place and what to do.
func TestFilesThatDoNotBelongTogether(t *testing.T) {
	at := write(t, map[string]string{
		"q.jsonl": popeQuestions, "plain.jsonl": strings.ReplaceAll(popeQuestions, `, "label": "yes"`, ""), "empty.jsonl": "\n", "cut.json": `{"annotations": [{"question_id": 1`,
		"twice.jsonl": popeQuestions + popeQuestions, "other.jsonl": said(900, "yes", "m"), "good.jsonl": said(0, "yes", "m") + said(1, "no", "m"),
		"coco/coco_pope_random.json": `{"question_id": 1, "image": "z.jpg", "label": "no"}` + "\n", "short/coco_pope_random.json": `{"question_id": 1, "image": "a.jpg", "label": "yes"}` + "\n",
		"none/x.txt": "", "problems.json": `{"1": {"question": "q", "choices": ["a", "b"], "answer": 0, "image": null}}`, "splits.json": `{"test": ["1", "2"], "train": []}`,
		"captions.json": `{"annotations": [{"image_id": 3, "id": 1}]}`, "two.json": `[1, 2] 3`, "wrong.json": `{"annotations": [{"question_id": 1, "answers": "yes"}]}`,
		"mme/count.txt": "a.jpg\tIs it? Please answer yes or no.\tYes\tyes\nb.jpg\tIs it? Please answer yes or " +
			"no.\tNo\tno\n", "mmf/count.txt": "a.jpg\tq\tYes\n", "mmo/x.txt": "",
		"bench.tsv": "index\tquestion\nx\ty\n", "tabs.tsv": "index\tquestion\tA\tanswer\n1\tq\ta\tA\tB\n", "vet.json": `{"v1_0": {"question": "q", "answer": "a", "capability": ["ocr"]}}`,
		"grades.json": `{"v9": {"score": [1]}}`, "nan.json": `{"v1_0": {"score": [1.5]}}`, "text.json": `{"data": [{"question": "q", "image_id": "a", "question_id": 1, "answers": ["x"]}]}`,
		"text.jsonl": `{"question_id": "a", "prompt": "q\nr", "text": "x"}` + "\n", "math.json": `{"1": {"question_type": "free_form", "answer_type": "integer", "answer": "1"}}`,
	})
	for _, c := range []struct {
		benchmark string
		f         Files
		says      string
	}{
		{"pope", Files{Questions: at("q.jsonl"), Answers: []string{at("other.jsonl")}}, "none of the 1 answers in"},
		{"pope", Files{Questions: at("q.jsonl"), Answers: []string{at("missing.jsonl")}}, "no such file"},
		{"pope", Files{Answers: []string{at("good.jsonl")}}, "question file is missing"},
		{"pope", Files{Questions: at("twice.jsonl"), Answers: []string{at("good.jsonl")}}, "twice.jsonl:4: question_id 0 is in line 1 already"},
		{"pope", Files{Questions: at("plain.jsonl"), Answers: []string{at("good.jsonl")}}, "have no label: name the annotations"},
		{"pope", Files{Questions: at("q.jsonl"), Annotations: at("coco"), Answers: []string{at("good.jsonl")}}, "these are files of different splits"},
		{"pope", Files{Questions: at("q.jsonl"), Annotations: at("short"), Answers: []string{at("good.jsonl")}}, "has 1 lines, and"},
		{"pope", Files{Questions: at("q.jsonl"), Annotations: at("none"), Answers: []string{at("good.jsonl")}}, "there must be one for each category"},
		{"vqav2", Files{Annotations: at("cut.json"), Answers: []string{at("good.jsonl")}}, "cut.json:1: the file ends early"},
		{"vqav2", Files{Annotations: at("problems.json"), Answers: []string{at("good.jsonl")}}, `no key "annotations" at its top: is it the file of another benchmark?`},
		{"vqav2", Files{Annotations: at("wrong.json"), Answers: []string{at("good.jsonl")}},
			"answers is text, where a list belongs"},
		{"vqav2", Files{Annotations: at("two.json"), Answers: []string{at("good.jsonl")}}, "two.json:1: "},
		{"scienceqa", Files{Annotations: at("problems.json"), Splits: at("splits.json"), Answers: []string{at("good.jsonl")}}, "has no problem 2, which split test"},
		{"scienceqa", Files{Annotations: at("problems.json"), Splits: at("splits.json"), Split: "val", Answers: []string{at("good.jsonl")}}, `no split "val"`},
		{"captions", Files{Annotations: at("captions.json"), Answers: []string{at("good.jsonl")}}, "captions.json:1: no image_id, or no caption"},
		{"mme", Files{Answers: []string{at("mme")}}, "count.txt:2: two lines in sequence must be about one picture"},
		{"mme", Files{Answers: []string{at("mmf")}}, "count.txt:1: 3 columns"},
		{"mme", Files{Answers: []string{at("mmo")}}, "none of MME's tasks"},
		{"mmbench", Files{Questions: at("bench.tsv"), Answers: []string{at("good.jsonl")}}, `bench.tsv:2: index "x" is no number`},
		{"mmbench", Files{Questions: at("tabs.tsv"), Answers: []string{at("good.jsonl")}}, "tabs.tsv:2: 5 columns instead of 4"},
		{"mmvet", Files{Questions: at("vet.json")}, "needs a judge's grades"},
		{"mmvet", Files{Questions: at("vet.json"), Grades: at("grades.json")}, "grades no question of"},
		{"mmvet", Files{Questions: at("vet.json"), Grades: at("nan.json")}, "grade 1.5, and grades are from 0 to 1"},
		{"textvqa", Files{Annotations: at("text.json"), Answers: []string{at("text.jsonl")}}, "1 answers, and TextVQA has 10"},
		{"mathvista", Files{Answers: []string{at("math.json")}}, "problem 1 has no extraction"},
		{"llavabench", Files{Answers: []string{at("good.jsonl")}}, "needs a judge's reviews"},
		{"chair", Files{Annotations: at("problems.json"), Answers: []string{at("good.jsonl")}}, "needs a file of synonyms"},
	} {
		b, err := Find(c.benchmark)
		require.NoError(t, err)
		_, err = b.Score(c.f)
		require.ErrorContains(t, err, c.says, "%s %+v", c.benchmark, c.f)
		require.NotContains(t, err.Error(), "Go ", "an error speaks of the file, not of Go's types")
	}
	_, err := Find("imagenet")
	require.ErrorContains(t, err, "there are pope, vqav2")
}

func TestPython(t *testing.T) {
	require.Equal(t, "i̇ ας ασα ß", lower("İ ΑΣ ΑΣΑ ß"))
	require.Equal(t, []string{"a", "b"}, fields("\x1ca\u2003\u00a0b\u0085"))
	for s, want := range map[string]float64{" 1_000 ": 1000, "٣.٥": 3.5, "1e3": 1000, "Infinity": inf(), "-.5": -.5, "５": 5} {
		got, ok := parseFloat(s)
		require.True(t, ok, s)
		require.Equal(t, want, got, s)
	}
	for _, s := range []string{"", "0x10", "1__0", "_1", "1_", "1 2", "½", "1e", "0b1"} {
		_, ok := parseFloat(s)
		require.False(t, ok, s)
	}
	require.Equal(
		t,
		[]float64{2.67, 1.0, 0.12, 0.38, 2},
		[]float64{Round(2.675, 2), Round(1.005, 2), Round(0.125, 2), Round(0.375, 2), Round(2.5, 0)},
	)
	require.Equal(
		t,
		[]string{"1e+16", "1000000000000000.0", "1e-05", "0.0001", "-0.0", "inf", "nan"},
		[]string{str(1e16), str(1e15), str(1e-5), str(1e-4), str(-1 / inf()), str(inf()), str(inf() - inf())},
	)
	require.Equal(t, `[1, 'it', "it's", None, True]`, repr([]any{1, "it", "it's", nil, true}))
	require.Equal(t, 3, levenshtein("kitten", "sitting"))
}

func inf() float64 { x := 1e308; return x * 10 }

func FuzzAnswers(f *testing.F) {
	for _, s := range []string{`[{"a": 1}]`, `{"a": [1, "b\""]}`, "{}\n{}", "[", `"`, "1,2"} {
		f.Add(s)
	}
	path := filepath.Join(f.TempDir(), "f")
	f.Fuzz(func(t *testing.T, s string) {
		require.NoError(t, os.WriteFile(path, []byte(s), 0o600))
		if a, err := OpenAnswers(nil, path); err == nil {
			require.NoError(t, a.each(func(Answer) error { return nil }))
			a.Close()
		}
	})
}

// TestLetters: LLaVA's question files list the options in the text alone.
func TestLetters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "q.jsonl")
	require.NoError(t, os.WriteFile(path, []byte(`{"question_id": 1, "image": "a.jpg", "text": "Which one? B. is none.\nA. red\nB. blue\nC. A. Smith\nAnswer with the option's letter from the given choices directly."}
{"question_id": 2, "image": "a.jpg", "text": "What?"}
`), 0o666))
	b, err := Find("seedbench")
	require.NoError(t, err)
	var got []Question
	require.NoError(t, b.Ask(Files{Questions: path}, func(q Question) error { got = append(got, q); return nil }))
	require.Equal(t, []string{"red", "blue", "A. Smith"}, got[0].Options)
	require.Equal(t, []string{"A", "B", "C"}, got[0].Letters())
	require.Empty(t, got[1].Letters())
}
