/* cuda_fragments.cc - tensor cores and asynchronous copies of cuda_fibers.h. */
#include "worker/nn/cuda/device.h"

#include <vector>

#define THREADS_MAX 1024u
#define ROW_BYTES   16u

/* A [16, 16] and B [16, 8] are put together from the registers of all lanes, see device.h; sums are
 * of exact products, in double, and rounded once. */
void fibers_do_mma(void *const *of_lane)
{
    float a[16][16], b[16][8];
    for (unsigned lane = 0; lane < WARP_LANES; lane++) {
        const fibers_mma *own = static_cast<const fibers_mma *>(of_lane[lane]);
        const unsigned g = lane / 4, t = lane % 4;
        if (!own) fibers_abort("mma_16x8x16 without lane %u", lane);
        for (unsigned half = 0; half < 2; half++) {
            const unsigned shift = 16 * half;
            for (unsigned r = 0; r < 4; r++)
                a[g + 8 * (r % 2)][2 * t + half + 8 * (r / 2)] =
                    own->widen(static_cast<uint16_t>(own->a[r] >> shift));
            for (unsigned r = 0; r < 2; r++)
                b[2 * t + half + 8 * r][g] = own->widen(static_cast<uint16_t>(own->b[r] >> shift));
        }
    }
    for (unsigned lane = 0; lane < WARP_LANES; lane++) {
        const unsigned g = lane / 4, t = lane % 4;
        for (unsigned r = 0; r < 4; r++) {
            float *c = &static_cast<const fibers_mma *>(of_lane[lane])->c[r];
            double sum = 0;
            for (unsigned k = 0; k < 16; k++)
                sum += static_cast<double>(a[g + 8 * (r / 2)][k]) * b[k][2 * t + r % 2];
            *c = static_cast<float>(*c + sum);
        }
    }
}

struct load {
    const void *row;
    uint32_t *to;
};

static uint16_t element_of(void *const *of_lane, unsigned matrix, unsigned row, unsigned column)
{
    const load *own = static_cast<const load *>(of_lane[8 * matrix + row]);
    uint16_t bits;
    if (!own) fibers_abort("ldmatrix_x4 without lane %u", 8 * matrix + row);
    memcpy(&bits, static_cast<const char *>(own->row) + column * sizeof bits, sizeof bits);
    return bits;
}

static void load_all(void *const *of_lane, bool is_transposed)
{
    for (unsigned lane = 0; lane < WARP_LANES; lane++)
        for (unsigned m = 0; m < 4; m++) {
            uint32_t pair = 0;
            for (unsigned half = 0; half < 2; half++) {
                const unsigned far = lane % 4 * 2 + half, near = lane / 4;
                const uint32_t bits = is_transposed ? element_of(of_lane, m, far, near)
                                                    : element_of(of_lane, m, near, far);
                pair |= bits << 16 * half;
            }
            if (!of_lane[lane]) fibers_abort("ldmatrix_x4 without lane %u", lane);
            static_cast<const load *>(of_lane[lane])->to[m] = pair;
        }
}

static void do_load(void *const *of_lane)
{
    load_all(of_lane, false);
}

static void do_load_trans(void *const *of_lane)
{
    load_all(of_lane, true);
}

static void check_aligned(const char *what, const void *at)
{
    if (reinterpret_cast<uintptr_t>(at) % ROW_BYTES)
        fibers_abort("%s: %p is not aligned to 16 bytes", what, at);
}

/* The lane reads its row itself first, so that a fault is found where it asks for it. */
static void check_row(const void *row)
{
    char bytes[ROW_BYTES];
    check_aligned("ldmatrix_x4", row);
    memcpy(bytes, row, sizeof bytes);
    asm volatile("" ::"r"(bytes) : "memory");
}

void ldmatrix_x4(uint32_t (&r)[4], const void *row)
{
    load own = {row, r};
    check_row(row);
    fibers_meet("ldmatrix_x4", WARP_ALL, do_load, &own);
}

void ldmatrix_x4_trans(uint32_t (&r)[4], const void *row)
{
    load own = {row, r};
    check_row(row);
    fibers_meet("ldmatrix_x4_trans", WARP_ALL, do_load_trans, &own);
}

struct copy {
    void *to;
    const void *from;
    uint32_t bytes;
};

/* Of each thread: copies that have not landed; how many of them each commit has closed off. */
static std::vector<copy> copies[THREADS_MAX];
static std::vector<size_t> groups[THREADS_MAX];

static void land(const copy &one)
{
    memset(one.to, 0, ROW_BYTES);
    if (one.bytes) memcpy(one.to, one.from, one.bytes);
}

void cp_async_16(void *shared, const void *from, uint32_t bytes)
{
    char seen[ROW_BYTES];
    check_aligned("cp_async_16", shared);
    check_aligned("cp_async_16", from);
    if (bytes > ROW_BYTES) fibers_abort("cp_async_16 of %u bytes", bytes);
    if (bytes) memcpy(seen, from, bytes);
    asm volatile("" ::"r"(seen) : "memory");
    const copy one = {shared, from, bytes};
    if (fibers_are_reverse())
        land(one);
    else
        copies[fibers_number()].push_back(one);
}

void cp_async_commit()
{
    groups[fibers_number()].push_back(copies[fibers_number()].size());
}

static void land_first(unsigned number, size_t count)
{
    std::vector<copy> &own = copies[number];
    for (size_t i = 0; i < count; i++) land(own[i]);
    own.erase(own.begin(), own.begin() + static_cast<ptrdiff_t>(count));
    for (size_t &end : groups[number]) end = end > count ? end - count : 0;
}

void fibers_copies_wait(unsigned groups_left)
{
    const unsigned number = fibers_number();
    while (groups[number].size() > groups_left) {
        land_first(number, groups[number][0]);
        groups[number].erase(groups[number].begin());
    }
}

void fibers_copies_end()
{
    const unsigned number = fibers_number();
    groups[number].clear();
    land_first(number, copies[number].size());
}
