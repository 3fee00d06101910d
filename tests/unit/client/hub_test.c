/* hub_test.c - what the hub says: addresses, listings, headers, refusals; and headers of weights.
 */
#include "client/model/hub.h"

#include "client/model/http.h"
#include "client/model/inside.h"
#include "common/base/str.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define GIT    "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"

struct scene {
    struct arena arena;
    struct hub_listing listing;
    struct err err;
};

static int scene_open(void **state)
{
    static struct scene scene;
    memset(&scene, 0, sizeof scene);
    arena_init(&scene.arena, 0);
    hub_listing_init(&scene.listing, &scene.arena);
    *state = &scene;
    return 0;
}

static int scene_close(void **state)
{
    struct scene *scene = *state;
    hub_listing_deinit(&scene->listing);
    arena_deinit(&scene->arena);
    return 0;
}

#define SCENE                                      \
    struct scene *scene = *state_unused;           \
    struct hub_listing *listing = &scene->listing; \
    struct err *err = &scene->err

static void parse(struct scene *scene, const char *json)
{
    EXPECT_OK(hub_tree_parse(&scene->listing, json, strlen(json), &scene->err), &scene->err);
}

static void add_file(struct scene *scene, const char *path)
{
    char json[512];
    (void)snprintf(json, sizeof json,
                   "[{\"type\": \"file\", \"path\": \"%s\", \"size\": 5, \"oid\": \"" GIT "\"}]",
                   path);
    parse(scene, json);
}

static uint32_t chosen(const struct hub_listing *listing)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < listing->count; i++) count += listing->file[i].chosen;
    return count;
}

TEST(hub, addresses_are_escaped)
{
    UNUSED_STATE;
    struct buf url;
    buf_init(&url, 0);
    EXPECT(hub_revision_url(&url, "https://h", "a/b", "refs/pr/1"));
    EXPECT_TEXT(buf_str(&url), "https://h/api/models/a/b/revision/refs%2Fpr%2F1");
    buf_clear(&url);
    EXPECT(hub_tree_url(&url, "https://h", "a/b", "c0ffee"));
    EXPECT_TEXT(buf_str(&url), "https://h/api/models/a/b/tree/c0ffee?recursive=1");
    buf_clear(&url);
    EXPECT(hub_file_url(&url, "https://h", "a/b", "c0ffee", "d e/f?g#\xc3\xa9.txt"));
    EXPECT_TEXT(buf_str(&url), "https://h/a/b/resolve/c0ffee/d%20e/f%3Fg%23%C3%A9.txt");
    buf_clear(&url);
    char path[HUB_URL_BYTES_MAX];
    memset(path, 'x', sizeof path);
    path[sizeof path - 1] = 0;
    EXPECT(!hub_file_url(&url, "https://h", "a/b", "c0ffee", path));
    buf_deinit(&url);
}

TEST(hub, commits_are_hexadecimal)
{
    UNUSED_STATE;
    struct err err;
    char commit[HUB_COMMIT_BYTES];
    static const char good[] = "{\"id\": \"a/b\", \"sha\": \"" GIT "\", \"siblings\": []}";
    static const char *const bad[] = {"{}",
                                      "[]",
                                      "{\"sha\": 5}",
                                      "{\"sha\": \"main\"}",
                                      "{\"sha\": \"../../../../../../../../../../../../../x\"}",
                                      "not JSON",
                                      ""};
    EXPECT_OK(hub_commit_parse(commit, good, sizeof good - 1, &err), &err);
    EXPECT_TEXT(commit, GIT);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        EXPECT_EQ(hub_commit_parse(commit, bad[i], strlen(bad[i]), &err), ERR_CORRUPT);
}

TEST(hub, listings_have_files_with_their_hashes)
{
    SCENE;
    (void)err;
    parse(scene,
          "[{\"type\": \"directory\", \"path\": \"onnx\", \"oid\": \"x\"},"
          "{\"type\": \"file\", \"path\": \"config.json\", \"size\": 7, \"oid\": \"" GIT "\"}]");
    parse(scene, "[{\"type\": \"file\", \"path\": \"model.safetensors\", \"size\": 134,"
                 "\"oid\": \"" GIT "\", \"lfs\": {\"oid\": \"" SHA256
                 "\", \"size\": 605247071, \"pointerSize\": 134}, \"xetHash\": \"y\"}]");
    EXPECT_EQ(listing->count, 2);
    EXPECT_TEXT(listing->file[0].path, "config.json");
    EXPECT_EQ(listing->file[0].bytes, 7);
    EXPECT_TEXT(listing->file[0].git, GIT);
    EXPECT_TEXT(listing->file[0].sha256, "");
    EXPECT_EQ(listing->file[1].bytes, 605247071);
    EXPECT_TEXT(listing->file[1].sha256, SHA256);
}

