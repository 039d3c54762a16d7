package train

import (
	"fmt"
	"strconv"
)

// Alone returns an error if a launcher started this process as one of several, by what the environment says: a program
// that was built without MPI would train the same model several times, into the same folder. SLURM_NTASKS is not among
// its signs: a batch script's own commands see it too.
func Alone(getenv func(string) string) error {
	for _, v := range []string{"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_SIZE", "SLURM_STEP_NUM_TASKS", "WORLD_SIZE"} {
		if n, err := strconv.Atoi(getenv(v)); err == nil && n > 1 {
			return fmt.Errorf("a launcher started %d processes (%s=%d), but this program was built without MPI: build "+
				"it with -tags mpi", n, v, n)
		}
	}
	return nil
}
