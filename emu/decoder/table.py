"""The opcode table, the only one: 80386 to Pentium 4: integer, system, x87, MMX, SSE and SSE2 (SDM volume 2, appendix A; x87: tables A-7 to A-22).

A cell of TABLE (cells are separated by |) reads: opcode bytes, TEXT, operands, flags.
- Opcode: `50-57` stands for eight opcodes; `/2` is an opcode extension in ModRM.reg, `/0-7` with eight texts (or one for all) are a whole group;
  `m`, `r`: with a memory operand only, with a register only. The register forms of D8 to DF have their second byte instead.
- Before 0F there may be mandatory prefixes: NP (none), 66, F3, F2; `NP+66` stands for a row each. Where there are none, prefixes do not choose.
  In 66's row of NP+66 the MMX operands P Q N with q become V W U with x.
- TEXT: the function in emu/isa that is the meaning (docs/texts.md). Its part before the first _, or what follows `=` in the flags, is the mnemonic.
- Operands: the first is `dst`, the second `src` (`-`: none), as appendix A writes them: E G I J M O R S C D A X Y with sizes b w d q t (8 16 32 64 80 bits),
  x (128 bits), v z (16 or 32, the operand size), p s a (pointers, table registers, bounds: their `w` is the operand size). Ibs: a byte, sign-extended.
  MMX registers: P (ModRM.reg), N (ModRM.rm), Q (N or memory); XMM: V U W likewise. f: ps, pd, ss or sd as the prefix says, which the mnemonic ends with.
  Z: a register numbered by the opcode's low 3 bits. R: a register, ModRM.mod is ignored. STi: ST(i), always `src`.
- Flags: `lock`: LOCK is allowed with a memory destination. `rel`, `end`: how a block ends: a relative jump, anything else.
  `cc`: the condition is the opcode's low 4 bits. `name=n`: a constant for the text; `w=v`: the operand size.
  `sse`, `sse2`: which extension it came with where prefix and operands do not tell (MMX registers: MMX; XMM: with NP and F3 SSE, else SSE2); constant `needs`.

Out of it come FORMS, what texts are lowered for, and the tuples that emu/decoder/decode.py walks. The constants of a form: `w` the width in bits, `sw` the
source's where the row gives two, `dst_kind`, `src_kind`, `third_kind` (REG: CL), `lane` (the bits of an f operand's numbers), and those that flags name.
"""
import re
from typing import Iterator, NamedTuple

from emu.isa.operands import IMM, MEM, MM, REG, XMM
from emu.isa.state import MMX, MMX_OF_SSE, MMX_OF_SSE2, SSE, SSE2

