package score

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gollava/gollava/internal/jsonrecord"
)

func mmmuBenchmark() Benchmark {
	return Benchmark{
		Name: "mmmu", Title: "MMMU", Main: "Overall", Scale: 100, Max: 100,
		Needs: "annotations (answer_dict_val.json); to read letters out of free answers, and to ask: questions " +
			"(JSONL of id, question, options, question_type, image)",
		Score: scoreMMMU, Ask: askMMMU, Upload: uploadTexts,
	}
}

// mmmuDomain is a domain with its subjects.
type mmmuDomain struct {
	name     string
	subjects []string
}

func mmmuDomains() []mmmuDomain {
	return []mmmuDomain{
		{"Art and Design", []string{"Art", "Art_Theory", "Design", "Music"}},
		{"Business", []string{"Accounting", "Economics", "Finance", "Manage", "Marketing"}},
		{"Science", []string{"Biology", "Chemistry", "Geography", "Math", "Physics"}},
		{
			"Health and Medicine",
			[]string{
				"Basic_Medical_Science",
				"Clinical_Medicine",
				"Diagnostics_and_Laboratory_Medicine",
				"Pharmacy",
				"Public_Health",
			},
		},
		{"Humanities and Social Science", []string{"History", "Literature", "Sociology", "Psychology"}},
		{
			"Tech and Engineering",
			[]string{
				"Agriculture",
				"Architecture_and_Engineering",
				"Computer_Science",
				"Electronics",
				"Energy_and_Power",
				"Materials",
				"Mechanical_Engineering",
			},
		},
	}
}

// MMMULetter reads the letter of an answer to a question with options as MMMU's parse_multi_choice_response does: of
// several the one whose last occurrence is furthest right. It is empty where nothing can be read; the official
// program then draws one at random.
func MMMULetter(text string, options []string) string {
	for _, c := range []string{",", ".", "!", "?", ";", ":", "'"} {
		text = strings.Trim(text, c)
	}
	text = " " + text + " "
	last := func(form func(i int) string, in string) string {
		best, at := "", -1
		for i := range options {
			if j := strings.LastIndex(in, form(i)); j > at {
				best, at = string(rune('A'+i)), j
			}
		}
		return best
	}
	if l := last(func(i int) string { return "(" + string(rune('A'+i)) + ")" }, text); l != "" {
		return l
	}
	if l := last(func(i int) string { return " " + string(rune('A'+i)) + " " }, text); l != "" {
		return l
	}
	if len(fields(text)) <= 5 {
		return ""
	}
	return last(func(i int) string { return lower(options[i]) }, lower(text))
}

// MMMUOpen are the answers that MMMU's parse_open_response reads out of a text: texts, and numbers rounded to two
// decimals.
func MMMUOpen(text string) (texts []string, numbers []float64) {
	text = lower(strings.Trim(strip(text), "."))
	leads := []string{"could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result "}
	parts := strings.Split(text, "\n")
	var keys []string
	for i, part := range parts {
		if i == len(parts)-1 {
			leads = append(leads, "=")
		}
		best := ""
		for _, lead := range leads {
			j := strings.LastIndex(part, lead)
			if j < 0 {
				continue
			}
			tail := strip(part[j+len(lead):])
			if best == "" || utf8.RuneCountInString(tail) < utf8.RuneCountInString(best) {
				best = tail
			}
		}
		if best != "" && !slices.Contains([]string{":", ",", ".", "!", "?", ";", "'"}, best) {
			keys = append(keys, best)
		}
	}
	if len(keys) == 0 {
		keys = []string{text}
	}
	all := slices.Clone(keys)
	for _, k := range keys {
		all = append(all, find(k, groupedNumber)...)
		all = append(all, find(k, scientific)...)
		all = append(all, find(k, simpleNumber)...)
	}
	for _, s := range all {
		t, n := mmmuNormal(s)
		for _, x := range t {
			if !slices.Contains(texts, x) {
				texts = append(texts, x)
			}
		}
		for _, x := range n {
			if !slices.Contains(numbers, x) {
				numbers = append(numbers, x)
			}
		}
	}
	return texts, numbers
}

