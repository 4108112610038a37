// Package hypertrace emits events through a hypertrace channel, for htrun to record. It is pure Go: no cgo.
//
//	var work = hypertrace.SpanKind{Begin: 1, End: 2}
//
//	func main() {
//		hypertrace.Open("")             // without htrun it fails, and events do nothing
//		defer work.Start(4096).End()
//	}
//
// Each event needs an index of the channel that no other goroutine uses at the same time. A pool has one for each
// processor, more or less, so any number of goroutines may emit. A goroutine may change its thread between two events:
// give the events of a span a key, which pairs them.
//
// SPDX-License-Identifier: MIT
package hypertrace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"
)

const (
	headerBytes = 64
	ofdSetLock  = 37 // F_OFD_SETLK
	mostArgs    = 64
)

// Errors of Open.
var (
	ErrNoChannel = errors.New("hypertrace: there is no channel")
	ErrProtocol  = errors.New("hypertrace: not a hypertrace channel of version 1")
)

type channel struct {
	memory  []byte
	control *uint32
	data    uintptr // offset in memory
	stride  uintptr
	args    int
	fd      int
}

// A slot that one event at a time uses.
type slot struct {
	words *[mostArgs]uint64
	index uint32
}

var (
	current  unsafe.Pointer // *channel
	opening  sync.Mutex
	claiming sync.Mutex
	next     int64 // indexes above it were claimed, or are of others
	free     []*slot
	slots    = sync.Pool{New: claimForPool}
)

// IsOpen returns whether a channel is open.
func IsOpen() bool {
	return atomic.LoadPointer(&current) != nil
}

// Open opens the channel at path, as htrun's --hypertrace; "" stands for the path that htrun sets in the environment.
// Further calls do nothing. Programs may ignore the error.
func Open(path string) error {
	opening.Lock()
	defer opening.Unlock()
	if IsOpen() {
		return nil
	}
	if path == "" {
		path = os.Getenv("HYPERTRACE")
	}
	if path == "" {
		return ErrNoChannel
	}
	opened, err := load(path)
	if err != nil {
		return fmt.Errorf("hypertrace: %s: %w", path, err)
	}
	atomic.StorePointer(&current, unsafe.Pointer(opened))
	publishAll()
	return nil
}

func load(path string) (*channel, error) {
	fd, err := syscall.Open(path, syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	header := make([]byte, headerBytes)
	if count, err := syscall.Pread(fd, header, 0); err != nil || count != headerBytes {
		syscall.Close(fd)
		return nil, ErrProtocol
	}
	if string(header[:8]) != "HYPRTRC1" || binary.LittleEndian.Uint32(header[8:]) != 1 {
		syscall.Close(fd)
		return nil, ErrProtocol
	}
	size := binary.LittleEndian.Uint64(header[0x38:])
	memory, err := syscall.Mmap(fd, 0, int(size), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		syscall.Close(fd)
		return nil, err
	}
	atomic.StoreInt64(&next, int64(binary.LittleEndian.Uint64(header[0x10:])))
	return &channel{
		memory:  memory,
		control: (*uint32)(unsafe.Pointer(&memory[binary.LittleEndian.Uint64(header[0x18:])])),
		data:    uintptr(binary.LittleEndian.Uint64(header[0x28:])),
		stride:  uintptr(binary.LittleEndian.Uint64(header[0x30:])),
		args:    int(binary.LittleEndian.Uint32(header[0x0c:])),
		fd:      fd,
	}, nil
}

// A slot for the pool. The pool may drop it; then the index is free for the next one.
func claimForPool() any {
	claiming.Lock()
	defer claiming.Unlock()
	if count := len(free); count > 0 {
		last := free[count-1]
		free = free[:count-1]
		return last
	}
	claimed := claim((*channel)(atomic.LoadPointer(&current)))
	if claimed != nil {
		runtime.SetFinalizer(claimed, release)
	}
	return claimed
}

func release(dropped *slot) {
	claiming.Lock()
	defer claiming.Unlock()
	runtime.SetFinalizer(dropped, release)
	free = append(free, dropped)
}

// The highest free index, held by a lock on that byte of the channel's file until the process exits, as the library in
// C does. Nil if all are taken.
func claim(opened *channel) *slot {
	for index := atomic.AddInt64(&next, -1); index >= 0; index = atomic.AddInt64(&next, -1) {
		lock := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: 0, Start: index, Len: 1}
		if syscall.FcntlFlock(uintptr(opened.fd), ofdSetLock, &lock) == nil {
			words := unsafe.Pointer(&opened.memory[opened.data+uintptr(index)*opened.stride])
			return &slot{words: (*[mostArgs]uint64)(words), index: uint32(index)}
		}
	}
	return nil
}

// Emit emits an event of the kind id, if a channel is open. The channel must have room for the arguments.
func Emit(id uint64, args ...uint64) {
	opened := (*channel)(atomic.LoadPointer(&current))
	if opened != nil {
		opened.emit(id, args)
	}
}

func (opened *channel) emit(id uint64, args []uint64) {
	own, _ := slots.Get().(*slot)
	if own == nil {
		// Every index is taken: the event has index 2^32 - 1, about which htrun warns.
		store(opened.control, ^uint32(0))
		return
	}
	own.words[0] = id
	if len(args) >= opened.args {
		args = args[:opened.args-1]
	}
	for place, word := range args {
		own.words[1+place] = word
	}
	store(opened.control, own.index)
	slots.Put(own)
}

// SpanKind has the ids of the events that begin and end a span.
type SpanKind struct {
	Begin, End uint64
}

// Span is a span that has begun.
type Span struct {
	end  uint64
	args [1]uint64
	open bool
}

// Start begins a span. Its first argument, key, is also the first argument of the end event.
func (kind SpanKind) Start(key uint64, args ...uint64) Span {
	// So short that it is part of its caller: without a channel that costs less than a call.
	if atomic.LoadPointer(&current) == nil {
		return Span{}
	}
	return kind.start(key, args)
}

func (kind SpanKind) start(key uint64, args []uint64) Span {
	Emit(kind.Begin, append([]uint64{key}, args...)...)
	return Span{kind.End, [1]uint64{key}, true}
}

// End ends the span.
func (span Span) End() {
	if span.open {
		span.finish()
	}
}

func (span Span) finish() {
	Emit(span.end, span.args[:]...)
}

// Bool is the word of a bool.
func Bool(value bool) uint64 {
	if value {
		return 1
	}
	return 0
}
