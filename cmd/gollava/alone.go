//go:build !mpi || !(linux || darwin)

package main

import (
	"fmt"
	"os"
	"strconv"

	"github.com/gollava/gollava/train"
)

// join refuses to be one of several processes: each would train the same model by itself, into the same folder.
func join() (comm train.Comm, leave func(), err error) {
	for _, v := range []string{"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"} {
		if n, err := strconv.Atoi(os.Getenv(v)); err == nil && n > 1 {
			return nil, nil, fmt.Errorf("a launcher started %d processes (%s), but this gollava was built without MPI: build it with "+
				"`go install -tags mpi github.com/gollava/gollava/cmd/gollava`", n, v)
		}
	}
	return nil, func() {}, nil
}
