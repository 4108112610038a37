# The command `htrun`: a process that becomes the program. `tools/assemble` makes bin/htrun of this: the whole file, its
# ELF header included.
#
# Python would change the state that a program inherits: it ignores SIGPIPE and SIGXFSZ before their actions can be read,
# adds to the environment, and leaves its time and memory in getrusage(2). So the process that the user starts never runs
# Python. It starts a grandchild that runs Python, the tracer, and waits for a plan from it (launcher.py): to exec the
# program, or to exit.
#
#   htrun WORD...                           the tracer is `htrun-tracer`, the script beside this file
#   htrun --launcher-python=PYTHON WORD...  it is PYTHON -m htrun (`htrun.launch.launcher.start`)
#
# If the program cannot be traced, a child of this process becomes the program instead, and this process becomes its
# supervisor (htrun/runner/supervisor.py).
#
# The tracer's first argument is --launched=PID,FD: this process, and the pipe that the plan is written to.

	.set BASE, 0x400000
	.set VARIABLES, 0x500000

	.include "launcher_shared.inc"

# asm/unistd_64.h
	.set SYS_READ, 0
	.set SYS_WRITE, 1
	.set SYS_OPEN, 2
	.set SYS_CLOSE, 3
	.set SYS_MMAP, 9
	.set SYS_RT_SIGACTION, 13
	.set SYS_RT_SIGPROCMASK, 14
	.set SYS_DUP2, 33
	.set SYS_GETPID, 39
	.set SYS_CLONE, 56
	.set SYS_FORK, 57
	.set SYS_EXECVE, 59
	.set SYS_WAIT4, 61
	.set SYS_FCNTL, 72
	.set SYS_READLINK, 89
	.set SYS_GETPPID, 110
	.set SYS_PRCTL, 157
	.set SYS_SCHED_SETAFFINITY, 203
	.set SYS_EXIT_GROUP, 231
	.set SYS_PIPE2, 293
	.set SYS_SECCOMP, 317

	.set EINTR, 4
	.set EACCES, 13
	.set SIGKILL, 9
	.set SIGCHLD, 17
	.set SIG_IGN, 1
	.set SIG_SETMASK, 2
	.set F_DUPFD_CLOEXEC, 1030
	.set F_SETFD, 2
	.set O_RDWR, 2
	.set O_CLOEXEC, 0x80000
	.set WALL, 0x40000000
	.set MAP_FLAGS, 0x100022
	.set PR_SET_PDEATHSIG, 1
	.set PR_SET_CHILD_SUBREAPER, 36
	.set PR_GET_CHILD_SUBREAPER, 37
	.set PR_SET_NO_NEW_PRIVS, 38
	.set PR_SET_PTRACER, 0x59616d61
	.set SECCOMP_SET_MODE_FILTER, 1
	.set OWN_FAILURE, 125
	.set LEAST_FILES, 3
	.set PATH_ROOM, 4096

# The addresses of the variables
	.set SUBREAPER, VARIABLES
	.set PIPE, VARIABLES + 8
	.set MASK, VARIABLES + 16
	.set ALL, VARIABLES + 24
	.set ACTION_BEFORE, VARIABLES + 32
	.set ACTION_DEFAULT, VARIABLES + 64
	.set LENGTH, VARIABLES + 96
	.set LAUNCHER, VARIABLES + 104
	.set IGNORING, VARIABLES + 112
	.set MARK, VARIABLES + 144
	.set TRACER, VARIABLES + 192
	.set VARIABLES_SIZE, 192 + PATH_ROOM + 32

	.text
file:
	.byte 0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0
	.short 2, 62
	.long 1
	.quad BASE + (start - file), segments - file, 0
	.long 0
	.short 64, 56, 3, 0, 0, 0
