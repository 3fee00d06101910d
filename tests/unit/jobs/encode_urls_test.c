/* encode_urls_test.c - samples out of a URL list: planned, fetched from a real server, in order. */
#include "common/base/buf.h"
#include "common/base/fs.h"
#include "common/base/hash.h"
#include "tests/support/web_server.h"
#include "tests/unit/jobs/job_harness.h"
#include "worker/jobs/encode/plan.h"
#include "worker/jobs/encode/source.h"

#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct web_server web;
static const char *files; /* what the server serves */

/* A job over a list: its spec, what its plan has made, and one shard's source. */
struct scene {
    const char *dir;
    struct buf list;
    Vlmq__Jobs__Encode spec;
    uint8_t packed[2048];
    char input[PATH_MAX], output[PATH_MAX];
    struct arena arena;
    struct job_host host;
    struct job_env env;
    struct encode_plan *plan;
    Vlmq__Jobs__EncodeShard *shard;
    atomic_bool abort;
    struct source_env source_env;
    struct source *source;
    struct encode_sample sample;
    struct err err;
};

static char *field(const char *value)
{
    return (char *)(uintptr_t)value;
}

static void serve(const char *name, const char *words)
{
    char path[PATH_MAX];
    struct err err;
    EXPECT(fs_join(path, sizeof path, files, name));
    EXPECT_OK(fs_put(path, words, strlen(words), &err), &err);
}

static int start(void **state)
{
    (void)state;
    files = test_dir_new();
    serve("a", "first picture");
    serve("b", "second picture");
    serve("c", "third picture");
    web_server_start(&web, TESTS_DIR "/support/web_server.py", files, NULL);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    web_server_stop(&web);
    test_dir_remove(files);
    return 0;
}

static void scene_init(struct scene *scene)
{
    *scene = (struct scene){.dir = test_dir_new(), .host = {.stop_at_items = -1}};
    buf_init(&scene->list, 0);
    arena_init(&scene->arena, 0);
    (void)snprintf(scene->input, sizeof scene->input, "%s/list.csv", scene->dir);
    (void)snprintf(scene->output, sizeof scene->output, "%s/out", scene->dir);
    vlmq__jobs__encode__init(&scene->spec);
    scene->spec.input = scene->input;
    scene->spec.output = scene->output;
    scene->spec.model = field("tiny");
    scene->spec.allow_private = true;
    scene->spec.no_retries = true;
    scene->env = (struct job_env){.job = "test",
                                  .lease = "0123456789abcdef",
                                  .attempt = 1,
                                  .arena = &scene->arena,
                                  .clock = &clock_real,
                                  .cpus = 1,
                                  .host = &scene->host};
    scene->plan = mem_new(sizeof *scene->plan);
    arena_init(&scene->plan->texts, 0);
}

static void scene_deinit(struct scene *scene)
{
    source_close(scene->source);
    buf_deinit(&scene->sample.key);
    buf_deinit(&scene->sample.picture);
    buf_deinit(&scene->sample.caption);
    buf_deinit(&scene->sample.json);
    store_close(scene->plan->store);
    arena_deinit(&scene->plan->texts);
    mem_free(scene->plan);
    buf_deinit(&scene->list);
    arena_deinit(&scene->arena);
    test_dir_remove(scene->dir);
}

/* A row of the list: a path of the server, and what stands behind the URL. */
static void add(struct scene *scene, const char *path, const char *rest)
{
    buf_printf(&scene->list, "http://127.0.0.1:%d/%s%s\n", web.port, path, rest);
}

static int options(struct scene *scene)
{
    const size_t bytes = vlmq__jobs__encode__pack(&scene->spec, scene->packed);
    EXPECT(bytes <= sizeof scene->packed);
    return encode_options_init(&scene->plan->options, &scene->arena, scene->packed, bytes,
                               &scene->err);
}

static void put_list(struct scene *scene)
{
    EXPECT_OK(fs_put(scene->input, buf_str(&scene->list), scene->list.len, &scene->err),
              &scene->err);
}

