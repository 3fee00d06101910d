/* tar_fuzz.c - any bytes are read as an archive to their end or an error, in pieces of any size;
 * what was read can be written and read again. Since hardly a changed header has the right sum, the
 * same is done once more with all sums put right; and the bytes are also the text of PAX headers,
 * of one member (x) and of all (g), before a member that is known. */
#include "common/base/check.h"
#include "worker/pipe/tar.h"
#include "worker/pipe/tar_header.h"
#include "worker/pipe/tar_index.h"

#include <stdio.h>
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

static void put_sum(struct tar_header *header)
{
    char sum[sizeof header->sum + 1];
    memset(header->sum, ' ', sizeof header->sum);
    (void)snprintf(sum, sizeof sum, "%06o", tar_header_sum(header));
    memcpy(header->sum, sum, 7); /* its zero too */
}

static void try_whole(const uint8_t *data, size_t size, size_t step)
{
    struct buf copy;
    buf_init(&copy, 0);
    const int members = copy_members(&copy, data, size, step);
    CHECK(copy_members(NULL, (const uint8_t *)copy.data, copy.len, 512) == members);
    buf_deinit(&copy);
}

/* Every block that looks like a header gets its sum. */
static void try_mended(const uint8_t *data, size_t size, size_t step)
{
    struct buf copy;
    struct tar_header header;
    buf_init(&copy, 0);
    buf_add(&copy, data, size);
    for (size_t at = 0; at + sizeof header <= size; at += sizeof header) {
        memcpy(&header, copy.data + at, sizeof header);
        if (memcmp(header.magic, "ustar", 5) != 0) continue;
        put_sum(&header);
        memcpy(copy.data + at, &header, sizeof header);
    }
    try_whole((const uint8_t *)buf_str(&copy), size, step);
    buf_deinit(&copy);
}

static void add_member(struct buf *archive, char type, const char *name, const void *data,
                       size_t bytes)
{
    struct tar_header header;
    char size[sizeof header.size + 1];
    memset(&header, 0, sizeof header);
    memcpy(header.name, name, strlen(name));
    (void)snprintf(size, sizeof size, "%011zo", bytes);
    memcpy(header.size, size, sizeof header.size);
    memcpy(header.magic, "ustar", 6);
    header.type = type;
    put_sum(&header);
    buf_add(archive, &header, sizeof header);
    buf_add(archive, data, bytes);
    for (size_t i = tar_padding(bytes); i; i--) buf_byte(archive, 0);
}

/* Whatever a PAX header says, what comes is an error or the member, of the size that it says. */
static void try_pax(char type, const uint8_t *text, size_t bytes)
{
    static const char data[] = "0123456789";
    struct buf archive;
    struct tar_member member;
    struct tar_reader reader;
    struct err err = {0};
    bool found = false;
    buf_init(&archive, 0);
    add_member(&archive, type, "pax", text, bytes);
    add_member(&archive, '0', "0.jpg", data, 10);
    struct source source = {(const uint8_t *)archive.data, archive.len, 0, 512};
    tar_reader_init(&reader, source_read, &source);
    const int rc = tar_reader_next(&reader, &member, &found, &err);
    CHECK(rc ? err.msg[0] != 0 : found && member.name[0] && reader.left == member.bytes);
    CHECK(type == 'x' || (!rc && member.bytes == 10 && !strcmp(member.name, "0.jpg")));
    if (!rc) CHECK(member.offset == (int64_t)archive.len - 512);
    if (!rc && tar_reader_jump(&reader, (int64_t)archive.len, &err)) CHECK(member.bytes > 512);
    buf_deinit(&archive);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const size_t step = size ? data[size - 1] % 64 * 16 + (size_t)1 : 1;
    try_whole(data, size, step);
    try_mended(data, size, step);
    try_pax('x', data, size);
    try_pax('g', data, size);
    struct tar_index index;
    struct err err = {0};
    tar_index_init(&index);
    const int rc = tar_index_add(&index, data, size, &err);
    CHECK(rc ? err.msg[0] != 0 : index.samples == 1 && index.offset == (int64_t)size);
    tar_index_deinit(&index);
    return 0;
}
