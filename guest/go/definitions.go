// SPDX-License-Identifier: MIT

package hypertrace

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"
)

const (
	noteName    = "hypertrace\x00"
	memoryBytes = 1 << 16
)

var (
	publishing sync.Mutex
	pending    []string // texts that are published when the channel is opened
	notes      []byte   // the part of the mapping that is free
)

// Define passes definitions of events to htrun: a TOML text as for htrun --events. Generated code calls it.
func Define(text string) {
	publishing.Lock()
	defer publishing.Unlock()
	pending = append(pending, text)
	if IsOpen() {
		publish()
	}
}

func publishAll() {
	publishing.Lock()
	defer publishing.Unlock()
	publish()
}

// Without memory, events have no names.
func publish() {
	for _, text := range pending {
		contents := []byte(text)
		for len(contents)%4 != 0 {
			contents = append(contents, 0)
		}
		size := 12 + len(noteName) + 1 + len(contents)
		if len(notes) < size && !makeRoom(size) {
			break
		}
		binary.LittleEndian.PutUint32(notes[4:], uint32(len(contents)))
		binary.LittleEndian.PutUint32(notes[8:], 1)
		copy(notes[12:], noteName)
		copy(notes[12+len(noteName)+1:], contents)
		// htrun may read at any time: the note is there when its name has a size.
		atomic.StoreUint32((*uint32)(unsafe.Pointer(&notes[0])), littleEndian(uint32(len(noteName))))
		notes = notes[size:]
	}
	pending = nil
}

func littleEndian(value uint32) uint32 {
	var bytes [4]byte
	binary.LittleEndian.PutUint32(bytes[:], value)
	return *(*uint32)(unsafe.Pointer(&bytes[0]))
}

// htrun finds the mapping by the name of its file.
func makeRoom(size int) bool {
	if size < memoryBytes {
		size = memoryBytes
	}
	name := []byte("hypertrace-events\x00")
	fd, _, failed := syscall.Syscall(memfdCreate, uintptr(unsafe.Pointer(&name[0])), 1, 0)
	if failed != 0 {
		return false
	}
	defer syscall.Close(int(fd))
	if syscall.Ftruncate(int(fd), int64(size)) != nil {
		return false
	}
	memory, err := syscall.Mmap(int(fd), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err == nil {
		notes = memory
	}
	return err == nil
}
