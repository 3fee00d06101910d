/* rng.h - chance, from a seed (xoshiro256**, Blackman & Vigna 2018) or from the kernel. */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

struct rng {
    uint64_t s[4];
};

void rng_seed(struct rng *rng, uint64_t seed);
uint64_t rng_next(struct rng *rng);
uint64_t rng_below(struct rng *rng, uint64_t bound); /* uniform in [0, bound), bound > 0 */
double rng_unit(struct rng *rng);                    /* uniform in [0, 1) */
void rng_secure(void *dst, size_t bytes);            /* getrandom; dies if the kernel cannot */

#endif
