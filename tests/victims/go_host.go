// A Go program with cgo: small stacks that are moved, signals on alternate stacks, masks set by system calls, goroutines stopped
// by SIGURG, an end past libc.
//
//	go_host work           goroutines that compute, allocate, recurse and panic; C code that computes and allocates
//	go_host profile FILE   the same under Go's own CPU profiler
package main

/*
#include <stdint.h>
#include <stdlib.h>

static __attribute__((noinline)) uint64_t c_hot(uint64_t n)
{
	uint64_t x = n;

	for (uint64_t i = 0; i < n; i++)
		x = x * 6364136223846793005u + 1;
	return x;
}

static __attribute__((noinline)) void *c_keeps(size_t bytes)
{
	char *block = malloc(bytes);

	block[0] = 1;
	return block;
}
*/
import "C"

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"sync"
	"time"
	"unsafe"
)

var kept [1000]unsafe.Pointer
var sink [][]byte

//go:noinline
func goHot(n int) uint64 {
	x := uint64(n)
	for i := 0; i < n; i++ {
		x = x*6364136223846793005 + 1
	}
	return x
}

// A stack that grows, and is moved, while signals come.
//
//go:noinline
func deep(n int, room [64]byte) int {
	if n == 0 {
		return int(goHot(1000)&1) * int(room[0])
	}
	room[n%64] = 0
	return deep(n-1, room) + 1
}

//go:noinline
func panics() (caught int) {
	defer func() {
		if recover() != nil {
			caught = 1
		}
	}()
	var none *int
	return *none // SIGSEGV
}

func work() (sum int) {
	var all sync.WaitGroup
	var mutex sync.Mutex
	for g := 0; g < 8; g++ {
		all.Add(1)
		go func(g int) {
			defer all.Done()
			mine := 0
			for i := 0; i < 20; i++ {
				goHot(4000000)
				mine += deep(2000, [64]byte{}) + panics()
				C.c_hot(1000000)
				C.free(C.c_keeps(100))
				garbage := make([][]byte, 100)
				for j := range garbage {
					garbage[j] = make([]byte, 1000+j)
				}
				mutex.Lock()
				sink = garbage
				mutex.Unlock()
			}
			mutex.Lock()
			sum += mine
			mutex.Unlock()
		}(g)
	}
	done := make(chan bool)
	go func() { // stops the world, by SIGURG, again and again
		for {
			select {
			case <-done:
				return
			default:
				runtime.GC()
				time.Sleep(time.Millisecond)
			}
		}
	}()
	all.Wait()
	done <- true
	for i := range kept {
		kept[i] = C.c_keeps(64)
	}
	return sum
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "profile" {
		var out bytes.Buffer
		if err := pprof.StartCPUProfile(&out); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		sum := work()
		pprof.StopCPUProfile()
		if err := os.WriteFile(os.Args[2], out.Bytes(), 0o600); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(sum)
		return
	}
	child, err := exec.Command("/bin/sh", "-c", "echo child $LD_PRELOAD").CombinedOutput()
	fmt.Println(work(), string(child), err, os.Getenv("LD_PRELOAD"))
}