static int plan(struct scene *scene, Vlmq__Jobs__EncodeInput input)
{
    struct encode_plan *job = scene->plan;
    EXPECT_OK(options(scene), &scene->err);
    if (!job->store)
        EXPECT_OK(store_open(&job->store, scene->output, true, &scene->err), &scene->err);
    job->env = &scene->env;
    job->batched = job->number = 0;
    job->added = scene->env.added;
    return encode_plan_urls(job, input, &scene->err);
}

static int open_shard(struct scene *scene, uint32_t number)
{
    const struct job_bytes payload = scene->plan->batch[number].payload;
    Vlmq__Jobs__EncodeShard *shard =
        vlmq__jobs__encode_shard__unpack(NULL, payload.bytes, payload.data);
    EXPECT(shard != NULL);
    scene->shard = arena_copy(&scene->arena, shard, sizeof *shard);
    scene->shard->file = field("");
    scene->shard->fingerprint = (ProtobufCBinaryData){0};
    vlmq__jobs__encode_shard__free_unpacked(shard, NULL);
    scene->source_env = (struct source_env){.env = &scene->env,
                                            .options = &scene->plan->options,
                                            .shard = scene->shard,
                                            .output = scene->plan->store,
                                            .scratch = scene->dir,
                                            .abort = &scene->abort};
    source_close(scene->source);
    scene->source = NULL;
    scene->sample.picture.max = scene->plan->options.body_bytes;
    return source_open(&scene->source, &scene->source_env, &scene->err);
}

static void run(struct scene *scene)
{
    put_list(scene);
    EXPECT_OK(plan(scene, VLMQ__JOBS__ENCODE_INPUT__ENCODE_INPUT_CSV), &scene->err);
    EXPECT_OK(open_shard(scene, 0), &scene->err);
}

static int next(struct scene *scene, bool *found)
{
    struct encode_sample *sample = &scene->sample;
    buf_clear(&sample->key);
    buf_clear(&sample->picture);
    buf_clear(&sample->caption);
    buf_clear(&sample->json);
    sample->has_caption = false;
    sample->status = NULL;
    sample->message[0] = 0;
    return source_next(scene->source, sample, found, &scene->err);
}

/* "index key status picture|caption|json" of each sample of the shard. */
static void read_all(struct scene *scene, struct buf *out)
{
    const struct encode_sample *sample = &scene->sample;
    bool found = true;
    for (;;) {
        EXPECT_OK(next(scene, &found), &scene->err);
        if (!found) return;
        EXPECT(!sample->status || (!sample->picture.len && sample->message[0]));
        buf_printf(out, "%u %s %s %s|", sample->index, buf_str(&sample->key),
                   sample->status ? sample->status : "ok", buf_str(&sample->picture));
        buf_printf(out, "%s|%s\n", sample->has_caption ? buf_str(&sample->caption) : "-",
                   buf_str(&sample->json));
    }
}

static void expect_line(const struct buf *out, uint32_t number, const char *want)
{
    const char *line = buf_str(out);
    while (number--) line += strcspn(line, "\n") + 1;
    EXPECT(line < buf_str(out) + out->len);
    const int bytes = (int)strcspn(line, "\n");
    if ((size_t)bytes < strlen(want) || strncmp(line, want, strlen(want)) != 0)
        fail_msg("%s\nis not in\n%.*s", want, bytes, line);
}

static void add_mixed(struct scene *scene)
{
    scene->spec.caption_column = field("text");
    scene->spec.shard_rows = 100;
    buf_text(&scene->list, "url,text,place,year\n");
    add(scene, "files/a?delay_ms=300", ",slow one,Rome,1990");
    add(scene, "files/b", ",a \xff word,,");
    add(scene, "status/404", ",gone,Oslo,1");
    add(scene, "files/a?delay_ms=300", ",the same again,Rome,1991");
    buf_text(&scene->list, ",no URL,,\n");
    buf_text(&scene->list, "ftp://127.0.0.1/x,wrong scheme,,\n");
    add(scene, "redirect/1?to=/files/c", ",moved,,");
    add(scene, "empty", ",nothing,,");
    add(scene, "robots-tag/noai", ",refused,,");
    buf_text(&scene->list, "\"data:,some%20bytes\",inline,,\n");
}