segments:
	.long 1, 5
	.quad 0, BASE, BASE, end - file, end - file, 0x1000
	.long 1, 6
	.quad 0, VARIABLES, VARIABLES, 0, VARIABLES_SIZE, 0x1000
	.long 0x6474e551, 6
	.quad 0, 0, 0, 0, 0, 16

# %r12: argv; %r13: envp; %r14, %r15: the pipe's ends; %rbp: the plan
start:
	lea 8(%rsp), %r12
	mov (%rsp), %rax
	lea 16(%rsp,%rax,8), %r13
	mov $SYS_GETPID, %eax
	syscall
	cmp $1, %eax
	je process_one
launch:
	mov $SYS_GETPID, %eax
	syscall
	mov %eax, LAUNCHER
	call open_pipe
	mov $SYS_PRCTL, %eax
	mov $PR_GET_CHILD_SUBREAPER, %edi
	mov $SUBREAPER, %esi
	syscall
# If this process were a subreaper, the tracer would become its child, and so a child of the program, when the tracer's
# parent has exited.
	xor %esi, %esi
	call set_subreaper
	mov $-1, %rsi
	call set_tracer
# The exit signal of the child is 0. Otherwise a SIGCHLD could stay pending, and the kernel would reap the child if
# SIGCHLD is ignored.
	mov $SYS_CLONE, %eax
	xor %edi, %edi
	xor %esi, %esi
	xor %edx, %edx
	xor %r10d, %r10d
	xor %r8d, %r8d
	syscall
	test %rax, %rax
	js no_process
	jz middle
	mov %rax, %rbx
reap:
	mov $SYS_WAIT4, %eax
	mov %rbx, %rdi
	mov $LENGTH, %esi
	mov $WALL, %edx
	xor %r10d, %r10d
	syscall
	cmp $-EINTR, %rax
	je reap
	mov $SYS_CLOSE, %eax
	mov %r15, %rdi
	syscall
	cmpl $0, LENGTH
	jne no_process
	mov $LENGTH, %esi
	mov $8, %edx
	call read_all
	mov $SYS_MMAP, %eax
	mov $PLAN, %edi
	mov LENGTH, %rsi
	mov $3, %edx
	mov $MAP_FLAGS, %r10d
	mov $-1, %r8
	xor %r9d, %r9d
	syscall
	cmp $PLAN, %rax
	jne no_memory
	mov $PLAN, %esi
	mov LENGTH, %rdx
	call read_all
	mov $PLAN, %ebp
	cmpq $EXITS, EXIT_ACTION(%rbp)
	jne become
	mov EXIT_CODE(%rbp), %ebx
	mov EXIT_TEXT(%rbp), %rsi
	mov EXIT_LENGTH(%rbp), %rdx
	jmp say

# ------------------------------------------------------------------------------------------------ becoming the program
become:
	cmpq $0, EXEC_SUPERVISOR(%rbp)
	jne become_supervisor
	mov SUBREAPER, %esi
	call set_subreaper
	xor %esi, %esi
	call set_tracer
	call filter
	cmp $-EACCES, %rax
	jne filtered
# Without CAP_SYS_ADMIN the kernel requires this first.
	mov $SYS_PRCTL, %eax
	mov $PR_SET_NO_NEW_PRIVS, %edi
	mov $1, %esi
	xor %edx, %edx
	xor %r10d, %r10d
	xor %r8d, %r8d
	syscall
	call filter
filtered:
	mov EXEC_FILTER_FAILURES(%rbp), %rbx
	test %rax, %rax
	js failed
set_processors:
	mov EXEC_PROCESSORS(%rbp), %rdx
	test %rdx, %rdx
	jz execute
	mov $SYS_SCHED_SETAFFINITY, %eax
	xor %edi, %edi
	mov EXEC_PROCESSORS_SIZE(%rbp), %rsi
	syscall
	mov EXEC_PROCESSORS_FAILURES(%rbp), %rbx
	test %rax, %rax
	js failed
