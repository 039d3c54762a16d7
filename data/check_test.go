package data_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/data"
	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/internal/verify/casetest"
)

// The table of 88 broken files, pictures and archives, and the samplers of LLaVA.
func TestReferenceCases(t *testing.T) {
	for _, name := range []string{"broken", "samplers"} {
		casetest.Passes(t, filepath.Join("testdata", name), 1)
	}
}

func write(t testing.TB, name, text string) string {
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

// kinds lists the faults of a file as "kind record line:column turn".
func kinds(t *testing.T, path string, images data.Source) []string {
	faults, err := data.Check(context.Background(), path, images, data.CheckOptions{})
	require.NoError(t, err)
	var out []string
	for _, f := range faults {
		require.ErrorIs(t, &f, f.Kind)
		require.Equal(t, path, f.File)
		require.Contains(t, f.Error(), string(f.Kind))
		out = append(out, string(f.Kind))
	}
	return out
}

const good = `{"id":"a","image":"a.png","conversations":[{"from":"human","value":"<image>\nWhat?"},{"from":"gpt","value":"A cat."}]}`

func with(old, new string) string { return "[" + strings.Replace(good, old, new, 1) + "]" }

func TestCheckFindsFaults(t *testing.T) {
	for text, want := range map[string][]string{
		"[" + good + "]":                          nil,
		"[" + good + "," + good + "]":             {"duplicate_id"},
		"[" + good + ",]":                         {"json_trailing_comma"},
		"[" + good + " " + good + "]":             {"json_syntax"},
		"[" + good + ",":                          {"json_cut"},
		"\xef\xbb\xbf[]":                          {"json_bom"},
		"\xef\xbb\xbf":                            {"json_bom", "json_empty"},
		with(`"a"`, `null`):                       {"id_missing"},
		with(`"a"`, `""`):                         {"id_missing"},
		with(`"a"`, `[1]`):                        {"id_wrong_type"},
		with(`"id"`, `"ID"`):                      {"id_missing"},
		with(`"a.png"`, `["a.png",7]`):            {"image_wrong_type"},
		with(`"a.png"`, `{"path":"a.png"}`):       {"image_wrong_type"},
		with(`"a.png"`, `["a.png",""]`):           {"image_missing"},
		with(`"image"`, `"video"`):                nil,
		with(`"image":"a.png"`, `"video":null`):   {"video_wrong_type"},
		with(`"gpt"`, `null`):                     {"role_unknown"},
		with(`"from":"gpt",`, ``):                 {"role_unknown"},
		with(`"A cat."`, `null`):                  {"value_wrong_type"},
		with(`"A cat."`, `"\u3000\u001c"`):        {"blank_answer"},
		with(`"A cat."`, `"\ud83d\ude00"`):        nil,
		with(`"A cat."`, `"\ud83d x"`):            {"json_lone_surrogate"},
		with(`"A cat."`, `"\ude00\ud83d"`):        {"json_lone_surrogate"},
		with(`"conversations"`, `"conversation"`): {"conversations_missing"},
		with(`[{"from":"human"`, `{"x":[{"from":"human"`)[:strings.Index(with(`[{"from":"human"`, `{"x":[{"from":"human"`), "}]}")+3] + "}]": {"conversations_wrong_type"},
		with(`{"from":"gpt","value":"A cat."}`, `"A cat."`):                             {"conversations_wrong_type"},
		with(`{"from":"human"`, `{"from":"system","value":"Be kind."},{"from":"human"`): nil,
		with(`"A cat."}`, `"A cat."},{"from":"human","value":"And?"}`):                  {"no_answer"},
		with(`"A cat."}`, `"A cat."},{"from":"system","value":"?"}`):                    {"role_unknown"},
		with(`"A cat."}`, `"A cat."},{"from":"gpt","value":"Or two."}`):                 {"roles_not_alternating"},
		with(`"A cat."}`, `""},{"from":"human","value":" "},{"from":"gpt","value":""}`): {"blank_answer", "blank_question", "blank_answer"},
	} {
		require.Equal(t, want, kinds(t, write(t, "a.json", text), nil), text)
	}
}

func TestCheckGoesOnAfterABadLine(t *testing.T) {
	path := write(t, "a.jsonl", good+"\n\n{\"id\":\n"+good+" 7\n"+strings.Replace(good, `"a"`, `"b"`, 1)+"\n{")
	faults, err := data.Check(context.Background(), path, nil, data.CheckOptions{})
	require.NoError(t, err)
	var got [][4]any
	for _, f := range faults {
		got = append(got, [4]any{f.Kind, f.Record, f.Line, f.Column})
	}
	require.Equal(t, [][4]any{{data.Syntax, 1, 3, 7}, {data.TrailingData, 2, 4, len(good) + 2}, {data.Cut, 4, 6, 2}}, got)
}

func TestFaultsNameTheirPlace(t *testing.T) {
	text := "[\n  " + good + ",\n  {\n   \"id\": 7,\n   \"conversations\": [\n {\"from\":\"human\",\"value\":\"é\"}, {\"from\":\"gpt\",\"value\":3}]}\n]"
	path := write(t, "a.json", text)
	f, err := data.Open(path, data.Options{})
	require.NoError(t, err)
	defer f.Close()
	_, err = f.Sample(1)
	var fault *data.Fault
	require.ErrorAs(t, err, &fault)
	require.Equal(t, data.Fault{File: path, Kind: data.ValueWrongType, Severity: data.Error, Record: 1, ID: "7", Turn: 1, Line: 6, Column: 55, Offset: int64(strings.Index(text, "3}")), Note: "a number, not a string"}, *fault)
	require.EqualError(t, err, "data: "+path+": line 6, column 55: record 1 (7), turn 1: value_wrong_type: a number, not a string")
	faults, err := data.Check(context.Background(), path, nil, data.CheckOptions{})
	require.NoError(t, err)
	require.Equal(t, []data.Fault{*fault}, faults)
}

func TestCheckStops(t *testing.T) {
	path := write(t, "a.jsonl", strings.Repeat("{}\n", 500))
	faults, err := data.Check(context.Background(), path, nil, data.CheckOptions{Most: 10})
	require.NoError(t, err)
	require.InDelta(t, 10, len(faults), 2)
	require.Equal(t, "5 conversations_missing, 5 id_missing", data.Summary(faults))
	ctx, stop := context.WithCancel(context.Background())
	stop()
	_, err = data.Check(ctx, path, nil, data.CheckOptions{})
	require.ErrorIs(t, err, context.Canceled)
	faults, err = data.Check(context.Background(), filepath.Join(t.TempDir(), "none.json"), nil, data.CheckOptions{})
	require.NoError(t, err)
	require.Equal(t, data.FileMissing, faults[0].Kind)
}

// A picture is looked at for each record that names it; the faults come in the order of the records at any number of
// workers.
func TestCheckLooksAtPictures(t *testing.T) {
	images, err := data.OpenFolder("testdata/broken/broken/images")
	require.NoError(t, err)
	defer images.Close()
	var text []string
	want := []string{}
	for i, name := range []string{"ok.jpg", "truncated.jpg", "ok2.png", "no-end.png", "x/../ok.jpg", "nowhere.jpg", "huge.png", "/etc/hostname", "empty.jpg"} {
		text = append(text, strings.NewReplacer(`"id":"a"`, `"id":`+string(rune('0'+i)), "a.png", name).Replace(good))
		want = append(want, [...]string{"", "image_truncated", "", "image_truncated", "", "file_missing", "image_too_large", "path_escape", "file_empty"}[i])
	}
	path := write(t, "a.json", "["+strings.Join(text, ",\n")+"]")
	faults, err := data.Check(context.Background(), path, images, data.CheckOptions{})
	require.NoError(t, err)
	got := make([]string, len(want))
	for _, f := range faults {
		got[f.Record] = string(f.Kind)
		require.NotEmpty(t, f.Image)
		require.Equal(t, f.Record+1, f.Line)
		require.Equal(t, string(rune('0'+f.Record)), f.ID)
	}
	require.Equal(t, want, got)
	faults, err = data.Check(context.Background(), path, images, data.CheckOptions{Headers: true})
	require.NoError(t, err)
	require.Equal(t, "1 file_empty, 1 file_missing, 1 image_too_large, 1 path_escape", data.Summary(faults))
}

func TestSampleFaults(t *testing.T) {
	s := data.Sample{ID: "x", Turns: []chat.Turn{{From: "human", Value: "<image>"}, {From: "gpt", Value: "A cat."}}}
	require.Equal(t, data.ImageMissing, s.Faults()[0].Kind)
	require.Equal(t, "x", s.Faults()[0].ID)
	s.Images = []string{"a.png"}
	require.Empty(t, s.Faults())
	require.Equal(t, data.ConversationsMissing, (&data.Sample{}).Faults()[0].Kind)
}