TABLE = """
00 ADD Eb Gb lock | 01 ADD Ev Gv lock | 02 ADD Gb Eb | 03 ADD Gv Ev | 04 ADD AL Ib | 05 ADD eAX Iz | 06 PUSH_SEG - ES w=v | 07 POP_SEG ES w=v end
08 OR Eb Gb lock  | 09 OR Ev Gv lock  | 0A OR Gb Eb  | 0B OR Gv Ev  | 0C OR AL Ib  | 0D OR eAX Iz  | 0E PUSH_SEG - CS w=v
10 ADC Eb Gb lock | 11 ADC Ev Gv lock | 12 ADC Gb Eb | 13 ADC Gv Ev | 14 ADC AL Ib | 15 ADC eAX Iz | 16 PUSH_SEG - SS w=v | 17 POP_SEG SS w=v end
18 SBB Eb Gb lock | 19 SBB Ev Gv lock | 1A SBB Gb Eb | 1B SBB Gv Ev | 1C SBB AL Ib | 1D SBB eAX Iz | 1E PUSH_SEG - DS w=v | 1F POP_SEG DS w=v end
20 AND Eb Gb lock | 21 AND Ev Gv lock | 22 AND Gb Eb | 23 AND Gv Ev | 24 AND AL Ib | 25 AND eAX Iz | 27 DAA
28 SUB Eb Gb lock | 29 SUB Ev Gv lock | 2A SUB Gb Eb | 2B SUB Gv Ev | 2C SUB AL Ib | 2D SUB eAX Iz | 2F DAS
30 XOR Eb Gb lock | 31 XOR Ev Gv lock | 32 XOR Gb Eb | 33 XOR Gv Ev | 34 XOR AL Ib | 35 XOR eAX Iz | 37 AAA
38 CMP Eb Gb      | 39 CMP Ev Gv      | 3A CMP Gb Eb | 3B CMP Gv Ev | 3C CMP AL Ib | 3D CMP eAX Iz | 3F AAS
40-47 INC Zv | 48-4F DEC Zv
50-57 PUSH - Zv | 58-5F POP Zv
60 PUSHA w=v =pushaw/pushal | 61 POPA w=v =popaw/popal | 62 BOUND Gv Ma | 63 ARPL Ew Gw
68 PUSH - Iz | 69 IMUL3 Gv Ev Iz =imul | 6A PUSH - Ibs w=v | 6B IMUL3 Gv Ev Ibs =imul
6C INS Yb DX end | 6D INS Yv DX end | 6E OUTS DX Xb end | 6F OUTS DX Xv end
70-7F JCC - Jb cc rel
80 /0-6 ADD OR ADC SBB AND SUB XOR Eb Ib lock  | 80 /7 CMP Eb Ib
81 /0-6 ADD OR ADC SBB AND SUB XOR Ev Iz lock  | 81 /7 CMP Ev Iz
82 /0-6 ADD OR ADC SBB AND SUB XOR Eb Ib lock  | 82 /7 CMP Eb Ib
83 /0-6 ADD OR ADC SBB AND SUB XOR Ev Ibs lock | 83 /7 CMP Ev Ibs
84 TEST Eb Gb | 85 TEST Ev Gv | 86 XCHG Eb Gb lock | 87 XCHG Ev Gv lock
88 MOV Eb Gb | 89 MOV Ev Gv | 8A MOV Gb Eb | 8B MOV Gv Ev
8C /0-5 m MOV_FROM_SEG Mw Sw | 8C /0-5 r MOV_FROM_SEG Ev Sw | 8D LEA Gv M | 8E /0 MOV_TO_SEG Sw Ew end | 8E /2-5 MOV_TO_SEG Sw Ew end | 8F /0 POP Ev
90 NOP | 91-97 XCHG Zv eAX
98 CBW w=v =cbw/cwde | 99 CWD w=v =cwd/cdq | 9A CALL_FAR - Ap end =lcall | 9B WAIT | 9C PUSHF w=v =pushf/pushfd
9D POPF w=v end =popf/popfd | 9E SAHF | 9F LAHF
A0 MOV AL Ob | A1 MOV eAX Ov | A2 MOV Ob AL | A3 MOV Ov eAX
A4 MOVS Yb Xb | A5 MOVS Yv Xv | A6 CMPS Xb Yb | A7 CMPS Xv Yv
A8 TEST AL Ib | A9 TEST eAX Iz
AA STOS Yb AL | AB STOS Yv eAX | AC LODS AL Xb | AD LODS eAX Xv | AE SCAS AL Yb | AF SCAS eAX Yv
B0-B7 MOV Zb Ib | B8-BF MOV Zv Iz
C0 /0-7 ROL ROR RCL RCR SHL SHR SHL SAR Eb Ib | C1 /0-7 ROL ROR RCL RCR SHL SHR SHL SAR Ev Ib
C2 RET_NEAR - Iw w=v end | C3 RET_NEAR w=v end
C4 LOAD_FAR Gv Mp sreg=0 =les end | C5 LOAD_FAR Gv Mp sreg=3 =lds end
C6 /0 MOV Eb Ib | C7 /0 MOV Ev Iz
C8 ENTER - Iw Ib w=v | C9 LEAVE w=v | CA RET_FAR - Iw w=v end =retf | CB RET_FAR w=v end =retf
CC INT3 end | CD INT - Ib end | CE INTO end | CF IRET w=v end =iret/iretd
D0 /0-7 ROL ROR RCL RCR SHL SHR SHL SAR Eb 1  | D1 /0-7 ROL ROR RCL RCR SHL SHR SHL SAR Ev 1
D2 /0-7 ROL ROR RCL RCR SHL SHR SHL SAR Eb CL | D3 /0-7 ROL ROR RCL RCR SHL SHR SHL SAR Ev CL
D4 AAM - Ib | D5 AAD - Ib | D6 SALC | D7 XLAT =xlatb
E0 LOOPCC - Jb cc=5 rel | E1 LOOPCC - Jb cc=4 rel | E2 LOOP - Jb rel | E3 JCXZ - Jb rel
E4 IN AL Ib end | E5 IN eAX Ib end | E6 OUT AL Ib end | E7 OUT eAX Ib end
E8 CALL_REL - Jz rel | E9 JMP_REL - Jz rel | EA JMP_FAR - Ap end =ljmp | EB JMP_REL - Jb rel
EC IN AL DX end | ED IN eAX DX end | EE OUT AL DX end | EF OUT eAX DX end
F1 INT1 end | F4 HLT end | F5 CMC
F6 /0-1 TEST Eb Ib | F6 /2-3 NOT NEG Eb lock | F6 /4 MUL - Eb | F6 /5 IMUL1 - Eb =imul | F6 /6-7 DIV IDIV - Eb
F7 /0-1 TEST Ev Iz | F7 /2-3 NOT NEG Ev lock | F7 /4 MUL - Ev | F7 /5 IMUL1 - Ev =imul | F7 /6-7 DIV IDIV - Ev
F8 CLC | F9 STC | FA CLI | FB STI end | FC CLD | FD STD
FE /0-1 INC DEC Eb lock
FF /0-1 INC DEC Ev lock | FF /2 CALL_NEAR - Ev end
FF /3 CALL_FAR_M - Mp end =lcall | FF /4 JMP_NEAR - Ev end | FF /5 JMP_FAR_M - Mp end =ljmp | FF /6 PUSH - Ev

0F 00 /0-1 m SLDT STR Mw | 0F 00 /0-1 r SLDT STR Ev | 0F 00 /2-3 LLDT LTR - Ew end | 0F 00 /4-5 VERR VERW - Ew
0F 01 /0-1 SGDT SIDT Ms | 0F 01 /2-3 LGDT LIDT - Ms end | 0F 01 /4 m SMSW Mw | 0F 01 /4 r SMSW Ev | 0F 01 /6 LMSW - Ew end | 0F 01 /7 INVLPG - M end
0F 02 LAR Gv Ew | 0F 03 LSL Gv Ew | 0F 06 CLTS end | 0F 08 INVD | 0F 09 WBINVD | 0F 0B UD end =ud2
0F 18-1F NOP - Ev
0F 20 /0 MOV_FROM_CR Rd Cd | 0F 20 /2-4 MOV_FROM_CR Rd Cd | 0F 21 /0-7 MOV_FROM_DR Rd Dd
0F 22 /0 MOV_TO_CR Cd Rd end | 0F 22 /2-4 MOV_TO_CR Cd Rd end | 0F 23 /0-7 MOV_TO_DR Dd Rd end
0F 30 WRMSR end | 0F 31 RDTSC | 0F 32 RDMSR | 0F 33 RDPMC | 0F 34 SYSENTER end | 0F 35 SYSEXIT end
0F 40-4F CMOVCC Gv Ev cc
0F 80-8F JCC - Jz cc rel
0F 90-9F SETCC Eb cc
0F A0 PUSH_SEG - FS w=v | 0F A1 POP_SEG FS w=v end | 0F A2 CPUID end | 0F A3 BT Ev Gv | 0F A4 SHLD Ev Gv Ib | 0F A5 SHLD Ev Gv CL
0F A8 PUSH_SEG - GS w=v | 0F A9 POP_SEG GS w=v end | 0F AB BTS Ev Gv lock | 0F AC SHRD Ev Gv Ib | 0F AD SHRD Ev Gv CL
0F AF IMUL2 Gv Ev =imul
0F B0 CMPXCHG Eb Gb lock | 0F B1 CMPXCHG Ev Gv lock
0F B2 LOAD_FAR Gv Mp sreg=2 =lss end | 0F B3 BTR Ev Gv lock | 0F B4 LOAD_FAR Gv Mp sreg=4 =lfs end | 0F B5 LOAD_FAR Gv Mp sreg=5 =lgs end
0F B6 MOVZX Gv Eb | 0F B7 MOVZX Gv Ew | 0F BA /4 BT Ev Ib | 0F BA /5-7 BTS BTR BTC Ev Ib lock | 0F BB BTC Ev Gv lock
0F BC BSF Gv Ev | 0F BD BSR Gv Ev | 0F BE MOVSX Gv Eb | 0F BF MOVSX Gv Ew
0F C0 XADD Eb Gb lock | 0F C1 XADD Ev Gv lock | 0F C7 /1 CMPXCHG8B Mq lock | 0F C8-CF BSWAP Zv

NP+66+F3+F2 0F 10 MOV_UNALIGNED Vf Wf =movu | NP+66+F3+F2 0F 11 MOV_UNALIGNED Wf Vf =movu
NP 0F 12 m MOV_LOW Vq Mq lane=32 =movlps | NP 0F 12 r MOVHLPS Vq Uq | 66 0F 12 MOV_LOW Vq Mq lane=64 =movlpd
NP 0F 13 MOV_LOW Mq Vq lane=32 =movlps | 66 0F 13 MOV_LOW Mq Vq lane=64 =movlpd
NP+66 0F 14 UNPCK_LOW Vf Wf =unpckl | NP+66 0F 15 UNPCK_HIGH Vf Wf =unpckh
NP 0F 16 m MOV_HIGH Vq Mq lane=32 =movhps | NP 0F 16 r MOVLHPS Vq Uq | 66 0F 16 MOV_HIGH Vq Mq lane=64 =movhpd
NP 0F 17 MOV_HIGH Mq Vq lane=32 =movhps | 66 0F 17 MOV_HIGH Mq Vq lane=64 =movhpd
NP+66 0F 28 MOV_ALIGNED Vf Wf =mova | NP+66 0F 29 MOV_ALIGNED Wf Vf =mova | NP+66 0F 2B MOV_ALIGNED Mf Vf nt=1 =movnt
NP 0F 2A CVTPI2PS Vx Qq | 66 0F 2A CVTPI2PD Vx Qq | F3 0F 2A CVTSI2SS Vd Ed | F2 0F 2A CVTSI2SD Vq Ed
NP 0F 2C CVTPS2PI Pq Wq cut=1 =cvttps2pi | 66 0F 2C CVTPD2PI Pq Wx cut=1 =cvttpd2pi | F3 0F 2C CVTSS2SI Gd Wd cut=1 =cvttss2si
F2 0F 2C CVTSD2SI Gd Wq cut=1 =cvttsd2si
NP 0F 2D CVTPS2PI Pq Wq cut=0 | 66 0F 2D CVTPD2PI Pq Wx cut=0 | F3 0F 2D CVTSS2SI Gd Wd cut=0 | F2 0F 2D CVTSD2SI Gd Wq cut=0
NP 0F 2E UCOMIS Vd Wd =ucomiss | 66 0F 2E UCOMIS Vq Wq =ucomisd | NP 0F 2F COMIS Vd Wd =comiss | 66 0F 2F COMIS Vq Wq =comisd
NP 0F 50 MOVMSK Gd Ux lane=32 =movmskps | 66 0F 50 MOVMSK Gd Ux lane=64 =movmskpd
NP+66+F3+F2 0F 51 SQRT_F Vf Wf =sqrt | NP+F3 0F 52 RSQRT_F Vf Wf =rsqrt | NP+F3 0F 53 RCP_F Vf Wf =rcp
NP+66 0F 54 AND_F Vf Wf =and | NP+66 0F 55 ANDN_F Vf Wf =andn | NP+66 0F 56 OR_F Vf Wf =or | NP+66 0F 57 XOR_F Vf Wf =xor
NP+66+F3+F2 0F 58 ADD_F Vf Wf =add | NP+66+F3+F2 0F 59 MUL_F Vf Wf =mul | NP+66+F3+F2 0F 5C SUB_F Vf Wf =sub
NP+66+F3+F2 0F 5D MIN_F Vf Wf =min | NP+66+F3+F2 0F 5E DIV_F Vf Wf =div | NP+66+F3+F2 0F 5F MAX_F Vf Wf =max | NP+66+F3+F2 0F C2 CMP_F Vf Wf Ib =cmp
NP 0F 5A CVTPS2PD Vx Wq sse2 | 66 0F 5A CVTPD2PS Vx Wx | F3 0F 5A CVTSS2SD Vq Wd sse2 | F2 0F 5A CVTSD2SS Vd Wq
NP 0F 5B CVTDQ2PS Vx Wx sse2 | 66 0F 5B CVTPS2DQ Vx Wx cut=0 | F3 0F 5B CVTPS2DQ Vx Wx cut=1 sse2 =cvttps2dq
NP 0F 60 UNPCK_LOW Pq Qd lane=8 =punpcklbw  | NP 0F 61 UNPCK_LOW Pq Qd lane=16 =punpcklwd | NP 0F 62 UNPCK_LOW Pq Qd lane=32 =punpckldq
66 0F 60 UNPCK_LOW Vx Wx lane=8 =punpcklbw  | 66 0F 61 UNPCK_LOW Vx Wx lane=16 =punpcklwd | 66 0F 62 UNPCK_LOW Vx Wx lane=32 =punpckldq
66 0F 6C UNPCK_LOW Vx Wx lane=64 integer=1 =punpcklqdq | 66 0F 6D UNPCK_HIGH Vx Wx lane=64 integer=1 =punpckhqdq
NP+66 0F 63 PACKS Pq Qq lane=16 =packsswb | NP+66 0F 67 PACKUS Pq Qq lane=16 =packuswb | NP+66 0F 6B PACKS Pq Qq lane=32 =packssdw
NP+66 0F 64 PCMPGT Pq Qq lane=8 =pcmpgtb | NP+66 0F 65 PCMPGT Pq Qq lane=16 =pcmpgtw | NP+66 0F 66 PCMPGT Pq Qq lane=32 =pcmpgtd
NP+66 0F 68 UNPCK_HIGH Pq Qq lane=8 =punpckhbw | NP+66 0F 69 UNPCK_HIGH Pq Qq lane=16 =punpckhwd | NP+66 0F 6A UNPCK_HIGH Pq Qq lane=32 =punpckhdq
NP 0F 6E MOVD_TO Pq Ed =movd | 66 0F 6E MOVD_TO Vx Ed =movd | NP 0F 7E MOVD_FROM Ed Pq =movd | 66 0F 7E MOVD_FROM Ed Vx =movd
NP 0F 6F MOVQ Pq Qq | 66 0F 6F MOV_ALIGNED Vx Wx lane=128 =movdqa | F3 0F 6F MOV_UNALIGNED Vx Wx lane=128 sse2 =movdqu
NP 0F 7F MOVQ Qq Pq | 66 0F 7F MOV_ALIGNED Wx Vx lane=128 =movdqa | F3 0F 7F MOV_UNALIGNED Wx Vx lane=128 sse2 =movdqu
F3 0F 7E MOVQ Vq Wq sse2 | 66 0F D6 MOVQ Wq Vq | F3 0F D6 MOVQ2DQ Vx Nq sse2 | F2 0F D6 MOVDQ2Q Pq Uq
NP 0F 70 PSHUFW Pq Qq Ib sse | 66 0F 70 PSHUFD Vx Wx Ib | F3 0F 70 PSHUFHW Vx Wx Ib sse2 | F2 0F 70 PSHUFLW Vx Wx Ib
NP+66 0F 71 /2 PSRL Nq Ib lane=16 =psrlw | NP+66 0F 71 /4 PSRA Nq Ib lane=16 =psraw | NP+66 0F 71 /6 PSLL Nq Ib lane=16 =psllw
NP+66 0F 72 /2 PSRL Nq Ib lane=32 =psrld | NP+66 0F 72 /4 PSRA Nq Ib lane=32 =psrad | NP+66 0F 72 /6 PSLL Nq Ib lane=32 =pslld
NP+66 0F 73 /2 PSRL Nq Ib lane=64 =psrlq | NP+66 0F 73 /6 PSLL Nq Ib lane=64 =psllq | 66 0F 73 /3 PSRLDQ Ux Ib | 66 0F 73 /7 PSLLDQ Ux Ib
NP+66 0F 74 PCMPEQ Pq Qq lane=8 =pcmpeqb | NP+66 0F 75 PCMPEQ Pq Qq lane=16 =pcmpeqw | NP+66 0F 76 PCMPEQ Pq Qq lane=32 =pcmpeqd
NP 0F 77 EMMS | NP 0F C3 MOVNTI Md Gd
NP 0F AE /0 FXSAVE M | NP 0F AE /1 FXRSTOR - M | NP 0F AE /2 LDMXCSR - Md | NP 0F AE /3 STMXCSR Md
NP 0F AE /5-7 r LFENCE MFENCE SFENCE | NP 0F AE /7 m CLFLUSH - M
NP 0F C4 PINSRW Pq Ew Ib sse | 66 0F C4 PINSRW Vx Ew Ib | NP 0F C5 PEXTRW Gd Nq Ib sse | 66 0F C5 PEXTRW Gd Ux Ib | NP+66 0F C6 SHUF_F Vf Wf Ib =shuf
NP+66 0F D1 PSRL Pq Qq lane=16 =psrlw | NP+66 0F D2 PSRL Pq Qq lane=32 =psrld | NP+66 0F D3 PSRL Pq Qq lane=64 =psrlq
NP+66 0F E1 PSRA Pq Qq lane=16 =psraw | NP+66 0F E2 PSRA Pq Qq lane=32 =psrad
NP+66 0F F1 PSLL Pq Qq lane=16 =psllw | NP+66 0F F2 PSLL Pq Qq lane=32 =pslld | NP+66 0F F3 PSLL Pq Qq lane=64 =psllq
NP+66 0F FC PADD Pq Qq lane=8 =paddb | NP+66 0F FD PADD Pq Qq lane=16 =paddw | NP+66 0F FE PADD Pq Qq lane=32 =paddd | NP+66 0F D4 PADD Pq Qq lane=64 sse2 =paddq
NP+66 0F F8 PSUB Pq Qq lane=8 =psubb | NP+66 0F F9 PSUB Pq Qq lane=16 =psubw | NP+66 0F FA PSUB Pq Qq lane=32 =psubd | NP+66 0F FB PSUB Pq Qq lane=64 sse2 =psubq
NP+66 0F D8 PSUBUS Pq Qq lane=8 =psubusb | NP+66 0F D9 PSUBUS Pq Qq lane=16 =psubusw | NP+66 0F DC PADDUS Pq Qq lane=8 =paddusb | NP+66 0F DD PADDUS Pq Qq lane=16 =paddusw
NP+66 0F E8 PSUBS Pq Qq lane=8 =psubsb | NP+66 0F E9 PSUBS Pq Qq lane=16 =psubsw | NP+66 0F EC PADDS Pq Qq lane=8 =paddsb | NP+66 0F ED PADDS Pq Qq lane=16 =paddsw
NP+66 0F DA PMINU Pq Qq lane=8 sse =pminub | NP+66 0F DE PMAXU Pq Qq lane=8 sse =pmaxub | NP+66 0F EA PMINS Pq Qq lane=16 sse =pminsw | NP+66 0F EE PMAXS Pq Qq lane=16 sse =pmaxsw
NP+66 0F E0 PAVG Pq Qq lane=8 sse =pavgb | NP+66 0F E3 PAVG Pq Qq lane=16 sse =pavgw
NP+66 0F DB PAND Pq Qq | NP+66 0F DF PANDN Pq Qq | NP+66 0F EB POR Pq Qq | NP+66 0F EF PXOR Pq Qq
NP+66 0F D5 PMULLW Pq Qq | NP+66 0F E5 PMULHW Pq Qq | NP+66 0F E4 PMULHUW Pq Qq sse | NP+66 0F F4 PMULUDQ Pq Qq sse2
NP+66 0F F5 PMADDWD Pq Qq | NP+66 0F F6 PSADBW Pq Qq sse | NP 0F D7 PMOVMSKB Gd Nq sse | 66 0F D7 PMOVMSKB Gd Ux
66 0F E6 CVTPD2DQ Vx Wx cut=1 =cvttpd2dq | F2 0F E6 CVTPD2DQ Vx Wx cut=0 | F3 0F E6 CVTDQ2PD Vx Wq sse2
NP 0F E7 MOVQ Mq Pq nt=1 sse =movntq | 66 0F E7 MOV_ALIGNED Mx Vx lane=128 nt=1 =movntdq | NP 0F F7 MASKMOV Pq Nq sse =maskmovq | 66 0F F7 MASKMOV Vx Ux =maskmovdqu

D8 /0-7 FADD_M FMUL_M FCOM_M FCOMP_M FSUB_M FSUBR_M FDIV_M FDIVR_M - Md
D8 C0-C7 FADD - STi | D8 C8-CF FMUL - STi | D8 D0-D7 FCOM - STi | D8 D8-DF FCOMP - STi
D8 E0-E7 FSUB - STi | D8 E8-EF FSUBR - STi | D8 F0-F7 FDIV - STi | D8 F8-FF FDIVR - STi
D9 /0 FLD_M - Md | D9 /2-3 FST_M FSTP_M Md | D9 /4 FLDENV - M w=v | D9 /5 FLDCW - Mw | D9 /6 FNSTENV M w=v | D9 /7 FNSTCW Mw
D9 C0-C7 FLD - STi | D9 C8-CF FXCH - STi | D9 D0 FNOP | D9 D8-DF FSTP - STi
D9 E0 FCHS | D9 E1 FABS | D9 E4 FTST | D9 E5 FXAM
D9 E8 FLD_CONSTANT constant=0 =fld1 | D9 E9 FLD_CONSTANT constant=1 =fldl2t | D9 EA FLD_CONSTANT constant=2 =fldl2e | D9 EB FLD_CONSTANT constant=3 =fldpi
D9 EC FLD_CONSTANT constant=4 =fldlg2 | D9 ED FLD_CONSTANT constant=5 =fldln2 | D9 EE FLD_CONSTANT constant=6 =fldz
D9 F0 F2XM1 | D9 F1 FYL2X | D9 F2 FPTAN | D9 F3 FPATAN | D9 F4 FXTRACT | D9 F5 FPREM1 | D9 F6 FDECSTP | D9 F7 FINCSTP
D9 F8 FPREM | D9 F9 FYL2XP1 | D9 FA FSQRT | D9 FB FSINCOS | D9 FC FRNDINT | D9 FD FSCALE | D9 FE FSIN | D9 FF FCOS
DA /0-7 FIADD FIMUL FICOM FICOMP FISUB FISUBR FIDIV FIDIVR - Md
DA C0-C7 FCMOVCC - STi cc=2 =fcmovb | DA C8-CF FCMOVCC - STi cc=4 =fcmove | DA D0-D7 FCMOVCC - STi cc=6 =fcmovbe | DA D8-DF FCMOVCC - STi cc=10 =fcmovu
DA E9 FUCOMPP
DB /0 FILD - Md | DB /2-3 FIST FISTP Md | DB /5 FLD_M - Mt | DB /7 FSTP_M Mt
DB C0-C7 FCMOVCC - STi cc=3 =fcmovnb | DB C8-CF FCMOVCC - STi cc=5 =fcmovne | DB D0-D7 FCMOVCC - STi cc=7 =fcmovnbe | DB D8-DF FCMOVCC - STi cc=11 =fcmovnu
DB E0-E1 FNOP | DB E2 FNCLEX | DB E3 FNINIT | DB E4 FNOP | DB E8-EF FUCOMI - STi | DB F0-F7 FCOMI - STi
DC /0-7 FADD_M FMUL_M FCOM_M FCOMP_M FSUB_M FSUBR_M FDIV_M FDIVR_M - Mq
DC C0-C7 FADD_R - STi  | DC C8-CF FMUL_R - STi | DC D0-D7 FCOM - STi    | DC D8-DF FCOMP - STi
DC E0-E7 FSUBR_R - STi | DC E8-EF FSUB_R - STi | DC F0-F7 FDIVR_R - STi | DC F8-FF FDIV_R - STi
DD /0 FLD_M - Mq | DD /2-3 FST_M FSTP_M Mq | DD /4 FRSTOR - M w=v | DD /6 FNSAVE M w=v | DD /7 FNSTSW Mw
DD C0-C7 FFREE - STi | DD C8-CF FXCH - STi | DD D0-D7 FST - STi | DD D8-DF FSTP - STi | DD E0-E7 FUCOM - STi | DD E8-EF FUCOMP - STi
DE /0-7 FIADD FIMUL FICOM FICOMP FISUB FISUBR FIDIV FIDIVR - Mw
DE C0-C7 FADDP - STi  | DE C8-CF FMULP - STi | DE D0-D7 FCOMP - STi  | DE D9 FCOMPP
DE E0-E7 FSUBRP - STi | DE E8-EF FSUBP - STi | DE F0-F7 FDIVRP - STi | DE F8-FF FDIVP - STi
DF /0 FILD - Mw | DF /2-3 FIST FISTP Mw | DF /4 FBLD - Mt | DF /5 FILD - Mq | DF /6 FBSTP Mt | DF /7 FISTP Mq
DF C0-C7 FFREEP - STi | DF C8-CF FXCH - STi | DF D0-DF FSTP - STi | DF E0 FNSTSW_AX | DF E8-EF FUCOMIP - STi | DF F0-F7 FCOMIP - STi
"""
# Not documented, but there since the 8087 or 386: 82, D6, F1, the second TEST and SHL of the groups, FFREEP, and the second encodings of FCOM FCOMP FXCH FSTP.
# DB E0, E1, E4 are FENI, FDISI, FSETPM: no operation since the 387.

