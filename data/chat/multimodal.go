package chat

import (
	"strings"
	"unicode"
)

// How pictures are written in text.
const (
	ImageToken       = "<image>"
	VideoToken       = "<video>" // where a video goes, which may be an ImageToken too
	ImageStart       = "<im_start>"
	ImageEnd         = "<im_end>"
	ImagePatch       = "<im_patch>"
	ImagePlaceholder = "<image-placeholder>"

	taggedImage = "<Image>" + ImageToken + "</Image>"
)

// ImageIndex stands in a list of token ids where an image goes (LLaVA's IMAGE_TOKEN_INDEX).
const ImageIndex int32 = -200

// Multimodal moves the pictures of every turn to its front, as the reference does with a sample that has an
// image: all <image> of a turn become one, followed by a newline, or the template's tags; a template with
// Several moves only a picture that is alone in its turn. marks puts <im_start> and <im_end> around each.
// The given turns are not changed.
func (t Template) Multimodal(turns []Turn, marks bool) []Turn {
	out := make([]Turn, len(turns))
	for i, m := range turns {
		if n := strings.Count(m.Value, ImageToken); n > 0 && !(t.Several &&
			(n > 1 || strings.HasPrefix(m.Value, ImageToken))) {
			m.Value = trimSpace(ImageToken + "\n" + trimSpace(strings.ReplaceAll(m.Value, ImageToken, "")))
			if t.Tagged {
				m.Value = strings.ReplaceAll(m.Value, ImageToken, taggedImage)
			}
		}
		if marks {
			m.Value = strings.ReplaceAll(m.Value, ImageToken, ImageStart+ImageToken+ImageEnd)
		}
		out[i] = m
	}
	return out
}

// Question puts a picture before a question, or in the place of its <image-placeholder>s, as LLaVA's command
// line does. marks puts <im_start> and <im_end> around it.
func Question(text string, marks bool) string {
	image := ImageToken
	if marks {
		image = ImageStart + ImageToken + ImageEnd
	}
	if strings.Contains(text, ImagePlaceholder) {
		return strings.ReplaceAll(text, ImagePlaceholder, image)
	}
	return image + "\n" + text
}

// trimSpace is Python's strip, which also takes the four separators U+001C to U+001F.
func trimSpace(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return unicode.IsSpace(r) || 0x1c <= r && r <= 0x1f })
}
