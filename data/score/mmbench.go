package score

import (
	"encoding/base64"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gollava/gollava/internal/jsonrecord"
)

func mmBenchmark() Benchmark {
	return Benchmark{
		Name: "mmbench", Title: "MMBench", Main: "overall", Scale: 100, Max: 100,
		Needs: "questions (mmbench_dev_*.tsv, with --chinese for the Chinese ones; answers of other programs: " +
			"index, prediction)",
		Score: scoreMMBench, Ask: askMMBench, Upload: uploadMMBench,
	}
}

// mmRow is a row of MMBench's tsv.
type mmRow struct {
	index    int
	question string
	hint     string
	letters  []string // those of the options there are: an empty cell ends nothing, B may be absent where C is not
	options  []string
	answer   string
	category string
	level2   string
	split    string
	image    string
	columns  map[string]string
}

// circle is the step between the indices of a question's rotations.
const circle = 1_000_000

// eachTSV calls f with the rows of a tab-separated file, by column.
func eachTSV(path string, f func(r jsonrecord.Record, row map[string]string) error) error {
	var head []string
	return jsonrecord.EachLine(path, func(r jsonrecord.Record, _ bool) error {
		cells := strings.Split(strings.TrimRight(string(r.Raw), "\r"), "\t")
		if head == nil {
			head = cells
			return nil
		}
		if len(cells) != len(head) {
			return fmt.Errorf(
				"%s: %d columns instead of %d: the file was cut, or a text holds a tab",
				r.At(),
				len(cells),
				len(head),
			)
		}
		row := map[string]string{}
		for i, name := range head {
			row[name] = cells[i]
		}
		return f(r, row)
	})
}

// absent reports whether a cell of the table is empty: pandas reads nan, and LLaVA takes none for empty too.
func absent(s string) bool {
	return s == "" || strings.EqualFold(s, "nan") || strings.EqualFold(s, "none")
}

func eachMMRow(path string, f func(r jsonrecord.Record, row mmRow) error) error {
	return eachTSV(path, func(r jsonrecord.Record, c map[string]string) error {
		n, err := strconv.Atoi(c["index"])
		if err != nil {
			return fmt.Errorf("%s: index %q is no number: is this MMBench's tsv?", r.At(), c["index"])
		}
		row := mmRow{
			index:    n,
			question: c["question"],
			hint:     c["hint"],
			answer:   c["answer"],
			category: c["category"],
			level2:   c["l2-category"],
			split:    c["split"],
			image:    c["image"],
			columns:  c,
		}
		if absent(row.hint) {
			row.hint = ""
		}
		for _, l := range []string{"A", "B", "C", "D"} {
			if !absent(c[l]) {
				row.letters, row.options = append(row.letters, l), append(row.options, c[l])
			}
		}
		if len(row.options) == 0 {
			return fmt.Errorf("%s: no options: is this MMBench's tsv?", r.At())
		}
		return f(r, row)
	})
}

var (
	mmBreaks = strings.NewReplacer(
		".",
		" ",
		"(",
		" ",
		")",
		" ",
		"[",
		" ",
		"]",
		" ",
		",",
		" ",
		":",
		" ",
		";",
		" ",
		"!",
		" ",
		"*",
		" ",
		"#",
		" ",
		"{",
		" ",
		"}",
		" ",
	)
	mmAnswer = regexp.MustCompile(
		`(?i)(?:correct[\s\v\x1c-\x1f\x{85}\p{Z}]+)?answer[\s\v\x1c-\x1f\x{85}\p{Z}]+is[\s\v\x1c-\x1f\x{85}\p{Z}]+\**([ABCD])\**`,
	)
)

// MMBenchLetter reads the letter of an answer as VLMEvalKit's can_infer does: of a letter among the last four words,
// of "answer is X", or of the text of exactly one option. It is Z for a refusal and empty where nothing can be read,
// and a judge would be asked.
func MMBenchLetter(text string, letters, options []string) string {
	if strings.Contains(text, "Failed to obtain answer via API") {
		return ""
	}
	for _, refusal := range []string{"Sorry, I can't help with images of people yet.", "I can't process this file.",
		"I'm sorry, but without the image provided", "Cannot determine the answer"} {
		if strings.Contains(text, refusal) {
			return "Z"
		}
	}
	words := fields(mmBreaks.Replace(text))
	var hits []string
	for _, l := range letters {
		if slices.Contains(words, l) {
			hits = append(hits, l)
		}
	}
	if len(hits) == 1 && slices.Index(words, hits[0]) > len(words)-5 {
		return hits[0]
	}
	if len(hits) == 0 && slices.Contains(words, "Z") {
		return "Z"
	}
	if m := mmAnswer.FindStringSubmatch(text); m != nil && slices.Contains(letters, strings.ToUpper(m[1])) {
		return strings.ToUpper(m[1])
	}
	low := lower(text)
	all := 0
	for _, o := range options {
		all += utf8.RuneCountInString(o)
	}
	if utf8.RuneCountInString(low) > 2*all {
		return ""
	}
	found := ""
	for i, o := range options {
		if strings.Contains(low, lower(o)) {
			if found != "" {
				return ""
			}
			found = letters[i]
		}
	}
	return found
}

// mmShort abbreviates the second level of abilities as VLMEvalKit's report does.
func mmShort(level2 string) string {
	short := map[string]string{"coarse_perception": "CP", "finegrained_perception (instance-level)": "FP-S",
		"finegrained_perception (cross-instance)": "FP-C", "logic_reasoning": "LR", "relation_reasoning": "RR",
		"attribute_reasoning": "AR"}
	if s, ok := short[level2]; ok {
		return s
	}
	return level2
}

