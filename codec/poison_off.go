//go:build !poison

package codec

func poison(*Batch) {}
