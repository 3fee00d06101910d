/* tar_test.c - the writer's bytes, what tar(1) makes of them, and archives that others wrote. */
#include "worker/pipe/tar.h"

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "tests/support/test.h"
#include "worker/pipe/tar_header.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct source {
    const char *data;
    size_t bytes, at, step; /* gives at most step bytes at a time */
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

static int refuse(void *ctx, const void *data, size_t bytes, struct err *err)
{
    (void)data;
    int64_t *left = ctx;
    if ((*left -= (int64_t)bytes) < 0) return err_set(err, ERR_LIMIT, "disk full");
    return 0;
}

/* An archive of these members: name, text, name, text, …, NULL. */
static void pack(struct buf *out, const char *const *members)
{
    struct tar_writer writer;
    struct err err;
    buf_init(out, 0);
    tar_writer_init(&writer, tar_write_buf, out);
    for (; *members; members += 2)
        EXPECT_OK(tar_writer_add(&writer, members[0], members[1], strlen(members[1]), &err), &err);
    EXPECT_OK(tar_writer_end(&writer, &err), &err);
    EXPECT_EQ(writer.bytes, out->len);
}

/* Lists an archive as "name=text;…" up to its end or its first error, which is returned. */
static int list(struct buf *out, const char *data, size_t bytes, size_t step, bool *complete)
{
    /* A copy of exactly this size, so that a byte read too many is noticed. */
    char *exact = mem_new(bytes);
    if (bytes) memcpy(exact, data, bytes);
    struct source source = {exact, bytes, 0, step};
    struct tar_reader reader;
    struct tar_member member;
    struct err err;
    bool found = false;
    int rc;
    tar_reader_init(&reader, source_read, &source);
    while (!(rc = tar_reader_next(&reader, &member, &found, &err)) && found) {
        buf_printf(out, "%s=", member.name);
        EXPECT_EQ(member.offset, source.at);
        rc = tar_reader_all(&reader, out, 1 << 20, &err);
        if (rc) break;
        buf_byte(out, ';');
    }
    if (complete) *complete = reader.complete;
    mem_free(exact);
    return rc;
}

static void expect_list(const struct buf *archive, const char *want, bool want_complete)
{
    static const size_t steps[] = {1, 100, 1 << 20};
    for (int i = 0; i < 3; i++) {
        struct buf got;
        bool complete;
        buf_init(&got, 0);
        EXPECT_EQ(list(&got, archive->data, archive->len, steps[i], &complete), 0);
        EXPECT_TEXT(buf_str(&got), want);
        EXPECT_EQ(complete, want_complete);
        buf_deinit(&got);
    }
}

static const char *const sample[] = {
    "000000001.jpg", "\xFF\xD8 picture", "000000001.json", "{}", "000000001.txt", "", NULL};

TEST(tar, writes_plain_ustar_without_anything_that_changes)
{
    UNUSED_STATE;
    struct buf archive;
    pack(&archive, sample);
    EXPECT_EQ(archive.len, 512 * (2 + 2 + 1 + 2));
    const struct tar_header *header = (const struct tar_header *)archive.data;
    EXPECT_TEXT(header->name, "000000001.jpg");
    EXPECT_MEM(header->mode, "0000644", 8);
    EXPECT_MEM(header->uid, "0000000", 8);
    EXPECT_MEM(header->gid, "0000000", 8);
    EXPECT_MEM(header->size, "00000000012", 12); /* ten, in octal */
    EXPECT_MEM(header->mtime, "00000000000", 12);
    EXPECT_EQ(header->type, '0');
    EXPECT_MEM(header->magic,
               "ustar\0"
               "00",
               8);
    EXPECT_EQ(header->user[0], 0);
    EXPECT_MEM(archive.data + 512, "\xFF\xD8 picture\0\0\0", 13);
    for (size_t i = 0; i < 1024; i++) EXPECT_EQ(archive.data[archive.len - 1 - i], 0);
    buf_deinit(&archive);
}

TEST(tar, reads_what_it_wrote)
{
    UNUSED_STATE;
    struct buf archive;
    pack(&archive, sample);
    expect_list(&archive, "000000001.jpg=\xFF\xD8 picture;000000001.json={};000000001.txt=;", true);
    buf_deinit(&archive);
}

/* Runs a shell command and gives its output. */
static void shell(struct buf *out, const char *command)
{
    FILE *pipe = popen(command, "re");
    EXPECT(pipe != NULL);
    char block[256];
    size_t got;
    while ((got = fread(block, 1, sizeof block, pipe)) > 0) buf_add(out, block, got);
    EXPECT_EQ(pclose(pipe), 0);
}

