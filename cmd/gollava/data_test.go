package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	good = `{"id":"a","image":"rgb-2x3.png","conversations":[{"from":"human","value":"<image>\nWhat is <b>this</b>?"},{"from":"gpt","value":"A cat."}]}`
	text = `{"id":"b","conversations":[{"from":"human","value":"Who are you?"},{"from":"gpt","value":"Nobody."}]}`
	lost = `{"id":"c","image":"none.png","conversations":[{"from":"human","value":"<image>\nWhat?"},{"from":"gpt","value":" "}]}`
)

const pictures = "../../data/imaging/testdata/images"

func dataFile(t *testing.T, name string, records ...string) string {
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte("[\n"+strings.Join(records, ",\n")+"\n]\n"), 0o644))
	return path
}

func TestDataCheck(t *testing.T) {
	fine := dataFile(t, "fine.json", good, text)
	status, out, err := gollava("data", "check", fine, "-images", pictures)
	require.Zero(t, status, err)
	require.Contains(t, out, "nothing wrong")
	require.Contains(t, err, "next: gollava data show")

	bad := dataFile(t, "bad.json", good, lost)
	status, out, err = gollava("data", "check", fine, bad)
	require.Equal(t, 1, status)
	require.Contains(t, out, bad+": line 3, column ")
	require.Contains(t, out, "record 1 (c), turn 1: blank_answer")
	require.NotContains(t, out, "file_missing")
	require.Contains(t, err, "hint: mend or remove")
	require.Contains(t, err, "1 error, 0 warnings")

	mixture := filepath.Join(filepath.Dir(bad), "mix.yaml")
	require.NoError(t, os.WriteFile(mixture, []byte("datasets:\n  - json_path: bad.json\n"), 0o644))
	status, out, _ = gollava("data", "check", "-json", mixture, "-images", pictures)
	require.Equal(t, 1, status)
	var kinds []string
	for line := range strings.Lines(out) {
		var f fault
		require.NoError(t, json.Unmarshal([]byte(line), &f))
		require.Equal(t, bad, f.File)
		require.Equal(t, 1, *f.Record)
		require.Equal(t, 3, f.Line)
		kinds = append(kinds, string(f.Kind))
	}
	require.ElementsMatch(t, []string{"file_missing", "blank_answer"}, kinds)
}

func TestDataShow(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.html")
	set := dataFile(t, "a.json", good, text, lost)
	status, out, err := gollava("data", "show", set, "-images", pictures, "-tokenizer", "../../data/tokenizer/testdata/cases/llama", "-size", "28", "-o", page)
	require.Zero(t, status, err)
	require.Contains(t, out, "3 samples of 3, 1 of them with problems")
	b, e := os.ReadFile(page)
	require.NoError(t, e)
	html := string(b)
	require.Equal(t, 1, strings.Count(html, "<img src=\"data:image/png;base64,"))
	require.Contains(t, html, `title="picture 1: 4 positions"`)
	require.Contains(t, html, "file_missing")
	require.Contains(t, html, "blank_answer")
	require.NotContains(t, html, "<b>", "text of the data set is escaped")

	card := html[strings.Index(html, "record 0, a"):strings.Index(html, "record 1, b")]
	trains := ""
	for _, m := range regexp.MustCompile(`<span class="trains"[^>]*>([^<]*)</span>`).FindAllStringSubmatch(card, -1) {
		trains += m[1]
	}
	require.Equal(t, " A cat.&lt;/s&gt;", trains)

	status, _, err = gollava("data", "show", set, "-from", "1", "-n", "1", "-o", page)
	require.Zero(t, status, err)
	b, e = os.ReadFile(page)
	require.NoError(t, e)
	require.Contains(t, string(b), "not cut into tokens")
	require.Contains(t, string(b), `<span class="trains">Nobody.</span>`)
	require.Contains(t, err, "with --tokenizer FOLDER")
}

// Videos are looked at, and shown as strips of frames.
func TestDataVideos(t *testing.T) {
	seen := strings.NewReplacer(`"image"`, `"video"`, "rgb-2x3.png", "webp-animated.webp").Replace(good)
	missed := strings.NewReplacer(`"image"`, `"video"`, "rgb-2x3.png", "none.gif", `"a"`, `"d"`, "<image>", "<video>").Replace(good)
	set := dataFile(t, "v.json", seen, missed, strings.Replace(good, `"a"`, `"e"`, 1))
	status, out, err := gollava("data", "check", set, "-images", pictures)
	require.Equal(t, 1, status)
	require.Contains(t, out, `record 1 (d): "none.gif": file_missing: video: there is no such file in the image folder`)
	require.Contains(t, err, "1 error, 0 warnings")
	status, _, err = gollava("data", "check", set, "-frames", "0")
	require.Equal(t, 1, status)
	require.Contains(t, err, "--frames 0: at least one")

	page := filepath.Join(t.TempDir(), "page.html")
	status, out, err = gollava("data", "show", set, "-images", pictures, "-tokenizer",
		"../../data/tokenizer/testdata/cases/llama", "-size", "28", "-frames", "2", "-o", page)
	require.Zero(t, status, err)
	require.Contains(t, out, "3 samples of 3, 1 of them with problems")
	b, e := os.ReadFile(page)
	require.NoError(t, e)
	html := string(b)
	require.Equal(t, 3, strings.Count(html, "<img src=\"data:image/png;base64,"))
	strip := html[strings.Index(html, `<div class="strip"><img`):]
	require.Equal(t, 2, strings.Count(strip[:strings.Index(strip, "</div>")], "<img"))
	require.Contains(t, html, `title="picture 1: 8 positions"`)
	require.Contains(t, html, "positions with pictures, fewer where the model pools frames")
	require.Contains(t, html, "file_missing")
	require.NotContains(t, html, "&lt;video&gt;", "its place is shown as that of a picture")
}

func TestDataCommandsSayWhatIsWrong(t *testing.T) {
	set := dataFile(t, "a.json", good)
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"check", "none.json"}, "file_missing"},
		{[]string{"check", set, "-images", "nowhere"}, "-images"},
		{[]string{"check", set, "-images", set}, "a folder, a .zip or a .tar file"},
		{[]string{"show", "none.json"}, "file_missing"},
		{[]string{"show", set, "-template", "vicuna_v3"}, "vicuna_v1"},
		{[]string{"show", set, "-tokenizer", pictures}, "no tokenizer.model"},
		{[]string{"show", set, "-from", "9"}, "records 0 to 0"},
		{[]string{"show", set, "-size", "0"}, "size"},
		{[]string{"show", set, "-patch", "0"}, "-patch"},
		{[]string{"show", set, "-vision", pictures}, "preprocessor_config.json"},
		{[]string{"show", set, "-o", filepath.Join(set, "x.html")}, "not a directory"},
	} {
		status, out, err := gollava(append([]string{"data"}, c.args...)...)
		require.Equal(t, 1, status, c.args)
		require.Contains(t, out+err, c.says, c.args)
	}
}
