/* The host CPU as an oracle: runs user-mode code in a 32-bit process and reports what it did to registers and memory.

   The whole program is one signal handler. A case ends in a trap (the code page is filled with INT3); the handler saves the
   interrupted context as the case's result, writes the next case's registers over it and returns: the kernel's sigreturn
   loads them all, segments and x87 included. Between batches it waits in read(). Freestanding: needs gcc -m32, but no 32-bit libc.

   stderr: shared memory, `struct setup`, then cases. stdin: u32 n, run cases 0..n-1; stdout: u32 n, done. host.py is the other side. */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;

enum { CODE = 0x200000, DATA = 0x218000, WINDOW = DATA + 0x1000 - 256, SHARED = 0x5a000000 /* out of reach of bit strings */, TIMEOUT = 0xff, TICK = 26 /* SIGVTALRM: of our own time, whatever else the host does */ };

struct user_desc { u32 entry, base, limit, flags; };                /* modify_ldt's argument */
struct setup { u32 cases, descriptors, pad[2]; struct user_desc ldt[15]; };
struct fcase {
    u32 reg[8], eip, eflags;     /* eax ecx edx ebx esp ebp esi edi */
    u16 seg[6], fop;             /* es cs ss ds fs gs; fop: out */
    u16 ncode;
    u32 code_at;                 /* linear address of the code */
    u32 trap, error, cr2, stray; /* out; stray: non-zero bytes in the data pages outside the window */
    u32 tag;                     /* free for the caller */
    u8 code[32], fpu[108], mem[512];  /* fpu: as FNSAVE stores it; mem: at WINDOW, across a page boundary */
    u32 mxcsr;
    u8 xmm[128];
};
_Static_assert(sizeof(struct fcase) == 864, "host.py says the same");

struct sigcontext {
    u16 gs, gsh, fs, fsh, es, esh, ds, dsh;
    u32 di, si, bp, sp, bx, dx, cx, ax, trapno, err, ip;
    u16 cs, csh;
    u32 flags, sp_at_signal;
    u16 ss, ssh;
    u8 *fpstate;                 /* FNSAVE image of 112 bytes, then FXSAVE image of 512 */
    u32 oldmask, cr2;
};
struct ucontext { u32 flags, link, stack[3]; struct sigcontext c; u32 mask[2]; };
struct sigaction { void *handler; u32 flags; void *restorer; u32 mask[2]; };

static struct setup *const setup = (void *)SHARED;
static struct fcase *const cases = (void *)(SHARED + sizeof(struct setup));
static u32 now = -1, count, last_tick = -1, cleaning;
static u8 stack[65536] __attribute__((aligned(64)));

static u32 syscall6(u32 n, u32 a, u32 b, u32 c, u32 d, u32 e, u32 f) {
    u32 args[2] = {n, f}, r;
    asm volatile("push %%ebp\n mov 4(%%eax), %%ebp\n mov (%%eax), %%eax\n int $0x80\n pop %%ebp"
                 : "=a"(r) : "a"(args), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e) : "memory");
    return r;
}
#define syscall(n, a, b, c) syscall6(n, (u32)(a), (u32)(b), (u32)(c), 0, 0, 0)

enum { EXIT = 1, READ = 3, WRITE = 4, SETITIMER = 104, MODIFY_LDT = 123, SIGACTION = 174, SIGALTSTACK = 186, MMAP = 192 };

static void need(int ok, u32 status) { if (!ok) for (;;) syscall(EXIT, status, 0, 0); }
static void copy(void *to, const void *from, u32 n) { asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory"); }
static void fill(u32 to, u8 v, u32 n) { asm volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(v) : "memory"); }
static void map(u32 at, u32 size, u32 prot, u32 flags, u32 fd) { need(syscall6(MMAP, at, size, prot, flags, fd, 0) == at, 2); }