TEST(hub, the_choice_is_what_loading_needs)
{
    SCENE;
    static const char *const files[] = {"pytorch_model.bin",
                                        "model.safetensors",
                                        "config.json",
                                        "onnx/model.onnx",
                                        "onnx/config.json",
                                        "README.md",
                                        "model-00001-of-00001.safetensors",
                                        ".gitattributes"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) add_file(scene, files[i]);
    EXPECT_OK(hub_choose(listing, "a/b", false, err), err);
    EXPECT_EQ(chosen(listing), 2);
    EXPECT_OK(hub_choose(listing, "a/b", true, err), err);
    EXPECT_EQ(chosen(listing), 7); /* all but the hidden one */
    add_file(scene, "config.json");
    EXPECT_EQ(hub_choose(listing, "a/b", false, err), ERR_CORRUPT);
}

TEST(hub, pickles_alone_are_refused_with_what_to_do)
{
    SCENE;
    add_file(scene, "config.json");
    EXPECT_EQ(hub_choose(listing, "a/b", false, err), ERR_INVALID);
    EXPECT(strstr(err->msg, "nor any other weights") != NULL);
    add_file(scene, "pytorch_model.bin");
    EXPECT_EQ(hub_choose(listing, "a/b", false, err), ERR_INVALID);
    EXPECT(strstr(err->msg, "pytorch_model.bin") && strstr(err->msg, "--revision"));
    add_file(scene, "model-00001-of-00002.safetensors");
    add_file(scene, "model.safetensors.index.json");
    EXPECT_EQ(hub_choose(listing, "a/b", false, err), ERR_INVALID);
    EXPECT_TEXT(err->msg, "a/b has only 1 of the 2 files of its weights");
    add_file(scene, "model-00002-of-00002.safetensors");
    EXPECT_OK(hub_choose(listing, "a/b", false, err), err);
    EXPECT_EQ(chosen(listing), 4);
    add_file(scene, "model-00002-of-00003.safetensors");
    EXPECT_EQ(hub_choose(listing, "a/b", false, err), ERR_INVALID);
}

