// Package data reads LLaVA's data sets: the json and jsonl files as they are on disk, through an index of their
// records; mixtures; images in folders, zip files and WebDataset shards; [Check], which finds what would spoil a
// training run; samplers; a [Loader] whose batch n depends on n alone; and a cache of encoder outputs. What a sample
// becomes for a model is package connector's: see its Assistant.Batches.
//
// Files come from outside: whatever they hold gives a [*Fault] that names file, record, line and column, never a panic,
// and memory is bounded by the largest record and image.
package data
