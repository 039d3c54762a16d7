package serve

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// problem is an error that a client is told, as OpenAI's error object.
type problem struct {
	status  int
	kind    string // "type" of the object
	param   string // field of the request, such as messages[2].content[0].image_url
	code    string
	message string
	retry   int // seconds, for Retry-After; 0: none
}

func (p *problem) Error() string { return p.message }

// invalid says that a field of the request cannot be used.
func invalid(param, format string, args ...any) *problem {
	return &problem{status: http.StatusBadRequest, kind: "invalid_request_error", param: param,
		message: param + ": " + fmt.Sprintf(format, args...)}
}

// unsupported says that a field asks for something that the server, or the model, cannot do.
func unsupported(param, format string, args ...any) *problem {
	p := invalid(param, format, args...)
	p.code = "unsupported_parameter"
	return p
}

// refused is a problem that no field is to blame for.
func refused(status int, code, format string, args ...any) *problem {
	kind := "invalid_request_error"
	if status >= 500 {
		kind = "server_error"
	}
	return &problem{status: status, kind: kind, code: code, message: fmt.Sprintf(format, args...)}
}

// busy asks the client to come back.
func busy(status int, code, message string, seconds int) *problem {
	return &problem{status: status, kind: "rate_limit_error", code: code, message: message, retry: seconds}
}

// object is the body of an error answer.
func (p *problem) object() any {
	null := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	return map[string]any{
		"error": map[string]any{"message": p.message, "type": p.kind, "param": null(p.param), "code": null(p.code)},
	}
}

// write answers with p.
func (p *problem) write(w http.ResponseWriter) {
	if p.retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(p.retry))
	}
	if p.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="gollava"`)
	}
	writeJSON(w, p.status, p.object())
}

// writeJSON answers with v as JSON.
func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil { // a value of ours that has no JSON
		status, b = http.StatusInternalServerError, []byte(
			`{"error":{"message":"the answer has no JSON form","type":"server_error","param":null,"code":null}}`,
		)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute)) // not every one has deadlines
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // who hung up does not read it
}