TEST(tar, is_read_by_the_tar_command)
{
    UNUSED_STATE;
    const char *dir = test_dir_new();
    struct buf archive, out;
    struct err err;
    char path[512], command[1024], name[200];
    memset(name, 'd', sizeof name);
    (void)snprintf(name + 120, sizeof name - 120, "/a name of its own.txt");
    const char *const members[] = {"a.txt", "first", name, "second", NULL};
    pack(&archive, members);
    EXPECT(fs_join(path, sizeof path, dir, "x.tar"));
    EXPECT_OK(fs_put(path, archive.data, archive.len, &err), &err);
    buf_init(&out, 0);
    (void)snprintf(command, sizeof command,
                   "LC_ALL=C tar -tvf %s --utc --numeric-owner && "
                   "tar -xOf %s",
                   path, path);
    shell(&out, command);
    EXPECT(strstr(buf_str(&out), "-rw-r--r-- 0/0               5 1970-01-01 00:00 a.txt\n"));
    EXPECT(strstr(buf_str(&out), "ddd/a name of its own.txt\n"));
    EXPECT(strstr(buf_str(&out), "firstsecond"));
    buf_deinit(&archive);
    buf_deinit(&out);
    test_dir_remove(dir);
}

TEST(tar, splits_long_names_and_refuses_those_that_fit_nowhere)
{
    UNUSED_STATE;
    struct tar_writer writer;
    struct buf archive;
    struct err err;
    char name[300];
    buf_init(&archive, 0);
    tar_writer_init(&writer, tar_write_buf, &archive);
    memset(name, 'n', sizeof name);
    name[101] = 0; /* no place to split */
    EXPECT_EQ(tar_writer_add(&writer, name, "", 0, &err), ERR_INVALID);
    name[100] = 0;
    EXPECT_OK(tar_writer_add(&writer, name, "1", 1, &err), &err);
    name[100] = name[101] = 'n';
    name[155] = '/';
    name[256] = 0; /* the longest there is */
    EXPECT_OK(tar_writer_add(&writer, name, "2", 1, &err), &err);
    name[256] = 'n';
    name[257] = 0;
    EXPECT_EQ(tar_writer_add(&writer, name, "", 0, &err), ERR_INVALID);
    EXPECT_EQ(tar_writer_add(&writer, "", "", 0, &err), ERR_INVALID);
    EXPECT_EQ(tar_writer_add(&writer, "/etc/passwd", "", 0, &err), ERR_INVALID);
    EXPECT_EQ(tar_writer_add(&writer, "folder/", "", 0, &err), ERR_INVALID);
    EXPECT_OK(tar_writer_end(&writer, &err), &err);
    char want[400];
    name[256] = 0;
    (void)snprintf(want, sizeof want, "%.100s=1;%s=2;", name, name);
    expect_list(&archive, want, true);
    buf_deinit(&archive);
}

TEST(tar, passes_on_errors_of_the_callback)
{
    UNUSED_STATE;
    struct err err;
    for (int64_t room = 0; room < 512 * 2 + 1024; room += 256) {
        struct tar_writer writer;
        int64_t left = room;
        tar_writer_init(&writer, refuse, &left);
        int rc = tar_writer_add(&writer, "a", "text", 4, &err);
        if (!rc) rc = tar_writer_end(&writer, &err);
        EXPECT_EQ(rc, ERR_LIMIT);
        EXPECT_TEXT(err.msg, "disk full");
    }
}

/* One member as another tar might write it. */
static void foreign(struct buf *out, char type, const char *name, const void *data, size_t bytes,
                    const char *magic)
{
    struct tar_header header = {0};
    memcpy(header.name, name, strlen(name));
    (void)snprintf(header.size, sizeof header.size, "%11zo", bytes); /* spaces in front */
    header.type = type;
    memcpy(header.magic, magic, 8);
    memcpy(header.prefix, "gnu", 3);
    (void)snprintf(header.sum, sizeof header.sum, "%06o", tar_header_sum(&header));
    header.sum[7] = ' ';
    buf_add(out, &header, sizeof header);
    if (bytes) buf_add(out, data, bytes);
    static const char zeros[512];
    buf_add(out, zeros, tar_padding(bytes));
}

#define GNU "ustar  \0"
#define USTAR \
    "ustar\0" \
    "00"
#define OLD "\0\0\0\0\0\0\0"

