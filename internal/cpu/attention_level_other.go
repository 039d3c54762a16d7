//go:build !amd64 || purego

package cpu

func activeAttention() *attentionKernels { return &attentionGeneric }
