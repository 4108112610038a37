// SPDX-License-Identifier: MIT

package hypertrace

//go:noescape
func store(control *uint32, index uint32)