TEST(tar, reads_what_others_write)
{
    UNUSED_STATE;
    struct buf archive;
    static const char pax[] = "28 mtime=1700000000.1234567\n22 path=long/name.jpg\n";
    buf_init(&archive, 0);
    foreign(&archive, 'g', "global", "17 comment=whole\n", 17, USTAR);
    foreign(&archive, 'x', "x", pax, sizeof pax - 1, USTAR);
    foreign(&archive, '0', "name.jpg", "one", 3, USTAR);
    foreign(&archive, '5', "folder/", "", 0, USTAR);
    foreign(&archive, 'L', "././@LongLink", "another/long/name.txt", 22, GNU);
    foreign(&archive, '0', "another", "two", 3, GNU);
    foreign(&archive, '2', "link", "", 0, GNU);
    foreign(&archive, 'V', "volume label with data", "data", 4, GNU);
    foreign(&archive, 0, "old.json", "three", 5, OLD);
    foreign(&archive, '0', "plain", "four", 4, USTAR); /* its prefix counts */
    expect_list(&archive,
                "long/name.jpg=one;another/long/name.txt=two;old.json=three;gnu/plain=four;",
                false);
    buf_deinit(&archive);
}

TEST(tar, takes_sizes_from_pax_and_in_base_256)
{
    UNUSED_STATE;
    struct buf archive;
    buf_init(&archive, 0);
    foreign(&archive, 'x', "x", "9 size=4\n", 9, USTAR);
    foreign(&archive, '0', "a", "", 0, GNU);
    buf_add(&archive, "four", 4);
    for (int i = 4; i < 512; i++) buf_byte(&archive, 0);
    const size_t at = archive.len;
    foreign(&archive, '0', "b", "five!", 5, GNU);
    struct tar_header *header = (struct tar_header *)(archive.data + at);
    memcpy(header->size, "\x80\0\0\0\0\0\0\0\0\0\0\5", 12);
    (void)snprintf(header->sum, sizeof header->sum, "%06o", tar_header_sum(header));
    expect_list(&archive, "a=four;b=five!;", false);
    buf_deinit(&archive);
}

TEST(tar, forgets_a_pax_header_after_its_member)
{
    UNUSED_STATE;
    struct buf archive;
    buf_init(&archive, 0);
    foreign(&archive, 'x', "x", "10 path=p\n", 10, USTAR);
    foreign(&archive, '5', "folder", "", 0, GNU); /* it was the folder's */
    foreign(&archive, '0', "a", "1", 1, GNU);
    expect_list(&archive, "a=1;", false);
    buf_deinit(&archive);
}

static void expect_error(const struct buf *archive, enum err_code want)
{
    struct buf got;
    buf_init(&got, 0);
    EXPECT_EQ(list(&got, archive->data, archive->len, 1 << 20, NULL), want);
    buf_deinit(&got);
}

TEST(tar, refuses_broken_pax_headers)
{
    UNUSED_STATE;
    static const char *const broken[] = {
        "path=x\n",
        "999 path=x\n",
        "0 path=x\n",
        "10 path=x",
        "12 path=xy\n",
        "5 a=b\n",
        "4 ab\n",
        "8 path=\n",
        "-1 path=x\n",
        "3 \n",
        "9 size=x\n",
        "8 size=\n",
        " 9 path=x\n",
        "99999999999999999999 path=x\n",
        "25 size=9999999999999999\n",
        "2 \n",
    };
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        struct buf archive;
        buf_init(&archive, 0);
        foreign(&archive, 'x', "x", broken[i], strlen(broken[i]), USTAR);
        foreign(&archive, '0', "a", "1", 1, USTAR);
        expect_error(&archive, ERR_CORRUPT);
        buf_deinit(&archive);
    }
}

TEST(tar, bounds_headers_before_a_member)
{
    UNUSED_STATE;
    struct buf archive, text;
    buf_init(&archive, 0);
    buf_init(&text, 0);
    for (int i = 0; i < 9; i++) foreign(&archive, 'g', "g", "", 0, USTAR);
    foreign(&archive, '0', "a", "1", 1, USTAR);
    expect_error(&archive, ERR_CORRUPT);
    buf_clear(&archive);
    for (int i = 0; i < 64 * 1024 + 1; i++) buf_byte(&text, 'x');
    foreign(&archive, 'L', "L", text.data, text.len, GNU);
    expect_error(&archive, ERR_CORRUPT);
    buf_clear(&archive);
    foreign(&archive, 'L', "L", text.data, TAR_MEMBER_NAME_BYTES, GNU);
    expect_error(&archive, ERR_CORRUPT);
    buf_clear(&archive); /* of one that is passed over, the size does not matter */
    foreign(&archive, 'g', "g", text.data, text.len, USTAR);
    foreign(&archive, '0', "a", "1", 1, USTAR);
    expect_list(&archive, "gnu/a=1;", false);
    buf_deinit(&archive);
    buf_deinit(&text);
}

