//go:build netns

#include "textflag.h"

// gettime is clock_gettime(DI: which clock, SI: *timespec) by the C calling
// convention, on the stack of the caller. It passes the call on, and moves what
// CLOCK_REALTIME, 0, says.
TEXT gettime<>(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	PUSHQ	BX
	PUSHQ	R12
	PUSHQ	R13
	MOVQ	DI, BX
	MOVQ	SI, R12
	MOVQ	·kernel(SB), AX
	CALL	AX
	MOVQ	AX, R13
	TESTL	BX, BX
	JNE	done

	MOVQ	·offset(SB), CX
	MOVQ	(CX), AX
	CQO	// DX:AX is the offset
	MOVQ	$1000000000, CX
	IDIVQ	CX	// AX: whole seconds, DX: the rest, with its sign
	ADDQ	AX, 0(R12)
	ADDQ	DX, 8(R12)
	CMPQ	8(R12), $0
	JGE	notbefore
	ADDQ	CX, 8(R12)
	DECQ	0(R12)
notbefore:
	CMPQ	8(R12), CX
	JLT	done
	SUBQ	CX, 8(R12)
	INCQ	0(R12)
done:
	MOVQ	R13, AX
	POPQ	R13
	POPQ	R12
	POPQ	BX
	RET

// func gettimeAddress() uintptr
TEXT ·gettimeAddress(SB),NOSPLIT,$0-8
	LEAQ	gettime<>(SB), AX
	MOVQ	AX, ret+0(FP)
	RET
