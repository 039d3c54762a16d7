package score

import (
	"fmt"
	"strings"
)

// Files are what a benchmark is scored from: paths, as the benchmark is distributed. What a benchmark does not read
// stays empty.
type Files struct {
	Questions   string   // the question file
	Annotations string   // the truth, where it is in a file of its own, or a folder of such files
	Answers     []string // the answers of one model
	Choices     string   // GQA: valid and plausible answers
	Splits      string   // ScienceQA: pid_splits.json
	Split       string   // ScienceQA: test, minitest…; MME: nothing
	Context     string   // LLaVA-Bench: context.jsonl
	Rule        string   // LLaVA-Bench: rule.json
	Reference   string   // LLaVA-Bench: the reference answers
	Grades      string   // MM-Vet, LLaVA-Bench, MathVista: what a judge said before
	Synonyms    string   // CHAIR: a line of words for each object, the first of which is its name
	Chinese     bool     // MMBench: the Chinese questions
	Vanilla     bool     // MMBench: every row by itself instead of the circular evaluation
	IgnoreEmpty bool     // MathVista: an empty extraction is wrong instead of the nearest choice
}

// Benchmark is one benchmark: how it is scored, asked and handed in.
type Benchmark struct {
	Name  string  // as on the command line
	Title string  // as in papers
	Main  string  // the number that papers report
	Scale float64 // times it gives the number as papers print it
	Max   float64 // the highest score, as papers print it
	Needs string  // which files it reads, for people
	// Score reads the files and scores the answers. Errors name file and line.
	Score func(Files) (*Report, error)
	// Ask calls f with each question as LLaVA-1.5 asks it. nil: it cannot be asked, only scored.
	Ask func(files Files, f func(Question) error) error
	// Upload writes the answers to path in the official answer format. nil: the official program reads LLaVA's answer
	// files.
	Upload func(files Files, path string) error
}

// Question is one question as a model gets it.
type Question struct {
	ID       string
	Numeric  bool   // the question file has the id as a number, and answer files must too
	Image    string // under the benchmark's image folder; empty: none
	Video    string // likewise, instead of Image
	Inline   []byte // the encoded picture itself, where the question file holds it
	Text     string // without the image token
	Category string
	Options  []string // what A, B… stand for, in the question's order; empty: an open question
}

// Letters are what answers the question where it has options: "A", "B"…
func (q Question) Letters() []string {
	var letters []string
	for i := range q.Options {
		letters = append(letters, string(rune('A'+i)))
	}
	return letters
}

// Benchmarks are all benchmarks by name.
func Benchmarks() []Benchmark {
	return []Benchmark{
		popeBenchmark(), vqaBenchmark(), textVQABenchmark(), gqaBenchmark(), vizWizBenchmark(),
		scienceQABenchmark(), mmeBenchmark(), seedBenchmark(), mmBenchmark(),
		mmVetBenchmark(), mmmuBenchmark(), mathVistaBenchmark(), llavaBenchmark(), chairBenchmark(), captionBenchmark(),
	}
}

// Find returns the benchmark of that name; case, dashes and underscores do not matter. The error lists the names.
func Find(name string) (Benchmark, error) {
	plain := func(s string) string { return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(s)) }
	var names []string
	for _, b := range Benchmarks() {
		if plain(b.Name) == plain(name) || plain(b.Title) == plain(name) {
			return b, nil
		}
		names = append(names, b.Name)
	}
	return Benchmark{}, fmt.Errorf("score: there is no benchmark %q; there are %s", name, strings.Join(names, ", "))
}

// needs returns an error for the first file that is not named.
func needs(files ...string) error {
	for i := 0; i+1 < len(files); i += 2 {
		if files[i+1] == "" {
			return fmt.Errorf("score: the %s file is missing: name it", files[i])
		}
	}
	return nil
}
