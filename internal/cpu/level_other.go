//go:build !amd64 || purego

package cpu

func supported() level { return generic }
