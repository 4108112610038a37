// SPDX-License-Identifier: MIT

//go:build !amd64

package hypertrace

import "sync/atomic"

// On these processors an atomic store is a store.
func store(control *uint32, index uint32) {
	atomic.StoreUint32(control, index)
}
