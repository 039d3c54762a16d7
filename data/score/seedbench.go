package score

import (
	"fmt"
	"maps"
	"slices"

	"github.com/gollava/gollava/internal/jsonrecord"
)

func seedBenchmark() Benchmark {
	return Benchmark{
		Name: "seedbench", Title: "SEED-Bench", Main: "total", Scale: 1, Max: 100,
		Needs: "questions (SEED-Bench.json)",
		Score: scoreSEED, Ask: askSEED, Upload: uploadSEED,
	}
}

// seedQuestion is a question of SEED-Bench.json.
type seedQuestion struct {
	ID       jsonrecord.ID `json:"question_id"`
	Answer   string        `json:"answer"`
	A        jsonrecord.ID `json:"choice_a"`
	B        jsonrecord.ID `json:"choice_b"`
	C        jsonrecord.ID `json:"choice_c"`
	D        jsonrecord.ID `json:"choice_d"`
	DataID   string        `json:"data_id"`
	DataType string        `json:"data_type"`
	Question string        `json:"question"`
	Type     int           `json:"question_type_id"`
}

func scoreSEED(f Files) (*Report, error) {
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
	names := map[int]string{}
	err = jsonrecord.Each(f.Questions, "question_type", func(r jsonrecord.Record) error {
		n, err := jsonrecord.Decode[int](r)
		names[n] = r.Key
		return err
	})
	if err != nil {
		return nil, err
	}
	r := &Report{Benchmark: "seedbench", Main: "total", Faults: a.faults}
	types, kinds, total := map[int]*pair{}, map[string]*pair{"image": {}, "video": {}}, pair{}
	err = jsonrecord.Each(f.Questions, "questions", func(rec jsonrecord.Record) error {
		q, err := jsonrecord.Decode[seedQuestion](rec)
		if err != nil {
			return err
		}
		if kinds[q.DataType] == nil || q.Answer == "" {
			return fmt.Errorf(
				"%s: question %s has data_type %q and answer %q: want image or video, and a letter",
				rec.At(),
				q.ID,
				q.DataType,
				q.Answer,
			)
		}
		x, _, err := a.find(string(q.ID))
		if err != nil {
			return err
		}
		s := number(x.Text == q.Answer)
		if types[q.Type] == nil {
			types[q.Type] = &pair{}
		}
		types[q.Type].add(s)
		kinds[q.DataType].add(s)
		total.add(s)
		r.Items = append(r.Items, Item{string(q.ID), s})
		return nil
	})
	if err == nil {
		err = a.done(f.Questions, len(r.Items))
	}
	if err != nil {
		return nil, err
	}
	line := func(name, printed string, p pair) {
		r.add(name, p.percent(), p.n)
		r.Printed = append(r.Printed, fmt.Sprintf("%s: %.2f%%", printed, p.percent()))
	}
	for _, t := range slices.Sorted(maps.Keys(types)) {
		name := names[t]
		if name == "" {
			name = fmt.Sprint("type ", t)
		}
		line("type/"+name, name, *types[t])
	}
	line("total", "Total accuracy", total)
	line("image", "image accuracy", *kinds["image"])
	line("video", "video accuracy", *kinds["video"])
	if a.faults.Count(Missing) > 0 {
		r.Stopped = "AssertionError: not every question has an answer, so no upload file is written"
	}
	return r, nil
}

// askSEED asks the questions of SEED-Bench.json. A video is asked about by its middle frame, which LLaVA's files have
// as ID.png.
func askSEED(files Files, f func(Question) error) error {
	if err := needs("question", files.Questions); err != nil {
		return err
	}
	if lines, err := jsonrecord.OneALine(files.Questions); err != nil {
		return err
	} else if lines {
		return askRows(letterAnswer)(files, f)
	}
	return jsonrecord.Each(files.Questions, "questions", func(r jsonrecord.Record) error {
		q, err := jsonrecord.Decode[seedQuestion](r)
		if err != nil {
			return err
		}
		image := "SEED-Bench-image/" + q.DataID
		if q.DataType == "video" {
			image = "SEED-Bench-video-image/" + string(q.ID) + ".png"
		}
		options := []string{string(q.A), string(q.B), string(q.C), string(q.D)}
		return f(
			Question{
				ID:      string(q.ID),
				Image:   image,
				Text:    q.Question + lettered(options) + letterAnswer,
				Options: options,
			},
		)
	})
}
