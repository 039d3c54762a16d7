package chat

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLookup(t *testing.T) {
	for _, name := range Names() {
		tpl, err := Lookup(name)
		require.NoError(t, err)
		require.Equal(t, name, tpl.Name)
		require.NotEmpty(t, tpl.Sep+tpl.Sep2, name)
		require.NotEmpty(t, tpl.Stop, name)
	}
	_, err := Lookup("vicuna_v2")
	var unknown *UnknownTemplateError
	require.ErrorAs(t, err, &unknown)
	require.Contains(t, err.Error(), "vicuna_v1")
	require.Contains(t, err.Error(), "vicuna_v2")
}

func TestForModel(t *testing.T) {
	for model, want := range map[string]string{
		"llava-llama-2-13b-chat-lightning": "llava_llama_2",
		"LLaVA-v1.6-Mistral-7b":            "mistral_instruct",
		"llava-v1.6-34b":                   "chatml_direct",
		"llava-v1.5-7b":                    "llava_v1",
		"LLaVA-Lightning-MPT-7B":           "mpt",
		"llava-7b-v0":                      "llava_v0",
		"":                                 "llava_v0",
	} {
		require.Equal(t, want, ForModel(model).Name, model)
	}
}

func TestTurnErrors(t *testing.T) {
	h, g := Turn{From: Human, Value: "q"}, Turn{From: GPT, Value: "a"}
	for _, c := range []struct {
		name     string
		template Template
		turns    []Turn
		turn     int
		err      error
	}{
		{"role", VicunaV1(), []Turn{h, {From: "user", Value: "x"}}, 1, ErrRole},
		{"order", VicunaV1(), []Turn{h, h}, 1, ErrOrder},
		{"order after a dropped turn", VicunaV1(), []Turn{g, h, h}, 2, ErrOrder},
		{"role in any order", Qwen(), []Turn{h, h, {From: "tool"}}, 2, ErrRole},
		{"open in the middle", VicunaV1(), []Turn{h, {From: GPT, Open: true}, h}, 1, ErrOpen},
		{"empty first question", Llama2Chat(), []Turn{{From: Human}, g}, 0, ErrEmpty},
		{"caption without picture", PlainCaption(), []Turn{h, g}, 0, ErrPicture},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := c.template.Sample(c.turns)
			var turn *TurnError
			require.True(t, errors.As(err, &turn), "%v", err)
			require.Equal(t, c.turn, turn.Turn)
			require.ErrorIs(t, err, c.err)
		})
	}
	_, err := VicunaV1().Sample(nil)
	require.ErrorIs(t, err, ErrNoTurns)
	_, err = PlainCaption().Sample([]Turn{h, g, h, g})
	require.ErrorIs(t, err, ErrTwoTurns)
}

func TestSpansCoverTheText(t *testing.T) {
	turns := []Turn{{From: Human, Value: "<image>\nq"}, {From: GPT, Value: "a"}}
	for _, name := range Names() {
		tpl, err := Lookup(name)
		require.NoError(t, err)
		spans, err := tpl.Sample(turns)
		require.NoError(t, err)
		pos, trained := 0, ""
		for _, s := range spans {
			require.Equal(t, pos, s.From, name)
			require.Equal(t, s.From+len(s.Text), s.To, name)
			pos = s.To
			if s.Supervised {
				require.Equal(t, 1, s.Turn, name)
				trained += s.Text
			}
		}
		require.Contains(t, trained, "a", name)
		require.NotContains(t, trained, "q", name)
	}
}

func TestSampleKeepsCallersIndices(t *testing.T) {
	spans, err := VicunaV1().Sample([]Turn{{From: GPT, Value: "Hello."}, {From: Human, Value: "q"}, {From: GPT, Value: "a"}})
	require.NoError(t, err)
	require.Equal(t, -1, spans[0].Turn)
	require.Equal(t, 2, spans[len(spans)-1].Turn)
	require.NotContains(t, Text(spans), "Hello")
}

func TestMultimodalAndQuestion(t *testing.T) {
	in := []Turn{{From: Human, Value: "\u001c a <image> b\u2003"}, {From: GPT, Value: "c"}}
	require.Equal(t, "<image>\na  b", VicunaV1().Multimodal(in, false)[0].Value)
	require.Equal(t, "<Image><im_start><image><im_end></Image>\na  b", V1Tagged().Multimodal(in, true)[0].Value)
	require.Equal(t, "\u001c a <image> b\u2003", in[0].Value, "the caller's turns stay")
	several := []Turn{{From: Human, Value: "left <image> right <image>"}}
	require.Equal(t, several, Qwen().Multimodal(several, false))
	require.Equal(t, "<image>\nleft  right", VicunaV1().Multimodal(several, false)[0].Value)
	require.Equal(t, "<image>", VicunaV1().Multimodal([]Turn{{Value: " <image>\n"}}, false)[0].Value)

	require.Equal(t, "<image>\nWhat?", Question("What?", false))
	require.Equal(t, "What is in <im_start><image><im_end>?", Question("What is in <image-placeholder>?", true))
}
