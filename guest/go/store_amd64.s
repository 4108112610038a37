// SPDX-License-Identifier: MIT

#include "textflag.h"

// func store(control *uint32, index uint32)
// atomic.StoreUint32 is an exchange on this processor, which also reads, and the control region must not be read. A
// store with a displacement of 32 bits is long enough for htrun to replace it by a jump.
TEXT ·store(SB), NOSPLIT, $0-12
	MOVQ control+0(FP), AX
	MOVL index+8(FP), CX
	SUBQ $128, AX
	MOVL CX, 128(AX)
	RET
