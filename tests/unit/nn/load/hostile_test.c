/* hostile_test.c - safetensors files and indexes that lie about themselves: each ends in its own
 * sentence. */
#include "common/base/buf.h"
#include "common/base/fs.h"
#include "tests/support/test.h"
#include "worker/nn/load/safetensors.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define HEADER_MAX 8192

/* A header, so many bytes of data behind it, and a part of the sentence; NULL: it is read. */
struct made {
    const char *json;
    size_t data_bytes;
    const char *want;
};

static int try_open(const char *path, struct err *err)
{
    struct safetensors *file = NULL;
    const int rc = safetensors_open(&file, path, err);
    EXPECT_EQ(rc == 0, file != NULL);
    safetensors_close(file);
    return rc;
}

static void expect(const char *path, const char *want)
{
    struct err err = {.msg = ""};
    const int rc = try_open(path, &err);
    const bool right = want ? rc && strstr(err.msg, want) : !rc;
    if (!right) print_message("want %s\ngot  %s\n", want ? want : "no error", err.msg);
    EXPECT(right);
    if (rc) EXPECT(strstr(err.msg, path)); /* which file */
}

/* claimed: the length in front of the header. */
static void expect_file(const char *json, size_t json_bytes, uint64_t claimed, size_t data_bytes,
                        const char *want)
{
    const char *dir = test_dir_new();
    char path[300];
    struct buf file;
    struct err err;
    buf_init(&file, 0);
    buf_add(&file, &claimed, sizeof claimed);
    buf_add(&file, json, json_bytes);
    for (size_t i = 0; i < data_bytes; i++) buf_byte(&file, 'd');
    (void)snprintf(path, sizeof path, "%s/file", dir);
    EXPECT_OK(fs_put(path, file.data, file.len, &err), &err);
    expect(path, want);
    buf_deinit(&file);
    test_dir_remove(dir);
}

static void expect_all(const struct made *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const size_t bytes = strlen(cases[i].json);
        expect_file(cases[i].json, bytes, bytes, cases[i].data_bytes, cases[i].want);
    }
}
#define EXPECT_ALL(cases) expect_all(cases, sizeof(cases) / sizeof((cases)[0]))

/* A tensor of bytes. */
#define BYTES(name, shape, from, to) \
    "\"" name "\":{\"dtype\":\"U8\",\"shape\":[" shape "],\"data_offsets\":[" from "," to "]}"

TEST(hostile, files_at_the_edge_are_read)
{
    UNUSED_STATE;
    static const struct made cases[] = {
        {"{}", 0, NULL},
        {"{}      ", 0, NULL},
        {"{\"__metadata__\":{}}", 0, NULL},
        {"{" BYTES("a", "3", "0", "3") "," BYTES("b", "2,2", "3", "7") "}", 7, NULL},
        {"{" BYTES("b", "2,2", "3", "7") "," BYTES("a", "3", "0", "3") "}\n\t ", 7, NULL},
        {"{" BYTES("a", "", "0", "1") "," BYTES("b", "0", "1", "1") "}", 1, NULL},
        {"{" BYTES("a", "0", "0", "0") "," BYTES("b", "5,0,9", "0", "0") "}", 0, NULL},
        /* Brackets and commas in a text are none. */
        {"{" BYTES("\\\"[[[[[\\\\", "1", "0", "1") "}", 1, NULL},
        /* What a later version may add. */
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"more\":[1]}}", 1, NULL},
        /* A tensor that is not aligned and has no bytes. */
        {"{\"a\":{\"dtype\":\"F64\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, NULL},
    };
    EXPECT_ALL(cases);
}