TEST(urls, come_in_row_order_with_their_ends)
{
    UNUSED_STATE;
    struct scene scene;
    struct buf out;
    char hash[HASH_SHA256_TEXT], want[600];
    char *extra[] = {field("place"), field("year")};
    scene_init(&scene);
    buf_init(&out, 0);
    add_mixed(&scene);
    scene.spec.extra_columns = extra;
    scene.spec.n_extra_columns = 2;
    run(&scene);
    EXPECT(scene.source && scene.source->rows == 10);
    read_all(&scene, &out);
    hash_sha256_text(hash, "first picture", strlen("first picture"));
    (void)snprintf(want, sizeof want,
                   "0 0000000 ok first picture|slow one|{\"place\":\"Rome\",\"year\":\"1990\","
                   "\"url\":\"http://127.0.0.1:%d/files/a?delay_ms=300\",\"http_status\":200,"
                   "\"sha256\":\"%s\"}",
                   web.port, hash);
    expect_line(&out, 0, want);
    expect_line(&out, 1, "1 0000001 ok second picture|a \xef\xbf\xbd word|{\"place\":");
    expect_line(&out, 2, "2 0000002 http_status |gone|{\"place\":\"Oslo\",\"year\":\"1\",\"url\":");
    expect_line(&out, 3, "3 0000003 ok first picture|the same again|{\"place\":\"Rome\"");
    expect_line(&out, 4, "4 0000004 bad_url |no URL|");
    expect_line(&out, 5, "5 0000005 bad_url |wrong scheme|");
    (void)snprintf(want, sizeof want, "\"final_url\":\"http://127.0.0.1:%d/files/c\"", web.port);
    expect_line(&out, 6, "6 0000006 ok third picture|moved|");
    EXPECT(strstr(buf_str(&out), want) != NULL);
    expect_line(&out, 7, "7 0000007 empty_body |nothing|");
    expect_line(&out, 8, "8 0000008 opted_out |refused|");
    expect_line(&out, 9, "9 0000009 ok some bytes|inline|");
    buf_deinit(&out);
    scene_deinit(&scene);
}

/* Whatever the transfers, the order of the answers and the attempt. */
TEST(urls, give_the_same_bytes_every_time)
{
    UNUSED_STATE;
    struct buf first, again;
    buf_init(&first, 0);
    buf_init(&again, 0);
    for (uint32_t round = 0; round < 3; round++) {
        struct scene scene;
        scene_init(&scene);
        scene.spec.transfers = round ? 1u << (3 * round) : 1;
        buf_text(&scene.list, "url\n");
        for (uint32_t i = 0; i < 60; i++)
            add(&scene, i % 7 ? (i % 2 ? "jitter/a?x=" : "jitter/b?x=") : "status/410", "");
        run(&scene);
        read_all(&scene, round ? &again : &first);
        scene_deinit(&scene);
        if (!round) continue;
        EXPECT_TEXT(buf_str(&again), buf_str(&first));
        buf_clear(&again);
    }
    buf_deinit(&first);
    buf_deinit(&again);
}

