/* x87: five bodies that attract each other: additions, products, quotients and square roots in 80 and 64 bits. */
#include "bench.h"

u32 x87(u32 n) {
    enum { BODIES = 5 };
    double x[BODIES][3], v[BODIES][3], mass[BODIES];
    u32 seed = 4;
    for (int i = 0; i < BODIES; i++) {
        mass[i] = 1 + (next(&seed) >> 16) / 65536.0;
        for (int k = 0; k < 3; k++) x[i][k] = (int)next(&seed) / 1e8, v[i][k] = (int)next(&seed) / 1e10;
    }
    while (n--) {
        for (int i = 0; i < BODIES; i++)
            for (int j = i + 1; j < BODIES; j++) {
                double d[3], square = 0.01, root, force;
                for (int k = 0; k < 3; k++) d[k] = x[i][k] - x[j][k], square += d[k] * d[k];
                __asm__("fsqrt" : "=t"(root) : "0"(square));
                force = 0.001 / (square * root);
                for (int k = 0; k < 3; k++) v[i][k] -= d[k] * mass[j] * force, v[j][k] += d[k] * mass[i] * force;
            }
        for (int i = 0; i < BODIES; i++) for (int k = 0; k < 3; k++) x[i][k] += v[i][k] * 0.001;
    }
    u32 sum = 0;
    for (int i = 0; i < BODIES; i++)
        for (int k = 0; k < 3; k++) {
            union { double d; u32 w[2]; } bits = {x[i][k]};
            sum = sum * 31 + bits.w[0] * 7 + bits.w[1];
        }
    return sum;
}
