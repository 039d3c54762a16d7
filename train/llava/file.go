package llava

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gollava/gollava/internal/atomicfile"
	"github.com/gollava/gollava/internal/nearest"
	"github.com/gollava/gollava/internal/yamlfile"
)

// ReadConfig reads a run's YAML file. Relative paths in it are relative to the working directory, as in LLaVA's
// scripts. A key that does not exist is an error that names the nearest one; so is a value of the wrong type. What is
// written counts, a zero too; a key without a value is left out. Errors have the file's name and line.
func ReadConfig(path string) (Config, error) {
	c, err := ReadPartial(path)
	if err != nil {
		return Config{}, err
	}
	if c, err = c.Resolve(); err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// ReadPartial is [ReadConfig] without [Config.Resolve]: more keys may be set before that.
func ReadPartial(path string) (Config, error) {
	entries, err := yamlfile.Read(path)
	if err != nil {
		return Config{}, err
	}
	var c Config
	for _, e := range entries {
		if err := c.take(e); err != nil {
			return Config{}, fmt.Errorf("%s:%w", path, err)
		}
	}
	return c, nil
}

// take sets what an entry of a file says; its error begins with the line.
func (c *Config) take(e yamlfile.Entry) error {
	if e.Nest {
		for _, f := range e.Map {
			if f.Nest {
				return fmt.Errorf("%d: %s: a value belongs here, not more keys", f.Line, f.Key)
			}
			if _, ok := find(reflect.ValueOf(c).Elem(), e.Key+"."+f.Key); !ok {
				return fmt.Errorf("%d: %s: there is no key %q: did you mean %q?", f.Line, e.Key, f.Key,
					nearest.Word(f.Key, keys(reflect.TypeFor[LoRA](), "")))
			}
			f.Key = e.Key + "." + f.Key
			if err := c.take(f); err != nil {
				return err
			}
		}
		if _, ok := find(reflect.ValueOf(c).Elem(), e.Key); ok || !nested(e.Key) {
			return fmt.Errorf("%d: %s: a value belongs here, not more keys", e.Line, e.Key)
		}
		return nil
	}
	if nested(e.Key) && e.Text == "" {
		return nil
	}
	if _, ok := find(reflect.ValueOf(c).Elem(), e.Key); ok && e.Null {
		return nil
	}
	if err := c.Set(e.Key, e.Text); err != nil {
		return fmt.Errorf("%d: %w", e.Line, err)
	}
	return nil
}

// Set gives a key of the YAML file a value, as it would be written there; a key within lora is called lora.r. What was
// set counts, a zero too.
func (c *Config) Set(key, value string) error {
	v, ok := find(reflect.ValueOf(c).Elem(), key)
	if !ok {
		if own := counterpart(key); own != "" {
			return fmt.Errorf("there is no key %q: LLaVA's option of that name is %q here", key, own)
		}
		return fmt.Errorf("there is no key %q: did you mean %q?", key, meant(key))
	}
	if err := set(v, value); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	if c.given == nil {
		c.given = map[string]bool{}
	}
	c.given[dotted(key)] = true
	return nil
}

// Keys lists the keys of a run's file, those of lora as lora.r, each with what it is about.
func Keys() (names, help []string) {
	fields(reflect.ValueOf(&Config{}).Elem(), "", func(key string, f reflect.StructField, _ reflect.Value) {
		names, help = append(names, key), append(help, f.Tag.Get("help"))
	})
	return names, help
}

// fields visits the fields of a config by their keys.
func fields(v reflect.Value, prefix string, visit func(key string, f reflect.StructField, v reflect.Value)) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case !f.IsExported():
		case f.Type.Kind() == reflect.Struct:
			fields(v.Field(i), prefix+key+".", visit)
		default:
			visit(prefix+key, f, v.Field(i))
		}
	}
}

// dotted is the name of a key in its one spelling: lora.r, which a flag calls lora_r.
func dotted(key string) string {
	if tail, ok := strings.CutPrefix(key, "lora_"); ok {
		return "lora." + tail
	}
	return key
}

// counterpart is the key for an option of LLaVA's scripts, "" if there is none.
func counterpart(option string) (key string) {
	names, help := Keys()
	for i, text := range help {
		if strings.HasSuffix(text, "["+option+"]") {
			key = names[i]
		}
	}
	return key
}

// meant is the key whose name, or a word of LLaVA's name for it, is nearest to a key that there is not: rate is a word
// of learning_rate, which is lr here.
func meant(key string) string {
	names, help := Keys()
	words, of := slices.Clone(names), slices.Clone(names) // keys come first: of equally near words the first is taken
	for i, text := range help {
		if _, option, ok := strings.Cut(strings.TrimSuffix(text, "]"), "["); ok {
			for word := range strings.SplitSeq(option, "_") {
				if len(word) > 3 { // shorter ones are near to anything
					words, of = append(words, word), append(of, names[i])
				}
			}
		}
	}
	return of[slices.Index(words, nearest.Word(key, words))]
}

// nested reports whether a key holds keys.
func nested(key string) bool { return key == "lora" }

