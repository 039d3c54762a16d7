package ggufcase

import "fmt"

func buildVision(path string) error { return fmt.Errorf("%s: not yet", path) }
