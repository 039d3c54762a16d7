package serve

import (
	"embed"
	"net/http"
)

// files are the chat page: index.html, style.css and app.js are ours, marked.js (https://github.com/markedjs/marked
// 18.2.1, MIT) renders Markdown, and purify.js (https://github.com/cure53/DOMPurify 3.5.0, Apache-2.0 or MPL-2.0)
// takes out of it whatever could run.
//
//go:embed page
var files embed.FS

// page answers with the chat page, which loads nothing from elsewhere and runs no script but its own.
func page(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set(
		"Content-Security-Policy",
		"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "+
			"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	)
	name := "page/index.html"
	if file := r.PathValue("file"); file != "" {
		name = "page/" + file
	}
	http.ServeFileFS(w, r, files, name)
}
