// Package mpi joins the ranks of a training run by MPI: a program that a launcher such as mpirun or srun starts
// several times passes what [Open] returns to train.Options.Comm.
//
//	comm, err := mpi.Open("")
//	if err != nil {
//		log.Fatal(err)
//	}
//	report, err := train.Run(ctx, model, train.Options{Dir: "run", Resume: true, Comm: comm, ZeRO1: true}, stages...)
//	if err != nil {
//		log.Fatal(err) // the launcher ends the other ranks
//	}
//	comm.Close()
//	mpi.Exit(0) // not a return from main: see there
//
// The library is found when the program runs: Open MPI 4 or 5, MPICH 4 and what shares its binary interface (Intel
// MPI, Cray MPICH, MVAPICH), or one with the standard interface of MPI 5. Nothing of MPI is needed to build, and cgo
// is not used; but a program that imports this package is linked dynamically against the C library.
//
// Calls of MPI are made one at a time, at the level MPI_THREAD_SERIALIZED. Transfers advance whenever another one is
// begun or waited for, and every millisecond.
package mpi
