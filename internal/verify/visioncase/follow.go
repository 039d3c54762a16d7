package visioncase

import (
	"fmt"
	"maps"
	"slices"

	"github.com/gollava/gollava/connector"
	"github.com/gollava/gollava/internal/verify/traincase"
)

// follow trains the checkpoint as the recorded runs were.
func (k *check) follow(batches []connector.Batch) error {
	if len(batches) == 0 {
		return fmt.Errorf("%s: there are runs, but no batches", k.e.Path())
	}
	for _, name := range slices.Sorted(maps.Keys(k.Runs)) {
		m, err := k.load()
		if err != nil {
			return err
		}
		rows, err := traincase.Follow(k.e, name, k.Runs[name], m, batches, canonical, k.Tolerance)
		if err != nil {
			return err
		}
		for _, r := range rows {
			k.add(r)
		}
	}
	return nil
}