TEST(tar, notices_every_cut)
{
    UNUSED_STATE;
    struct buf archive;
    pack(&archive, sample);
    const size_t end = archive.len - 1024;
    for (size_t bytes = 0; bytes < archive.len; bytes += 37) {
        struct buf got;
        bool complete;
        buf_init(&got, 0);
        const int rc = list(&got, archive.data, bytes, 1 << 20, &complete);
        EXPECT(rc == 0 || rc == ERR_CORRUPT);
        if (bytes % 512 && bytes < end) EXPECT_EQ(rc, ERR_CORRUPT);
        if (rc == 0) EXPECT(!complete);
        buf_deinit(&got);
    }
    struct buf got;
    bool complete;
    buf_init(&got, 0);
    EXPECT_EQ(list(&got, archive.data, end, 1 << 20, &complete), 0);
    EXPECT(!complete);
    buf_deinit(&got);
    buf_deinit(&archive);
}

TEST(tar, stops_at_a_zero_block_and_wants_two)
{
    UNUSED_STATE;
    struct buf archive;
    buf_init(&archive, 0);
    foreign(&archive, '0', "a", "1", 1, GNU);
    for (int i = 0; i < 512; i++) buf_byte(&archive, 0);
    expect_list(&archive, "a=1;", false); /* one, and the end */
    foreign(&archive, '0', "b", "2", 1, GNU);
    expect_list(&archive, "a=1;", false); /* one, and another member */
    buf_deinit(&archive);
}

TEST(tar, notices_every_changed_bit_of_a_header)
{
    UNUSED_STATE;
    struct buf archive;
    static const char *const members[] = {"a.txt", "text", NULL};
    pack(&archive, members);
    const size_t sum = offsetof(struct tar_header, sum);
    for (size_t i = 0; i < 512; i++) {
        if (i >= sum && i < sum + 8) continue; /* the sum's own padding may vary */
        for (int bit = 0; bit < 7; bit++) {
            archive.data[i] = (char)(archive.data[i] ^ 1 << bit);
            expect_error(&archive, ERR_CORRUPT);
            archive.data[i] = (char)(archive.data[i] ^ 1 << bit);
        }
    }
    buf_deinit(&archive);
}

TEST(tar, refuses_a_member_above_the_limit_and_goes_on_behind_one)
{
    UNUSED_STATE;
    struct buf archive, out;
    struct tar_reader reader;
    struct tar_member member;
    struct err err;
    bool found;
    size_t got;
    char part[3];
    static const char *const members[] = {"big", "0123456789", "small", "ab", NULL};
    pack(&archive, members);
    struct source source = {archive.data, archive.len, 0, 7};
    buf_init(&out, 0);
    tar_reader_init(&reader, source_read, &source);
    EXPECT_OK(tar_reader_next(&reader, &member, &found, &err), &err);
    EXPECT_EQ(tar_reader_all(&reader, &out, 9, &err), ERR_LIMIT);
    EXPECT_OK(tar_reader_data(&reader, part, 3, &got, &err), &err);
    EXPECT_MEM(part, "012", 3);
    EXPECT_OK(tar_reader_next(&reader, &member, &found, &err), &err);
    EXPECT_TEXT(member.name, "small");
    EXPECT_OK(tar_reader_all(&reader, &out, 2, &err), &err);
    EXPECT_TEXT(buf_str(&out), "ab");
    EXPECT_OK(tar_reader_data(&reader, part, 3, &got, &err), &err);
    EXPECT_EQ(got, 0);
    EXPECT_OK(tar_reader_next(&reader, &member, &found, &err), &err);
    EXPECT(!found);
    EXPECT_OK(tar_reader_next(&reader, &member, &found, &err), &err); /* and stays at the end */
    EXPECT(!found);
    buf_deinit(&archive);
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(tar, writes_plain_ustar_without_anything_that_changes),
        RUN(tar, reads_what_it_wrote),
        RUN(tar, is_read_by_the_tar_command),
        RUN(tar, splits_long_names_and_refuses_those_that_fit_nowhere),
        RUN(tar, passes_on_errors_of_the_callback),
        RUN(tar, reads_what_others_write),
        RUN(tar, takes_sizes_from_pax_and_in_base_256),
        RUN(tar, forgets_a_pax_header_after_its_member),
        RUN(tar, refuses_broken_pax_headers),
        RUN(tar, bounds_headers_before_a_member),
        RUN(tar, notices_every_cut),
        RUN(tar, stops_at_a_zero_block_and_wants_two),
        RUN(tar, notices_every_changed_bit_of_a_header),
        RUN(tar, refuses_a_member_above_the_limit_and_goes_on_behind_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
