package generate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Scene is what is known of one picture.
type Scene struct {
	ID       int64    // of the picture; 0 is an id like others
	Image    string   // file name under the image folder
	Width    float64  // in pixels
	Height   float64  // in pixels
	Captions []string // in the order of their annotations
	Boxes    []Box    // in the order of their annotations
	At       string   // file and record, for messages
	Missing  bool     // there is no such file in the image folder
}

// Box is an object in a picture.
type Box struct {
	Name string
	BBox [4]float64 // x, y, width, height in pixels, from the top left
}

// Lines are the captions as the teacher gets them: white space collapsed, blank and repeated ones (in capitals or
// not) left out.
func (s *Scene) Lines() []string {
	var out []string
	seen := map[string]bool{}
	for _, c := range s.Captions {
		c = strings.Join(strings.Fields(c), " ")
		if low := strings.ToLower(c); c != "" && !seen[low] {
			seen[low] = true
			out = append(out, c)
		}
	}
	return out
}

// BoxLines are the boxes as the teacher gets them, "name: [left, top, right, bottom]" in shares of width and height;
// those with nothing inside the picture are left out.
func (s *Scene) BoxLines() []string {
	var out []string
	for _, b := range s.Boxes {
		if r, ok := s.Inside(b); ok {
			out = append(
				out,
				fmt.Sprintf("%s: [%s, %s, %s, %s]", b.Name, decimal(r[0]), decimal(r[1]), decimal(r[2]), decimal(r[3])),
			)
		}
	}
	return out
}

// Inside is the part of a box within the picture as left, top, right, bottom in shares of its width and height. It is
// not ok if nothing is left.
func (s *Scene) Inside(b Box) (r [4]float64, ok bool) {
	x0, y0 := max(0, b.BBox[0]), max(0, b.BBox[1])
	x1, y1 := min(s.Width, b.BBox[0]+b.BBox[2]), min(s.Height, b.BBox[1]+b.BBox[3])
	if !(x1 > x0 && y1 > y0) {
		return r, false
	}
	return [4]float64{x0 / s.Width, y0 / s.Height, x1 / s.Width, y1 / s.Height}, true
}

// decimal writes a share as Python's repr of round(v, 3) does.
func decimal(v float64) string {
	v = min(1, max(0, v))
	s := strings.TrimRight(strconv.FormatFloat(v, 'f', 3, 64), "0")
	if strings.HasSuffix(s, ".") {
		s += "0"
	}
	return s
}

// Kind is what is to be written.
type Kind string

// The kinds, in the order in which a picture is asked about.
const (
	Conversation Kind = "conversation" // questions and answers in turn, from captions alone
	Detail       Kind = "detail"       // a description, from captions and boxes
	Reasoning    Kind = "reasoning"    // one question and a reasoned answer, from captions and boxes
)

// Kinds are all kinds.
func Kinds() []Kind { return []Kind{Conversation, Detail, Reasoning} }

// Context is what a teacher is shown of a scene: captions, and but for conversations an empty line and boxes. It is
// not ok where there is nothing to write from: no captions, or no boxes where they are needed.
func (s *Scene) Context(k Kind) (string, bool) {
	lines := s.Lines()
	if len(lines) == 0 {
		return "", false
	}
	text := strings.Join(lines, "\n")
	if k == Conversation {
		return text, true
	}
	boxes := s.BoxLines()
	if len(boxes) == 0 {
		return "", false
	}
	return text + "\n\n" + strings.Join(boxes, "\n"), true
}

// FaultKind is what is wrong with a picture's annotations or with an answer.
type FaultKind string

// What can be wrong with annotations. Each is counted; the first few are kept with file and record.
const (
	BoxOutside      FaultKind = "box outside"      // a box with nothing inside its picture, or without area: dropped
	BoxCut          FaultKind = "box cut"          // a box that leads out of its picture: cut
	BoxBroken       FaultKind = "box broken"       // a box that is no four numbers: dropped
	CrowdRegion     FaultKind = "crowd region"     // a region of many things: dropped
	CategoryUnknown FaultKind = "category unknown" // an annotation of a category that the file does not have: dropped
	// a caption or a box of a picture that the file does not have: dropped
	ImageUnknown    FaultKind = "image unknown"
	ImageTwice      FaultKind = "image twice"      // two pictures of one id: the first counts
	AnnotationTwice FaultKind = "annotation twice" // two annotations of one id: the first counts
	CaptionBlank    FaultKind = "caption blank"    // dropped
	CaptionTwice    FaultKind = "caption twice"    // the same words again about one picture: dropped
	NoCaptions      FaultKind = "no captions"      // nothing is asked about the picture
	NoBoxes         FaultKind = "no boxes"         // only conversations are asked about the picture
	FileMissing     FaultKind = "file missing"     // nothing is asked about the picture
	SizeBroken      FaultKind = "size broken"      // a picture without width and height above 0: its boxes are dropped
)

// SourceFault is one fault of annotations.
type SourceFault struct {
	Kind  FaultKind `json:"kind"`
	At    string    `json:"at"`    // file and line
	Image int64     `json:"image"` // its id, where it is known
	Note  string    `json:"note,omitempty"`
}

// SourceFaults counts faults by kind and keeps the first few of each.
type SourceFaults struct {
	Counts map[FaultKind]int `json:"counts"`
	First  []SourceFault     `json:"first"`
}

func (f *SourceFaults) add(k FaultKind, at string, image int64, note string) {
	if f.Counts == nil {
		f.Counts = map[FaultKind]int{}
	}
	if f.Counts[k]++; f.Counts[k] <= 5 {
		f.First = append(f.First, SourceFault{k, at, image, note})
	}
}

// names are the object names of a scene, each once.
func (s *Scene) names() []string {
	var out []string
	for _, b := range s.Boxes {
		if _, ok := s.Inside(b); ok && !slices.Contains(out, b.Name) {
			out = append(out, b.Name)
		}
	}
	return out
}
