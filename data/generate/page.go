package generate

import (
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"mime"
	"os"
	"path/filepath"

	"github.com/gollava/gollava/internal/atomicfile"
	"github.com/gollava/gollava/internal/jsonrecord"
)

// pageSample is a sample as the page shows it.
type pageSample struct {
	ID, Kind string
	Scene    *Scene
	Picture  template.URL // data:…, empty if there is no file
	Boxes    []pageBox
	Turns    [][2]string
}

// pageBox is a box in percent of the picture.
type pageBox struct {
	Name                     string
	Left, Top, Width, Height float64
	Hue                      int
}

var page = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Generated data</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 1rem auto; max-width: 70rem; padding: 0 1rem; color-scheme: light dark }
article { display: grid; grid-template-columns: minmax(14rem, 1fr) 2fr; gap: 1.5rem; border-top: 1px solid #8888; padding: 1rem 0 }
figure { position: relative; margin: 0; align-self: start }
figure img { width: 100%; display: block; image-rendering: auto }
.box { position: absolute; border: 2px solid; box-sizing: border-box; font-size: .75rem; line-height: 1; text-shadow: 0 0 3px #000, 0 0 2px #000 }
h2 { font-size: 1rem; margin: 0 } ul { padding-left: 1.2rem; font-size: .85rem } dt { font-weight: 600; margin-top: .5rem; white-space: pre-wrap } dd { margin: 0; white-space: pre-wrap }
@media (max-width: 45rem) { article { grid-template-columns: 1fr } }
</style>
<h1>Generated data: {{len .}} samples</h1>
{{range .}}<article><div><figure>{{if .Picture}}<img src="{{.Picture}}" alt="picture {{.ID}}">{{else}}<p>no picture file</p>{{end}}
{{range .Boxes}}<div class="box" style="left:{{.Left}}%;top:{{.Top}}%;width:{{.Width}}%;height:{{.Height}}%;border-color:hsl({{.Hue}} 90% 50%);color:hsl({{.Hue}} 90% 75%)">{{.Name}}</div>
{{end}}</figure><ul>{{range .Scene.Lines}}<li>{{.}}</li>{{end}}</ul></div>
<div><h2>{{.Kind}} · {{.ID}} · {{.Scene.Image}}</h2><dl>{{range .Turns}}<dt>{{index . 0}}</dt><dd>{{index . 1}}</dd>{{end}}</dl></div></article>
{{end}}</html>
`))

// WritePage writes an HTML page with up to n samples of each kind that a run wrote into out, evenly spread, beside
// their pictures with the boxes drawn in. Pictures are read from the folder images and are part of the page.
func WritePage(path, out, images string, set *Set, kinds []Kind, n int) error {
	scenes := map[string]*Scene{}
	for _, s := range set.Scenes {
		scenes[imageID(s.ID)] = s
	}
	var samples []pageSample
	for _, k := range kinds {
		file := filepath.Join(out, string(k)+".json")
		total := 0
		if err := jsonrecord.Each(file, "", func(jsonrecord.Record) error { total++; return nil }); err != nil {
			return err
		}
		at, taken := 0, 0
		err := jsonrecord.Each(file, "", func(r jsonrecord.Record) error {
			at++
			if (at-1)*n < taken*total || taken == n {
				return nil
			}
			taken++
			v, err := jsonrecord.Decode[struct {
				ID            string
				Conversations []struct{ From, Value string }
			}](r)
			if err != nil {
				return err
			}
			s := scenes[v.ID]
			if s == nil {
				return fmt.Errorf("%s: picture %s is not among the annotations: they are of another run", r.At(), v.ID)
			}
			p := pageSample{
				ID:      v.ID,
				Kind:    string(k),
				Scene:   s,
				Picture: picture(filepath.Join(images, filepath.FromSlash(s.Image))),
			}
			for i := 0; i+1 < len(v.Conversations); i += 2 {
				p.Turns = append(p.Turns, [2]string{v.Conversations[i].Value, v.Conversations[i+1].Value})
			}
			for i, b := range s.Boxes {
				if r, ok := s.Inside(b); ok {
					p.Boxes = append(
						p.Boxes,
						pageBox{b.Name, 100 * r[0], 100 * r[1], 100 * (r[2] - r[0]), 100 * (r[3] - r[1]), i * 67 % 360},
					)
				}
			}
			samples = append(samples, p)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return atomicfile.Write(path, func(w io.Writer) error { return page.Execute(w, samples) })
}

// picture is a file as a URL that holds it; empty if it cannot be read.
func picture(path string) template.URL {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	kind := mime.TypeByExtension(filepath.Ext(path))
	if kind == "" {
		kind = "image/jpeg"
	}
	return template.URL("data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(b))
}
