// program: the events that the test expects. program THREADS COUNT: emits COUNT spans and counters in each of THREADS
// threads.
package main

import (
	"os"
	"strconv"
	"sync"

	"hypertrace"
	"program/trace"
)

func emit(number, count uint64) {
	for i := uint64(0); i < count/2; i++ {
		job := trace.StartJob(number<<32|i, 0.5, true)
		job.Result = int64(i)
		job.End()
	}
}

func work() {
	job := trace.StartJob(7, 0.25, true)
	defer job.End()
	trace.QueueDepth(-3)
	job.Result = -1
}

func main() {
	err := hypertrace.Open("")
	if len(os.Args) > 2 {
		threads, _ := strconv.ParseUint(os.Args[1], 10, 32)
		count, _ := strconv.ParseUint(os.Args[2], 10, 32)
		var group sync.WaitGroup
		for number := uint64(0); number < threads; number++ {
			group.Add(1)
			go func(number uint64) {
				defer group.Done()
				emit(number, count)
			}(number)
		}
		group.Wait()
		return
	}
	trace.Request(4096, 0x10, trace.RequestKindWRITE)
	work()
	trace.Done()
	if err != nil {
		os.Exit(3)
	}
}