TEST(hostile, lengths_that_lie_are_refused)
{
    UNUSED_STATE;
    const char *dir = test_dir_new();
    char path[300];
    struct err err;
    (void)snprintf(path, sizeof path, "%s/file", dir);
    EXPECT_OK(fs_put(path, "", 0, &err), &err);
    expect(path, "has 0 bytes");
    EXPECT_OK(fs_put(path, "\2\0\0\0\0\0\0", 7, &err), &err);
    expect(path, "has 7 bytes");
    test_dir_remove(dir);
    expect_file("{}", 2, 3, 0, "a header of 3 bytes in a file of 10; the file was cut short");
    expect_file("{}", 2, 0, 0, "no header");
    expect_file("{}", 2, 1, 0, "JSON cannot be read");
    expect_file("{}", 2, UINT64_MAX, 0, "header of 18446744073709551615 bytes");
    expect_file("{}", 2, (uint64_t)1 << 63, 0, "header of 9223372036854775808 bytes");
    expect_file("{}", 2, SAFETENSORS_HEADER_BYTES_MAX + 1, 0, "header of 100000001 bytes");
    expect_file("{}", 2, SAFETENSORS_HEADER_BYTES_MAX, 0, "was cut short");
    expect_file("{}\0", 3, 3, 0, "JSON cannot be read");
}

TEST(hostile, headers_that_are_no_header_are_refused)
{
    UNUSED_STATE;
    static const struct made cases[] = {
        {"[]", 0, "no header"},
        {" {}", 0, "no header"},
        {"PK\3\4", 0, "no header"},
        {"{", 0, "JSON cannot be read"},
        {"{}x", 0, "JSON cannot be read"},
        {"{\"\xff\":1}", 0, "JSON cannot be read"},
        {"{\"\xed\xa0\x80\":1}", 0, "JSON cannot be read"},
        {"{\"a\\u0000\":1}", 0, "JSON cannot be read"},
        {"{\"a\":1}", 0, "tensor a: it is no object"},
        {"{\"__metadata__\":[]}", 0, "__metadata__ is no object"},
        {"{\"__metadata__\":{\"k\":1}}", 0, "__metadata__: k is no text"},
        {"{" BYTES("a", "1", "0", "1") "," BYTES("a", "1", "0", "1") "}", 1, "duplicate"},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "duplicate"},
        {"{\"a\":[[[[[]]]]]}", 0, "more than 4 brackets in each other"},
    };
    EXPECT_ALL(cases);
}

TEST(hostile, tensors_that_lie_are_refused)
{
    UNUSED_STATE;
    static const struct made cases[] = {
        {"{\"a\":{}}", 0, "it has no dtype"},
        {"{\"a\":{\"dtype\":1}}", 0, "it has no dtype"},
        {"{\"a\":{\"dtype\":\"F4\"}}", 0, "dtype F4 is not one"},
        {"{\"a\":{\"dtype\":\"f32\"}}", 0, "dtype f32 is not one"},
        {"{\"a\":{\"dtype\":\"U8\"}}", 0, "it has no shape"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":2}}", 0, "it has no shape"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2.0]}}", 0, "no whole number"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[\"2\"]}}", 0, "no whole number"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[-1]}}", 0, "dimension -1"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[18446744073709551615]}}", 0, "cannot be read"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1]}}", 0, "9 dimensions"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296]}}", 0, "more bytes than"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,0]}}", 0, "more bytes than"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 0, "no two data_offsets"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}}", 0, "no two"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,1]}}", 0, "no two"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1.0]}}", 0, "no two"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":{}}}", 0, "no two"},
        {"{" BYTES("a", "1", "-1", "0") "}", 0, "make no sense"},
        {"{" BYTES("a", "1", "1", "0") "}", 1, "make no sense"},
        {"{" BYTES("a", "2", "0", "2") "}", 1, "ends at byte 2 of 1; the file was cut short"},
        {"{" BYTES("a", "1", "0", "9223372036854775807") "}", 1, "was cut short"},
        {"{" BYTES("a", "2", "0", "1") "}", 1, "it has 1 bytes, but U8 [2] takes 2"},
        {"{" BYTES("a", "1", "0", "2") "}", 2, "it has 2 bytes, but U8 [1] takes 1"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,1]}}", 1, "F32 [] takes 4"},
    };
    EXPECT_ALL(cases);
}

