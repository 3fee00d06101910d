/* tar_index.c - see tar_index.h. The members are found by reading the sample as any reader would,
 * so that the index cannot say anything else than the tar. */
#include "worker/pipe/tar_index.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct sample {
    const uint8_t *data;
    size_t bytes, at;
};

static int read_sample(void *ctx, void *dst, size_t bytes, size_t *got, struct err *err)
{
    struct sample *sample = ctx;
    (void)err;
    const size_t left = sample->bytes - sample->at;
    *got = bytes < left ? bytes : left;
    if (*got) memcpy(dst, sample->data + sample->at, *got);
    sample->at += *got;
    return 0;
}

void tar_index_init(struct tar_index *index)
{
    *index = (struct tar_index){0};
    buf_init(&index->lines, 0);
}

void tar_index_deinit(struct tar_index *index)
{
    buf_deinit(&index->lines);
}

static int add_member(struct tar_index *index, const struct tar_member *member, bool first,
                      struct err *err)
{
    const char *slash = strrchr(member->name, '/');
    const char *point = strchr(slash ? slash + 1 : member->name, '.');
    if (!point || !point[1] || strpbrk(member->name, " \t\r\n"))
        return err_set(err, ERR_INVALID, "\"%.100s\" cannot stand in an index", member->name);
    buf_printf(&index->lines, "%s%s %" PRId64 " %" PRId64 " %s", first ? "" : " ", point + 1,
               index->offset + member->offset, member->bytes, member->name);
    return 0;
}

int tar_index_add(struct tar_index *index, const void *members, size_t bytes, struct err *err)
{
    struct sample sample = {.data = members, .bytes = bytes};
    struct tar_reader reader;
    struct tar_member member;
    bool found = true, first = true;
    int rc = 0;
    if (bytes == 0 || bytes % TAR_BLOCK_BYTES)
        return err_set(err, ERR_INVALID, "%zu bytes are no whole members of a tar", bytes);
    tar_reader_init(&reader, read_sample, &sample);
    for (;;) {
        rc = tar_reader_next(&reader, &member, &found, err);
        if (rc || !found) break;
        rc = add_member(index, &member, first, err);
        if (rc) break;
        first = false;
    }
    if (rc) return rc;
    if (first || reader.complete)
        return err_set(err, ERR_INVALID, "a sample is members of a tar, and not its end");
    buf_byte(&index->lines, '\n');
    index->offset += (int64_t)bytes;
    index->samples++;
    return buf_failed(&index->lines) ? err_set(err, ERR_LIMIT, "no memory for the tar's index") : 0;
}

int tar_index_write(const struct tar_index *index, tar_write *write, void *ctx, struct err *err)
{
    char head[32];
    const int bytes = snprintf(head, sizeof head, "v1.2 %" PRIu32 "\n", index->samples);
    const int rc = write(ctx, head, (size_t)bytes, err);
    if (rc || !index->lines.len) return rc;
    return write(ctx, index->lines.data, index->lines.len, err);
}
