// Package chat turns conversations into text, token ids and training labels.
//
// A [Template] renders turns to [Span]s, and a token trains iff it holds a byte of a supervised span: what a
// finished answer adds to the open one, such as " Two dogs.</s>". No token is counted twice and no length of one text
// is used for another, so labels are right for every tokenizer.
package chat
