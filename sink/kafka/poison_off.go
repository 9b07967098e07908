//go:build !poison

package kafka

func poison([]byte) {}
