# The machine code of htrun.hosts.x86_64.fastpath.call_wait: `tools/assemble` turns this file into call_wait_code.py.
#
# It is called with a Block. It resumes a thread, and waits for any tracee. If the tracee is stopped before or after a
# recorded call, it writes the record of the call, and starts again. For every other stop it returns to the caller.

	.include "linux.inc"
	.include "next_stop.inc"
	.include "request.inc"
	.include "call_wait_shared.inc"

	push %rbx
	push %r12
	push %r13
	push %r14
	push %r15
	push %rbp
	mov %rdi, %rbx
	mov CONTROL(%rbx), %r12
resume:
	mov TID(%rbx), %rsi
	test %rsi, %rsi
	jz look
	mov $SYS_ptrace, %eax
	mov REQUEST(%rbx), %rdi
	xor %edx, %edx
	xor %r10d, %r10d
	syscall
	andq $0, TID(%rbx)
look:
	next_stop OPTIONS(%rbx), look, done

	# The number of the thread's stream must be known, and there must be room for a record.
	mov FOUND(%rbx), %r13
	cmp MOST_THREADS(%rbx), %r13
	jae done
	shl $THREAD_SHIFT, %r13
	add THREADS(%rbx), %r13
	cmpl $0, STREAM(%r13)
	je done
	mov HEAD(%r12), %rax
	sub TAIL(%r12), %rax
	cmp MASK(%r12), %rax
	ja done
	cmpq $0, PLANS(%rbx)
	je room
	add $MOST_TEXT_RECORDS, %rax
	cmp MASK(%r12), %rax
	ja done
room:
	cmp $SECCOMP_STOPPED, %ecx
	je facts
	cmp $SYSCALL_STOPPED, %ecx
	jne done
	cmpl $IN_CALL, STATE(%r13)
	jne done
facts:
	request PTRACE_GET_SYSCALL_INFO
	mov $SIZEOF_ptrace_syscall_info, %edx
	mov CALL(%rbx), %r10
	syscall
	test %rax, %rax
	jle done
	mov CALL(%rbx), %r8
	mov HEAD(%r12), %rdi
	mov %rdi, NEXT(%rbx)
	and MASK(%r12), %rdi
	imul $RECORD_SIZE, %rdi, %rdi
	add RECORDS(%r12), %rdi
	rdtsc
	shl $32, %rdx
	or %rdx, %rax
	mov %rax, RECORD_TICKS(%rdi)
	mov %rax, TICKS(%rbx)
	mov STREAM(%r13), %eax
	dec %eax
	mov %eax, RECORD_STREAM(%rdi)
	movl $PTRACE_CONT, REQUEST(%rbx)
	cmpb $PTRACE_SYSCALL_INFO_SECCOMP, (%r8)
	je entry
	cmpb $PTRACE_SYSCALL_INFO_EXIT, (%r8)
	jne done
	andl $OUTSIDE, STATE(%r13)
	mov RETURN_KIND(%rbx), %eax
	mov %eax, RECORD_KIND(%rdi)
	mov ARCH(%r13), %eax
	mov %rax, RECORD_ARCH(%rdi)
	mov NUMBER(%r13), %eax
	mov %rax, RECORD_NUMBER(%rdi)
	mov info_exit_rval(%r8), %rax
	mov %rax, RECORD_ARGUMENTS(%rdi)
	add $(RECORD_ARGUMENTS + 8), %rdi
	mov $(ARGUMENTS - 1), %ecx
	call write_rest
	call find_plan
	test %r14, %r14
	jz go
	call texts_after
	jmp go
entry:
	cmpl $RECORDED, info_seccomp_ret_data(%r8)
	jne done
	mov info_arch(%r8), %ecx
	mov info_nr(%r8), %rdx
	mov %ecx, ARCH(%r13)
	mov %edx, NUMBER(%r13)
	call find_plan
	test %r14, %r14
	jz known
	cmpb $LEFT_TO_CALLER, (%r14)
	je done
	movzbl AFTER(%r14), %eax
	and $PLACE, %eax
	mov info_args(%r8,%rax,8), %rax
	mov %rax, POINTER(%r13)
known:
	cmpl $0, RETURNS(%rbx)
	je mark
	movl $IN_CALL, STATE(%r13)
	movl $PTRACE_SYSCALL, REQUEST(%rbx)
mark:
	cmpl $0, ENTRIES(%rbx)
	je go				# no record: NEXT is still equal to HEAD
	mov ENTRY_KIND(%rbx), %eax
	mov %eax, RECORD_KIND(%rdi)
	mov info_arch(%r8), %ecx
	mov %rcx, RECORD_ARCH(%rdi)
	mov info_nr(%r8), %rdx
	mov %rdx, RECORD_NUMBER(%rdi)
	add $RECORD_ARGUMENTS, %rdi
	lea info_args(%r8), %rsi
	mov $6, %ecx
	rep movsq
	mov $(ARGUMENTS - 6), %ecx
	call write_rest
	test %r14, %r14
	jz go
	call texts_before
go:
	mov NEXT(%rbx), %rax		# publishes the records of call and texts together
	mov %rax, HEAD(%r12)
	mfence				# HEAD must be visible before IDLE is read
	mov FOUND(%rbx), %rax
	mov %rax, TID(%rbx)
	decl STOPS_LEFT(%r13)
	jnz same
	mov %rax, RAN(%rbx)
	jmp back
same:
	cmpl $0, IDLE(%r12)
	je resume
back:
	andq $0, FOUND(%rbx)
	andq $0, STATUS(%rbx)
done:
	pop %rbp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbx
	ret

# Completes a record: sets the last %ecx words of its arguments, which begin at %rdi, to 0.
write_rest:
	xor %eax, %eax
	rep stosq
	incq NEXT(%rbx)
	ret

	.include "call_texts.inc"