// scoreMMBench follows VLMEvalKit without a judge: in the circular evaluation a question is right if its letter is in
// every rotation.
func scoreMMBench(f Files) (*Report, error) {
	if f.Questions == "" {
		f.Questions = f.Annotations
	}
	if err := needs("question", f.Questions); err != nil {
		return nil, err
	}
	a, err := OpenAnswers(nil, f.Answers...)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	r := &Report{Benchmark: "mmbench", Main: "overall", Faults: a.faults}
	type group struct {
		row  mmRow
		hit  bool
		seen bool // the row that all rotations come from
	}
	groups := map[int]*group{}
	var order []int
	err = eachMMRow(f.Questions, func(rec jsonrecord.Record, row mmRow) error {
		if row.answer == "" {
			return fmt.Errorf(
				"%s: no answer: the test split is scored by the server; write its file with --upload",
				rec.At(),
			)
		}
		row.columns, row.image = nil, ""
		x, ok, err := a.find(strconv.Itoa(row.index))
		if err != nil {
			return err
		}
		letter := MMBenchLetter(x.Text, row.letters, row.options)
		if ok && letter == "" && strip(x.Text) != "" {
			a.faults.add(NoLetter, strconv.Itoa(row.index), "")
		}
		k := row.index
		if !f.Vanilla {
			k %= circle
		}
		g := groups[k]
		if g == nil {
			g = &group{hit: true}
			groups[k] = g
			order = append(order, k)
		}
		if row.index == k {
			if g.seen {
				return fmt.Errorf("%s: index %d a second time", rec.At(), k)
			}
			g.row, g.seen = row, true
		}
		g.hit = g.hit && ok && letter == row.answer
		return nil
	})
	if err == nil {
		err = a.done(f.Questions, len(order))
	}
	if err != nil {
		return nil, err
	}
	splits := map[string]map[string]*pair{}
	for _, k := range order {
		g := groups[k]
		if !g.seen {
			return nil, fmt.Errorf("%s has a rotation of question %d but not itself", f.Questions, k)
		}
		s := number(g.hit)
		r.Items = append(r.Items, Item{strconv.Itoa(k), s})
		if splits[g.row.split] == nil {
			splits[g.row.split] = map[string]*pair{}
		}
		for _, name := range []string{"overall", "l2/" + mmShort(g.row.level2), "category/" + g.row.category} {
			if splits[g.row.split][name] == nil {
				splits[g.row.split][name] = &pair{}
			}
			splits[g.row.split][name].add(s)
		}
	}
	for _, split := range slices.Sorted(maps.Keys(splits)) {
		prefix := ""
		if len(splits) > 1 {
			prefix = split
		}
		for _, name := range slices.Sorted(maps.Keys(splits[split])) {
			p := splits[split][name]
			r.add(join(prefix, name), p.sum/float64(p.n), p.n)
		}
	}
	if len(splits) > 1 {
		r.add("overall", mean(r.Items), len(r.Items))
	}
	return r, nil
}

func mean(items []Item) float64 {
	sum := 0.0
	for _, i := range items {
		sum += i.Score
	}
	if len(items) == 0 {
		return 0
	}
	return sum / float64(len(items))
}

// MMBenchPrompt is LLaVA's question of a row, rotated: options move up by round places (down by −round) while letters
// stay. chars are the letters that the options had before.
func MMBenchPrompt(question, hint string, options []string, round int) (prompt string, chars []string) {
	if hint != "" {
		prompt = hint + "\n"
	}
	prompt += question
	n := len(options)
	for i := range options {
		from := ((i+round)%n + n) % n
		prompt += fmt.Sprintf("\n%c. %s", 'A'+i, options[from])
		chars = append(chars, string(rune('A'+from)))
	}
	return prompt, chars
}

// askMMBench asks every row, which a circular file has in all rotations. Pictures are in the file itself, as base64.
func askMMBench(files Files, f func(Question) error) error {
	if err := needs("question", files.Questions); err != nil {
		return err
	}
	pictures := map[int]int{} // how many rows refer to a picture
	err := eachMMRow(files.Questions, func(_ jsonrecord.Record, row mmRow) error {
		if n, ok := pictureOf(row.image); ok {
			pictures[n]++
		}
		return nil
	})
	if err != nil {
		return err
	}
	kept := map[int][]byte{}
	suffix := letterAnswer
	if files.Chinese {
		suffix = letterAnswerC
	}
	return eachMMRow(files.Questions, func(rec jsonrecord.Record, row mmRow) error {
		prompt, _ := MMBenchPrompt(row.question, row.hint, row.options, 0)
		q := Question{
			ID:       strconv.Itoa(row.index),
			Numeric:  true,
			Text:     prompt + suffix,
			Category: row.category,
			Options:  row.options,
		}
		if n, ok := pictureOf(row.image); ok {
			if q.Inline = kept[n]; q.Inline == nil {
				return fmt.Errorf(
					"%s: the picture is said to be that of row %d, which is not before this one",
					rec.At(),
					n,
				)
			}
			if pictures[n]--; pictures[n] == 0 {
				delete(kept, n)
			}
			return f(q)
		}
		raw, err := base64.StdEncoding.DecodeString(row.image)
		if err != nil {
			return fmt.Errorf("%s: the picture is no base64: %w", rec.At(), err)
		}
		if q.Inline = raw; pictures[row.index] > 0 {
			kept[row.index] = raw
		}
		return f(q)
	})
}

// pictureOf returns the index of the row whose picture this one has, if its cell holds no picture itself.
func pictureOf(cell string) (int, bool) {
	if len(cell) > 64 {
		return 0, false
	}
	n, err := strconv.Atoi(cell)
	return n, err == nil
}