/* Open files that have lost this name. */
static uint32_t nameless(const char *name)
{
    char link[64], target[PATH_MAX], want[64];
    uint32_t found = 0;
    (void)snprintf(want, sizeof want, "/%s (deleted)", name);
    for (int fd = 0; fd < 256; fd++) {
        (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        const ssize_t bytes = readlink(link, target, sizeof target - 1);
        if (bytes < 0) continue;
        target[bytes] = 0;
        found += str_has_suffix(target, want);
    }
    return found;
}

/* How often the server was asked for a path that begins so. */
static int64_t requests(const char *prefix)
{
    const struct fetch_options asking = {.transfers = 1,
                                         .total_ms = 60000,
                                         .connect_ms = 60000,
                                         .body_bytes = 1 << 20,
                                         .allow_private = true};
    struct fetch *fetch = NULL;
    struct fetch_item item = {0};
    struct err err;
    char url[64];
    const char *path;
    json_t *count;
    int64_t sum = 0;
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/counts", web.port);
    item.url = url;
    buf_init(&item.body, 0);
    EXPECT_OK(fetch_new(&fetch, &asking, &err), &err);
    fetch_start(fetch, &item);
    while (!fetch_take(fetch)) fetch_turn(fetch, 1000);
    json_t *counts = json_loadb(buf_str(&item.body), item.body.len, 0, NULL);
    json_object_foreach(counts, path, count)
    {
        if (str_has_prefix(path, prefix)) sum += json_integer_value(count);
    }
    json_decref(counts);
    fetch_free(fetch);
    buf_deinit(&item.body);
    return sum;
}

TEST(urls, are_not_asked_for_while_enough_waits)
{
    UNUSED_STATE;
    enum { ROWS = 24, BYTES = 30 * 1000 * 1000, ENOUGH = 5, TRANSFERS = 2 };
    struct scene scene;
    char path[32];
    bool found = true;
    scene_init(&scene);
    scene.spec.transfers = TRANSFERS;
    buf_text(&scene.list, "url\n");
    for (int i = 0; i < ROWS; i++) {
        (void)snprintf(path, sizeof path, "big/%d", BYTES - i);
        add(&scene, path, "");
    }
    run(&scene);
    int64_t before = -1, now = requests("/big/2");
    while (now != before || now < ENOUGH) { /* until it asks no more */
        const struct timespec pause = {0, 500 * 1000 * 1000};
        (void)nanosleep(&pause, NULL);
        before = now;
        now = requests("/big/2");
    }
    EXPECT(now <= ENOUGH + 2 * TRANSFERS);
    EXPECT_EQ(nameless("reorder"), 0);
    for (int i = 0; i < ENOUGH; i++) {
        EXPECT_OK(next(&scene, &found), &scene.err);
        EXPECT(found && scene.sample.picture.len == (size_t)(BYTES - i));
    }
    while (requests("/big/2") <= now) { /* it goes on when they are taken */
        const struct timespec pause = {0, 20 * 1000 * 1000};
        (void)nanosleep(&pause, NULL);
    }
    scene_deinit(&scene);
}

/* More than may wait in memory, behind a row that is slow. */
TEST(urls, wait_for_a_slow_row_in_a_file)
{
    UNUSED_STATE;
    enum { ROWS = 11, BYTES = 30 * 1000 * 1000 };
    struct scene scene;
    struct stat info;
    bool found = true;
    char path[PATH_MAX], big[32];
    scene_init(&scene);
    buf_text(&scene.list, "url\n");
    add(&scene, "files/a?delay_ms=1500", "");
    (void)snprintf(big, sizeof big, "big/%d", BYTES);
    for (uint32_t i = 1; i < ROWS; i++) add(&scene, big, ""); /* it is asked for once */
    scene.spec.timeout_ms = 300000;                           /* of a crowded machine */
    run(&scene);
    for (uint32_t i = 0; i < ROWS; i++) {
        EXPECT_OK(next(&scene, &found), &scene.err);
        EXPECT(found);
        EXPECT_EQ(nameless("reorder"), 1);
        EXPECT_EQ(scene.sample.index, i);
        EXPECT_EQ(scene.sample.picture.len, i ? BYTES : (size_t)strlen("first picture"));
    }
    EXPECT_OK(next(&scene, &found), &scene.err);
    EXPECT(!found);
    EXPECT(fs_join(path, sizeof path, scene.dir, "reorder"));
    EXPECT(stat(path, &info) != 0); /* it has no name */
    scene_deinit(&scene);
}

static int64_t now_ms(void)
{
    return clock_real.mono_ms(&clock_real);
}

TEST(urls, stop_soon_wherever_they_are)
{
    UNUSED_STATE;
    for (int way = 0; way < 3; way++) {
        struct scene scene;
        bool found = false;
        scene_init(&scene);
        buf_text(&scene.list, "url\n");
        add(&scene, "files/b", "");
        for (int i = 0; i < 200; i++) add(&scene, "hang", "");
        run(&scene);
        EXPECT_OK(next(&scene, &found), &scene.err);
        EXPECT(found);
        const int64_t from_ms = now_ms();
        if (way == 0) atomic_store(&scene.abort, true);
        if (way == 1) atomic_store(&scene.host.stop, (int)JOB_STOP_CANCELLED);
        if (way < 2) EXPECT_EQ(next(&scene, &found), ERR_CANCELLED);
        source_close(scene.source);
        scene.source = NULL;
        EXPECT(now_ms() - from_ms < 2000); /* the deadline of a transfer is 20 s */
        scene_deinit(&scene);
    }
}

TEST(urls, that_do_not_end_do_not_hold_the_shard)
{
    UNUSED_STATE;
    struct scene scene;
    struct buf out;
    scene_init(&scene);
    buf_init(&out, 0);
    scene.spec.tail_timeout_ms = 300;
    buf_text(&scene.list, "url\n");
    add(&scene, "hang", "");
    add(&scene, "files/b", "");
    run(&scene);
    read_all(&scene, &out);
    expect_line(&out, 0, "0 000000000 shard_timeout |-|");
    expect_line(&out, 1, "1 000000001 ok second picture|-|");
    buf_deinit(&out);
    scene_deinit(&scene);
}

TEST(urls, blame_the_machine_when_no_name_resolves)
{
    UNUSED_STATE;
    struct scene scene;
    bool found = true;
    int rc = 0;
    char *server = (char[]){"127.0.0.1:1"}; /* nothing listens there */
    scene_init(&scene);
    scene.spec.dns_servers = &server;
    scene.spec.n_dns_servers = 1;
    scene.spec.connect_timeout_ms = 300;
    buf_text(&scene.list, "url\n");
    for (int i = 0; i < 40; i++) buf_printf(&scene.list, "http://h%d.example/\n", i);
    run(&scene);
    while (!rc && found) rc = next(&scene, &found);
    EXPECT_EQ(rc, ERR_UNAVAILABLE);
    scene.env.attempt = 3; /* the names may really be gone */
    EXPECT_OK(open_shard(&scene, 0), &scene.err);
    found = true;
    rc = 0;
    while (!rc && found) rc = next(&scene, &found);
    EXPECT_OK(rc, &scene.err);
    scene_deinit(&scene);
}

TEST(urls, are_cut_into_shards_that_notice_another_list)
{
    UNUSED_STATE;
    struct scene scene;
    struct buf out;
    scene_init(&scene);
    buf_init(&out, 0);
    scene.spec.shard_rows = 2;
    buf_text(&scene.list, "url\n");
    for (int i = 0; i < 5; i++) add(&scene, i % 2 ? "files/a" : "files/b", "");
    run(&scene);
    EXPECT_EQ(scene.plan->batched, 3);
    EXPECT_TEXT(scene.plan->batch[2].name, "00002");
    EXPECT_EQ(scene.plan->batch[2].items, 1);
    EXPECT_OK(open_shard(&scene, 2), &scene.err);
    read_all(&scene, &out);
    expect_line(&out, 0, "0 000020 ok second picture|-|");
    /* The same list plans the same shards: over its own output, again. */
    struct job_bytes payload = scene.plan->batch[1].payload;
    uint8_t kept[512];
    EXPECT(payload.bytes <= sizeof kept);
    memcpy(kept, payload.data, payload.bytes);
    EXPECT_OK(plan(&scene, VLMQ__JOBS__ENCODE_INPUT__ENCODE_INPUT_CSV), &scene.err);
    EXPECT_EQ(scene.plan->batch[1].payload.bytes, payload.bytes);
    EXPECT_MEM(scene.plan->batch[1].payload.data, kept, payload.bytes);
    /* A planner that was interrupted passes over those that are there. */
    scene.env.added = 2;
    EXPECT_OK(plan(&scene, VLMQ__JOBS__ENCODE_INPUT__ENCODE_INPUT_CSV), &scene.err);
    EXPECT_EQ(scene.plan->batched, 1);
    EXPECT_TEXT(scene.plan->batch[0].name, "00002");
    scene.env.added = 0;
    /* Read as lines it is another list, and so it is with another row. */
    EXPECT_EQ(plan(&scene, VLMQ__JOBS__ENCODE_INPUT__ENCODE_INPUT_TXT), ERR_INVALID);
    EXPECT_OK(plan(&scene, VLMQ__JOBS__ENCODE_INPUT__ENCODE_INPUT_CSV), &scene.err);
    scene.list.data[scene.list.len - 2] = 'c';
    put_list(&scene);
    EXPECT_EQ(open_shard(&scene, 2), ERR_INVALID);
    EXPECT_EQ(plan(&scene, VLMQ__JOBS__ENCODE_INPUT__ENCODE_INPUT_CSV), ERR_INVALID);
    buf_deinit(&out);
    scene_deinit(&scene);
}

TEST(urls, of_a_json_list_are_kept_aside)
{
    UNUSED_STATE;
    struct scene scene;
    struct buf out;
    scene_init(&scene);
    buf_init(&out, 0);
    scene.spec.shard_rows = 1;
    buf_printf(&scene.list, "[{\"url\":\"http://127.0.0.1:%d/files/a\"}, 7]", web.port);
    put_list(&scene);
    EXPECT_OK(plan(&scene, VLMQ__JOBS__ENCODE_INPUT__ENCODE_INPUT_JSON), &scene.err);
    EXPECT_EQ(scene.plan->batched, 2);
    for (uint32_t i = 0; i < 2; i++) {
        EXPECT_OK(open_shard(&scene, i), &scene.err);
        read_all(&scene, &out);
    }
    expect_line(&out, 0, "0 00000 ok first picture|-|");
    expect_line(&out, 1, "0 00001 bad_row |-|{\"url\":null}");
    buf_deinit(&out);
    scene_deinit(&scene);
}

TEST(options, of_urls_name_the_option_that_is_wrong)
{
    UNUSED_STATE;
    struct scene scene;
    char *reserved[] = {field("sha256")}, *words[] = {field("no ai")};
    scene_init(&scene);
    const Vlmq__Jobs__Encode good = scene.spec;
    EXPECT_OK(options(&scene), &scene.err);
    EXPECT_TEXT(scene.plan->options.urls.given, "no-retries");
#define WRONG(change, option)                                                          \
    do {                                                                               \
        scene.spec = good;                                                             \
        change;                                                                        \
        EXPECT_EQ(options(&scene), ERR_INVALID);                                       \
        if (!strstr(scene.err.msg, option)) fail_msg("%s: %s", option, scene.err.msg); \
    } while (0)
    WRONG((scene.spec.extra_columns = reserved, scene.spec.n_extra_columns = 1), "\"sha256\"");
    WRONG((scene.spec.opt_out_directives = words, scene.spec.n_opt_out_directives = 1),
          "--opt-out-directives");
    WRONG(scene.spec.tail_timeout_ms = UINT32_MAX, "--tail-timeout-ms");
    WRONG(scene.spec.transfers = UINT32_MAX, "--transfers");
    WRONG(scene.spec.retries = 1, "--no-retries");
    WRONG(scene.spec.caption_column = field("url"), "--caption-column");
#undef WRONG
    scene_deinit(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(urls, come_in_row_order_with_their_ends),
        RUN(urls, give_the_same_bytes_every_time),
        RUN(urls, are_not_asked_for_while_enough_waits),
        RUN(urls, wait_for_a_slow_row_in_a_file),
        RUN(urls, stop_soon_wherever_they_are),
        RUN(urls, that_do_not_end_do_not_hold_the_shard),
        RUN(urls, blame_the_machine_when_no_name_resolves),
        RUN(urls, are_cut_into_shards_that_notice_another_list),
        RUN(urls, of_a_json_list_are_kept_aside),
        RUN(options, of_urls_name_the_option_that_is_wrong),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
