// Package eval judges answers about scenes of the shapes world. It knows no model: it makes sets of questions and takes
// what was answered as strings.
//
// A [Set] holds the questions of one family about one split. [Exact], [POPE], [Captions], [Reasoning] and [Twins.Both]
// score the answers; [Prior] is what a guesser reaches who never looks, and [Mean] the weighted mean over families that
// sums up a model.
package eval
