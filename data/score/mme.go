package score

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gollava/gollava/internal/atomicfile"

	"github.com/gollava/gollava/internal/jsonrecord"
)

func mmeBenchmark() Benchmark {
	return Benchmark{
		Name: "mme", Title: "MME", Main: "perception", Scale: 1, Max: 2000,
		Needs: "answers: the folder of eval_tool's results (TASK.txt); or LLaVA's answers, with annotations: the " +
			"folder MME_Benchmark_release_version",
		Score: scoreMME, Ask: askRows(shortAnswer), Upload: uploadMME,
	}
}

// mmeTasks are the tasks of perception and cognition in the official program's order.
var mmeTasks = map[string][]string{
	"perception": {
		"existence",
		"count",
		"position",
		"color",
		"posters",
		"celebrity",
		"scene",
		"landmark",
		"artwork",
		"OCR",
	},
	"cognition": {"commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning"},
}

// MMELabel reads a prediction as MME's calculation does: yes, no or other. It is lowered and not stripped; unless it
// is yes or no as a whole, its first four characters decide.
func MMELabel(text string) string {
	text = lower(text)
	if text == "yes" || text == "no" {
		return text
	}
	head := text
	n := 0
	for i := range text {
		if n == 4 {
			head = text[:i]
			break
		}
		n++
	}
	switch {
	case strings.Contains(head, "yes"):
		return "yes"
	case strings.Contains(head, "no"):
		return "no"
	}
	return "other"
}

// MMEQuestions are the forms that a question has in MME's own files, of the prompt that LLaVA asks: the official
// instruction, after one space or two.
func MMEQuestions(prompt string) []string {
	q := strip(strings.ReplaceAll(prompt, shortAnswer[1:], ""))
	return []string{q + " Please answer yes or no.", q + "  Please answer yes or no."}
}

// mmeRow is a question with truth and prediction: a line of a result file.
type mmeRow struct{ image, question, truth, prediction, id string }

func scoreMME(f Files) (*Report, error) {
	r := &Report{Benchmark: "mme", Main: "perception", Faults: &Faults{}}
	rows, finish := mmeResults, func() error { return nil }
	if f.Annotations != "" {
		a, err := OpenAnswers(mmeKey, f.Answers...)
		if err != nil {
			return nil, err
		}
		defer a.Close()
		r.Faults = a.faults
		n := 0
		rows = func(_ Files, task string) ([]mmeRow, error) {
			rows, err := mmeAnswers(f, task, a)
			n += len(rows)
			return rows, err
		}
		finish = func() error { return a.done(f.Annotations, n) }
	} else if len(f.Answers) != 1 {
		return nil, fmt.Errorf("score: MME is scored from one folder of TASK.txt, or from LLaVA's answers with " +
			"the annotations")
	}
	found := 0
	for _, part := range []string{"perception", "cognition"} {
		total, seen := 0.0, 0
		var values []Value
		for _, task := range mmeTasks[part] {
			lines, err := rows(f, task)
			if err != nil {
				return nil, err
			}
			if len(lines) == 0 {
				continue
			}
			found++
			seen += len(lines)
			right, plus, other := 0, 0, 0
			for i, l := range lines {
				label := MMELabel(l.prediction)
				if label == "other" {
					other++
				}
				s := number(label == lower(l.truth))
				right += int(s)
				if i%2 == 1 && s == 1 && r.Items[len(r.Items)-1].Score == 1 {
					plus++
				}
				r.Items = append(r.Items, Item{task + "/" + l.image + "/" + l.question, s})
			}
			acc, accPlus := ratio(right, len(lines)), ratio(plus, len(lines)/2)
			score := acc*100 + accPlus*100
			total += score
			name := part + "/" + task
			values = append(
				values,
				Value{name + "/score", score, len(lines)},
				Value{name + "/acc", acc, 0},
				Value{name + "/acc_plus", accPlus, 0},
				Value{name + "/questions", float64(len(lines)), 0},
				Value{name + "/other", float64(other), 0},
			)
			r.Printed = append(r.Printed, fmt.Sprintf("\t %s  score: %s", task, str(score)))
		}
		if seen > 0 {
			r.add(part, total, seen)
			r.Values = append(r.Values, values...)
		}
	}
	if found == 0 {
		return nil, fmt.Errorf("score: none of MME's tasks is in %s: it must hold existence.txt, count.txt and so "+
			"on", strings.Join(append(f.Answers, f.Annotations), ", "))
	}
	return r, finish()
}

