/* hub_fuzz.c - any bytes as what a model hub says, or as what lies in a folder of models.
 *
 * The first byte picks which. What is taken keeps the limits of hub.h and models.h: above all, a
 * file that is chosen stays below the folder that it is put into. What is refused says why. */
#include "client/model/hub.h"
#include "client/model/inside.h"
#include "common/base/check.h"
#include "common/base/str.h"
#include "common/store/models.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void commit(const char *data, size_t bytes)
{
    char text[HUB_COMMIT_BYTES] = "";
    struct err err = {.code = ERR_OK};
    if (hub_commit_parse(text, data, bytes, &err)) {
        CHECK(err.msg[0]);
        return;
    }
    CHECK(strlen(text) == 40 || strlen(text) == 64);
    CHECK(text[strspn(text, "0123456789abcdef")] == 0);
}

/* No part of it leads up, to the root, or to what is ours. */
static void check_path(const char *path)
{
    CHECK(path[0] && path[0] != '/');
    CHECK(strlen(path) <= HUB_PATH_BYTES_MAX);
    CHECK(!str_eq(path, MODEL_INFO_NAME));
    for (const char *at = path; at; at = strchr(at, '/')) {
        at += *at == '/';
        CHECK(*at && *at != '/' && *at != '.');
    }
}

static void check_file(const struct hub_file *file)
{
    struct buf url;
    CHECK(file->bytes >= 0);
    CHECK(file->bytes <= HUB_FILE_BYTES_MAX);
    CHECK(strlen(file->git) == HASH_GIT_TEXT - 1);
    CHECK(!file->sha256[0] || strlen(file->sha256) == HASH_SHA256_TEXT - 1);
    if (!file->chosen) return;
    check_path(file->path);
    buf_init(&url, 0);
    CHECK(hub_file_url(&url, "https://h", "a/b", "c", file->path));
    CHECK(!strpbrk(buf_str(&url) + strlen("https://"), " ?#\r\n\\"));
    buf_deinit(&url);
}

/* Two pages, the second being the first again: each file twice. */
static void tree(const char *data, size_t bytes, bool all)
{
    struct arena arena;
    struct hub_listing listing;
    struct err err = {.code = ERR_OK};
    arena_init(&arena, 0);
    hub_listing_init(&listing, &arena);
    if (hub_tree_parse(&listing, data, bytes, &err)) {
        CHECK(err.msg[0]);
    } else if (hub_choose(&listing, "a/b", all, &err)) {
        CHECK(err.msg[0]);
    } else {
        for (uint32_t i = 0; i < listing.count; i++) check_file(&listing.file[i]);
        CHECK(hub_tree_parse(&listing, data, bytes, &err) == 0 || listing.entries > 10000);
        CHECK(hub_choose(&listing, "a/b", all, &err) != 0);
    }
    hub_listing_deinit(&listing);
    arena_deinit(&arena);
}

static bool is_plain(const char *text)
{
    for (; *text; text++)
        if ((uint8_t)*text < 0x20 || *text == 0x7f) return false;
    return true;
}

static void headers(const char *data, size_t bytes)
{
    struct hub_headers headers;
    hub_headers_init(&headers);
    while (bytes) {
        const char *end = memchr(data, '\n', bytes);
        const size_t line = end ? (size_t)(end - data) + 1 : bytes;
        char *copy = mem_new(line); /* without a byte behind it */
        memcpy(copy, data, line);
        hub_headers_add(&headers, copy, line);
        mem_free(copy);
        data += line;
        bytes -= line;
    }
    CHECK(headers.length >= -1);
    CHECK(headers.range_at >= -1);
    CHECK(headers.range_of >= -1);
    CHECK(headers.retry_after_s >= 0);
    CHECK(is_plain(headers.etag) && is_plain(headers.error_code) && is_plain(headers.next));
    CHECK(!headers.etag[0] || headers.etag[0] == '"');
}

static void info(const char *data, size_t bytes)
{
    struct arena arena;
    struct model_info info;
    struct err err = {.code = ERR_OK};
    arena_init(&arena, 0);
    if (model_info_parse(&info, data, bytes, &arena, &err)) {
        CHECK(err.msg[0]);
    } else {
        CHECK(info.files_count <= MODEL_FILES_MAX);
        for (uint32_t i = 0; i < info.files_count; i++) {
            CHECK(info.file[i].name[0]);
            CHECK(info.file[i].bytes >= 0);
            CHECK(strlen(info.file[i].sha256) == HASH_SHA256_TEXT - 1);
        }
    }
    arena_deinit(&arena);
}

static void weights(const char *data, size_t bytes)
{
    struct weights weights = {0};
    struct err err = {.code = ERR_OK};
    uint64_t sum = 0, tensors = 0;
    if (weights_add(&weights, data, bytes, &err)) {
        CHECK(err.msg[0]);
        return;
    }
    CHECK(weights.types_count <= WEIGHTS_TYPES_MAX);
    for (uint32_t i = 0; i < weights.types_count; i++) {
        sum += weights.type[i].parameters;
        tensors += weights.type[i].tensors;
    }
    CHECK(sum == weights.parameters);
    CHECK(tensors == weights.tensors);
}

static void name(const char *data, size_t bytes)
{
    char text[600] = "";
    if (bytes >= sizeof text) return;
    memcpy(text, data, bytes);
    if (hub_path_valid(text)) check_path(text);
    if (model_file_is_needed(text)) CHECK(hub_path_valid(text) && !strchr(text, '/'));
    if (!model_name_valid(text)) return;
    CHECK(strlen(text) < MODEL_NAME_BYTES);
    CHECK(!strstr(text, ".."));
    CHECK(strspn(text, "/") == 0 &&
          (!strchr(text, '/') || strchr(text, '/') == strrchr(text, '/')));
    check_path(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct input input = {.data = data, .bytes = bytes};
    const uint64_t which = input_take(&input, 1);
    const char *text = (const char *)input.data;
    switch (which % 8) {
    case 0:
        commit(text, input.bytes);
        break;
    case 1:
    case 2:
        tree(text, input.bytes, which % 8 == 2);
        break;
    case 3:
        headers(text, input.bytes);
        break;
    case 4:
        info(text, input.bytes);
        break;
    case 5:
        weights(text, input.bytes);
        break;
    default:
        name(text, input.bytes);
        break;
    }
    return 0;
}
