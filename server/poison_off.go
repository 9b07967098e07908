//go:build !poison

package server

const poison = false