TEST(hostile, data_that_is_not_tiled_is_refused)
{
    UNUSED_STATE;
    static const struct made cases[] = {
        {"{}", 1, "1 bytes behind the last tensor"},
        {"{" BYTES("a", "1", "0", "1") "}", 3, "2 bytes behind the last tensor"},
        {"{" BYTES("a", "1", "1", "2") "}", 2, "a hole of 1 bytes before tensor a"},
        {"{" BYTES("a", "2", "0", "2") "," BYTES("b", "2", "1", "3") "}", 3, "a and b overlap"},
        {"{" BYTES("a", "2", "0", "2") "," BYTES("b", "2", "0", "2") "}", 2, "a and b overlap"},
        {"{" BYTES("a", "4", "0", "4") "," BYTES("b", "0", "2", "2") "}", 4, "a and b overlap"},
        {"{" BYTES("a", "1", "0", "1") "," BYTES("b", "1", "2", "3") "}", 3, "before tensor b"},
    };
    EXPECT_ALL(cases);
}

/* A little text that would take much memory, and a name that would. */
TEST(hostile, headers_are_bounded)
{
    UNUSED_STATE;
    struct buf json;
    buf_init(&json, 0);
    buf_text(&json, "{\"a\":[");
    for (uint32_t i = 0; i < 3000000; i++) buf_text(&json, "[],");
    buf_text(&json, "0]}");
    expect_file(json.data, json.len, json.len, 0, "more than 4194304 values");
    buf_clear(&json);
    buf_text(&json, "{\"");
    for (uint32_t i = 0; i < SAFETENSORS_NAME_BYTES; i++) buf_byte(&json, 'n');
    buf_text(&json, "\":{}}");
    expect_file(json.data, json.len, json.len, 0, "name has more than 1023 bytes");
    buf_clear(&json);
    for (uint32_t i = 0; i < HEADER_MAX; i++) buf_text(&json, "{\"a\":");
    expect_file(json.data, json.len, json.len, 0, "more than 4 brackets");
    buf_deinit(&json);
}

/* An index beside one good file. */
static void expect_index(const char *json, const char *want)
{
    static const char header[] = "{" BYTES("a", "1", "0", "1") "," BYTES("b", "1", "1", "2") "}";
    const char *dir = test_dir_new();
    const uint64_t bytes = sizeof header - 1;
    char path[300];
    struct buf file;
    struct err err;
    buf_init(&file, 0);
    buf_add(&file, &bytes, sizeof bytes);
    buf_text(&file, header);
    buf_text(&file, "AB");
    (void)snprintf(path, sizeof path, "%s/one.safetensors", dir);
    EXPECT_OK(fs_put(path, file.data, file.len, &err), &err);
    (void)snprintf(path, sizeof path, "%s/model.safetensors.index.json", dir);
    EXPECT_OK(fs_put(path, json, strlen(json), &err), &err);
    const int rc = try_open(path, &err);
    if (want && (!rc || !strstr(err.msg, want))) print_message("got %s\n", err.msg);
    EXPECT(want ? rc && strstr(err.msg, want) : !rc);
    buf_deinit(&file);
    test_dir_remove(dir);
}

#define MAP(text) "{\"weight_map\":{" text "}}"

TEST(hostile, indexes_that_lie_are_refused)
{
    UNUSED_STATE;
    expect_index(MAP("\"a\":\"one.safetensors\""), NULL);
    expect_index(MAP("\"b\":\"one.safetensors\",\"a\":\"one.safetensors\""), NULL);
    expect_index(MAP("\"c\":\"one.safetensors\""), "tensor c is not in one.safetensors");
    expect_index(MAP("\"a\":\"two.safetensors\""), "two.safetensors");
    expect_index(MAP("\"a\":\"../one.safetensors\""), "no name of a .safetensors file beside");
    expect_index(MAP("\"a\":\"/etc/x.safetensors\""), "no name of a .safetensors file beside");
    expect_index(MAP("\"a\":\".safetensors\""), "no name of a .safetensors file beside");
    expect_index(MAP("\"a\":\"passwd\""), "no name of a .safetensors file beside");
    expect_index(MAP("\"a\":\"\""), "no name of a .safetensors file beside");
    expect_index(MAP("\"a\":7"), "no name of a .safetensors file beside");
    expect_index(MAP("\"a\":\"one.safetensors\",\"a\":\"one.safetensors\""), "duplicate");
    expect_index(MAP(""), "no weight_map");
    expect_index("{}", "no weight_map");
    expect_index("{\"weight_map\":[]}", "no weight_map");
    expect_index("[]", "is no object");
    expect_index("", "cannot be read");
}

