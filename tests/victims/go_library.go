// A Go library for C programs (-buildmode=c-shared).
package main

import "C"

import (
	"runtime"
	"strings"
)

//go:noinline
func libraryHot(n int) uint64 {
	x := uint64(n)
	for i := 0; i < n; i++ {
		x = x*6364136223846793005 + 1
	}
	return x
}

//export LibraryWork
func LibraryWork(n int32) int32 {
	done := make(chan int)
	for g := 0; g < 4; g++ {
		go func() {
			libraryHot(int(n) * 1000)
			done <- len(strings.Repeat("x", 1000))
		}()
	}
	sum := 0
	for g := 0; g < 4; g++ {
		sum += <-done
	}
	runtime.GC()
	return int32(sum)
}

func main() {}