CONDITIONS = 'o no b ae e ne be a s ns p np l ge le g'.split()
WIDTHS = {'b': 8, 'w': 16, 'd': 32, 'q': 64, 't': 80, 'x': 128}
PAGES = {'NP': 0x100, '66': 0x200, 'F3': 0x300, 'F2': 0x400}  # of OPCODES, after 0F, by mandatory prefix
PACKED = {'NP': ('x', 32, 'ps'), '66': ('x', 64, 'pd'), 'F3': ('d', 32, 'ss'), 'F2': ('q', 64, 'sd')}  # an f operand's size, lane and mnemonic's end
GENERAL = {'AL': 0, 'eAX': 0, 'CL': 1, 'DX': 2}
SEGMENTS = {'ES': 0, 'CS': 1, 'SS': 2, 'DS': 3, 'FS': 4, 'GS': 5}
FIXED = GENERAL | SEGMENTS

# OPCODES[opcode, + 100h after 0F, 200h after 66 0F, 300h after F3 0F, 400h after F2 0F] = number of the first leaf << 3 | how the leaf is found.
PLAIN, MODRM, GROUP, X87, REGISTER = range(5)  # itself; + memory; + reg * 2 + memory; + reg for memory, else + 8 + low 6 bits; + reg, mod ignored
SPREAD = 1, 2, 16, 72, 8  # the number of leaves, by how they are found
# INFO[leaf] = immediate | dst's number << 4 | src's << 8 | LOCKS
NONE, BYTE, SIGNED, WORD, FULL, FAR, FRAME, MOFFS, ONE = range(9)  # FAR: offset, selector; FRAME: ENTER's word, byte
IN_REG, IN_RM, IN_LOW = 8, 9, 10  # where a register's number is: ModRM's fields, the opcode's low bits; below 8: the number itself
LOCKS = 0x1000
IMMEDIATES = {'Ib': BYTE, 'Ibs': SIGNED, 'Jb': SIGNED, 'Iw': WORD, 'Iz': FULL, 'Jz': FULL, 'Ap': FAR, 'Ob': MOFFS, 'Ov': MOFFS, '1': ONE}


