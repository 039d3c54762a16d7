package mpi

import (
	"fmt"
	"strconv"
)

// sizes are the variables in which launchers tell processes how many they are.
var sizes = []struct{ variable, launcher string }{
	{"OMPI_COMM_WORLD_SIZE", "Open MPI's mpirun"},
	{"PMI_SIZE", "MPICH's mpiexec, or srun --mpi=pmi2"},
	{"PMIX_SIZE", "a PMIx launcher"},
	{"SLURM_STEP_NUM_TASKS", "srun"},
	{"SLURM_NTASKS", "Slurm"},
	{"WORLD_SIZE", "Kubeflow or torchrun"},
}

// Launched returns how many processes the launcher of this one says that it started, and the variable that says so; 1
// and "" if none does.
func Launched(getenv func(string) string) (n int, variable string) {
	for _, s := range sizes {
		if n, err := strconv.Atoi(getenv(s.variable)); err == nil && n > 1 {
			return n, s.variable
		}
	}
	return 1, ""
}

// fits returns an error if the library joined another number of processes than the launcher started: a library of one
// family does not understand the launcher of another, and makes each process a world of its own without an error.
func fits(size int, library string, getenv func(string) string) error {
	for _, s := range sizes {
		n, err := strconv.Atoi(getenv(s.variable))
		if err != nil || n == size {
			continue
		}
		if size > 1 {
			return nil // the allocation may be larger than what mpirun was told to start
		}
		return fmt.Errorf("mpi: %s=%d: %s started %d processes, but %s joined %d: launcher and library are of "+
			"different families; start with the mpirun or mpiexec of the same package (mpirun.openmpi, mpirun.mpich), "+
			"or with srun --mpi=pmix (Open MPI) or --mpi=pmi2 (MPICH); to run alone, unset %s",
			s.variable, n, s.launcher, n, library, size, s.variable)
	}
	return nil
}
