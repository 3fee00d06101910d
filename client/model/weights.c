/* weights.c - how many numbers of which types a file of weights has, by its header alone.
 *
 * The safetensors format (README of https://github.com/huggingface/safetensors): 8 bytes with the
 * length of the header, little-endian, then JSON with dtype and shape of each tensor. The worker
 * reads such files for good (worker/nn/load); this only describes them. */
#include "client/model/inside.h"
#include "common/base/fs.h"
#include "common/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

/* Of 100,000 tensors with long names; jansson takes up to forty times as much. */
#define HEADER_BYTES_MAX ((size_t)16 * 1024 * 1024)
#define RANK_MAX         16

static bool count_numbers(uint64_t *numbers, const json_t *shape)
{
    *numbers = 1;
    if (!json_is_array(shape) || json_array_size(shape) > RANK_MAX) return false;
    for (size_t i = 0; i < json_array_size(shape); i++) {
        const json_t *size = json_array_get(shape, i);
        if (!json_is_integer(size) || json_integer_value(size) < 0) return false;
        if (__builtin_mul_overflow(*numbers, (uint64_t)json_integer_value(size), numbers))
            return false;
    }
    return true;
}

static int add_tensor(struct weights *weights, const json_t *tensor, struct err *err)
{
    const char *type = json_string_value(json_object_get(tensor, "dtype"));
    uint64_t numbers;
    uint32_t i = 0;
    if (!type || strlen(type) >= sizeof weights->type[0].name ||
        !count_numbers(&numbers, json_object_get(tensor, "shape")))
        return err_set(err, ERR_CORRUPT, "a tensor of it has no type or shape");
    while (i < weights->types_count && !str_eq(weights->type[i].name, type)) i++;
    if (i == WEIGHTS_TYPES_MAX) return err_set(err, ERR_CORRUPT, "it has too many types");
    if (i == weights->types_count) {
        weights->types_count++;
        (void)str_copy(weights->type[i].name, sizeof weights->type[i].name, type);
    }
    if (__builtin_add_overflow(weights->parameters, numbers, &weights->parameters))
        return err_set(err, ERR_CORRUPT, "its tensors are larger than any can be");
    weights->tensors++;
    weights->type[i].tensors++;
    weights->type[i].parameters += numbers; /* at most the sum */
    return 0;
}

int weights_add(struct weights *weights, const char *json, size_t bytes, struct err *err)
{
    json_error_t trouble;
    const char *name;
    json_t *root = json_loadb(json, bytes, 0, &trouble), *tensor;
    int rc = json_is_object(root) ? 0 : err_set(err, ERR_CORRUPT, "its header is no JSON object");
    json_object_foreach(root, name, tensor)
    {
        if (!rc && !str_eq(name, "__metadata__")) rc = add_tensor(weights, tensor, err);
    }
    json_decref(root);
    return rc;
}

static int read_exactly(int fd, void *dst, size_t bytes, struct err *err)
{
    char *at = dst;
    while (bytes) {
        const ssize_t got = read(fd, at, bytes);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return err_errno(err, errno, "read");
        if (got == 0) return err_set(err, ERR_CORRUPT, "it ends within its header");
        at += got;
        bytes -= (size_t)got;
    }
    return 0;
}

static int read_header(struct buf *json, int fd, struct err *err)
{
    uint8_t size[8];
    uint64_t bytes = 0;
    int rc = read_exactly(fd, size, sizeof size, err);
    if (rc) return rc;
    for (int i = 7; i >= 0; i--) bytes = bytes << 8 | size[i];
    if (bytes > HEADER_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "its header is larger than %zu bytes", HEADER_BYTES_MAX);
    char *place = buf_reserve(json, (size_t)bytes + 1);
    if (!place) return err_set(err, ERR_LIMIT, "out of memory");
    rc = read_exactly(fd, place, (size_t)bytes, err);
    if (!rc) buf_commit(json, (size_t)bytes);
    return rc;
}

int weights_read(struct weights *weights, const char *path, struct err *err)
{
    struct buf json;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_errno(err, errno, "open %s", path);
    buf_init(&json, 0);
    int rc = read_header(&json, fd, err);
    if (!rc) rc = weights_add(weights, buf_str(&json), json.len, err);
    buf_deinit(&json);
    (void)close(fd);
    return rc ? err_wrap(err, "%s", path) : 0;
}