// mmmuNormal is a number rounded to two decimals; or a text in lower case, padded on either side if it is one
// character.
func mmmuNormal(s string) (texts []string, numbers []float64) {
	s = strip(s)
	if x, ok := parseFloat(strings.ReplaceAll(s, ",", "")); ok {
		return nil, []float64{Round(x, 2)}
	}
	if s = lower(s); utf8.RuneCountInString(s) == 1 {
		return []string{" " + s, s + " "}, nil
	}
	return []string{s}, nil
}

// MMMUOpenRight reports whether an answer is one of the truths: a text that was read contains one, or a number equals
// one.
func MMMUOpenRight(text string, truths []string) bool {
	texts, numbers := MMMUOpen(text)
	for _, truth := range truths {
		t, n := mmmuNormal(truth)
		for _, x := range n {
			if slices.Contains(numbers, x) {
				return true
			}
		}
		for _, want := range t {
			if slices.ContainsFunc(texts, func(got string) bool { return strings.Contains(got, want) }) {
				return true
			}
		}
	}
	return false
}

// texts are one string or several.
type texts []string

// UnmarshalJSON reads a string, a number or a list of them.
func (t *texts) UnmarshalJSON(b []byte) error {
	var many []jsonrecord.ID
	if len(b) > 0 && b[0] == '[' {
		if err := json.Unmarshal(b, &many); err != nil {
			return err
		}
	} else {
		var one jsonrecord.ID
		if err := json.Unmarshal(b, &one); err != nil {
			return err
		}
		many = []jsonrecord.ID{one}
	}
	*t = nil
	for _, m := range many {
		*t = append(*t, string(m))
	}
	return nil
}

// mmmuTruth is a member of MMMU's answer file.
type mmmuTruth struct {
	Type  string `json:"question_type"`
	Truth texts  `json:"ground_truth"`
}

// mmmuQuestion is a line of the questions: a record of MMMU's data set, with its pictures as files.
type mmmuQuestion struct {
	ID       jsonrecord.ID `json:"id"`
	Question string        `json:"question"`
	Options  options       `json:"options"`
	Type     string        `json:"question_type"`
	Image    string        `json:"image"`
	Image1   string        `json:"image_1"`
}

// options are a list of texts, or that list as Python writes it, which is how MMMU's data set has it.
type options []string

// UnmarshalJSON reads a list, or a string that holds one.
func (o *options) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		list, err := pythonList(s)
		*o = list
		return err
	}
	var t texts
	err := t.UnmarshalJSON(b)
	*o = options(t)
	return err
}

// pythonList reads a list of strings as Python's repr writes it.
func pythonList(s string) ([]string, error) {
	s = strip(s)
	if !strings.HasPrefix(s, "[") || !strings.HasSuffix(s, "]") {
		return nil, fmt.Errorf("%.40q is no list", s)
	}
	var out []string
	for s = strip(s[1 : len(s)-1]); s != ""; s = strip(strings.TrimPrefix(strip(s), ",")) {
		if s[0] != '\'' && s[0] != '"' {
			return nil, fmt.Errorf("%.40q is no list of texts", s)
		}
		var b strings.Builder
		i := 1
		for ; i < len(s) && s[i] != s[0]; i++ {
			if s[i] == '\\' && i+1 < len(s) {
				i++
				switch s[i] {
				case 'n':
					b.WriteByte('\n')
					continue
				case 't':
					b.WriteByte('\t')
					continue
				case '\\', '\'', '"':
				default:
					b.WriteByte('\\')
				}
			}
			b.WriteByte(s[i])
		}
		if i == len(s) {
			return nil, fmt.Errorf("%.40q does not end", s)
		}
		out, s = append(out, b.String()), s[i+1:]
	}
	return out, nil
}

