// Package data reads LLaVA's data sets and makes batches of them: the json and jsonl files as they lie on disk, by an index of
// their records; mixtures; pictures in folders, zip files and WebDataset shards; [Check], which finds what would spoil a training
// run; the splice of pictures into text; samplers; a [Loader] whose batch n depends on n alone; and a cache of encoder outputs.
//
// Files come from outside: whatever they hold gives a [*Fault] that names file, record, line and column, never a panic, and memory
// is bounded by the largest record and picture.
package data