execute:
	mov $SYS_EXECVE, %eax
	mov EXEC_PATH(%rbp), %rdi
	mov EXEC_ARGUMENTS(%rbp), %rsi
	mov EXEC_ENVIRONMENT(%rbp), %rdx
	syscall
	mov EXEC_EXEC_FAILURES(%rbp), %rbx
failed:
	neg %rax
	sub $FAILURE_SIZE, %rbx
next_failure:
	add $FAILURE_SIZE, %rbx
	cmpq $0, FAILURE_ERRNO(%rbx)
	je found_failure
	cmp FAILURE_ERRNO(%rbx), %rax
	jne next_failure
found_failure:
	mov FAILURE_TEXT(%rbx), %rsi
	mov FAILURE_LENGTH(%rbx), %rdx
	mov FAILURE_CODE(%rbx), %ebx
	jmp say

filter:
	mov $SYS_SECCOMP, %eax
	mov $SECCOMP_SET_MODE_FILTER, %edi
	xor %esi, %esi
	mov EXEC_FILTER(%rbp), %rdx
	syscall
	ret

set_subreaper:
	mov $SYS_PRCTL, %eax
	mov $PR_SET_CHILD_SUBREAPER, %edi
	syscall
	ret

# If the Yama security module requires it, let a descendant trace this process; without Yama the call fails.
set_tracer:
	mov $SYS_PRCTL, %eax
	mov $PR_SET_PTRACER, %edi
	xor %edx, %edx
	xor %r10d, %r10d
	xor %r8d, %r8d
	syscall
	ret

# ------------------------------------------------------------------------------------------- a child becomes the program
# Signals stay blocked in the supervisor, so that none is missed. The program's orphans become its children.
become_supervisor:
	xor %esi, %esi
	call set_tracer
	call block_all
	call default_child_action
	mov $1, %esi
	call set_subreaper
	mov $SYS_FORK, %eax
	syscall
	test %rax, %rax
	js no_process
	jnz supervise
# If the supervisor is killed, the kernel must kill the program, too.
	mov $SYS_PRCTL, %eax
	mov $PR_SET_PDEATHSIG, %edi
	mov $SIGKILL, %esi
	syscall
	mov $SYS_GETPPID, %eax
	syscall
	mov $OWN_FAILURE, %edi
	cmp LAUNCHER, %eax
	jne exit
	mov SUBREAPER, %esi
	call set_subreaper
	call open_channel
	call restore_signals
	jmp set_processors

# Open the channel's file under the descriptor number that the plan contains. The file stays open in the program. If
# this fails, the program runs without the file.
open_channel:
	mov $SYS_OPEN, %eax
	mov EXEC_CHANNEL(%rbp), %rdi
	mov $O_RDWR, %esi
	syscall
	test %rax, %rax
	js 1f
	mov %rax, %rbx
	mov $SYS_DUP2, %eax
	mov %rbx, %rdi
	mov EXEC_DESCRIPTOR(%rbp), %rsi
	syscall
	cmp %rbx, EXEC_DESCRIPTOR(%rbp)
	je 1f
	mov $SYS_CLOSE, %eax
	mov %rbx, %rdi
	syscall
1:	ret

# The supervisor keeps the reading end of the pipe open. The tracer closes the other end when it has written everything.
supervise:
	mov %eax, %ebx
	mov $SYS_FCNTL, %eax
	mov %r14, %rdi
	mov $F_SETFD, %esi
	xor %edx, %edx
	syscall
	mov $MARK, %edi
	mov EXEC_SUPERVISOR(%rbp), %rsi
	call copy
	mov %ebx, %eax
	call number
	movb $',', (%rdi)
	inc %rdi
	mov %r14d, %eax
	call number
	movb $0, (%rdi)
	jmp python

