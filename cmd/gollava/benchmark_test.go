package main

import (
	"bytes"
	"encoding/json"
	"image"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/tensor"
)

// cases are files of benchmarks, with what is wrong with them.
const cases = "../../internal/verify/testdata/benchmark/"

func TestScore(t *testing.T) {
	dir := t.TempDir()
	code, said := command(t, cases+"pope-missing", "score POPE DIR/answers.jsonl --questions DIR/questions.jsonl "+
		"--annotations DIR/coco --json "+dir+"/r.json")
	require.Zero(t, code)
	require.Contains(t, said, "* mean_f1                                      0.786976      180 questions  "+
		"(official program: 0.670661)")
	require.Contains(t, said, "3 questions without an answer count as wrong: answer them; 3, 64, 65")
	var report struct{ Items []struct{ ID string } }
	b, err := os.ReadFile(dir + "/r.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &report))
	require.Len(t, report.Items, 180)

	code, said = command(t, cases, "score pope DIR/pope-missing/answers.jsonl --questions "+
		"DIR/pope/questions.jsonl --annotations DIR/pope/coco --against DIR/pope/answers.jsonl --page "+dir+"/differ.html")
	require.Zero(t, code)
	require.Contains(t, said, "paired bootstrap, 180 questions); better on 0, worse on 2")
	b, err = os.ReadFile(dir + "/differ.html")
	require.NoError(t, err)
	require.Equal(t, 2, bytes.Count(b, []byte("<article>")))
	require.Contains(t, string(b), "Is there")

	code, _ = command(t, cases+"vqav2-upload", "score vqav2 DIR/answers.jsonl --questions DIR/questions.jsonl "+
		"--upload "+dir+"/upload.json")
	require.Zero(t, code)
	code, said = command(t, cases+"pope", "score pope DIR/answers.jsonl --upload x")
	require.Equal(t, 1, code)
	require.Contains(t, said, "has no upload format of its own")
	code, said = command(t, cases, "score pope DIR/textvqa/answers.jsonl --questions DIR/pope/questions.jsonl "+
		"--annotations DIR/pope/coco")
	require.Equal(t, 1, code)
	require.Contains(t, said, "these are the files of different benchmarks or splits")
	require.Contains(t, said, "POPE needs: questions (llava_pope_test.jsonl)")
	code, said = command(t, cases, "score tea x")
	require.Equal(t, 1, code)
	require.Contains(t, said, `there is no benchmark "tea"; there are pope,`)

	suite := `[{"benchmark": "pope", "answers": ["pope/answers.jsonl"], "questions": "pope/questions.jsonl", "annotations": "pope/coco"},
 {"benchmark": "mme", "answers": ["mme/results"]}, {"benchmark": "seedbench", "answers": ["seedbench/answers.jsonl"], "questions": "seedbench/SEED-Bench.json"}]`
	here, err := filepath.Abs(cases)
	require.NoError(t, err)
	suite = strings.NewReplacer(`"pope/`, `"`+here+`/pope/`, `"mme/`, `"`+here+`/mme/`, `"seedbench/`, `"`+here+`/seedbench/`).
		Replace(suite)
	require.NoError(t, os.WriteFile(dir+"/suite.json", []byte(suite), 0o666))
	code, said = command(t, dir, "score --suite DIR/suite.json --table DIR/t.md --picture DIR/t.png")
	require.Zero(t, code)
	require.Contains(t, said, "| MME | perception | 648.21 | the same |")
	b, err = os.ReadFile(dir + "/t.png")
	require.NoError(t, err)
	_, err = png.Decode(bytes.NewReader(b))
	require.NoError(t, err)
}

// TestEvalBenchmark asks a tiny model: the answers have the official form, a stopped run goes on, and answers of
// another model or to other questions are refused.
func TestEvalBenchmark(t *testing.T) {
	dir := tiny(t)
	require.NoError(t, os.Mkdir(dir+"/images", 0o777))
	for i, name := range []string{"a.png", "b.png"} {
		var b bytes.Buffer
		require.NoError(t, png.Encode(&b, image.NewRGBA(image.Rect(0, 0, 16+i, 16))))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "images", name), b.Bytes(), 0o666))
	}
	questions := `{"question_id": 5, "image": "a.png", "text": "is this red ?", "category": "random", "label": "yes"}
{"question_id": 6, "image": "b.png", "text": "is this red ?", "category": "random", "label": "no"}
{"question_id": 7, "image": "a.png", "text": "is this a circle ?", "category": "random", "label": "no"}
`
	require.NoError(t, os.WriteFile(dir+"/q.jsonl", []byte(questions), 0o666))
	const eval = "eval DIR/model --dtype float32 --template plain --max-tokens 3 --benchmark pope --questions " +
		"DIR/q.jsonl --images DIR/images --answers DIR/a.jsonl"
	code, said := command(t, dir, eval+" --baselines")
	require.Zero(t, code)
	require.Contains(t, said, "against blind: ")
	require.Contains(t, said, "against shuffled: ")
	whole, err := os.ReadFile(dir + "/a.jsonl")
	require.NoError(t, err)
	require.Contains(
		t,
		string(whole),
		`{"question_id":5,"prompt":"is this red ?\nAnswer the question using a single word or phrase.","text":`,
	)
	require.Contains(t, string(whole), `"model_id":"model"`)

	require.NoError(t, os.WriteFile(dir+"/a.jsonl", whole[:len(whole)-20], 0o666)) // a killed run
	code, said = command(t, dir, eval)
	require.Zero(t, code)
	require.Contains(t, said, "2 of 3 answers are in")
	require.Contains(t, said, "was cut; it is asked again")
	again, err := os.ReadFile(dir + "/a.jsonl")
	require.NoError(t, err)
	require.Equal(t, string(whole), string(again))

	require.NoError(t, os.Rename(dir+"/model", dir+"/gone"))
	code, _ = command(t, dir, eval) // nothing is asked, so no model is needed
	require.Zero(t, code)
	require.NoError(t, os.Rename(dir+"/gone", dir+"/model"))

	for change, says := range map[string]string{
		`"model_id":"model"`: `a.jsonl:1: the answer to question 5 is of the model other`,
		`"question_id":5`:    "question 55 is to no question that is open here",
	} {
		with := map[string]string{`"model_id":"model"`: `"model_id":"other"`, `"question_id":5`: `"question_id":55`}[change]
		require.NoError(t, os.WriteFile(dir+"/a.jsonl", bytes.Replace(whole, []byte(change), []byte(with), 1), 0o666))
		code, said = command(t, dir, eval)
		require.Equal(t, 1, code)
		require.Contains(t, said, says)
	}
	require.NoError(t, os.WriteFile(dir+"/a.jsonl", whole, 0o666))
	require.NoError(t, os.WriteFile(dir+"/q.jsonl", []byte(questions+questions), 0o666))
	code, said = command(t, dir, eval)
	require.Equal(t, 1, code)
	require.Contains(t, said, "the question file has a line twice")
}

// TestLikelihood: the letter that is chosen is the likeliest of those that the question has, each question has its
// own, and answers that were written are not taken for chosen ones.
func TestLikelihood(t *testing.T) {
	dir := tiny(t)
	var picture bytes.Buffer
	require.NoError(t, png.Encode(&picture, image.NewRGBA(image.Rect(0, 0, 16, 16))))
	require.NoError(t, os.MkdirAll(dir+"/test/0", 0o777))
	require.NoError(t, os.WriteFile(dir+"/test/0/a.png", picture.Bytes(), 0o666))
	problems := `{
  "0": {"question": "what is it ?", "choices": ["red", "a circle"], "answer": 0, "hint": "", "image": "a.png"},
  "1": {"question": "what is this ?", "choices": ["red", "a circle", "is"], "answer": 1, "hint": "a picture",
        "image": null},
  "2": {"question": "is a picture in this ?", "choices": ["red", "a", "circle", "what"], "answer": 2, "hint": "",
        "image": null}}`
	require.NoError(t, os.WriteFile(dir+"/problems.json", []byte(problems), 0o666))
	require.NoError(t, os.WriteFile(dir+"/splits.json", []byte(`{"test": ["0", "1", "2"]}`), 0o666))
	eval := "eval DIR/model --dtype float32 --template vicuna_v1 --benchmark scienceqa --annotations DIR/problems.json " +
		"--splits DIR/splits.json --images DIR --answers DIR/a.jsonl"
	code, said := command(t, dir, eval+" --likelihood")
	require.Zero(t, code, said)
	b, err := os.ReadFile(dir + "/a.jsonl")
	require.NoError(t, err)

	a, err := llava.Open(dir+"/model", llava.LoadOptions{DType: nn.As(tensor.Float32)})
	require.NoError(t, err)
	a.Template = chat.VicunaV1()
	m, err := imaging.Open(dir+"/test/0/a.png", imaging.Options{})
	require.NoError(t, err)
	for i, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		var r struct{ Prompt, Text string }
		require.NoError(t, json.Unmarshal([]byte(line), &r))
		letters := []string{"A", "B", "C", "D"}[:i+2]
		turns, images := []chat.Turn{{From: chat.Human, Value: r.Prompt}}, []*imaging.RGB(nil)
		if i == 0 {
			turns[0].Value, images = "<image>\n"+r.Prompt, []*imaging.RGB{m}
		}
		p, err := a.LogProbs(t.Context(), turns, images, letters)
		require.NoError(t, err)
		best := 0
		for k := range p {
			if sum(p[k]) > sum(p[best]) {
				best = k
			}
		}
		require.Equal(t, letters[best], r.Text)
	}

	code, said = command(t, dir, eval)
	require.Equal(t, 1, code)
	require.Contains(t, said, "was made with --likelihood, and this run is without")
	require.NoError(t, os.Remove(dir+"/a.jsonl"))
	code, _ = command(t, dir, eval+" --max-tokens 2")
	require.Zero(t, code)
	code, said = command(t, dir, eval+" --max-tokens 2 --likelihood")
	require.Equal(t, 1, code)
	require.Contains(t, said, "was made without --likelihood")
	code, said = command(t, dir, strings.Replace(eval, "scienceqa", "pope", 1)+" --likelihood --questions "+
		cases+"pope/questions.jsonl")
	require.Equal(t, 1, code)
	require.Contains(t, said, "POPE has no questions with options")
}

// TestEvalSuite asks a model two benchmarks and tables what it scores; a second run asks nothing, and what cannot be
// asked does not keep the others from it.
func TestEvalSuite(t *testing.T) {
	dir := tiny(t)
	var picture bytes.Buffer
	require.NoError(t, png.Encode(&picture, image.NewRGBA(image.Rect(0, 0, 16, 16))))
	require.NoError(t, os.MkdirAll(dir+"/science/test/0", 0o777))
	require.NoError(t, os.WriteFile(dir+"/science/test/0/a.png", picture.Bytes(), 0o666))
	require.NoError(t, os.WriteFile(dir+"/b.png", picture.Bytes(), 0o666))
	for name, text := range map[string]string{
		"problems.json": `{"0": {"question": "what ?", "choices": ["red", "is"], "answer": 0, "hint": "", "image": "a.png"}}`,
		"splits.json":   `{"test": ["0"]}`,
		"pope.jsonl": `{"question_id": 5, "image": "b.png", "text": "is this red ?", "category": "random", "label": "yes"}
{"question_id": 6, "image": "b.png", "text": "is this a circle ?", "category": "random", "label": "no"}
`,
		"suite.json": `[{"benchmark": "pope", "questions": "pope.jsonl", "images": "."},
 {"benchmark": "scienceqa", "annotations": "problems.json", "splits": "splits.json", "images": "science",
  "answers": ["mine.jsonl"]}]`,
		"none.json": `[{"benchmark": "pope", "questions": "pope.jsonl", "images": "."},
 {"benchmark": "gqa", "questions": "gone.json"}]`,
		"two.json": `[{"benchmark": "pope", "questions": "pope.jsonl", "answers": ["a.jsonl", "b.jsonl"]}]`,
		"same.json": `[{"benchmark": "pope", "questions": "pope.jsonl", "images": "."},
 {"benchmark": "pope", "questions": "pope.jsonl", "images": "."}]`,
		"wrong.json": `[{"benchmark": "pope", "answers": "a.jsonl"}]`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666))
	}
	eval := "eval DIR/model --dtype float32 --template vicuna_v1 --max-tokens 2 --likelihood --answers DIR/answers --suite "
	code, said := command(t, dir, eval+"DIR/suite.json --table DIR/t.md --picture DIR/t.png")
	require.Zero(t, code, said)
	require.Contains(t, said, "| POPE | mean_f1 |")
	require.Contains(t, said, "| ScienceQA-IMG |")
	table, err := os.ReadFile(dir + "/t.md")
	require.NoError(t, err)
	require.Equal(t, 4, bytes.Count(table, []byte("\n")))
	b, err := os.ReadFile(dir + "/mine.jsonl")
	require.NoError(t, err)
	require.Contains(t, string(b), `"likelihood":true`)
	b, err = os.ReadFile(dir + "/answers/pope.jsonl")
	require.NoError(t, err)
	require.NotContains(t, string(b), "likelihood")
	require.FileExists(t, dir+"/t.png")

	require.NoError(t, os.Rename(dir+"/model", dir+"/gone"))
	code, said = command(t, dir, eval+"DIR/suite.json")
	require.Zero(t, code, said)
	require.Contains(t, said, string(table))
	code, said = command(t, dir, eval+"DIR/none.json")
	require.Equal(t, 1, code)
	require.Contains(t, said, "| POPE | mean_f1 |")
	require.Contains(t, said, "1 of 2 benchmarks could not be scored")
	code, said = command(t, dir, eval+"DIR/two.json")
	require.Equal(t, 1, code)
	require.Contains(t, said, "2 files of answers: eval writes one")
	code, said = command(t, dir, eval+"DIR/same.json")
	require.Equal(t, 1, code)
	require.Contains(t, said, "pope.jsonl, where those of an earlier entry of the suite are")
	code, said = command(t, dir, eval+"DIR/wrong.json")
	require.Equal(t, 1, code)
	require.Contains(t, said, "answers is text, where a list belongs")
}

// TestJudge has an endpoint judge answers once; what it said is kept and not asked again.
func TestJudge(t *testing.T) {
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		_, _ = w.Write([]byte(`{"model": "judge-1", "choices": [{"message": {"role": "assistant", ` +
			`"content": "8 6\nGood."}, "finish_reason": "stop"}]}`))
	}))
	defer s.Close()
	grades := filepath.Join(t.TempDir(), "review.jsonl")
	judge := "score llavabench DIR/answers.jsonl --questions DIR/questions.jsonl --context DIR/context.jsonl --rule " +
		"DIR/rule.json --reference DIR/answers_gpt4.jsonl --judge-url " + s.URL + " --judge-model judge --grades "
	for _, times := range []int{14, 14, 15} {
		if times == 15 { // a killed run has not written the last line end
			info, err := os.Stat(grades)
			require.NoError(t, err)
			require.NoError(t, os.Truncate(grades, info.Size()-1))
		}
		code, said := command(t, cases+"llavabench", judge+grades)
		require.Zero(t, code)
		require.Equal(t, times, asked)
		require.Contains(t, said, "* all                                                75       14 questions")
	}
	other := filepath.Join(t.TempDir(), "rule.json")
	require.NoError(t, os.WriteFile(other, []byte(`{"coding": {"role": "Assistant"}}`), 0o666))
	code, said := command(t, cases+"llavabench", judge+other)
	require.Equal(t, 1, code)
	require.Contains(t, said, "this is no reply of a judge")
	info, err := os.Stat(other)
	require.NoError(t, err)
	require.Positive(t, info.Size())
	code, said = command(t, cases+"mmvet", "score mmvet DIR/results.json --questions DIR/mm-vet.json")
	require.Equal(t, 1, code)
	require.Contains(t, said, "needs a judge's grades")
}

// TestMathVistaJudge has a judge read short answers out of the responses that need one, each once.
func TestMathVistaJudge(t *testing.T) {
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		says := "7"
		if asked = append(asked, string(b)); strings.Contains(string(b), "the longer side") {
			says = " (B)\\n"
		}
		_, _ = w.Write([]byte(`{"model": "judge-1", "choices": [{"message": {"role": "assistant", "content": "` + says +
			`"}, "finish_reason": "stop"}]}`))
	}))
	defer s.Close()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"q.json": `{"1": {"question": "How many?", "question_type": "free_form", "answer_type": "integer", "answer": "7", "metadata": {}},
 "2": {"question": "Which?", "question_type": "multi_choice", "answer_type": "text", "choices": ["red", "blue"], "answer": "blue", "metadata": {}},
 "3": {"question": "How many?", "question_type": "free_form", "answer_type": "integer", "answer": "12", "metadata": {}}}`,
		"a.jsonl": `{"question_id": "1", "text": "I count seven of them."}
{"question_id": "2", "text": "It is the one on the longer side."}
{"question_id": "3", "text": "12"}
`,
		"mine.txt": "Read the answer.\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666))
	}
	plain := "score mathvista DIR/a.jsonl --questions DIR/q.json"
	code, said := command(t, dir, plain)
	require.Zero(t, code, said)
	require.Contains(t, said, "responses whose short answer needs a judge (--judge-url)")
	require.Regexp(t, `average +0\.333`, said)
	judge := plain + " --grades DIR/said.jsonl --judge-url " + s.URL + " --judge-model judge"
	for range 2 { // the second asks nothing
		code, said = command(t, dir, judge)
		require.Zero(t, code, said)
		require.NotContains(t, said, "judge")
		require.Regexp(t, `average +1 `, said)
		require.Len(t, asked, 2)
	}
	require.Contains(t, asked[0], `Reply: I count seven of them.\nAnswer: `)
	code, said = command(t, dir, plain+" --grades DIR/said.jsonl") // without asking
	require.Zero(t, code, said)
	require.Regexp(t, `average +1 `, said)
	code, said = command(t, dir, judge+" --judge-prompt DIR/mine.txt") // in other words
	require.Zero(t, code, said)
	require.Len(t, asked, 4)
	require.Contains(t, asked[2], `"Read the answer.\n\n`)

	require.NoError(t, os.WriteFile(dir+"/a.jsonl", []byte(`{"question_id": "1", "text": "Perhaps six?"}`+"\n"), 0o666))
	code, said = command(t, dir, plain+" --grades DIR/said.jsonl") // what was read out of another response does not count
	require.Zero(t, code, said)
	require.Contains(t, said, "responses whose short answer needs a judge (--judge-url)")
	code, said = command(t, dir, judge) // nor is what was read out of it lost when another set of answers is judged
	require.Zero(t, code, said)
	require.Len(t, asked, 5)
	require.NoError(t, os.WriteFile(dir+"/a.jsonl", []byte(`{"question_id": "1", "text": "I count seven of them."}`+"\n"+
		`{"question_id": "2", "text": "It is the one on the longer side."}`+"\n"+`{"question_id": "3", "text": "12"}`+"\n"), 0o666))
	code, said = command(t, dir, plain+" --grades DIR/said.jsonl")
	require.Zero(t, code, said)
	require.Regexp(t, `average +1 `, said)
	code, said = command(t, dir, "score mathvista DIR/q.json --grades DIR/said.jsonl")
	require.Equal(t, 1, code, said)
	require.Contains(t, said, "has its extractions already")
	code, said = command(t, dir, strings.Replace(judge, "said.jsonl", "q.json", 1))
	require.Equal(t, 1, code, said)
	require.FileExists(t, dir+"/q.json")
}

func TestGenerate(t *testing.T) {
	const coco = "../../internal/verify/testdata/datagen/coco"
	from := " --captions " + coco + "/annotations/captions_mini.json --instances " + coco + "/annotations/instances_mini.json --images " + coco + "/images "
	dir := t.TempDir()
	code, said := command(t, dir, "generate"+from+"--out DIR/made --page 2")
	require.Zero(t, code)
	require.Contains(t, said, "51 samples of 20 pictures")
	require.Contains(t, said, "instances_mini.json:1410: picture 34: crowd region")
	require.Contains(t, said, "next: gollava data check "+dir+"/made/all.json --images "+place(coco+"/images"))
	code, said = command(t, dir, "data check DIR/made/all.json --images "+coco+"/images")
	require.Zero(t, code, said)

	code, said = command(t, dir, "generate"+from+"--out DIR/dry --teacher endpoint --base-url http://localhost:1 "+
		"--model m --price-prompt 2 --price-completion 8 --dry-run")
	require.Zero(t, code)
	require.Contains(t, said, "if every first answer is accepted")
	require.Equal(t, 3, strings.Count(said, `"model": "m"`))
	_, err := os.Stat(dir + "/dry")
	require.ErrorIs(t, err, os.ErrNotExist)

	code, _ = command(t, dir, "generate --write-prompts DIR/prompts")
	require.Zero(t, code)
	require.NoError(
		t,
		os.WriteFile(dir+"/prompts/conversation/system_message.txt", []byte("Talk like a sailor."), 0o666),
	)
	code, said = command(t, dir, "generate"+from+"--out DIR/dry --prompts DIR/prompts --kinds conversation --dry-run")
	require.Zero(t, code)
	require.Contains(t, said, "Talk like a sailor.")

	require.NoError(t, os.WriteFile(dir+"/c.json", []byte(`{"temprature": 1}`), 0o666))
	for args, says := range map[string]string{
		"generate --out DIR/x": "name what is known of the pictures", "generate" + from: "--out is missing",
		"generate" + from + "--out DIR/x --teacher endpoint":             "needs --base-url and --model",
		"generate" + from + "--out DIR/x --config DIR/c.json":            `unknown field "temprature"`,
		"generate" + from + "--out DIR/x --kinds poem":                   `there is no kind "poem"`,
		"generate" + from + "--out DIR/x --budget-usd 1":                 "needs price_per_million",
		"generate --out DIR/x --grow 3":                                  "--grow needs --seeds",
		"generate" + from + "--out DIR/x --judge-model j":                "the judge needs an endpoint",
		"generate --out DIR/x --captions " + cases + "mmvet/mm-vet.json": `no key "images"`,
	} {
		code, said := command(t, dir, args)
		require.Equal(t, 1, code, args)
		require.Contains(t, said, says, args)
	}
}
