// As span.c, in Go. The time is wall time. The best block was not interrupted, so its wall time is its processor time.
package main

import (
	"fmt"
	"hypertrace"
	"os"
	"strconv"
	"time"
)

var work = hypertrace.SpanKind{Begin: 1, End: 2}

func one(i int) {
	defer work.Start(uint64(i)).End()
}

func main() {
	hypertrace.Open("")
	blocks, _ := strconv.Atoi(os.Args[1])
	spans, _ := strconv.Atoi(os.Args[2])
	best := 1e9
	for block := 0; block < blocks; block++ {
		begin := time.Now()
		for i := 0; i < spans; i++ {
			one(i)
		}
		if each := float64(time.Since(begin).Nanoseconds()) / float64(spans); each < best {
			best = each
		}
	}
	fmt.Printf("%.2f\n", best)
}
