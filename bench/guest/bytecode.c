/* An interpreter of a small register machine, each operation ending in an indirect jump, as CPython's and Lua's do. */
#include "bench.h"

enum { SET, ADD, MULTIPLY, XOR, SHIFT, LOAD, STORE, LOOP, JUMP_ODD, END };
typedef struct { u8 operation, to, a, b; } Code;

static const Code program[] = {
    {SET, 1, 17, 0}, {SET, 2, 101, 0},          /* r0 counts down */
    {MULTIPLY, 1, 1, 2}, {ADD, 1, 1, 0},        /* 2: the loop */
    {STORE, 0, 1, 1}, {SHIFT, 3, 1, 7}, {LOAD, 4, 3, 0},
    {JUMP_ODD, 3, 10, 0}, {XOR, 1, 1, 4}, {ADD, 2, 2, 3},
    {XOR, 5, 5, 1}, {ADD, 5, 5, 2},             /* 10 */
    {LOOP, 0, 2, 0}, {END, 5, 0, 0},
};

u32 bytecode(u32 n) {
    static const void *const operations[] = {&&set, &&add, &&multiply, &&xor, &&shift, &&load, &&store, &&loop, &&jump_odd, &&end};
    static u32 memory[256];
    u32 r[8] = {n}; const Code *p = program;
    for (int i = 0; i < 256; i++) memory[i] = 0;
#define NEXT goto *operations[(p++)->operation]
    NEXT;
set: r[p[-1].to] = p[-1].a; NEXT;
add: r[p[-1].to] = r[p[-1].a] + r[p[-1].b]; NEXT;
multiply: r[p[-1].to] = r[p[-1].a] * r[p[-1].b]; NEXT;
xor: r[p[-1].to] = r[p[-1].a] ^ r[p[-1].b]; NEXT;
shift: r[p[-1].to] = r[p[-1].a] >> p[-1].b; NEXT;
load: r[p[-1].to] = memory[r[p[-1].a] & 255]; NEXT;
store: memory[r[p[-1].a] & 255] = r[p[-1].b]; NEXT;
loop: if (--r[p[-1].to]) p = program + p[-1].a; NEXT;
jump_odd: if (r[p[-1].to] & 1) p = program + p[-1].a; NEXT;
end: return r[p[-1].to];
}
