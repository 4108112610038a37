# The machine code of htrun.hosts.x86_64.fastpath.trap_wait: `tools/assemble` turns this file into trap_wait_code.py.
#
# It is called with a Block. It resumes the thread of the last trap, waits for any tracee, and reads the facts of a
# SIGSEGV stop. If the trap is known (known_traps.py), it writes the record, resumes the thread, and waits again. It
# also resumes threads at signals and at changes of a signal mask that need no inspection: these only make all known
# traps invalid. For every other stop it returns to the caller.

	.include "linux.inc"
	.include "next_stop.inc"
	.include "request.inc"
	.include "trap_wait_shared.inc"

# %r12: the entry for the tracee that was found last. Jumps to `unknown` if the tracee's id is too large for an entry.
	.macro find_thread unknown
	mov FOUND(%rbx), %r12
	cmp MOST_THREADS(%r15), %r12
	jae \unknown
	shl $THREAD_SHIFT, %r12
	add THREADS(%r15), %r12
	.endm

	push %rbx
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rdi, %rbx
	mov KNOWN(%rbx), %r15
	movb $0, COMPLETE(%rbx)
	mov TID(%rbx), %rsi
	test %rsi, %rsi
	jz wait
	mov SET_REGISTERS(%rbx), %r10
	test %r10, %r10
	jz resume
	mov $SYS_ptrace, %eax
	mov $PTRACE_SETREGS, %edi
	xor %edx, %edx
	syscall
resume:
	mov $SYS_ptrace, %eax
	mov REQUEST(%rbx), %rdi
	mov TID(%rbx), %rsi
	xor %edx, %edx
	mov SIGNAL(%rbx), %r10
	syscall
wait:
	next_stop $(TRACEES | WNOWAIT | WEXITED | WSTOPPED), wait, done
	cmp $SIGSEGV, %ecx
	jne other
	request PTRACE_GETSIGINFO
	xor %edx, %edx
	mov SIGINFO(%rbx), %r10
	syscall
	test %rax, %rax
	jnz done
	request PTRACE_GETREGS
	mov REGISTERS(%rbx), %r10
	syscall
	test %rax, %rax
	jnz done
	movb $1, COMPLETE(%rbx)

	# The trap is known only if Python has learned the thread and the site since the last stop that it has handled.
	find_thread done
	mov GENERATION(%r15), %rcx
	mov SIGINFO(%rbx), %rax
	cmpl $SEGV_MAPERR, si_code(%rax)
	je fault
	cmp %rcx, THREAD_GENERATION(%r12)
	jne done
	mov REGISTERS(%rbx), %r8
	testl $TRAP_FLAG, user_eflags(%r8)
	jnz done			# a debugger's single step must end after this store
	mov user_rip(%r8), %rdx
	imul $SITE_MULTIPLIER - 0x100000000, %edx, %eax
	shr $(32 - SITE_INDEX_BITS), %eax
	shl $SITE_SHIFT, %eax
	mov SITES(%r15), %r13
	add %rax, %r13
	cmp %rdx, SITE_ADDRESS(%r13)
	jne done
	cmp %rcx, SITE_GENERATION(%r13)
	jne done
	mov THREAD_SPACE(%r12), %rax
	cmp %rax, SITE_SPACE(%r13)
	jne done
	mov SIGINFO(%rbx), %rax
	cmpl $SEGV_ACCERR, si_code(%rax)
	jne done
	mov si_addr(%rax), %rax
	cmp %rax, SITE_FAULT(%r13)
	jne done

	# The code must be unchanged. %rdx: the address of the code.
	lea WORD(%r15), %r10
	request PTRACE_PEEKTEXT
	syscall
	test %rax, %rax
	jnz done
	mov WORD(%r15), %rax
	xor SITE_CODE(%r13), %rax
	and SITE_MASK(%r13), %rax
	jnz done
	cmpq $0, SITE_MASK + 8(%r13)
	je unchanged
	add $8, %rdx
	mov $SYS_ptrace, %eax
	syscall
	test %rax, %rax
	jnz done
	mov WORD(%r15), %rax
	xor SITE_CODE + 8(%r13), %rax
	and SITE_MASK + 8(%r13), %rax
	jnz done
unchanged:
	mov SITE_VALUE_AT(%r13), %rax
	mov (%rax), %r8
	and SITE_VALUE_MASK(%r13), %r8
	cmp MAX_CLIENTS(%r15), %r8
	jae done

	# The ring must be unchanged since Python used it, have room for a record, and contain no time stamp of a trap.
	mov THREAD_CONTROL(%r12), %r14
	mov THREAD_POSITION(%r12), %r9
	cmp %r9, POSITION(%r14)
	jne done
	mov THREAD_END(%r12), %rax
	cmp %rax, PACKET_END(%r14)
	jne done
	cmp %rax, %r9
	jae done
	cmpq $0, TRAP_TIME(%r14)
	jne done

	# Count the trap in the thread's run (follow.py). The caller must handle the last trap of a run.
	mov RUN(%r15), %r10
	mov FOUND(%rbx), %rax
	cmp %rax, RUN_TID(%r10)
	jne another
	cmpq $1, RUN_LEFT(%r10)
	jbe done
	decq RUN_LEFT(%r10)
	jmp record