static void prepare(struct fcase *k, struct sigcontext *c) {
    u32 *r = k->reg;
    fill(CODE, 0xcc, 0x2000);
    copy((void *)k->code_at, k->code, k->ncode);
    fill(DATA, 0, 0x2000);
    copy((void *)WINDOW, k->mem, 512);
    c->ax = r[0]; c->cx = r[1]; c->dx = r[2]; c->bx = r[3]; c->sp = r[4]; c->bp = r[5]; c->si = r[6]; c->di = r[7];
    c->es = k->seg[0]; c->cs = k->seg[1]; c->ss = k->seg[2]; c->ds = k->seg[3]; c->fs = k->seg[4]; c->gs = k->seg[5];
    c->ip = k->eip; c->flags = k->eflags;
    copy(c->fpstate, k->fpu, 108);
    *(u16 *)(c->fpstate + 112 + 6) = 0;  /* FOP comes from the FXSAVE half */
    *(u32 *)(c->fpstate + 112 + 24) = k->mxcsr;
    copy(c->fpstate + 112 + 160, k->xmm, 128);
    if (*(u32 *)(c->fpstate + 112 + 464) == 0x46505853) c->fpstate[112 + 512] |= 3;  /* XSTATE_BV: x87 and XMM are not in their initial state */
}

static void collect(struct fcase *k, struct sigcontext *c, u32 trap) {
    u32 r[8] = {c->ax, c->cx, c->dx, c->bx, c->sp, c->bp, c->si, c->di};
    u16 s[6] = {c->es, c->cs, c->ss, c->ds, c->fs, c->gs};
    copy(k->reg, r, sizeof r);
    copy(k->seg, s, sizeof s);
    k->eip = c->ip; k->eflags = c->flags; k->trap = trap; k->error = c->err; k->cr2 = c->cr2;
    copy(k->fpu, c->fpstate, 108);
    k->fop = *(u16 *)(c->fpstate + 112 + 6);
    k->mxcsr = *(u32 *)(c->fpstate + 112 + 24);
    copy(k->xmm, c->fpstate + 112 + 160, 128);
    copy(k->mem, (void *)WINDOW, 512);
    k->stray = 0;
    for (u32 *p = (u32 *)DATA; p < (u32 *)(DATA + 0x2000); p++) k->stray += *p && ((u32)p < WINDOW || (u32)p >= WINDOW + 512);
}

/* NT and ID outlive sigreturn: a case that set them is followed by this. */
asm("clean: push $0x202\n popf\n int3");
extern char clean[];

static void handler(int signal, void *info, struct ucontext *u) {
    if (signal == TICK) {                /* a tick: the case that was running at the last one too does not end */
        u32 stuck = now == last_tick;
        last_tick = now;
        if (!stuck) return;
    }
    if (!cleaning && now < count) {
        collect(&cases[now], &u->c, signal == TICK ? TIMEOUT : u->c.trapno);
        cleaning = u->c.flags & 0x204000;
        if (cleaning) {
            u->c.cs = 0x23; u->c.ss = u->c.ds = u->c.es = 0x2b;
            u->c.flags = 0x202; u->c.sp = WINDOW; u->c.ip = (u32)clean;
            return;
        }
    }
    cleaning = 0;
    if (++now >= count) {
        if (count) need(syscall(WRITE, 1, &count, 4) == 4, 0);
        need(syscall(READ, 0, &count, 4) == 4, 0);
        now = 0;
    }
    last_tick = -1;
    prepare(&cases[now], &u->c);
}

asm("restorer: mov $173, %eax\n int $0x80");
extern char restorer[];

void _start(void) {
    static const int signals[] = {4, 5, 7, 8, 11, TICK};
    u32 all[2] = {-1, -1}, alt[3] = {(u32)stack, 0, sizeof stack}, timer[4] = {0, 20000, 0, 20000};
    struct sigaction a = {handler, 0x0c000004, restorer, {all[0], all[1]}};  /* SIGINFO | RESTORER | ONSTACK */
    map(SHARED, 4096, 3, 0x11, 2);
    map(SHARED, sizeof *setup + setup->cases * sizeof *cases, 3, 0x11, 2);
    map(CODE, 0x2000, 7, 0x32, -1);
    map(DATA, 0x2000, 3, 0x32, -1);
    map(DATA + 0x2000, 0x1000, 1, 0x8032, -1);  /* populated: a page that was never touched is not present */
    for (u32 i = 0; i < setup->descriptors; i++) need(syscall(MODIFY_LDT, 0x11, &setup->ldt[i], 16) == 0, 3);
    need(syscall(SIGALTSTACK, alt, 0, 0) == 0, 4);
    for (u32 i = 0; i < 6; i++) need(syscall6(SIGACTION, signals[i], (u32)&a, 0, 8, 0, 0) == 0, 5);
    need(syscall(SETITIMER, 1, timer, 0) == 0, 6);
    asm volatile("fninit\n int3");
}
