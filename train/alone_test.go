package train_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/train"
)

// TestAlone: a program without MPI refuses to be one of several, and runs in an allocation of several tasks.
func TestAlone(t *testing.T) {
	for _, c := range []struct {
		variable, value string
		several         bool
	}{
		{"OMPI_COMM_WORLD_SIZE", "2", true}, {"PMI_SIZE", "4", true}, {"PMIX_SIZE", "3", true},
		{"SLURM_STEP_NUM_TASKS", "8", true}, {"WORLD_SIZE", "2", true}, {"WORLD_SIZE", "1", false},
		{"PMI_SIZE", "", false}, {"SLURM_NTASKS", "8", false},
	} {
		err := train.Alone(func(name string) string {
			if name == c.variable {
				return c.value
			}
			return ""
		})
		if c.several {
			require.ErrorContains(t, err, c.variable+"="+c.value+"), but this program was built without MPI")
		} else {
			require.NoError(t, err, c.variable)
		}
	}
}
