// Package score computes the official scores of vision-language benchmarks from question files and answer files. It
// knows no model.
//
// Each benchmark has a file of its own. [Find] returns a [Benchmark], whose Score reads the files of a [Files] and
// gives a [Report]: the numbers that are right, beside them those of the official program where they differ (bug for
// bug, with the reason), and what was wrong with the answers. Answers are matched to questions by their id, never by
// position; a question without an answer counts as wrong and is reported.
//
// Files are read as streams: besides an index of ids and one score for each question, memory holds one record at a
// time.
package score