static void put_shard(const char *dir, const char *name, char byte)
{
    static const struct safetensors_entry a = {"a", {DTYPE_U8, 1, {1}, NULL}, 0, 0};
    struct safetensors_entry entry = a;
    char path[300];
    struct err err;
    entry.tensor.data = &byte;
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    EXPECT_OK(safetensors_save(path, &entry, 1, NULL, 0, NULL, NULL, &err), &err);
}

/* Three files have the tensor; the index says which one counts. */
TEST(hostile, a_tensor_in_several_files_is_where_the_index_says)
{
    UNUSED_STATE;
    static const char json[] = MAP("\"a\":\"2.safetensors\"");
    static const char more[] = MAP("\"a\":\"1.safetensors\",\"b\":\"2.safetensors\"");
    const char *dir = test_dir_new();
    struct safetensors *file = NULL;
    char path[300];
    struct err err;
    put_shard(dir, "1.safetensors", '1');
    put_shard(dir, "2.safetensors", '2');
    put_shard(dir, "3.safetensors", '3');
    (void)snprintf(path, sizeof path, "%s/model.safetensors.index.json", dir);
    EXPECT_OK(fs_put(path, json, sizeof json - 1, &err), &err);
    EXPECT_OK(safetensors_open(&file, dir, &err), &err);
    EXPECT_EQ(safetensors_count(file), 1);
    EXPECT_EQ(*(const char *)safetensors_find(file, "a")->tensor.data, '2');
    safetensors_close(file);
    EXPECT_OK(fs_put(path, more, sizeof more - 1, &err), &err);
    EXPECT(safetensors_open(&file, dir, &err));
    EXPECT(strstr(err.msg, "tensor b is not in 2.safetensors"));
    /* Both are opened, and both have it. */
    (void)snprintf(path, sizeof path, "%s/2.safetensors", dir);
    static const struct safetensors_entry both[] = {{"a", {DTYPE_U8, 1, {0}, NULL}, 0, 0},
                                                    {"b", {DTYPE_U8, 1, {0}, NULL}, 0, 0}};
    EXPECT_OK(safetensors_save(path, both, 2, NULL, 0, NULL, NULL, &err), &err);
    EXPECT_OK(safetensors_open(&file, dir, &err), &err);
    EXPECT_EQ(safetensors_count(file), 2);
    EXPECT_EQ(safetensors_find(file, "a")->shard, 0);
    EXPECT_EQ(safetensors_find(file, "b")->shard, 1);
    safetensors_close(file);
    test_dir_remove(dir);
}

TEST(hostile, places_that_are_no_file_are_refused)
{
    UNUSED_STATE;
    const char *dir = test_dir_new();
    char path[300];
    struct err err;
    expect(dir, "has neither model.safetensors nor model.safetensors.index.json");
    (void)snprintf(path, sizeof path, "%s/model.safetensors", dir);
    EXPECT_EQ(try_open(path, &err), ERR_NOT_FOUND);
    EXPECT_EQ(mkfifo(path, 0666), 0);
    expect(path, "is no regular file");
    test_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(hostile, files_at_the_edge_are_read),
        RUN(hostile, lengths_that_lie_are_refused),
        RUN(hostile, headers_that_are_no_header_are_refused),
        RUN(hostile, tensors_that_lie_are_refused),
        RUN(hostile, data_that_is_not_tiled_is_refused),
        RUN(hostile, headers_are_bounded),
        RUN(hostile, indexes_that_lie_are_refused),
        RUN(hostile, a_tensor_in_several_files_is_where_the_index_says),
        RUN(hostile, places_that_are_no_file_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
