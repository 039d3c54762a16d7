package clients

import (
	"context"
	"flag"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

var shots = flag.String("shots", "", "folder for screenshots of the page, 390 and 1280 pixels wide")

// TestPage uses the chat page as a person would: an image, a question, a streamed answer, stop, regenerate, edit,
// reload. It asks nobody but the server, and its console stays empty.
func TestPage(t *testing.T) {
	browser := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			browser = path
			break
		}
	}
	if browser == "" {
		t.Skip("no chromium on the path (Debian: apt-get install chromium)")
	}
	h := start(t, 30*time.Millisecond)
	file := filepath.Join(t.TempDir(), "grey.png")
	require.NoError(t, os.WriteFile(file, picture(t), 0o600))

	options := append(
		chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(browser),
		chromedp.NoSandbox,
		chromedp.Flag("disable-gpu", true),
	)
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()

	var lock sync.Mutex
	var asked, complaints []string
	chromedp.ListenTarget(ctx, func(e any) {
		lock.Lock()
		defer lock.Unlock()
		switch e := e.(type) {
		case *network.EventRequestWillBeSent:
			asked = append(asked, e.Request.URL)
		case *runtime.EventExceptionThrown:
			complaints = append(complaints, e.ExceptionDetails.Error())
		case *log.EventEntryAdded:
			complaints = append(complaints, e.Entry.Text)
		}
	})
	last := `document.querySelector("#messages > li:last-child .body")?.innerText.trim() ?? ""`
	wait := func(js string) chromedp.Action {
		return chromedp.Poll(js, nil, chromedp.WithPollingInterval(20*time.Millisecond))
	}
	idle := wait(`document.getElementById("stop").hidden`)
	shot := func(width int64, name string) chromedp.Action {
		return chromedp.ActionFunc(func(ctx context.Context) error {
			if err := chromedp.EmulateViewport(width, 800).Do(ctx); err != nil || *shots == "" {
				return err
			}
			var b []byte
			if err := chromedp.CaptureScreenshot(&b).Do(ctx); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(*shots, name), b, 0o644)
		})
	}
	var answer, stopped, again, edited, kept, hacked string
	var wide bool
	question := "Which **grey** is this, and why? " + strings.Repeat("word ", 40)
	require.NoError(t, chromedp.Run(
		ctx,
		network.Enable(),
		log.Enable(),
		runtime.Enable(),
		chromedp.EmulateViewport(1280, 800),
		chromedp.Navigate(h.URL),
		wait(`document.querySelectorAll("#model option").length === 1`),
		chromedp.SetUploadFiles("#file", []string{file}),
		wait(`document.querySelectorAll("#pictures img").length === 1`),
		chromedp.SendKeys("#text", "Which **grey** is this?"),
		chromedp.Click("#send"),
		wait(`document.getElementById("stop").hidden === false`),
		idle,
		chromedp.Evaluate(last, &answer),
		shot(1280, "chat-1280.png"),
		shot(390, "chat-390.png"),
		chromedp.Evaluate(
			`document.documentElement.scrollWidth > innerWidth`,
			&wide,
		),
		chromedp.EmulateViewport(1280, 800),
		// stop while it streams
		chromedp.SendKeys("#text", question),
		chromedp.Click("#send"),
		wait(`/is this/.test(document.querySelector("#messages > li:last-child .body").innerText)`),
		chromedp.Click("#stop"),
		idle,
		chromedp.Evaluate(last, &stopped),
		// regenerate, to its end
		chromedp.Evaluate(
			`[...document.querySelectorAll("#messages > li:last-child button")].find(b => b.textContent === "Regenerate").click()`,
			nil,
		),
		wait(`document.getElementById("stop").hidden === false`),
		idle,
		chromedp.Evaluate(last, &again),
		// edit the last question; what an answer holds cannot run
		chromedp.Evaluate(
			`[...document.querySelectorAll("#messages > li:nth-last-child(2) button")].find(b => b.textContent === "Edit").click()`,
			nil,
		),
		chromedp.Evaluate(
			`document.getElementById("text").value = "<img src=x onerror='document.title=1'> <script>document.title=2</script> [x](javascript:document.title=3) ok"`,
			nil,
		),
		chromedp.Click(
			"#send",
		),
		wait(`document.getElementById("stop").hidden === false`),
		idle,
		chromedp.Evaluate(last, &edited),
		chromedp.Evaluate(`document.querySelector("#messages a")?.click(); document.title`, &hacked),
		chromedp.Reload(),
		wait(`document.querySelectorAll("#messages > li").length === 4`),
		chromedp.Evaluate(last, &kept),
	))
	require.Equal(t, "[6×4] Which grey is this?", answer) // with bold for the stars
	require.False(t, wide, "the page is wider than a phone")
	require.NotContains(t, stopped, strings.TrimSpace(strings.Repeat("word ", 40)))
	require.Contains(t, again, strings.TrimSpace(strings.Repeat("word ", 40)))
	require.Contains(t, edited, "ok")
	require.Equal(t, "gollava", hacked)
	require.Equal(t, edited, kept)
	lock.Lock()
	defer lock.Unlock()
	require.Empty(t, complaints)
	for _, a := range asked {
		u, err := url.Parse(a)
		require.NoError(t, err)
		if u.Scheme != "data" && u.Scheme != "blob" {
			require.Equal(t, strings.TrimPrefix(h.URL, "http://"), u.Host, a)
		}
	}
}
