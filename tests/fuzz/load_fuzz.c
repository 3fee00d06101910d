/* load_fuzz.c - the files of a model: safetensors, an index of them, config.json and
 * preprocessor_config.json of any bytes give what their headers promise, or a sentence.
 *
 * The first byte picks the kind. A file of tensors that was read is written again and must come out
 * with the same tensors. */
#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "worker/nn/load/config.h"
#include "worker/nn/load/preprocessor.h"
#include "worker/nn/load/safetensors.h"
#include "worker/nn/load/safetensors_index.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* A file without a name. */
struct scratch {
    int fd;
    char path[64];
};

static void scratch_put(struct scratch *scratch, const void *data, size_t bytes)
{
    if (!scratch->path[0]) {
        char name[] = "/tmp/load_fuzz.XXXXXX";
        scratch->fd = mkstemp(name);
        CHECK(scratch->fd >= 0);
        CHECK(unlink(name) == 0);
        (void)snprintf(scratch->path, sizeof scratch->path, "/proc/self/fd/%d", scratch->fd);
    }
    CHECK(ftruncate(scratch->fd, 0) == 0);
    CHECK(pwrite(scratch->fd, data, bytes, 0) == (ssize_t)bytes);
}

static int to_buf(void *ctx, const void *data, size_t bytes, struct err *err)
{
    buf_add(ctx, data, bytes);
    return buf_failed(ctx) ? err_set(err, ERR_LIMIT, "out of memory") : 0;
}

static void write_again(struct buf *out, const struct safetensors *file)
{
    const uint32_t count = safetensors_count(file), pairs_count = safetensors_metadata_count(file);
    struct safetensors_writer *writer = NULL;
    const struct safetensors_entry *next;
    struct err err;
    CHECK(safetensors_writer_new(&writer, count ? safetensors_at(file, 0) : NULL, count,
                                 pairs_count ? safetensors_metadata_at(file, 0) : NULL, pairs_count,
                                 to_buf, out, &err) == 0);
    while ((next = safetensors_writer_next(writer)))
        CHECK(safetensors_writer_add(writer, next->tensor.data, tensor_bytes(&next->tensor),
                                     &err) == 0);
    CHECK(safetensors_writer_end(writer, &err) == 0);
    safetensors_writer_free(writer);
}

static void check_same(const struct safetensors *file, const struct safetensors *again)
{
    CHECK(safetensors_count(file) == safetensors_count(again));
    CHECK(safetensors_metadata_count(file) == safetensors_metadata_count(again));
    for (uint32_t i = 0; i < safetensors_count(file); i++) {
        const struct safetensors_entry *one = safetensors_at(file, i);
        CHECK(safetensors_find(file, one->name) == one);
        const struct safetensors_entry *two = safetensors_find(again, one->name);
        CHECK(two != NULL);
        CHECK(one->tensor.dtype == two->tensor.dtype);
        CHECK(tensor_has_shape(&one->tensor, two->tensor.shape, two->tensor.rank));
        const size_t bytes = tensor_bytes(&one->tensor);
        CHECK(bytes == 0 || memcmp(one->tensor.data, two->tensor.data, bytes) == 0);
    }
}

static void read_tensors(const uint8_t *data, size_t bytes)
{
    static struct scratch scratch, second;
    struct safetensors *file = NULL, *again = NULL;
    struct buf written;
    struct err err;
    scratch_put(&scratch, data, bytes);
    if (safetensors_open(&file, scratch.path, &err)) return;
    buf_init(&written, 0);
    write_again(&written, file);
    scratch_put(&second, written.data, written.len);
    CHECK(safetensors_open(&again, second.path, &err) == 0);
    check_same(file, again);
    safetensors_close(again);
    safetensors_close(file);
    buf_deinit(&written);
}

static void read_index(const char *json, size_t bytes)
{
    struct safetensors_index index;
    struct arena arena;
    struct err err;
    arena_init(&arena, 0);
    if (!safetensors_index_parse(&index, &arena, json, bytes, &err)) {
        CHECK(index.count > 0);
        for (uint32_t i = 0; i < index.count; i++) CHECK(index.place[i].shard < index.shards_count);
        for (uint32_t i = 0; i < index.shards_count; i++) {
            CHECK(!strchr(index.shard[i], '/'));
            CHECK(i == 0 || strcmp(index.shard[i - 1], index.shard[i]) < 0);
        }
    }
    arena_deinit(&arena);
}

static void check_tower(const struct clip_tower *tower)
{
    CHECK(tower->hidden_size > 0);
    CHECK(tower->heads_count > 0);
    CHECK(tower->hidden_size % tower->heads_count == 0);
    CHECK(tower->layers_count > 0);
    CHECK(tower->projection_dim > 0);
}

static void read_model(const char *json, size_t bytes)
{
    struct clip_config config;
    struct err err;
    if (clip_config_parse(&config, json, bytes, &err)) return;
    CHECK(config.has_vision || config.has_text);
    check_tower(&config.vision.tower);
    check_tower(&config.text.tower);
    CHECK(config.vision.patch_size > 0);
    CHECK(config.vision.patch_size <= config.vision.image_size);
    CHECK(config.text.positions_max > 0);
    CHECK(config.text.eos_token_id >= 0);
}

static void read_processor(const char *json, size_t bytes)
{
    struct preprocessor_config config;
    struct err err;
    if (preprocessor_config_parse(&config, json, bytes, &err)) return;
    CHECK(config.shortest_edge > 0 || (config.resize_height > 0 && config.resize_width > 0));
    CHECK(config.crop_height > 0);
    CHECK(config.crop_width > 0);
    CHECK(config.filter <= PREPROCESSOR_HAMMING);
    for (int i = 0; i < 3; i++) CHECK(config.std[i] > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 1) return 0;
    const char *json = (const char *)data + 1;
    switch (data[0] % 4) {
    case 0:
        read_tensors(data + 1, bytes - 1);
        break;
    case 1:
        read_index(json, bytes - 1);
        break;
    case 2:
        read_model(json, bytes - 1);
        break;
    default:
        read_processor(json, bytes - 1);
        break;
    }
    return 0;
}
