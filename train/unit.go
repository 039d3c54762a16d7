package train

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/gollava/gollava/tensor"
)

// CommonUnit makes all ranks of c compute with the same unit, the fastest that each of them has, so that the result
// does not depend on which rank computes what. All ranks call it at the start of the program, before anything is
// computed. It returns the unit, and which ranks could do better, "" if none. See [tensor.UseUnit].
func CommonUnit(c Comm) (unit, slowed string, err error) {
	if c == nil {
		return tensor.Unit(), "", nil
	}
	type able struct {
		Host  string
		Units []string
	}
	host, _ := os.Hostname()
	all, err := share(c, able{host, tensor.Units()})
	if err != nil {
		return "", "", fmt.Errorf("asking the ranks for their units: %w", err)
	}
	i := slices.IndexFunc(all[0].Units, func(u string) bool {
		return !slices.ContainsFunc(all, func(a able) bool { return !slices.Contains(a.Units, u) })
	})
	if i < 0 {
		said := ""
		for rank, a := range all {
			said += fmt.Sprintf("; rank %d on %s: %s", rank, a.Host, strings.Join(a.Units, ", "))
		}
		return "", "", fmt.Errorf("the ranks have no unit in common%s", said)
	}
	unit = all[0].Units[i]
	for rank, a := range all {
		if a.Units[0] != unit {
			slowed += fmt.Sprintf(", rank %d on %s has %s", rank, a.Host, a.Units[0])
		}
	}
	return unit, strings.TrimPrefix(slowed, ", "), tensor.UseUnit(unit)
}
