package llava

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
)

// ReadConfig reads a run's YAML file. Relative paths in it are relative to the working directory, as in LLaVA's
// scripts. A key that does not exist is an error that names the nearest one; so is a value of the wrong type. Errors
// have the file's name and line.
func ReadConfig(path string) (Config, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return Config{}, err
	}
	var c Config
	d := yaml.NewDecoder(bytes.NewReader(raw), yaml.DisallowUnknownField())
	if err := d.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return Config{}, fmt.Errorf("%s: %w", path, explain(err))
	}
	if c, err = c.Resolve(); err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

var unknownKey = regexp.MustCompile(`unknown field "([^"]+)"`)

// explain makes the YAML package's error a single sentence, and for an unknown key adds the nearest that there is.
func explain(err error) error {
	text, _, _ := strings.Cut(strings.TrimSpace(err.Error()), "\n")
	if m := unknownKey.FindStringSubmatch(text); m != nil {
		keys := append(keys(reflect.TypeFor[Config]()), keys(reflect.TypeFor[LoRA]())...)
		return fmt.Errorf("%s: did you mean %q?", text, nearest(m[1], keys))
	}
	return errors.New(text)
}

// keys are the YAML keys of a struct type.
func keys(t reflect.Type) []string {
	var out []string
	for i := range t.NumField() {
		key, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		out = append(out, key)
	}
	return out
}

// nearest is the word of least edit distance to s.
func nearest(s string, words []string) string {
	best, least := "", 1<<30
	for _, w := range words {
		if d := distance(s, w); d < least {
			best, least = w, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete or replace to turn a into b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// Write stores the resolved config in a run's folder, so that it tells what was done.
func (c Config) Write(dir string) error {
	raw, err := yaml.Marshal(c)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "run.yaml"), raw, 0o666)
}

// Flags defines a flag for each key, such as -select_layer, and -lora_r for those of LoRA.
func (c *Config) Flags(fs *flag.FlagSet) { flags(fs, "", reflect.ValueOf(c).Elem()) }

func flags(fs *flag.FlagSet, prefix string, v reflect.Value) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if f.Type.Kind() == reflect.Struct {
			flags(fs, prefix+key+"_", v.Field(i))
			continue
		}
		fs.Var(option{v.Field(i)}, prefix+key, f.Tag.Get("help"))
	}
}

// option is a field of Config as a flag.
type option struct{ v reflect.Value }

func (o option) IsBoolFlag() bool {
	return o.v.IsValid() && (o.v.Kind() == reflect.Bool || o.v.Kind() == reflect.Pointer && o.v.Type().Elem().Kind() == reflect.Bool)
}

func (o option) String() string {
	if !o.v.IsValid() || o.v.IsZero() {
		return ""
	}
	return fmt.Sprint(reflect.Indirect(o.v))
}

func (o option) Set(s string) error {
	v := o.v
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	var err error
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
	case reflect.Bool:
		var x bool
		x, err = strconv.ParseBool(s)
		v.SetBool(x)
	case reflect.Int:
		var x int64
		x, err = strconv.ParseInt(s, 10, 0)
		v.SetInt(x)
	case reflect.Uint64:
		var x uint64
		x, err = strconv.ParseUint(s, 10, 64)
		v.SetUint(x)
	case reflect.Float64:
		var x float64
		x, err = strconv.ParseFloat(s, 64)
		v.SetFloat(x)
	}
	return err
}