TEST(hub, paths_stay_below_their_folder)
{
    UNUSED_STATE;
    char path[HUB_PATH_BYTES_MAX + 2];
    static const char *const good[] = {"a", "a/b.c", "a b", "\xc3\xa9", "a/b.."};
    static const char *const bad[] = {"",       "/a",    "a/",  "a//b",     "..",   "../a",
                                      "a/../b", "a/./b", ".a",  "a/.b",     "a\nb", "a\x7f",
                                      "\xff",   "a\\b",  "./a", "vlmq.json"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) EXPECT(hub_path_valid(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) EXPECT(!hub_path_valid(bad[i]));
    memset(path, 'a', sizeof path);
    path[HUB_PATH_BYTES_MAX] = 0;
    EXPECT(hub_path_valid(path));
    path[HUB_PATH_BYTES_MAX] = 'a';
    path[HUB_PATH_BYTES_MAX + 1] = 0;
    EXPECT(!hub_path_valid(path));
}

static void header(struct hub_headers *headers, const char *line)
{
    hub_headers_add(headers, line, strlen(line));
}

TEST(hub, headers_are_read_and_begin_anew_with_each_answer)
{
    UNUSED_STATE;
    struct hub_headers headers;
    hub_headers_init(&headers);
    header(&headers, "HTTP/1.1 206 Partial Content\r\n");
    header(&headers, "content-length: 100\r\n");
    header(&headers, "Content-Range: bytes 50-149/150\r\n");
    header(&headers, "ETag: \"abc\"\r\n");
    header(&headers, "Retry-After: 7\r\n");
    header(&headers, "X-Error-Code: GatedRepo\r\n");
    header(&headers, "Link: <https://h/1>; rel=\"prev\", <https://h/3?a=1,2>; rel=\"next\"\r\n");
    EXPECT_EQ(headers.length, 100);
    EXPECT_EQ(headers.range_at, 50);
    EXPECT_EQ(headers.range_of, 150);
    EXPECT_TEXT(headers.etag, "\"abc\"");
    EXPECT_EQ(headers.retry_after_s, 7);
    EXPECT_TEXT(headers.error_code, "GatedRepo");
    EXPECT_TEXT(headers.next, "https://h/3?a=1,2");
    header(&headers, "HTTP/1.1 200 OK\r\n");
    EXPECT_EQ(headers.length, -1);
    EXPECT_TEXT(headers.next, "");
    /* What is no such value is as if it were not there. */
    header(&headers, "Content-Length: -5\r\n");
    header(&headers, "Content-Range: bytes */150\r\n");
    header(&headers, "Content-Range: bytes 9-5/150\r\n");
    header(&headers, "ETag: W/\"weak\"\r\n");
    header(&headers, "ETag: \"two\nlines\"\r\n");
    header(&headers, "Retry-After: soon\r\n");
    header(&headers, "Link: <https://h/1>; rel=\"last\"\r\n");
    header(&headers, "Link: <<<>; rel=next");
    header(&headers, "Content-Length");
    header(&headers, "");
    EXPECT_EQ(headers.length, -1);
    EXPECT_EQ(headers.range_at, -1);
    EXPECT_TEXT(headers.etag, "");
    EXPECT_EQ(headers.retry_after_s, 0);
    header(&headers, "Retry-After: 99999999999\r\n");
    EXPECT_EQ(headers.retry_after_s, 24 * 3600);
}

static const char *refusal(long status, const char *code, bool has_token, struct err *err)
{
    const struct hub_about about = {
        .repo = "a/b", .revision = "v9", .endpoint = "https://h", .has_token = has_token};
    (void)!hub_refuse(&about, status, code, err);
    return err->msg;
}

TEST(hub, refusals_say_what_to_do)
{
    UNUSED_STATE;
    struct err err;
    EXPECT(strstr(refusal(401, "GatedRepo", false, &err), "give a token"));
    EXPECT_EQ(err.code, ERR_DENIED);
    EXPECT(strstr(refusal(403, "GatedRepo", true, &err), "account of this token"));
    EXPECT(strstr(refusal(401, "", false, &err), "wants a token"));
    EXPECT(strstr(refusal(401, "", true, &err), "refuses this token"));
    EXPECT(strstr(refusal(401, "RepoNotFound", false, &err), "there is no model a/b"));
    EXPECT_EQ(err.code, ERR_NOT_FOUND);
    EXPECT_TEXT(refusal(404, "RevisionNotFound", false, &err), "a/b has no revision v9");
    EXPECT(strstr(refusal(429, "", false, &err), "left alone"));
    EXPECT_EQ(err.code, ERR_UNAVAILABLE);
    EXPECT(strstr(refusal(502, "", false, &err), "answers 502"));
    EXPECT_EQ(err.code, ERR_UNAVAILABLE);
    (void)refusal(400, "", false, &err);
    EXPECT_EQ(err.code, ERR_INVALID);
    EXPECT(hub_may_retry(429) && hub_may_retry(503) && !hub_may_retry(404) && !hub_may_retry(416));
}

TEST(hub, origins_are_scheme_host_and_port)
{
    UNUSED_STATE;
    EXPECT(http_same_origin("https://h/a", "https://h:443/b?c"));
    EXPECT(http_same_origin("HTTPS://H", "https://h"));
    EXPECT(!http_same_origin("https://h", "http://h"));
    EXPECT(!http_same_origin("https://h", "https://h:444"));
    EXPECT(!http_same_origin("https://h", "https://h.evil"));
    EXPECT(!http_same_origin("https://h", "https://x@h.evil/https://h"));
    EXPECT(http_same_origin("https://h", "https://user:word@h/"));
    EXPECT(!http_same_origin("", ""));
}

static int open_to(const char *endpoint, const char *token, struct err *err)
{
    struct http *http = NULL;
    const struct http_options options = {.endpoint = endpoint, .token = token, .connect_ms = 1000};
    const int rc = http_open(&http, &options, err);
    http_close(http);
    return rc;
}

TEST(hub, a_token_is_not_sent_in_the_clear_but_on_this_machine)
{
    UNUSED_STATE;
    struct err err;
    static const char *const fine[] = {"https://h", "http://127.0.0.1:80", "http://localhost",
                                       "http://[::1]:8080"};
    static const char *const clear[] = {"http://h", "http://127.example.org", "http://10.0.0.1",
                                        "http://localhost.example.org"};
    static const char *const none[] = {
        "", "h", "ftp://h", "https://h/", "https://h?x", "file:///etc", "https://", "https://u@h"};
    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++)
        EXPECT_OK(open_to(fine[i], "hf_x", &err), &err);
    for (size_t i = 0; i < sizeof clear / sizeof clear[0]; i++) {
        EXPECT_EQ(open_to(clear[i], "hf_x", &err), ERR_INVALID);
        EXPECT(strstr(err.msg, "unencrypted"));
        EXPECT_OK(open_to(clear[i], NULL, &err), &err);
    }
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        EXPECT_EQ(open_to(none[i], NULL, &err), ERR_INVALID);
    EXPECT_EQ(open_to("https://h", "a\r\nHost: evil", &err), ERR_INVALID);
    EXPECT(strstr(err.msg, "evil") == NULL); /* a token is not printed */
}

TEST(hub, from_https_no_page_leads_to_http)
{
    UNUSED_STATE;
    struct err err;
    struct http *http = NULL;
    struct hub_headers headers;
    long status;
    const struct http_options options = {.endpoint = "https://127.0.0.1:9", .connect_ms = 1000};
    EXPECT_EQ(setenv("no_proxy", "127.0.0.1", 1), 0);
    EXPECT_OK(http_open(&http, &options, &err), &err);
    static const char *const urls[] = {"http://127.0.0.1:9/next", "file:///etc/passwd", "", "x"};
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        const struct http_request request = {.url = urls[i]};
        EXPECT_EQ(http_get(http, &request, &status, &headers, &err), ERR_INVALID);
        EXPECT(strstr(err.msg, "the hub sends us") != NULL);
    }
    const struct http_request gone = {.url = "https://127.0.0.1:9/"};
    EXPECT_EQ(http_get(http, &gone, &status, &headers, &err), ERR_UNAVAILABLE);
    http_close(http);
}

TEST(weights, numbers_are_counted_by_type)
{
    UNUSED_STATE;
    struct err err;
    struct weights weights = {0};
    static const char json[] =
        "{\"__metadata__\": {\"format\": \"pt\"},"
        "\"a\": {\"dtype\": \"F32\", \"shape\": [2, 3], \"data_offsets\": [0, 24]},"
        "\"b\": {\"dtype\": \"BF16\", \"shape\": [], \"data_offsets\": [24, 26]},"
        "\"c\": {\"dtype\": \"F32\", \"shape\": [0, 9], \"data_offsets\": [26, 26]}}";
    static const char *const bad[] = {
        "[]",
        "{",
        "{\"a\": {}}",
        "{\"a\": 5}",
        "{\"a\": {\"dtype\": \"F32\"}}",
        "{\"a\": {\"dtype\": \"F32\", \"shape\": [-1]}}",
        "{\"a\": {\"dtype\": \"LONGTYPE\", \"shape\": [1]}}",
        "{\"a\": {\"dtype\": \"F32\", \"shape\": [9223372036854775807, 9223372036854775807]}}"};
    EXPECT_OK(weights_add(&weights, json, sizeof json - 1, &err), &err);
    EXPECT_EQ(weights.tensors, 3);
    EXPECT_EQ(weights.parameters, 7);
    EXPECT_EQ(weights.types_count, 2);
    EXPECT_TEXT(weights.type[1].name, "BF16");
    EXPECT_EQ(weights.type[0].parameters, 6);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        EXPECT_EQ(weights_add(&weights, bad[i], strlen(bad[i]), &err), ERR_CORRUPT);
}

#define RUN_SCENE(claim) cmocka_unit_test_setup_teardown(hub__##claim, scene_open, scene_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(hub, addresses_are_escaped),
        RUN(hub, commits_are_hexadecimal),
        RUN_SCENE(listings_have_files_with_their_hashes),
        RUN_SCENE(the_choice_is_what_loading_needs),
        RUN_SCENE(pickles_alone_are_refused_with_what_to_do),
        RUN(hub, paths_stay_below_their_folder),
        RUN(hub, headers_are_read_and_begin_anew_with_each_answer),
        RUN(hub, refusals_say_what_to_do),
        RUN(hub, origins_are_scheme_host_and_port),
        RUN(hub, a_token_is_not_sent_in_the_clear_but_on_this_machine),
        RUN(hub, from_https_no_page_leads_to_http),
        RUN(weights, numbers_are_counted_by_type),
    };
    return cmocka_run_group_tests_name("hub", tests, NULL, NULL);
}
