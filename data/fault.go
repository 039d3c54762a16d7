package data

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gollava/gollava/data/imaging"
)

// Kind says what is wrong with a file, a record or a picture. It is an error itself, so that errors.Is(err,
// data.FileMissing) asks for it. Kinds of pictures are those of imaging.Kind.
type Kind string

// What can be wrong with a data file as JSON.
const (
	Cut           Kind = "json_cut"            // the file ends within the array
	TrailingComma Kind = "json_trailing_comma" // a comma before a closing bracket or brace
	ByteOrderMark Kind = "json_bom"            // readable, but Python's json refuses it
	NotArray      Kind = "json_not_an_array"   // the file holds another JSON value
	EmptyFile     Kind = "json_empty"          // nothing but white space
	TrailingData  Kind = "json_trailing_data"  // something follows the value
	Syntax        Kind = "json_syntax"         // any other offence
	BadUTF8       Kind = "json_bad_utf8"       // bytes that are no UTF-8
	TooDeep       Kind = "json_too_deep"       // nested deeper than 512
	LoneSurrogate Kind = "json_lone_surrogate" // half of a pair, read as U+FFFD
	RecordTooLong Kind = "record_too_long"     // longer than Options.Record
	NoRecords     Kind = "no_records"          // an empty array
)

// What can be wrong with a record.
const (
	RecordWrongType        Kind = "record_wrong_type"        // not an object
	IDMissing              Kind = "id_missing"               // no id, or null
	IDWrongType            Kind = "id_wrong_type"            // neither string nor number
	DuplicateID            Kind = "duplicate_id"             // an earlier record has the same
	ImageMissing           Kind = "image_missing"            // <image> in the text but no image or video named
	ImageWrongType         Kind = "image_wrong_type"         // neither string nor list of strings
	ImageTokenMissing      Kind = "image_token_missing"      // an image or a video without a place in the text
	ImageTokenCount        Kind = "image_token_count"        // not one place for each image and video
	VideoWrongType         Kind = "video_wrong_type"         // neither string nor list of strings
	VideoUnsupported       Kind = "video_unsupported"        // the model that trains takes no videos
	ImageTokenInAnswer     Kind = "image_token_in_answer"    // <image> in a turn of the assistant
	ConversationsMissing   Kind = "conversations_missing"    // no turns
	ConversationsWrongType Kind = "conversations_wrong_type" // not a list of objects
	RoleUnknown            Kind = "role_unknown"             // neither human nor gpt, nor system in the first turn
	RolesNotAlternating    Kind = "roles_not_alternating"    // the same role twice in a row
	StartsWithGPT          Kind = "starts_with_gpt"          // LLaVA skips such a turn
	ValueMissing           Kind = "value_missing"            // a turn without value
	ValueWrongType         Kind = "value_wrong_type"         // a value that is no string
	BlankAnswer            Kind = "blank_answer"             // nothing to learn
	BlankQuestion          Kind = "blank_question"           //
	// no turn of the assistant, or none after the last question
	NoAnswer Kind = "no_answer"
)

// What can be wrong with a path, a file or an archive.
const (
	PathEscape       Kind = "path_escape"       // leads out of the image folder
	PathInvalid      Kind = "path_invalid"      // cannot be the name of a file
	FileMissing      Kind = "file_missing"      // no such file, or a link that leads nowhere
	FileEmpty        Kind = "file_empty"        // zero bytes
	FileUnreadable   Kind = "file_unreadable"   // exists, but is a folder, is forbidden or fails to read
	ImageTruncated   Kind = "image_truncated"   // as imaging.Truncated; a warning where only the end mark is lost
	ImageTooLarge    Kind = "image_too_large"   // as imaging.TooLarge
	ArchiveTruncated Kind = "archive_truncated" // the archive ends early
	ArchiveCorrupt   Kind = "archive_corrupt"   // the archive breaks the rules of its format
)

// Error makes a Kind usable as the target of errors.Is.
func (k Kind) Error() string { return string(k) }

// Severity says what a fault does to a training run.
type Severity string

// A record with an Error cannot be trained on as it is; a Warning is worth knowing.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Fault is something wrong in a data set: what Check lists, and the error of every reader here.
type Fault struct {
	File     string
	Kind     Kind
	Severity Severity
	Record   int    // from 0; -1 where it is none's
	ID       string // of the record
	Turn     int    // from 0; -1 where it is none's
	Line     int    // from 1; 0 where there is no place
	Column   int    // from 1, in bytes
	Offset   int64  // from 0, in bytes
	Image    string // path of the image or video as the record has it, or the archive's member
	Note     string // what was found and what to do

	cause error
}

func (f *Fault) Error() string {
	var b strings.Builder
	b.WriteString("data: ")
	if f.File != "" {
		b.WriteString(f.File + ": ")
	}
	if f.Line > 0 {
		fmt.Fprintf(&b, "line %d, column %d: ", f.Line, f.Column)
	}
	if f.Record >= 0 {
		fmt.Fprintf(&b, "record %d", f.Record)
		if f.ID != "" {
			fmt.Fprintf(&b, " (%s)", f.ID)
		}
		if f.Turn >= 0 {
			fmt.Fprintf(&b, ", turn %d", f.Turn)
		}
		b.WriteString(": ")
	}
	if f.Image != "" {
		fmt.Fprintf(&b, "%q: ", f.Image)
	}
	b.WriteString(string(f.Kind))
	if f.Note != "" {
		b.WriteString(": " + f.Note)
	}
	return b.String()
}

// Unwrap returns the cause, if another package found it.
func (f *Fault) Unwrap() error { return f.cause }

// Is reports whether target is this fault's kind.
func (f *Fault) Is(target error) bool { k, ok := target.(Kind); return ok && k == f.Kind }

// NewFault makes a fault of severity [Error] that has no place yet.
func NewFault(k Kind, format string, args ...any) *Fault {
	return &Fault{Kind: k, Severity: Error, Record: -1, Turn: -1, Note: fmt.Sprintf(format, args...)}
}

func (f *Fault) warning() *Fault { f.Severity = Warning; return f }

// AsFault makes any error a fault: a *Fault is copied, imaging's errors keep their kind, others are of kind otherwise.
func AsFault(err error, otherwise Kind) *Fault {
	var f *Fault
	if errors.As(err, &f) {
		c := *f
		return &c
	}
	var e *imaging.Error
	if errors.As(err, &e) {
		return &Fault{Kind: Kind(e.Kind), Severity: Error, Record: -1, Turn: -1, Note: e.Err.Error(), cause: err}
	}
	return &Fault{Kind: otherwise, Severity: Error, Record: -1, Turn: -1, Note: err.Error(), cause: err}
}