# Read %rdx bytes from the pipe to %rsi. The pipe ends early if the tracer exits.
read_all:
	mov %rdx, %rbx
	test %rdx, %rdx
	jz 2f
	xor %eax, %eax
	mov %r14, %rdi
	syscall
	cmp $-EINTR, %rax
	je 1f
	test %rax, %rax
	jle no_plan
	add %rax, %rsi
	sub %rax, %rbx
1:	mov %rbx, %rdx
	jmp read_all
2:	ret

# ----------------------------------------------------------------------------------------------------------- the pipe
# The pipe's descriptors are not those of the standard streams, even if these are closed.
open_pipe:
	mov $SYS_PIPE2, %eax
	mov $PIPE, %edi
	mov $O_CLOEXEC, %esi
	syscall
	test %rax, %rax
	js no_pipe
	mov PIPE, %edi
	call move_up
	mov %rax, %r14
	mov PIPE + 4, %edi
	call move_up
	mov %rax, %r15
	ret

move_up:
	mov %rdi, %rax
	cmp $2, %edi
	ja 1f
	mov $SYS_FCNTL, %eax
	mov $F_DUPFD_CLOEXEC, %esi
	mov $3, %edx
	syscall
	test %rax, %rax
	js no_pipe
	push %rax
	mov $SYS_CLOSE, %eax
	syscall
	pop %rax
1:	ret

# ---------------------------------------------------------------------------------------------- the tracer's beginning
# Runs in the intermediate process, which exits immediately, so that the tracer is not a child of the program.
middle:
	mov $SYS_FORK, %eax
	syscall
	test %rax, %rax
	jz tracer
	shr $63, %rax
	mov %eax, %edi
	jmp exit

tracer:
# The tracer must ignore signals that are sent to a whole process group or job. Block all signals until Python sets the
# actions itself (htrun/runner/withstand.py).
	call block_all
# Ignore signals 32 and 33 here: the C library reserves them, so Python cannot set their actions.
	movq $SIG_IGN, IGNORING
	mov $32, %edi
	mov $IGNORING, %esi
	xor %edx, %edx
	call set_action
	mov $33, %edi
	call set_action
	mov $SYS_FCNTL, %eax
	mov %r15, %rdi
	mov $F_SETFD, %esi
	xor %edx, %edx
	syscall
	call require_files
	mov $MARK, %edi
	lea launched(%rip), %rsi
	call copy
	mov LAUNCHER, %eax
	call number
	movb $',', (%rdi)
	inc %rdi
	mov %r15d, %eax
	call number
	movb $0, (%rdi)

	jmp python

# Check that LEAST_FILES descriptors are free: with fewer, Python fails with a traceback before it runs any code of
# htrun. The exec closes these descriptors.
require_files:
	mov $SYS_CLOSE, %eax
	mov %r14, %rdi
	syscall
	mov $LEAST_FILES, %ebx
1:	mov $SYS_FCNTL, %eax
	mov %r15, %rdi
	mov $F_DUPFD_CLOEXEC, %esi
	xor %edx, %edx
	syscall
	test %rax, %rax
	js few_files
	dec %ebx
	jnz 1b
	ret

# Execute Python with the arguments of this process, after a first argument, the string at MARK.
python:
	lea 8(%r12), %r8
	cmpq $0, (%r12)
	cmove %r12, %r8
	mov (%r8), %rsi
# Make room on the stack for the tracer's argv and envp. It needs a few words more than those of this process.
	mov %r13, %rax
1:	add $8, %rax
	cmpq $0, -8(%rax)
	jne 1b
	sub %r12, %rax
	add $64, %rax
	sub %rax, %rsp
	and $-16, %rsp
	mov %rsp, %rdi
	mov %rsp, %rbp
	test %rsi, %rsi
	jz beside
	lea python_option(%rip), %r9
	call begins
	jne beside