// scoreMMMU scores letters and open answers. With the questions, letters are read out of free text; without, the
// answers must be letters.
func scoreMMMU(f Files) (*Report, error) {
	if err := needs("annotation", f.Annotations); err != nil {
		return nil, err
	}
	choices := map[string][]string{}
	if f.Questions != "" {
		err := jsonrecord.EachRow(f.Questions, func(rec jsonrecord.Record) error {
			q, err := jsonrecord.Decode[mmmuQuestion](rec)
			choices[string(q.ID)] = q.Options
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	a, err := OpenAnswers(nil, f.Answers...)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	r := &Report{Benchmark: "mmmu", Main: "Overall", Faults: a.faults}
	direct, answered := map[string]*pair{}, map[string]*pair{}
	random := 0.0
	err = jsonrecord.Each(f.Annotations, "", func(rec jsonrecord.Record) error {
		t, err := jsonrecord.Decode[mmmuTruth](rec)
		if err != nil {
			return err
		}
		parts := strings.Split(rec.Key, "_")
		if len(parts) < 3 || len(t.Truth) == 0 {
			return fmt.Errorf("%s: %q is no id SPLIT_SUBJECT_NUMBER, or it has no ground_truth: is this MMMU's "+
				"answer file?", rec.At(), rec.Key)
		}
		subject := strings.Join(parts[1:len(parts)-1], "_")
		x, ok, err := a.find(rec.Key)
		if err != nil {
			return err
		}
		s := 0.0
		switch {
		case ok && t.Type != "multiple-choice":
			s = number(MMMUOpenRight(x.Text, t.Truth))
		case ok:
			letter := x.Text
			if o := choices[rec.Key]; len(o) > 0 {
				if letter = MMMULetter(x.Text, o); letter == "" {
					a.faults.add(NoLetter, rec.Key, "")
					random += 1 / float64(len(o))
				}
			}
			s = number(letter != "" && slices.Contains(t.Truth, letter))
		}
		for _, m := range []map[string]*pair{direct, answered} {
			if m[subject] == nil {
				m[subject] = &pair{}
			}
		}
		direct[subject].add(s)
		if ok {
			answered[subject].add(s)
		}
		r.Items = append(r.Items, Item{rec.Key, s})
		return nil
	})
	if err == nil {
		err = a.done(f.Annotations, len(r.Items))
	}
	if err != nil {
		return nil, err
	}
	mmmuTable(r.add, direct)
	mmmuTable(r.official, answered)
	r.differ("it leaves questions without an answer out of the count; here they are wrong")
	if random > 0 {
		r.Why = append(r.Why, fmt.Sprintf("it draws a letter at random where it can read none, which gives %.3g "+
			"right answers more on average; here such answers are wrong", random))
	}
	return r, nil
}

// mmmuTable writes accuracies, rounded to three decimals, by domain and subject, and numbers of questions.
func mmmuTable(add func(string, float64, int), subjects map[string]*pair) {
	var all pair
	var rows []Value
	for _, d := range mmmuDomains() {
		var domain pair
		var own []Value
		for _, s := range d.subjects {
			p := subjects[s]
			if p == nil || p.n == 0 {
				continue
			}
			// as the official program: accuracies are weighted, not answers counted
			domain.sum, domain.n = domain.sum+p.sum/float64(p.n)*float64(p.n), domain.n+p.n
			own = append(own, Value{s, Round(p.sum/float64(p.n), 3), p.n})
		}
		if domain.n == 0 {
			continue
		}
		rows = append(rows, Value{"Overall-" + d.name, Round(domain.sum/float64(domain.n), 3), domain.n})
		rows = append(rows, own...)
		all.sum, all.n = all.sum+domain.sum, all.n+domain.n
	}
	if all.n > 0 {
		add("Overall", Round(all.sum/float64(all.n), 3), all.n)
	}
	for _, v := range rows {
		add(v.Name, v.Number, v.N)
	}
}

// askMMMU asks with LLaVA's wording for MMMU. A question about several pictures is asked about the first alone.
func askMMMU(files Files, f func(Question) error) error {
	if err := needs("question", files.Questions); err != nil {
		return err
	}
	return jsonrecord.EachRow(files.Questions, func(r jsonrecord.Record) error {
		q, err := jsonrecord.Decode[mmmuQuestion](r)
		if err != nil {
			return err
		}
		if q.ID == "" || q.Question == "" {
			return fmt.Errorf("%s: no id, or no question", r.At())
		}
		if q.Image == "" {
			q.Image = q.Image1
		}
		out := Question{ID: string(q.ID), Image: q.Image, Text: q.Question + "\n" + shortAnswer, Options: q.Options}
		if len(q.Options) > 0 {
			out.Text = q.Question + "\n\n"
			for i, o := range q.Options {
				out.Text += fmt.Sprintf("(%c) %s\n", 'A'+i, o)
			}
			out.Text += letterAnswer
		}
		return f(out)
	})
}
