package shapes

import (
	"slices"
	"strings"
)

// The texts of this world are lower-case words with a space between any two, punctuation included. A sign is spelled in
// capital letters and digits, each a word of its own; numbers of things are words.

var (
	rowNames    = map[int][]string{2: {"top", "bottom"}, 3: {"top", "middle", "bottom"}}
	colNames    = map[int][]string{2: {"left", "right"}, 3: {"left", "center", "right"}}
	numberNames = []string{"zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"}
)

// BriefPrompts are LLaVA's eleven ways to ask for a brief description (Liu et al. 2023, table 11).
func BriefPrompts() []string { return slices.Clone(briefPrompts) }

// DetailPrompts are ways to ask for a detailed description, two of LLaVA's sixteen (table 12).
func DetailPrompts() []string { return slices.Clone(detailPrompts) }

var (
	briefPrompts = []string{
		"describe the image concisely .",
		"provide a brief description of the given image .",
		"offer a succinct explanation of the picture presented .",
		"summarize the visual content of the image .",
		"give a short and clear explanation of the subsequent image .",
		"share a concise interpretation of the image provided .",
		"present a compact description of the photo's key features .",
		"relay a brief , clear account of the picture shown .",
		"render a clear and concise summary of the photo .",
		"write a terse but informative summary of the picture .",
		"create a compact narrative representing the image presented .",
	}
	detailPrompts = []string{
		"describe the following image in detail .",
		"provide a detailed description of the given image .",
	}
	readPrompts = []string{"what does the sign say ?", "read the sign ."}
)

// otherWords are the words of captions, questions and answers that no list above has.
const otherWords = `a an the is are there and at it so that of left above what where how many shape shapes object color nothing
	yes no or sign says say does read i would walk from to go up down ? . : ; ,`

// Vocabulary is every word that the texts of any world can have, in alphabetical order; for a tokenizer with a token
// per word.
func Vocabulary() []string {
	var all []string
	for _, list := range [][]string{colorNames, shapeNames, sizeNames, rowNames[2], rowNames[3], colNames[2],
		colNames[3], numberNames} {
		all = append(all, list...)
	}
	for _, text := range slices.Concat(briefPrompts, detailPrompts, readPrompts, []string{widgetQuestion, otherWords}) {
		all = append(all, strings.Fields(text)...)
	}
	for c := 'A'; c <= 'Z'; c++ {
		all = append(all, string(c))
	}
	for c := '0'; c <= '9'; c++ {
		all = append(all, string(c))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Place is a cell in words, such as "top left".
func (w *World) Place(c Cell) string { return rowNames[w.Grid][c.Row] + " " + colNames[w.Grid][c.Col] }

// Places are all cells in words, in reading order.
func (w *World) Places() []string {
	var all []string
	for row := range w.Grid {
		for col := range w.Grid {
			all = append(all, w.Place(Cell{row, col}))
		}
	}
	return all
}

// spelled is a sign's text in words: "cat" becomes "C A T".
func spelled(text string) string { return strings.Join(strings.Split(strings.ToUpper(text), ""), " ") }

// withArticle puts "a" or "an" in front.
func withArticle(noun string) string {
	if strings.HasPrefix(noun, "o") { // orange
		return "an " + noun
	}
	return "a " + noun
}
