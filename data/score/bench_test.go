package score

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// large writes n questions and answers of a benchmark, as long as the real ones, and returns its files.
func large(tb testing.TB, name string, n int) Files {
	tb.Helper()
	dir := tb.TempDir()
	file := func(name string, f func(w *bufio.Writer)) string {
		path := filepath.Join(dir, name)
		out, err := os.Create(path)
		require.NoError(tb, err)
		w := bufio.NewWriter(out)
		f(w)
		require.NoError(tb, w.Flush())
		require.NoError(tb, out.Close())
		return path
	}
	words := []string{"yes", "no", "two", "a red bus", "left", "don't know", "t-shirt", "1,000", "brown", "the man",
		"U.S.", "frisbee", "on the table", "3.5"}
	say := func(i, k int) string { return words[(i*7+k*k*(i%3)+i/13)%len(words)] }
	const suffix = `\nAnswer the question using a single word or phrase.`
	line := func(w *bufio.Writer, id, question, text string) {
		fmt.Fprintf(w, `{"question_id": %s, "prompt": "%s%s", "text": "%s", "answer_id": "XbNwd2jPgfqZ8vFHGVAtHS", `+
			`"model_id": "llava-v1.5-13b", "metadata": {}}`+"\n", id, question, suffix, text)
	}
	f := Files{}
	switch name {
	case "pope":
		f.Questions = file("q.jsonl", func(w *bufio.Writer) {
			for i := range n {
				fmt.Fprintf(w, `{"question_id": %d, "image": "COCO_val2014_%012d.jpg", `+
					`"text": "Is there a traffic light in the image?%s", "category": "random", "label": "%s"}`+"\n",
					i, i/6, suffix, words[i%2])
			}
		})
		f.Answers = []string{file("a.jsonl", func(w *bufio.Writer) {
			for i := range n {
				line(w, fmt.Sprint(i), "Is there a traffic light in the image?", words[(i/3)%2])
			}
		})}
	case "vqav2":
		f.Annotations = file("ann.json", func(w *bufio.Writer) {
			fmt.Fprint(w, `{"info": {}, "annotations": [`)
			for i := range n {
				fmt.Fprintf(w, `%s{"question_type": "what is this", "multiple_choice_answer": "net", "answers": [`,
					[]string{"", ", "}[min(i, 1)])
				for k := range 10 {
					fmt.Fprintf(w, `%s{"answer": "%s", "answer_confidence": "maybe", "answer_id": %d}`,
						[]string{"", ", "}[min(k, 1)], say(i, k), k+1)
				}
				fmt.Fprintf(w, `], "image_id": %d, "answer_type": "other", "question_id": %d}`, i/3, 1000*(i/3)+i%3)
			}
			fmt.Fprint(w, `]}`)
		})
		f.Answers = []string{file("a.jsonl", func(w *bufio.Writer) {
			for i := range n {
				line(w, fmt.Sprint(1000*(i/3)+i%3), "What is this?", say(i, 1))
			}
		})}
	case "textvqa":
		f.Annotations = file("ann.json", func(w *bufio.Writer) {
			fmt.Fprint(w, `{"dataset_type": "val", "data": [`)
			for i := range n {
				fmt.Fprintf(w, `%s{"question": "what is written on sign %d?", "image_id": "%016x", `+
					`"image_classes": ["Vehicle", "Tower"], "flickr_original_url": `+
					`"https://farm2.staticflickr.com/5067/5620759429_4ea686e643_o.jpg", "image_width": 1024, "answers": [`,
					[]string{"", ", "}[min(i, 1)], i, i)
				for k := range 10 {
					fmt.Fprintf(w, `%s"%s"`, []string{"", ", "}[min(k, 1)], say(i, k))
				}
				fmt.Fprintf(w, `], "question_id": %d}`, i)
			}
			fmt.Fprint(w, `]}`)
		})
		f.Answers = []string{file("a.jsonl", func(w *bufio.Writer) {
			for i := range n {
				line(w, fmt.Sprintf(`"%016x"`, i),
					fmt.Sprintf(`what is written on sign %d?\nReference OCR token: stop, 65, exit`, i), say(i, 1))
			}
		})}
	case "gqa":
		f.Annotations = file("q.json", func(w *bufio.Writer) {
			fmt.Fprint(w, `{`)
			for i := range n {
				fmt.Fprintf(w, `%s"%d": {"semantic": [{"operation": "select", "dependencies": [], "argument": "scene"}, `+
					`{"operation": "verify weather", "dependencies": [0], "argument": "cloudy"}], "entailed": [], `+
					`"equivalent": ["%d"], "question": "Is it overcast?", "imageId": "n%d", "isBalanced": true, `+
					`"groups": {"global": "color", "local": "10c-scene_cloudy"}, "answer": "%s", `+
					`"semanticStr": "select: scene->verify weather: cloudy [0]", `+
					`"annotations": {"answer": {}, "question": {}, "fullAnswer": {}}, `+
					`"types": {"detailed": "weatherVerify", "semantic": "global", "structural": "verify"}, `+
					`"fullAnswer": "No, it is not overcast."}`,
					[]string{"", ", "}[min(i, 1)], 20_000_000+i, 20_000_000+i, i, say(i, 2))
			}
			fmt.Fprint(w, `}`)
		})
		f.Answers = []string{file("a.jsonl", func(w *bufio.Writer) {
			for i := range n {
				line(w, fmt.Sprintf(`"%d"`, 20_000_000+i), "Is it overcast?", say(i, 1))
			}
		})}
	}
	return f
}

// BenchmarkScore scores 100,000 answers: each of these takes less than two seconds on two cores.
func BenchmarkScore(b *testing.B) {
	for _, name := range []string{"pope", "vqav2", "textvqa", "gqa"} {
		b.Run(name, func(b *testing.B) {
			f := large(b, name, 100_000)
			bench, err := Find(name)
			require.NoError(b, err)
			for b.Loop() {
				r, err := bench.Score(f)
				require.NoError(b, err)
				require.Len(b, r.Items, 100_000)
			}
		})
	}
}

// BenchmarkMemory scores 600,000 answers and reports the process's peak of resident memory.
func BenchmarkMemory(b *testing.B) {
	for _, name := range []string{"pope", "vqav2", "textvqa", "gqa"} {
		b.Run(name, func(b *testing.B) {
			f := large(b, name, 600_000)
			bench, err := Find(name)
			require.NoError(b, err)
			runtime.GC()
			// The peak begins anew, where the system can do that.
			_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
			for b.Loop() {
				_, err := bench.Score(f)
				require.NoError(b, err)
			}
			status, err := os.ReadFile("/proc/self/status")
			if err != nil {
				b.Skip("no /proc/self/status to read the peak from")
			}
			var kB float64
			_, after, _ := strings.Cut(string(status), "VmHWM:")
			_, err = fmt.Sscan(after, &kB)
			require.NoError(b, err)
			b.ReportMetric(kB/1000, "MB-peak")
		})
	}
}
