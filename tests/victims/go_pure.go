// Go without cgo: it does not begin in libc, and its threads are not libc's.
package main

import (
	"fmt"
	"os"
)

//go:noinline
func pureHot(n int) uint64 {
	x := uint64(n)
	for i := 0; i < n; i++ {
		x = x*6364136223846793005 + 1
	}
	return x
}

func main() {
	done := make(chan bool)
	for i := 0; i < 4; i++ {
		go func() { pureHot(50000000); done <- true }()
	}
	for i := 0; i < 4; i++ {
		<-done
	}
	fmt.Println("done", len(os.Environ()) > 0)
}
