//go:build !(amd64 || arm64) || purego

package cpu

func activeAttention() *attentionKernels { return &attentionGeneric }
