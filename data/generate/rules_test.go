package generate

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRules: what the rules write has the form that was asked for, and stands up to every check against captions and
// boxes.
func TestRules(t *testing.T) {
	set := &Set{Categories: []string{"apple", "boat", "cat", "dog", "person", "traffic light"}}
	for i := range 300 {
		s := &Scene{
			ID:       int64(i),
			Image:    fmt.Sprint(i),
			Width:    640,
			Height:   480,
			Captions: []string{"A photo of a quiet place with some things in it.", "it is a calm day at the shore"},
		}
		for k := range i % 7 {
			name := set.Categories[(i*7+k*k)%len(set.Categories)]
			s.Boxes = append(
				s.Boxes,
				Box{
					name,
					[4]float64{float64(i*37%500 + 5*k), float64(k * 60), float64(20 + i%90*2), float64(30 + 20*k)},
				},
			)
		}
		set.Scenes = append(set.Scenes, s)
	}
	c := DefaultConfig()
	c.Model, c.DedupROUGE = "rules", 0
	report, err := Run(
		context.Background(),
		set,
		c,
		Options{Teacher: Rules{Categories: set.Categories}, Out: t.TempDir(), Workers: 8},
	)
	require.NoError(t, err)
	require.Equal(t, 300, report.ByKind[Conversation])
	require.Equal(t, 257, report.ByKind[Detail], report.Text())
	require.Greater(t, report.ByKind[Reasoning], 200)
	require.Equal(t, report.Faults[HTTP], len(report.Skipped), "a scene that gives no reasoning is left out; "+
		"nothing fails a check: %v", report.Faults)
}

func TestRulesAreTrue(t *testing.T) {
	s := &Scene{
		Width:    100,
		Height:   100,
		Captions: []string{"two cats near a dog"},
		Boxes: []Box{
			{"cat", [4]float64{0, 0, 20, 20}},
			{"cat", [4]float64{80, 0, 20, 20}},
			{"dog", [4]float64{60, 70, 40, 30}},
		},
	}
	seen := map[string]string{}
	for seed := range int64(60) {
		for _, k := range []Kind{Conversation, Reasoning} {
			r, err := Rules{
				Categories: []string{"cat", "dog", "boat"},
				Seed:       seed,
			}.Ask(
				context.Background(),
				&Request{Kind: k, Scene: s},
			)
			require.NoError(t, err)
			turns, fault := (&Config{MinTurns: 2}).Parse(k, *r.Text, false)
			require.Empty(t, fault)
			for _, turn := range turns {
				seen[turn.Question] = turn.Answer
			}
		}
	}
	require.Equal(t, "There are two cats.", seen["How many cats are there?"])
	require.Equal(t, "The dog is at the bottom right of the image.", seen["Where is the dog?"])
	require.Equal(t, "No, there is no boat in the image.", seen["Can you see a boat?"])
	require.NotContains(t, seen, "Where is the cat?", "there are two")
	require.Contains(t, seen["What is this scene mainly about, judging by what there is most of?"], "two cats")
}

// TestGrowth: what repeats the pool, is too short, or cannot be followed is dropped; a second run asks nothing and
// gives the same pool.
func TestGrowth(t *testing.T) {
	fresh := []string{
		"Count the birds on the roof.",
		"What time of day may it be?",
		"Tell a short story about this place.",
		"Whom would you call for help here?",
		"List everything made of wood.",
		"Explain to a child what happens.",
	}
	e, n := answers(t, func(n int, w http.ResponseWriter) {
		say(w, "small", fmt.Sprintf("9. Describe the picture in one sentence.\n10) %s\nno number\n11. Why?\n12. "+
			"Draw a plan of round %d.\n- %s\n13. 数数",
			fresh[2*n-2], n, fresh[2*n-1]), "stop")
	})
	seeds := []string{"Describe the picture in one short sentence.", "Which colours are there?"}
	out := t.TempDir()
	g := Growth{Model: "small", Count: 5}
	grown, err := g.Run(context.Background(), seeds, e, out)
	require.NoError(t, err)
	require.Len(t, grown.Added, 5)
	require.Equal(t, "Count the birds on the roof.", grown.Added[0])
	sent := n.Load()
	again, err := g.Run(context.Background(), seeds, e, out)
	require.NoError(t, err)
	require.Equal(t, grown, again)
	require.Equal(t, sent, n.Load())
	for _, why := range []string{"similar", "short", "banned", "format"} {
		require.NotZero(t, grown.Dropped[why], why)
	}
	same, _ := answers(t, func(_ int, w http.ResponseWriter) { say(w, "small", "1. Which colours are there?", "stop") })
	_, err = g.Run(context.Background(), seeds, same, t.TempDir())
	require.ErrorContains(t, err, "the teacher repeats itself")
}

func TestPage(t *testing.T) {
	at := write(t, map[string]string{"images/0.png": "not really a picture", "images/1.png": "<b>"})
	set := cats(2)
	set.Scenes[0].Captions = []string{"A <b>cat</b>."}
	c := talk()
	c.Model = "rules"
	out := t.TempDir()
	_, err := Run(context.Background(), set, c, Options{Teacher: Rules{Categories: set.Categories}, Out: out})
	require.NoError(t, err)
	path := filepath.Join(out, "page.html")
	require.NoError(t, WritePage(path, out, at("images"), set, c.Kinds, 9))
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	html := string(b)
	require.Equal(t, 2, strings.Count(html, "<article>"))
	require.Contains(t, html, "A &lt;b&gt;cat&lt;/b&gt;.")
	require.NotContains(t, html, "<b>cat")
	require.Contains(t, html, `src="data:image/png;base64,bm90`)
	require.Contains(t, html, "left:10%;top:10%;width:50%;height:50%")
	require.NotContains(t, html, "ZgotmplZ")
	require.ErrorContains(t, WritePage(path, out, "", cats(0), c.Kinds, 9), "of another run")
}

func TestEstimate(t *testing.T) {
	c := talk()
	e := c.Estimate(cats(10))
	require.Equal(t, 10, e.Samples)
	require.Greater(t, e.Usage.Prompt, 10*300)
	require.Less(t, e.Usage.Prompt, 10*1500)
	require.InDelta(t, float64(e.Usage.Prompt+e.Usage.Completion)/1000, e.USD, 1e-9)
	require.Len(t, c.FirstRequests(cats(10), 3), 3)
}