class Form(NamedTuple):
    """What a text is lowered for: all instructions with the same text and constants."""

    name: str
    text: str
    fields: dict[str, int]
    ends: str  # '', 'rel', 'end'
    mnemonic: str
    operands: tuple[str, ...]


class Row(NamedTuple):
    """One encoding: an opcode (+ 100h after 0F, + its page's number), ModRM.reg or the whole second byte where they belong to it, 'm' or 'r' or ''."""

    opcode: int
    reg: int | None
    second: int | None
    half: str
    text: str
    operands: tuple[str, ...]
    flags: tuple[str, ...]


def span(token: str, base: int) -> list[int]:
    """'50-57' -> 50h to 57h."""
    first, _, last = token.partition('-')
    return list(range(int(first, base), int(last or first, base) + 1))


def rows_of(cell: str) -> Iterator[Row]:
    """The encodings that a cell of TABLE stands for."""
    found = re.fullmatch(r'((?:NP|66|F3|F2)(?:[+](?:66|F3|F2))* (?=0F))?((?:[0-9A-F]{2}(?:-[0-9A-F]{2})? )+)(/[0-7](?:-[0-7])? )?([mr] )?(.*)', ' '.join(cell.split()))
    assert found, cell
    prefixes, codes, extension, half, rest = (found[1] or '').strip().split('+'), found[2].split(), found[3], (found[4] or '').strip(), found[5].split()
    pages = [PAGES[prefix] for prefix in prefixes if prefix] or list(PAGES.values()) if codes[0] == '0F' else [0]
    if pages[0]: codes = codes[1:]
    regs = span(extension[1:], 8) if extension else [None]
    texts = [x for x in rest if re.fullmatch('[A-Z][A-Z0-9_]+', x) and x not in FIXED]
    operands = tuple(x for x in rest if re.fullmatch('-|1|STi|[A-EGIJM-SU-Z][a-z]{0,2}', x) or x in FIXED)
    flags = tuple(x for x in rest if x not in operands and x not in texts)
    for opcode in span(codes[0], 16):
        for second in span(codes[1], 16) if len(codes) > 1 else [None]:
            for reg, text in zip(regs, texts * len(regs) if len(texts) == 1 else texts, strict=True):
                for page, prefix in zip(pages, prefixes * len(pages) if len(prefixes) == 1 else prefixes):
                    yield Row(page + opcode, reg, second, half, text, *chosen(prefix, len(prefixes) > 1, operands, flags))