another:
	mov %rax, RUN_TID(%r10)
	mov RUN_LENGTH(%r10), %rax
	mov %rax, RUN_LEFT(%r10)
	mov $SYS_clock_gettime, %eax
	mov $CLOCK_MONOTONIC, %edi
	lea RUN_SECONDS(%r10), %rsi
	syscall

record:
	rdtsc
	shl $32, %rdx
	or %rdx, %rax
	mov %r9, %rdi
	add THREAD_DELTA(%r12), %rdi
	stosq
	mov SITE_NUMBER(%r13), %eax
	stosl
	mov %r8d, %eax
	stosl
	mov SLOT_STRIDE(%r15), %rsi
	imul %r8, %rsi
	add SLOTS(%r15), %rsi
	mov NUM_ARGS(%r15), %ecx
	rep movsq
	add RECORD_SIZE(%r15), %r9
	mov %r9, THREAD_POSITION(%r12)
	mov %r9, POSITION(%r14)
	incq SITE_TRAPS(%r13)
	incq COUNT(%r15)

	# Move the thread past the store, and resume it.
	request PTRACE_POKEUSER
	mov $user_rip, %edx
	mov REGISTERS(%rbx), %r10
	mov user_rip(%r10), %r10
	add SITE_LENGTH(%r13), %r10
	syscall
	mov $SYS_ptrace, %eax
	mov $PTRACE_CONT, %edi
	xor %edx, %edx
	xor %r10d, %r10d
	syscall
	movb $0, COMPLETE(%rbx)
	jmp wait

	# Another stop. It is handled here only if Python need not inspect the signals and mask changes of this thread.
other:
	find_thread done
	mov SIGNALS(%r15), %rax
	cmp %rax, THREAD_SIGNALS(%r12)
	jne done
	mov FOUND(%rbx), %rsi
	xor %edx, %edx
	cmp $SECCOMP_STOPPED, %ecx
	je call
	cmp $MOST_SIGNALS, %ecx
	ja done
	cmp $SIGTRAP, %ecx
	je done

	# A signal. It is not handled here if the thread is in a trampoline, or in a call that only this stop may have
	# interrupted (undisturbed.py).
	mov $SYS_ptrace, %eax
	mov $PTRACE_GETREGS, %edi
	mov REGISTERS(%rbx), %r10
	syscall
	test %rax, %rax
	jnz done
	mov REGISTERS(%rbx), %r8
	cmpl $-1, user_orig_rax(%r8)
	je in_no_call
	cmpl $LOWEST_ERROR, user_rax(%r8)
	jae done
in_no_call:
	call in_code
	jc done
	mov STATUS(%rbx), %r10
	shr $8, %r10
pass:
	incq GENERATION(%r15)
	mov $SYS_ptrace, %eax
	mov $PTRACE_CONT, %edi
	syscall
	movb $0, COMPLETE(%rbx)
	jmp wait

	# A fault that the program itself has caused, and for which it has a handler. Python need not inspect the fault if no
	# other stop has happened since the previous fault, and if no other thread is stopped: a trap of that thread may have
	# reset the action (masks.py). The entry of the handler changes the mask, so all known traps become invalid.
fault:
	cmp %rcx, THREAD_FAULTS(%r12)
	jne done
	mov REGISTERS(%rbx), %r8
	call in_code
	jc done
	mov $SYS_waitid, %eax
	xor %edi, %edi			# P_ALL
	xor %esi, %esi
	mov INFO(%rbx), %rdx
	mov $(TRACEES | WNOWAIT | WNOHANG | WEXITED | WSTOPPED), %r10d
	xor %r8d, %r8d
	movl $0, si_pid(%rdx)
	syscall
	test %rax, %rax
	jnz done
	mov INFO(%rbx), %rdx
	cmpl $0, si_pid(%rdx)
	jne done
	mov GENERATION(%r15), %rax
	inc %rax
	mov %rax, THREAD_FAULTS(%r12)
	mov FOUND(%rbx), %rsi
	xor %edx, %edx
	mov $SIGSEGV, %r10d
	jmp pass

call:
	mov $SYS_ptrace, %eax
	mov $PTRACE_GETEVENTMSG, %edi
	lea WORD(%r15), %r10
	syscall
	test %rax, %rax
	jnz done
	cmpq $MASK, WORD(%r15)
	jne done
	xor %r10d, %r10d
	jmp pass
done:
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbx
	ret

	# Sets the carry flag if the thread with the registers at %r8 is in a trampoline, and clears it if not.
in_code:
	mov user_rip(%r8), %rax
	mov CODE(%r15), %r9
	mov (%r9), %rcx
next_range:
	dec %rcx
	js in_none
	add $16, %r9
	cmp (%r9), %rax
	jb next_range
	cmp 8(%r9), %rax
	jae next_range
	stc
	ret
in_none:
	clc
	ret
