//go:build linux || darwin

package mpi

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestNoneInstalled: where there is no library, the error names the packages that bring one.
func TestNoneInstalled(t *testing.T) {
	_, err := find([]string{"libnothing.so.1", "libnone.so.2"})
	require.ErrorContains(t, err, "no MPI library is installed (looked for libnothing.so.1, libnone.so.2)")
	require.ErrorContains(t, err, "apt-get install openmpi-bin` or `apt-get install mpich`")
}

// TestNotMPI: a library of something else is named, with what it lacks.
func TestNotMPI(t *testing.T) {
	_, err := open("libm.so.6")
	if err == nil {
		t.Fatal("libm is an MPI library")
	}
	if _, missing := open("libnothing.so.1"); err.Error() == missing.Error() {
		t.Skip("there is no libm.so.6 here")
	}
	require.ErrorContains(t, err, "libm.so.6: it has no MPI_")
}

// TestWorldOfOne: whatever launcher started more processes than the library joined is named, with the way out; a world
// of the launcher's size, or one that mpirun made smaller than its allocation, is none of these.
func TestWorldOfOne(t *testing.T) {
	for _, s := range sizes {
		env := func(value string) func(string) string {
			return func(name string) string {
				if name == s.variable {
					return value
				}
				return ""
			}
		}
		err := fits(1, "libmpich.so.12 (MPICH)", env("4"))
		require.ErrorContains(t, err,
			s.variable+"=4: "+s.launcher+" started 4 processes, but libmpich.so.12 (MPICH) joined 1")
		require.ErrorContains(t, err, "to run alone, unset "+s.variable)
		require.NoError(t, fits(4, "", env("4")))
		require.NoError(t, fits(2, "", env("4")))
		require.NoError(t, fits(1, "", env("")))
		n, variable := Launched(env("4"))
		require.Equal(t, 4, n)
		require.Equal(t, s.variable, variable)
	}
}