def chosen(prefix: str, shared: bool, operands: tuple[str, ...], flags: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The operands and flags of a row as its mandatory prefix has them."""
    letters = {x[0] for x in operands if x not in FIXED and x != 'STi'}
    if not prefix or not letters & set('PQNVWU'): return operands, flags
    if shared and prefix == '66' and letters & set('PQN'):
        operands = tuple('VWU'['PQN'.index(x[0])] + 'x' if x[0] in 'PQN' else x for x in operands)
        letters = {x[0] for x in operands}
    if letters & set('VWU'): needs = SSE2 if prefix in ('66', 'F2') or 'sse2' in flags else SSE
    else: needs = MMX_OF_SSE2 if 'sse2' in flags else MMX_OF_SSE if 'sse' in flags else MMX
    flags = (*(x for x in flags if x not in ('sse', 'sse2')), f'needs={needs}')
    if any(x[1:] == 'f' for x in operands):
        size, lane, end = PACKED[prefix]
        operands = tuple(x[0] + size if x[1:] == 'f' else x for x in operands)
        name = next((x for x in flags if x[0] == '='), '')
        flags = (*(x for x in flags if x != name), f'lane={lane}', ('=mov' if name == '=movu' and size != 'x' else name) + end)
    return operands, flags


def width(operand: str, size: int) -> int | None:
    """The bits of an operand at an operand size of 16 or 32; None: it has no part in the instruction's width."""
    if operand in FIXED or operand == 'STi': return {'AL': 8, 'eAX': size}.get(operand)
    if operand[0] == 'J' or operand[-1] in 'vzpa' or operand == 'Ms': return size
    return WIDTHS.get(operand[1:]) if operand[0] not in 'IS' else None


def kind(operand: str, memory: bool) -> int | None:
    """REG, IMM, MEM of an operand, or None for what is no general register."""
    if operand in SEGMENTS: return None
    if operand in GENERAL or operand[0] in 'GZR': return REG
    if operand[0] in 'PQNVWU': return MEM if memory and operand[0] in 'QW' else MM if operand[0] in 'PQN' else XMM
    if operand[0] in 'IJA1': return IMM
    if operand[0] in 'MO': return MEM
    if operand[0] == 'E': return MEM if memory else REG
    return None


def constants(row: Row, memory: bool, size: int) -> dict[str, int]:
    """What a text can take for granted of a row's instructions."""
    fields: dict[str, int] = {}
    widths = [w for x in row.operands if (w := width(x, size))]
    if 'w=v' in row.flags: fields['w'] = size
    elif widths: fields['w'] = widths[0]
    if len(row.operands) > 1 and row.operands[0][0] + row.operands[1][0] == 'GE' and row.operands[0][1:] != row.operands[1][1:]: fields['sw'] = widths[1]
    if not any(x[0] in 'XY' for x in row.operands):
        for name, operand in zip(('dst_kind', 'src_kind', 'third_kind'), row.operands):
            if (k := kind(operand, memory)) is not None: fields[name] = k
    for flag in row.flags:
        if flag == 'cc': fields['cc'] = row.opcode & 15
        elif '=' in flag[1:] and flag != 'w=v': fields[flag.split('=')[0]] = int(flag.split('=')[1])
    return fields


def mnemonic(row: Row, fields: dict[str, int]) -> str:
    """As Intel spells it."""
    for flag in row.flags:
        if flag[0] == '=': return flag[1:].split('/')[fields['w'] == 32 if '/' in flag else 0]
    if row.text.endswith('CC'): return row.text[:-2].lower() + CONDITIONS[fields['cc']]
    return row.text.split('_')[0].lower()


def form_name(text: str, fields: dict[str, int]) -> str:
    """ADD_32_RM: text, width, kinds of operands; other constants by name."""
    parts = [text, *([str(fields['w'])] if 'w' in fields else [])]
    if letters := ''.join('RIMPV'[fields[k]] for k in ('dst_kind', 'src_kind', 'third_kind') if k in fields): parts.append(letters)
    return '_'.join(parts + [f'{k}{v}' for k, v in fields.items() if k != 'w' and not k.endswith('kind')])


def number(forms: dict[tuple[object, ...], Form], row: Row, memory: bool, size: int) -> int:
    """The number of a row's form, which is added to the forms if it is new."""
    fields = constants(row, memory, size)
    ends = next((x for x in row.flags if x in ('rel', 'end')), '')
    form = Form(form_name(row.text, fields), row.text, fields, ends, mnemonic(row, fields), row.operands)
    key = (row.text, *sorted(fields.items()))
    known = forms.setdefault(key, form)
    assert (known.ends, known.mnemonic) == (form.ends, form.mnemonic), f'{form.name}: rows of one form differ'
    return list(forms).index(key)


def source(operand: str, memory: bool) -> int:
    """Where the decoder finds an operand's register number."""
    if operand in FIXED: return FIXED[operand]
    if operand[0] in 'GSCDPV' and operand != 'STi': return IN_REG
    if operand == 'STi' or operand[0] in 'RNU' or operand[0] in 'EQW' and not memory: return IN_RM
    return IN_LOW if operand[0] == 'Z' else 0


def info(row: Row, memory: bool) -> int:
    """What the decoder has to know of a row besides its form."""
    found = [IMMEDIATES[x] for x in row.operands if x in IMMEDIATES]
    immediate = FRAME if found == [WORD, BYTE] else found[0] if found else NONE
    dst, src = [*(source(x, memory) for x in row.operands), 0, 0][:2]
    return immediate | dst << 4 | src << 8 | (LOCKS if memory and 'lock' in row.flags else 0)


def how(rows: list[Row]) -> int:
    """How the decoder finds the leaf of an opcode with these rows."""
    if 0xd8 <= rows[0].opcode <= 0xdf: return X87
    letters = {x[0] for row in rows for x in row.operands if x not in FIXED}
    if 'R' in letters: return REGISTER
    if rows[0].reg is not None: return GROUP
    return MODRM if letters & set('EGMPQNVWU') else PLAIN


def place(row: Row, way: int, memory: bool) -> int:
    """The leaf's number among those of its opcode."""
    if way == X87: return (row.reg or 0) if row.second is None else 8 + (row.second & 63)
    if way == REGISTER: return row.reg or 0
    return (row.reg or 0) * 2 + memory


def halves(row: Row, way: int) -> list[bool]:
    """Whether a row stands for a register operand, a memory operand, or both."""
    if way in (PLAIN, REGISTER) or row.second is not None or row.half == 'r' or any(x[0] in 'NU' for x in row.operands): return [False]
    if row.half == 'm' or any(x[0] == 'M' for x in row.operands): return [True]
    return [False, True]


def build() -> tuple[list[Form], list[int], list[int], list[int]]:
    """TABLE -> the forms; OPCODES; FORM (leaf * 2 + 1 for an operand size of 32); INFO."""
    forms: dict[tuple[object, ...], Form] = {(text,): Form(text, text, {}, 'end', name, ()) for text, name in (('UD', 'ud2'), ('TOO_LONG', '(too long)'))}
    by_opcode: dict[int, list[Row]] = {}
    for row in (row for line in TABLE.splitlines() if line for cell in line.split('|') for row in rows_of(cell)):
        by_opcode.setdefault(row.opcode, []).append(row)
    opcodes, leaves = [PLAIN] * 0x500, [(0, 0, NONE)]  # leaf 0: an invalid opcode
    for opcode, rows in by_opcode.items():
        way = how(rows)
        mine: dict[int, tuple[int, int, int]] = {}
        for row in rows:
            for memory in halves(row, way):
                at = place(row, way, memory)
                assert at not in mine, f'twice in the table: {row}'
                mine[at] = number(forms, row, memory, 16), number(forms, row, memory, 32), info(row, memory)
        opcodes[opcode] = len(leaves) << 3 | way
        leaves += [mine.get(at, leaves[0]) for at in range(SPREAD[way])]
    return list(forms.values()), opcodes, [n for leaf in leaves for n in leaf[:2]], [leaf[2] for leaf in leaves]


FORMS, *tables = build()
OPCODES, FORM, INFO = map(tuple, tables)
