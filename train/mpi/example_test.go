//go:build linux || darwin

package mpi_test

import (
	"context"
	"fmt"

	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/train/llava"
	"github.com/gollava/gollava/train/mpi"
)

// A program that a launcher starts several times, such as mpirun -n 4.
func Example() {
	finetune := func(ctx context.Context, config llava.Config) error {
		comm, err := mpi.Open("")
		if err != nil {
			return err
		}
		defer comm.Close()
		report, err := llava.Train(ctx, config, train.Options{Resume: true, Signals: true, Comm: comm})
		if err == nil && comm.Rank() == 0 {
			fmt.Println(report.Stages[0].Steps, "steps")
		}
		return err
	}
	_ = finetune
}