# PYTHON -m htrun gets the unchanged environment, because the user runs this Python with this environment.
	mov %rsi, %rbx
	add $8, %r8
	lea module_option(%rip), %rdx
	lea module_name(%rip), %rcx
	mov %rbx, (%rdi)
	mov %rdx, 8(%rdi)
	mov %rcx, 16(%rdi)
	movq $MARK, 24(%rdi)
	add $32, %rdi
	call copy_words
	mov %r13, %rdx
	jmp execute_python
beside:
	call find_tracer
	mov $TRACER, %ebx
	mov %rbx, (%rdi)
	movq $MARK, 8(%rdi)
	add $16, %rdi
	call copy_words
	mov %rdi, %rdx
	call copy_variables
execute_python:
	mov $SYS_EXECVE, %eax
	mov %rbx, %rdi
	mov %rbp, %rsi
	syscall
	lea no_tracer_text(%rip), %rsi
	mov $no_tracer_end - no_tracer_text, %edx
# Print the reason, and make the launcher exit without printing anything else.
no_start:
	mov $SYS_WRITE, %eax
	mov $2, %edi
	syscall
	mov $SYS_WRITE, %eax
	mov %r15, %rdi
	lea plan_to_exit(%rip), %rsi
	mov $8 + EXIT_SIZE, %edx
	syscall
	mov $OWN_FAILURE, %edi
	jmp exit

# Make the path TRACER: the path of this file with a suffix. %rdi and %r8 are preserved.
find_tracer:
	push %rdi
	push %r8
	mov $SYS_READLINK, %eax
	lea own_file(%rip), %rdi
	mov $TRACER, %esi
	mov $PATH_ROOM, %edx
	syscall
	test %rax, %rax
	jle no_proc
	lea TRACER(%rax), %rdi
	lea tracer_suffix(%rip), %rsi
	call copy
	pop %r8
	pop %rdi
	ret

# Copy the words at %r8 and a null after them to %rdi.
copy_words:
	mov (%r8), %rax
	add $8, %r8
	mov %rax, (%rdi)
	add $8, %rdi
	test %rax, %rax
	jnz copy_words
	ret

# Copy the environment to %rdi, except for variables that are meant for the user's programs and would affect Python and
# its libraries.
copy_variables:
	mov %r13, %r8
1:	mov (%r8), %rsi
	add $8, %r8
	test %rsi, %rsi
	jz 2f
	mov %rsi, %r11
	lea linker_variables(%rip), %r9
	call begins
	je 1b
	mov %r11, %rsi
	lea python_variables(%rip), %r9
	call begins
	je 1b
	mov %r11, (%rdi)
	add $8, %rdi
	jmp 1b
2:	movq $0, (%rdi)
	ret

# Sets the flag e if the text at %rsi begins with the text at %r9. Then %rsi points after this prefix.
begins:
	mov (%r9), %al
	test %al, %al
	jz 1f
	cmp (%rsi), %al
	jne 1f
	inc %rsi
	inc %r9
	jmp begins
1:	ret

# Copy the text at %rsi to %rdi, which then points after it, at the null byte.
copy:
	lodsb
	stosb
	test %al, %al
	jnz copy
	dec %rdi
	ret

# Write the digits of %eax to %rdi, which then points after them.
number:
	mov $10, %ecx
	xor %esi, %esi
1:	xor %edx, %edx
	div %ecx
	push %rdx
	inc %esi
	test %eax, %eax
	jnz 1b
2:	pop %rax
	add $'0', %al
	stosb
	dec %esi
	jnz 2b
	ret

# ----------------------------------------------------------------------------------------------------------- process 1
# Process 1 remains and serves as init (htrun/runner/process_one.py). All steps above happen in its child.
process_one:
	call block_all
	call default_child_action
	mov $SYS_FORK, %eax
	syscall
	test %rax, %rax
	js no_process
	jnz 1f
	call restore_signals
	jmp launch
1:	mov %eax, %ebx
	mov $MARK, %edi
	lea first_child(%rip), %rsi
	call copy
	mov %ebx, %eax
	call number
	movb $0, (%rdi)
	jmp python

