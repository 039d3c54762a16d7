//go:build race

package tensor_test

// raced says whether the race detector watches.
const raced = true