// find returns the field of a key.
func find(c reflect.Value, key string) (field reflect.Value, ok bool) {
	fields(c, "", func(k string, _ reflect.StructField, v reflect.Value) {
		if k == dotted(key) {
			field, ok = v, true
		}
	})
	return field, ok
}

// keys are all keys of a struct type.
func keys(t reflect.Type, prefix string) []string {
	var out []string
	fields(reflect.New(t).Elem(), prefix,
		func(key string, _ reflect.StructField, _ reflect.Value) { out = append(out, key) })
	return out
}

// Write stores the resolved config in a run's folder as run.yaml, so that it tells what was done.
func (c Config) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, "run.yaml"), func(w io.Writer) error {
		_, err := io.WriteString(w, c.yaml())
		return err
	})
}

// yaml is c as a file, without what says nothing: zeros that nobody has set, steps beside epochs, adapters of a stage
// without any.
func (c Config) yaml() string {
	var out strings.Builder
	opened := false
	fields(reflect.ValueOf(&c).Elem(), "", func(key string, _ reflect.StructField, v reflect.Value) {
		inner, isInner := strings.CutPrefix(key, "lora.")
		switch {
		case v.IsZero() && !c.given[key], isInner && c.LoRA.Rank == 0, key == "steps" && c.Steps == 0,
			key == "epochs" && c.Steps > 0:
			return
		case isInner && !opened:
			out.WriteString("lora:\n")
			opened = true
		}
		if isInner {
			key = "  " + inner
		}
		text := fmt.Sprint(reflect.Indirect(v))
		if reflect.Indirect(v).Kind() == reflect.String {
			text = scalar(text)
		}
		fmt.Fprintf(&out, "%s: %s\n", key, text)
	})
	return out.String()
}

// scalar is a text as YAML has it, in quotes where it could be taken for something else.
func scalar(s string) string {
	if regexp.MustCompile(`^[A-Za-z0-9_./][A-Za-z0-9_./ +@-]*$`).MatchString(s) && !strings.HasSuffix(s, " ") {
		if _, err := strconv.ParseFloat(s, 64); err != nil &&
			!slices.Contains([]string{"true", "false", "null", "yes", "no", "on", "off", "~"}, strings.ToLower(s)) {
			return s
		}
	}
	return strconv.Quote(s)
}

// Flags defines a flag for each key, such as -select_layer, and -lora_r for those of lora.
func (c *Config) Flags(fs *flag.FlagSet) {
	fields(reflect.ValueOf(c).Elem(), "", func(key string, f reflect.StructField, v reflect.Value) {
		fs.Var(option{c, key, v}, strings.ReplaceAll(key, ".", "_"), f.Tag.Get("help"))
	})
}

// option is a field of Config as a flag.
type option struct {
	c   *Config
	key string
	v   reflect.Value
}

func (o option) IsBoolFlag() bool {
	return o.v.IsValid() && (o.v.Kind() == reflect.Bool || o.v.Kind() == reflect.Pointer &&
		o.v.Type().Elem().Kind() == reflect.Bool)
}

func (o option) String() string {
	if !o.v.IsValid() || o.v.IsZero() {
		return ""
	}
	return fmt.Sprint(reflect.Indirect(o.v))
}

func (o option) Set(s string) error { return o.c.Set(o.key, s) }

// set gives a field the value that a text stands for.
func set(v reflect.Value, s string) error {
	if v.Kind() == reflect.Pointer {
		to := reflect.New(v.Type().Elem())
		if err := set(to.Elem(), s); err != nil {
			return err
		}
		v.Set(to)
		return nil
	}
	short := s
	if len(short) > 60 {
		short = short[:60] + "…"
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
	case reflect.Bool:
		x, ok := map[string]bool{"true": true, "false": false}[strings.ToLower(s)]
		if !ok {
			return fmt.Errorf("%q is neither true nor false", short)
		}
		v.SetBool(x)
	case reflect.Int, reflect.Uint64:
		x, err := strconv.ParseFloat(s, 64)
		if n, exact := strconv.ParseUint(s, 10, 64); exact == nil && v.Kind() == reflect.Uint64 {
			v.SetUint(n)
			return nil
		}
		switch {
		case err != nil && !errors.Is(err, strconv.ErrRange) || x != x:
			return fmt.Errorf("%q is not a number", short)
		case x != math.Trunc(x):
			return fmt.Errorf("%s is not a whole number", short)
		case math.Abs(x) > 1<<53:
			return fmt.Errorf("%s is too large", short)
		case v.Kind() == reflect.Uint64 && x < 0:
			return fmt.Errorf("%s is negative", short)
		case v.Kind() == reflect.Uint64:
			v.SetUint(uint64(x))
		default:
			v.SetInt(int64(x))
		}
	case reflect.Float64:
		x, err := strconv.ParseFloat(strings.ToLower(s), 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return fmt.Errorf("%q is not a number", short)
		}
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return fmt.Errorf("%s is not a finite number", short)
		}
		v.SetFloat(x)
	}
	return nil
}