# Block all signals, and save the previous mask at MASK.
block_all:
	movq $-1, ALL
	mov $SYS_RT_SIGPROCMASK, %eax
	mov $SIG_SETMASK, %edi
	mov $ALL, %esi
	mov $MASK, %edx
	mov $8, %r10d
	syscall
	ret

# Set the default action of SIGCHLD: if it were ignored, the kernel would reap children (wait(2)).
default_child_action:
	mov $ACTION_BEFORE, %edx
	xor %esi, %esi
	call child_action
	mov $ACTION_DEFAULT, %esi
	xor %edx, %edx
	jmp child_action

# In a child: restore the previous action of SIGCHLD and the previous mask.
restore_signals:
	mov $ACTION_BEFORE, %esi
	xor %edx, %edx
	call child_action
	mov $SYS_RT_SIGPROCMASK, %eax
	mov $SIG_SETMASK, %edi
	mov $MASK, %esi
	xor %edx, %edx
	mov $8, %r10d
	syscall
	ret

child_action:
	mov $SIGCHLD, %edi
set_action:
	mov $SYS_RT_SIGACTION, %eax
	mov $8, %r10d
	syscall
	ret

# ------------------------------------------------------------------------------------------------------------ failures
no_pipe:
	lea no_pipe_text(%rip), %rsi
	mov $no_pipe_end - no_pipe_text, %edx
	jmp fail
no_process:
	lea no_process_text(%rip), %rsi
	mov $no_process_end - no_process_text, %edx
	jmp fail
no_plan:
	lea no_plan_text(%rip), %rsi
	mov $no_plan_end - no_plan_text, %edx
	jmp fail
no_memory:
	lea no_memory_text(%rip), %rsi
	mov $no_memory_end - no_memory_text, %edx
	jmp fail
few_files:
	lea few_files_text(%rip), %rsi
	mov $few_files_end - few_files_text, %edx
	jmp no_start
no_proc:
	lea no_proc_text(%rip), %rsi
	mov $no_proc_end - no_proc_text, %edx
	jmp no_start
fail:
	mov $OWN_FAILURE, %ebx
# Print %rdx bytes at %rsi, and exit with %ebx.
say:
	mov $SYS_WRITE, %eax
	mov $2, %edi
	syscall
	mov %ebx, %edi
exit:
	mov $SYS_EXIT_GROUP, %eax
	syscall

plan_to_exit:
	.quad EXIT_SIZE, EXITS, OWN_FAILURE, 0, 0
launched:
	.asciz "--launched="
first_child:
	.asciz "--process-one="
python_option:
	.asciz "--launcher-python="
module_option:
	.asciz "-m"
module_name:
	.asciz "htrun"
own_file:
	.asciz "/proc/self/exe"
tracer_suffix:
	.asciz "-tracer"
linker_variables:
	.asciz "LD_"
python_variables:
	.asciz "PYTHON"
no_pipe_text:
	.ascii "htrun: cannot make a pipe: too many open files (ulimit -n)?\n"
no_pipe_end:
no_process_text:
	.ascii "htrun: cannot start a process for the tracer: too many processes (ulimit -u, pids.max)?\n"
no_process_end:
no_plan_text:
	.ascii "htrun: the tracer ended before it began\n"
no_plan_end:
no_memory_text:
	.ascii "htrun: no memory to start the program (ulimit -v)?\n"
no_memory_end:
few_files_text:
	.ascii "htrun: cannot start the tracer: too many open files: raise the limit (ulimit -n)\n"
few_files_end:
no_proc_text:
	.ascii "htrun: cannot read /proc/self/exe: is /proc mounted?\n"
no_proc_end:
no_tracer_text:
	.ascii "htrun: cannot run htrun-tracer, the script beside htrun, or its Python: install htrun again\n"
no_tracer_end:
end:
