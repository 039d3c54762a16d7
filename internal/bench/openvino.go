package main

import (
	"errors"
	"os/exec"

	"github.com/gollava/gollava/tensor"
)

// openvinoModes are the precisions that OpenVINO is told to compute in: its names as a rival.
var openvinoModes = []string{"openvino", "openvino-bf16"}

// openvino starts OpenVINO on so many threads.
func openvino(precision string) func(dir string, threads int) (*exec.Cmd, error) {
	return func(dir string, threads int) (*exec.Cmd, error) {
		if precision == "bf16" && !tensor.FastBFloat16() {
			return nil, errors.New("this processor has no products of bfloat16, and OpenVINO computes in float32 then")
		}
		return python(dir, "openvino", threads, precision), nil
	}
}
