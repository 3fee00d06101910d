/* tar_fuzz.c - any bytes are read as an archive to their end or an error, in pieces of any size;
 * what was read can be written and read again. */
#include "common/base/check.h"
#include "worker/pipe/tar.h"
#include "worker/pipe/tar_index.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct source {
    const uint8_t *data;
    size_t bytes, at, step;
};

static int source_read(void *ctx, void *dst, size_t bytes, size_t *got, struct err *err)
{
    struct source *source = ctx;
    (void)err;
    *got = source->bytes - source->at;
    if (*got > bytes) *got = bytes;
    if (*got > source->step) *got = source->step;
    memcpy(dst, source->data + source->at, *got);
    source->at += *got;
    return 0;
}

/* Reads an archive; what a writer takes is copied to copy, if there is one. Returns the members. */
static int copy_members(struct buf *copy, const uint8_t *data, size_t bytes, size_t step)
{
    struct source source = {data, bytes, 0, step};
    struct tar_reader reader;
    struct tar_writer writer;
    struct tar_member member;
    struct err err;
    struct buf text;
    bool found;
    int members = 0;
    buf_init(&text, 1 << 20);
    tar_reader_init(&reader, source_read, &source);
    tar_writer_init(&writer, tar_write_buf, copy);
    while (tar_reader_next(&reader, &member, &found, &err) == 0 && found) {
        CHECK(member.bytes >= 0);
        CHECK(memchr(member.name, 0, sizeof member.name) != NULL);
        buf_clear(&text);
        if (tar_reader_all(&reader, &text, 1 << 20, &err)) break;
        CHECK((int64_t)text.len == member.bytes);
        if (copy && tar_writer_add(&writer, member.name, text.data, text.len, &err)) continue;
        members++;
    }
    if (copy) CHECK(tar_writer_end(&writer, &err) == 0);
    buf_deinit(&text);
    return members;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf copy;
    buf_init(&copy, 0);
    const size_t step = size ? data[size - 1] % 64 * 16 + (size_t)1 : 1;
    const int members = copy_members(&copy, data, size, step);
    CHECK(copy_members(NULL, (const uint8_t *)copy.data, copy.len, 512) == members);
    buf_deinit(&copy);
    struct tar_index index;
    struct err err = {0};
    tar_index_init(&index);
    const int rc = tar_index_add(&index, data, size, &err);
    CHECK(rc ? err.msg[0] != 0 : index.samples == 1 && index.offset == (int64_t)size);
    tar_index_deinit(&index);
    return 0;
}
