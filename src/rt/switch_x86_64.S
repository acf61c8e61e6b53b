/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/*
 * void rt_switch(void **save, void *load)
 *
 * Keeps what the System V ABI calls callee-saved on the stack being left. The floating-point
 * control words are not kept: nothing here changes them. It leaves by an indirect jump, for a `ret`
 * to another stack is always mispredicted.
 */
    .text
    .globl  rt_switch
    .type   rt_switch, @function
    .p2align 4
rt_switch:
    .cfi_startproc
    pushq   %rbp
    pushq   %rbx
    pushq   %r12
    pushq   %r13
    pushq   %r14
    pushq   %r15
    movq    %rsp, (%rdi)
    movq    %rsi, %rsp
    popq    %r15
    popq    %r14
    popq    %r13
    popq    %r12
    popq    %rbx
    popq    %rbp
    popq    %rcx
    jmp     *%rcx
    .cfi_endproc
    .size   rt_switch, . - rt_switch
    .section .note.GNU-stack, "", @progbits