// mmeResults reads a task from a folder of result files; no file means no questions.
func mmeResults(f Files, task string) ([]mmeRow, error) {
	path := filepath.Join(f.Answers[0], task+".txt")
	var rows []mmeRow
	err := jsonrecord.EachLine(path, func(r jsonrecord.Record, cut bool) error {
		part := strings.Split(string(r.Raw), "\t")
		if len(part) != 4 {
			return fmt.Errorf(
				"%s: %d columns, and there must be four: picture, question, truth, prediction",
				r.At(),
				len(part),
			)
		}
		row := mmeRow{image: part[0], question: part[1], truth: part[2], prediction: part[3]}
		if t := lower(row.truth); t != "yes" && t != "no" {
			return fmt.Errorf("%s: the truth is %q, and must be Yes or No", r.At(), row.truth)
		}
		if i := len(rows); i%2 == 1 && rows[i-1].image != row.image {
			return fmt.Errorf(
				"%s: two lines in sequence must be about one picture, and these are about %s and %s",
				r.At(),
				rows[i-1].image,
				row.image,
			)
		}
		if !cut {
			row.prediction += "\n" // as the official program has it
		}
		rows = append(rows, row)
		return nil
	})
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err == nil && len(rows)%2 != 0 {
		err = fmt.Errorf("%s has %d lines, and each picture has two", path, len(rows))
	}
	return rows, err
}

// mmeKey joins an answer to its question: two questions share a question_id, which is TASK/PICTURE.
func mmeKey(x Answer) string {
	return x.ID + "\n" + strings.Join(fields(MMEQuestions(x.Prompt)[0]), " ")
}

// mmeAnswers reads the truth of a task from MME's release and finds the answers.
func mmeAnswers(f Files, task string, a *Answers) ([]mmeRow, error) {
	dir := filepath.Join(f.Annotations, task)
	texts := filepath.Join(dir, "questions_answers_YN")
	if _, err := os.Stat(texts); err != nil {
		texts = dir
	}
	names, err := filepath.Glob(filepath.Join(texts, "*.txt"))
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var rows []mmeRow
	for _, name := range names {
		stem := strings.TrimSuffix(filepath.Base(name), ".txt")
		var image string
		for _, x := range []string{dir, filepath.Join(dir, "images")} {
			for _, ext := range []string{".jpg", ".png"} {
				if _, err := os.Stat(filepath.Join(x, stem+ext)); err == nil {
					image = stem + ext
				}
			}
		}
		if image == "" {
			image = stem + ".jpg"
		}
		n := 0
		err := jsonrecord.EachLine(name, func(r jsonrecord.Record, _ bool) error {
			question, truth, ok := strings.Cut(strings.TrimRight(string(r.Raw), "\r"), "\t")
			if !ok {
				return fmt.Errorf("%s: no tab between question and truth", r.At())
			}
			n++
			row := mmeRow{image: image, question: question, truth: strip(truth)}
			for _, id := range []string{task + "/" + image, task + "/" + stem + ".png", task + "/" + stem + ".jpg"} {
				key := id + "\n" + strings.Join(fields(question), " ")
				if _, ok := a.last(key); ok || id == task+"/"+stem+".jpg" {
					x, _, err := a.find(key)
					row.prediction, row.id = x.Text, id
					rows = append(rows, row)
					return err
				}
			}
			return nil
		})
		if err == nil && n != 2 {
			err = fmt.Errorf("%s has %d questions, and each picture has two", name, n)
		}
		if err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// uploadMME writes the folder of result files that eval_tool's calculation reads.
func uploadMME(f Files, path string) error {
	if err := needs("annotation", f.Annotations); err != nil {
		return err
	}
	a, err := OpenAnswers(mmeKey, f.Answers...)
	if err != nil {
		return err
	}
	defer a.Close()
	n := 0
	for _, part := range []string{"perception", "cognition"} {
		for _, task := range mmeTasks[part] {
			rows, err := mmeAnswers(f, task, a)
			if err != nil {
				return err
			}
			if len(rows) == 0 {
				continue
			}
			n += len(rows)
			err = atomicfile.Write(filepath.Join(path, task+".txt"), func(w io.Writer) error {
				for _, row := range rows {
					said := strings.NewReplacer("\t", " ", "\n", " ", "\r", " ").Replace(row.prediction)
					if _, err := fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", row.image, row.question, row.truth, said); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return a.done(f.Annotations, n)
}
