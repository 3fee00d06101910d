/* weights_test.c - wherever a tensor has a number that is infinite or none, it is not loaded; the
 * largest and smallest numbers are. */
#include "worker/nn/load/weights.h"

#include "common/base/fs.h"
#include "tests/support/test.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Shorter than what is looked at together, as long, and longer. */
static const int64_t lengths[] = {1, 3, 1023, 1024, 1025, 5000};
static const int64_t places[] = {0, 1, 1022, 1023, 1024, 4095, 4999};
/* Of each type: numbers at the edges, and what is none. */
static const struct {
    enum dtype dtype;
    uint32_t number[6], other[6];
} types[] = {
    {DTYPE_F32,
     {0x7f7fffff, 0xff7fffff, 0x80000000, 0x00000001, 0x007fffff, 0x3f800000},
     {0x7f800000, 0xff800000, 0x7f800001, 0xff800001, 0x7fc00000, 0xffffffff}},
    {DTYPE_F16,
     {0x7bff, 0xfbff, 0x8000, 0x0001, 0x03ff, 0x3c00},
     {0x7c00, 0xfc00, 0x7c01, 0xfc01, 0x7e00, 0xffff}},
    {DTYPE_BF16,
     {0x7f7f, 0xff7f, 0x8000, 0x0001, 0x007f, 0x3f80},
     {0x7f80, 0xff80, 0x7f81, 0xff81, 0x7fc0, 0xffff}},
};
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

struct cases {
    struct arena arena;
    struct safetensors_entry entry[1000];
    bool is_good[1000];
    uint32_t count;
};

static void put(void *data, enum dtype dtype, int64_t at, uint32_t bits)
{
    const size_t width = dtype_bytes(dtype);
    memcpy((char *)data + (size_t)at * width, &bits, width); /* little-endian */
}

/* A tensor of numbers; one has these bits. */
static void add(struct cases *cases, size_t type, int64_t length, int64_t place,
                const uint32_t *bits)
{
    const enum dtype dtype = types[type].dtype;
    void *data = arena_new(&cases->arena, (size_t)length * dtype_bytes(dtype));
    EXPECT(cases->count < COUNT(cases->entry));
    for (int64_t i = 0; i < length; i++) put(data, dtype, i, types[type].number[i % 6]);
    if (bits) put(data, dtype, place, *bits);
    cases->entry[cases->count] =
        (struct safetensors_entry){.name = arena_printf(&cases->arena, "t%u", cases->count),
                                   .tensor = tensor_over(data, dtype, &length, 1)};
    cases->is_good[cases->count++] = !bits;
}

static void add_all(struct cases *cases)
{
    for (size_t type = 0; type < COUNT(types); type++)
        for (size_t i = 0; i < COUNT(lengths); i++) {
            add(cases, type, lengths[i], 0, NULL);
            for (size_t k = 0; k < COUNT(places); k++)
                for (size_t n = 0; n < 6 && places[k] < lengths[i]; n++)
                    add(cases, type, lengths[i], places[k], &types[type].other[n]);
        }
}

static void check(struct backend *backend, const struct safetensors *file,
                  const struct cases *cases, uint32_t number, enum weight_kind kind)
{
    const struct safetensors_entry *entry = &cases->entry[number];
    struct weight_table table = {.dtype = DTYPE_F32, .prefix = ""};
    struct arena arena;
    struct weights weights;
    struct tensor field = {0};
    struct backend_weight *matrix = NULL;
    struct err err = {.msg = ""};
    struct weight_row row = {
        .kind = kind, .name = {entry->name}, .shape = {tensor_count(&entry->tensor)}};
    row.field = kind == WEIGHT_MATRIX ? (void *)&matrix : &field;
    arena_init(&arena, 0);
    table.arena = &arena;
    weight_table_add(&table, &row);
    const int rc = weights_load(&weights, backend, file, &table, &err);
    EXPECT_EQ(rc, cases->is_good[number] ? 0 : ERR_CORRUPT);
    if (rc) {
        char want[80];
        (void)snprintf(want, sizeof want, "tensor %s has a number that is infinite or none",
                       entry->name);
        EXPECT_TEXT(err.msg, want);
    }
    weights_free(&weights, backend, &table);
    arena_deinit(&arena);
}

/* Writes the cases and loads each of them. */
static void check_all(const struct cases *cases, const char *device, uint32_t threads,
                      const enum weight_kind *kinds, size_t kinds_count)
{
    struct safetensors *file = NULL;
    struct backend *backend = NULL;
    struct err err;
    char path[PATH_MAX];
    const char *dir = test_dir_new();
    EXPECT(fs_join(path, sizeof path, dir, "model.safetensors"));
    EXPECT_OK(safetensors_save(path, cases->entry, cases->count, NULL, 0, NULL, NULL, &err), &err);
    EXPECT_OK(safetensors_open(&file, path, &err), &err);
    EXPECT_OK(backend_open(&backend, device, threads, &err), &err);
    for (uint32_t i = 0; i < cases->count; i++)
        for (size_t k = 0; k < kinds_count; k++) check(backend, file, cases, i, kinds[k]);
    backend_close(backend);
    safetensors_close(file);
    test_dir_remove(dir);
}

TEST(weights, takes_all_numbers_and_nothing_else)
{
    UNUSED_STATE;
    static const enum weight_kind kinds[] = {WEIGHT_F32, WEIGHT_STORED, WEIGHT_MATRIX};
    struct cases *cases = mem_new(sizeof *cases);
    arena_init(&cases->arena, 0);
    add_all(cases);
    check_all(cases, "reference", 1, kinds, COUNT(kinds));
    arena_deinit(&cases->arena);
    mem_free(cases);
}

/* Large ones are looked at by several threads, a third by each of three. */
TEST(weights, every_part_of_a_large_tensor_is_looked_at)
{
    UNUSED_STATE;
    static const enum weight_kind stored = WEIGHT_STORED;
    const int64_t length = 3 * 128 * 1024 + 5, third = length / 3;
    const int64_t at[] = {0, third - 1, third, 2 * third - 1, 2 * third, length - 1};
    struct cases *cases = mem_new(sizeof *cases);
    arena_init(&cases->arena, 0);
    add(cases, 1, length, 0, NULL);
    for (size_t i = 0; i < COUNT(at); i++) add(cases, 1, length, at[i], &types[1].other[0]);
    check_all(cases, "cpu", 3, &stored, 1);
    arena_deinit(&cases->arena);
    mem_free(cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(weights, takes_all_numbers_and_nothing_else),
        RUN(weights, every_part_of_a_large_tensor_is_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
