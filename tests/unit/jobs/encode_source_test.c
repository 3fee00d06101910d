/* encode_source_test.c - samples out of tars, shards' folders and folders of pictures. */
#include "common/base/fs.h"
#include "proto/schema/jobs/encode.pb-c.h"
#include "tests/unit/jobs/job_harness.h"
#include "worker/jobs/encode/listing.h"
#include "worker/jobs/encode/sample_index.h"
#include "worker/jobs/encode/source.h"
#include "worker/jobs/encode/source_tar.h"
#include "worker/jobs/encode/source_text.h"
#include "worker/pipe/tar.h"

#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* A shard of a test: its input, its source and the sample at hand. */
struct scene {
    const char *dir;
    struct arena arena;
    struct encode_options options;
    struct job_host host;
    struct job_env env;
    struct store *output;
    Vlmq__Jobs__EncodeShard shard;
    char file[64], input[PATH_MAX];
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

static void scene_init(struct scene *scene)
{
    uint8_t packed[1024];
    char output[PATH_MAX];
    Vlmq__Jobs__Encode spec = VLMQ__JOBS__ENCODE__INIT;
    *scene = (struct scene){.dir = test_dir_new()};
    arena_init(&scene->arena, 0);
    spec.input = field(scene->dir);
    spec.output = field("out");
    spec.model = field("tiny");
    const size_t bytes = vlmq__jobs__encode__pack(&spec, packed);
    EXPECT_OK(encode_options_init(&scene->options, &scene->arena, packed, bytes, &scene->err),
              &scene->err);
    (void)snprintf(output, sizeof output, "%s/_out", scene->dir);
    EXPECT_OK(store_open(&scene->output, output, true, &scene->err), &scene->err);
    scene->env = (struct job_env){.host = &scene->host, .cpus = 1};
    vlmq__jobs__encode_shard__init(&scene->shard);
    scene->source_env = (struct source_env){.env = &scene->env,
                                            .options = &scene->options,
                                            .shard = &scene->shard,
                                            .output = scene->output,
                                            .abort = &scene->abort};
    buf_init(&scene->sample.picture, scene->options.body_bytes);
}

static void scene_deinit(struct scene *scene)
{
    source_close(scene->source);
    buf_deinit(&scene->sample.key);
    buf_deinit(&scene->sample.picture);
    buf_deinit(&scene->sample.caption);
    buf_deinit(&scene->sample.json);
    store_close(scene->output);
    arena_deinit(&scene->arena);
    test_dir_remove(scene->dir);
}

static void put(const struct scene *scene, const char *name, const void *data, size_t bytes)
{
    char path[PATH_MAX], folder[PATH_MAX];
    struct err err;
    EXPECT(fs_join(path, sizeof path, scene->dir, name));
    (void)str_copy(folder, sizeof folder, path);
    *strrchr(folder, '/') = 0;
    EXPECT_OK(fs_mkdirs(folder, &err), &err);
    EXPECT_OK(fs_put(path, data, bytes, &err), &err);
}

static void put_text(const struct scene *scene, const char *name, const char *text)
{
    put(scene, name, text, strlen(text));
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
}

/* The shard becomes that tar, as the plan would see it. */
static void choose_tar(struct scene *scene, const void *tar, size_t bytes)
{
    char path[PATH_MAX];
    int64_t size;
    uint64_t hash;
    put(scene, "00007.tar", tar, bytes);
    EXPECT(fs_join(path, sizeof path, scene->dir, "00007.tar"));
    EXPECT_OK(source_tar_look(path, &size, &hash, &scene->err), &scene->err);
    scene->shard.source = VLMQ__JOBS__ENCODE_INPUT__ENCODE_INPUT_TAR;
    scene->shard.file = field("00007.tar");
    scene->shard.bytes = (uint64_t)size;
    scene->shard.hash = hash;
}

static int open_source(struct scene *scene)
{
    return source_open(&scene->source, &scene->source_env, &scene->err);
}

static bool next(struct scene *scene)
{
    bool found = false;
    struct encode_sample *sample = &scene->sample;
    buf_clear(&sample->key);
    buf_clear(&sample->picture);
    buf_clear(&sample->caption);
    buf_clear(&sample->json);
    sample->has_caption = false;
    sample->status = NULL;
    sample->message[0] = 0;
    EXPECT_OK(source_next(scene->source, sample, &found, &scene->err), &scene->err);
    return found;
}

/* "index key status picture|caption|json" of the next sample; "" after the last. */
static const char *line(struct scene *scene)
{
    static char text[512];
    text[0] = 0;
    if (!next(scene)) return text;
    const struct encode_sample *sample = &scene->sample;
    (void)snprintf(text, sizeof text, "%u %s %s %s|%s|%s", sample->index, buf_str(&sample->key),
                   sample->status ? sample->status : "-", buf_str(&sample->picture),
                   sample->has_caption ? buf_str(&sample->caption) : "(none)",
                   buf_str(&sample->json));
    return text;
}

static void open_members(struct scene *scene, const char *const *members)
{
    struct buf tar;
    pack(&tar, members);
    choose_tar(scene, tar.data, tar.len);
    buf_deinit(&tar);
    EXPECT_OK(open_source(scene), &scene->err);
}

TEST(source, samples_of_a_tar_are_files_of_one_key_wherever_they_stand)
{
    UNUSED_STATE;
    struct scene scene;
    scene_init(&scene);
    open_members(&scene, (const char *[]){"a/0.txt", "zero", "1.jpg", "ONE", "a/0.jpg", "ZERO",
                                          "1.json", "{\"k\":\n 1}", "1.txt", "", NULL});
    EXPECT_EQ(scene.source->rows, 2);
    EXPECT_TEXT(line(&scene), "0 a/0 - ZERO|zero|");
    EXPECT_TEXT(line(&scene), "1 1 - ONE||{\"k\":1}");
    EXPECT_TEXT(line(&scene), "");
    EXPECT_TEXT(line(&scene), "");
    scene_deinit(&scene);
}

TEST(source, takes_the_preferred_of_several_pictures_in_any_order)
{
    UNUSED_STATE;
    struct scene scene;
    scene_init(&scene);
    open_members(&scene,
                 (const char *[]){"0.png", "png", "0.jpg", "jpg", "0.webp", "webp", "1.JPEG",
                                  "jpeg", "1.png", "png", "1.seg.png", "mask", NULL});
    EXPECT_TEXT(line(&scene), "0 0 - jpg|(none)|");
    EXPECT_TEXT(line(&scene), "1 1 - jpeg|(none)|");
    EXPECT_TEXT(line(&scene), "");
    scene_deinit(&scene);
}

TEST(source, same_key_twice_is_a_row_of_its_own_and_not_encoded)
{
    UNUSED_STATE;
    struct scene scene;
    scene_init(&scene);
    open_members(&scene, (const char *[]){"0.jpg", "A", "0.txt", "a", "1.jpg", "B", "0.jpg", "C",
                                          "0.txt", "c", "0.json", "{}", NULL});
    EXPECT_TEXT(line(&scene), "0 0 - A|a|");
    EXPECT_TEXT(line(&scene), "1 1 - B|(none)|");
    EXPECT_TEXT(line(&scene), "2 0 duplicate_key |c|{}");
    EXPECT_TEXT(line(&scene), "");
    scene_deinit(&scene);
}

TEST(source, rows_without_a_picture_say_so_and_other_files_are_no_samples)
{
    UNUSED_STATE;
    struct scene scene;
    scene_init(&scene);
    scene.options.body_bytes = 4;
    open_members(&scene, (const char *[]){"README", "x", "._0.jpg", "x", "__meta__.json", "{}",
                                          "dir.d/.x", "x", "0.txt", "only text", "1.jpg", "large",
                                          "2.cls", "7", "3.jpg", "fine", "3.json", "[1]", NULL});
    EXPECT_TEXT(line(&scene), "0 0 no_image |only text|");
    EXPECT_TEXT(line(&scene), "1 1 too_large_file |(none)|");
    EXPECT(strstr(scene.sample.message, "--body-bytes"));
    EXPECT_TEXT(line(&scene), "2 2 no_image |(none)|");
    EXPECT_TEXT(line(&scene), "3 3 - fine|(none)|");
    EXPECT_TEXT(line(&scene), "");
    scene_deinit(&scene);
}

TEST(source, texts_come_out_as_clean_utf8)
{
    UNUSED_STATE;
    struct scene scene;
    struct encode_sample *sample = &scene.sample;
    scene_init(&scene);
    source_set_key(sample, "a\xff\n\x7f"
                           "b");
    EXPECT_TEXT(buf_str(&sample->key), "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
                                       "b");
    source_set_caption(sample, "a\0b\xc3", 4);
    EXPECT_TEXT(buf_str(&sample->caption), "a\xef\xbf\xbd"
                                           "b\xef\xbf\xbd");
    struct buf big;
    buf_init(&big, 0);
    for (size_t i = 0; i < CAPTION_BYTES_MAX - 1; i++) buf_byte(&big, 'x');
    buf_text(&big, "\xc3\xa9 more"); /* the limit stands within the é */
    source_set_caption(sample, big.data, big.len);
    EXPECT_EQ(sample->caption.len, CAPTION_BYTES_MAX - 1);
    buf_deinit(&big);
    source_set_json(sample, "{\"n\": NaN}", 10);
    EXPECT_EQ(sample->json.len, 0);
    scene_deinit(&scene);
}

TEST(source, damaged_tar_gives_what_stands_before_and_a_row_for_the_rest)
{
    UNUSED_STATE;
    struct scene scene;
    struct buf tar;
    scene_init(&scene);
    pack(&tar, (const char *[]){"0.jpg", "A", "1.jpg", "B", "2.jpg", "C", NULL});
    const size_t third = (size_t)TAR_BLOCK_BYTES * 4;
    tar.data[third] ^= 1; /* its header's sum is wrong */
    choose_tar(&scene, tar.data, tar.len);
    EXPECT_OK(open_source(&scene), &scene.err);
    EXPECT_EQ(scene.source->rows, 3);
    EXPECT_TEXT(line(&scene), "0 0 - A|(none)|");
    EXPECT_TEXT(line(&scene), "1 1 - B|(none)|");
    EXPECT_TEXT(line(&scene), "2 00007.tar damaged_tar |(none)|");
    EXPECT_TEXT(line(&scene), "");
    buf_deinit(&tar);
    scene_deinit(&scene);
}

TEST(source, tar_cut_within_a_member_keeps_the_others)
{
    UNUSED_STATE;
    struct buf tar;
    pack(&tar, (const char *[]){"0.jpg", "A", "1.txt", "B", "1.jpg", "C", NULL});
    /* Everywhere in the last member's header or data; and then where it is whole. */
    for (size_t bytes = 4 * TAR_BLOCK_BYTES + 1; bytes <= 6 * TAR_BLOCK_BYTES; bytes += 101) {
        struct scene scene;
        scene_init(&scene);
        choose_tar(&scene, tar.data, bytes);
        EXPECT_OK(open_source(&scene), &scene.err);
        EXPECT_TEXT(line(&scene), "0 0 - A|(none)|");
        EXPECT_TEXT(line(&scene), "1 1 no_image |B|");
        EXPECT_TEXT(line(&scene), "2 00007.tar damaged_tar |(none)|");
        scene_deinit(&scene);
    }
    struct scene scene;
    scene_init(&scene);
    choose_tar(&scene, tar.data, (size_t)6 * TAR_BLOCK_BYTES); /* without its zero blocks */
    EXPECT_OK(open_source(&scene), &scene.err);
    EXPECT_TEXT(line(&scene), "0 0 - A|(none)|");
    EXPECT_TEXT(line(&scene), "1 1 - C|B|");
    EXPECT_TEXT(line(&scene), "");
    scene_deinit(&scene);
    buf_deinit(&tar);
}

TEST(source, what_is_no_tar_or_not_the_planned_one_is_refused)
{
    UNUSED_STATE;
    struct scene scene;
    scene_init(&scene);
    char page[2048];
    memset(page, '<', sizeof page);
    choose_tar(&scene, page, sizeof page);
    EXPECT_EQ(open_source(&scene), ERR_INVALID);
    EXPECT(strstr(scene.err.msg, "is no tar"));
    page[7] = 'x';
    put(&scene, "00007.tar", page, sizeof page); /* the same size */
    EXPECT_EQ(open_source(&scene), ERR_INVALID);
    EXPECT(strstr(scene.err.msg, "another file"));
    scene.shard.file = field("none.tar");
    EXPECT_EQ(open_source(&scene), ERR_NOT_FOUND);
    scene_deinit(&scene);
}

TEST(source, reading_ends_when_the_pipe_comes_down_or_the_task_is_stopped)
{
    UNUSED_STATE;
    struct scene scene;
    bool found;
    scene_init(&scene);
    open_members(&scene, (const char *[]){"0.jpg", "A", NULL});
    atomic_store(&scene.host.stop, JOB_STOP_CANCELLED);
    EXPECT_EQ(source_next(scene.source, &scene.sample, &found, &scene.err), ERR_CANCELLED);
    atomic_store(&scene.host.stop, JOB_STOP_NONE);
    atomic_store(&scene.abort, true);
    EXPECT_EQ(source_next(scene.source, &scene.sample, &found, &scene.err), ERR_CANCELLED);
    scene_deinit(&scene);
}

TEST(source, folder_of_a_shard_is_read_as_its_tar_would_be)
{
    UNUSED_STATE;
    struct scene scene;
    scene_init(&scene);
    put_text(&scene, "00003/000030001.jpg", "B");
    put_text(&scene, "00003/000030000.jpg", "A");
    put_text(&scene, "00003/000030000.txt", "a");
    put_text(&scene, "00003/000030002.json", "{\"x\":2}");
    scene.shard.source = VLMQ__JOBS__ENCODE_INPUT__ENCODE_INPUT_TAR;
    scene.shard.file = field("00003/");
    EXPECT_OK(open_source(&scene), &scene.err);
    EXPECT_EQ(scene.source->rows, 3);
    EXPECT_TEXT(line(&scene), "0 000030000 - A|a|");
    EXPECT_TEXT(line(&scene), "1 000030001 - B|(none)|");
    EXPECT_TEXT(line(&scene), "2 000030002 no_image |(none)|{\"x\":2}");
    EXPECT_TEXT(line(&scene), "");
    scene_deinit(&scene);
}

static int note(void *ctx, const char *path, int64_t bytes, struct err *err)
{
    (void)err;
    buf_printf(ctx, "%s=%d;", path, (int)bytes);
    return 0;
}

TEST(listing, pictures_come_in_the_order_of_their_paths_bytes)
{
    UNUSED_STATE;
    struct scene scene;
    struct buf seen;
    char link[PATH_MAX];
    scene_init(&scene);
    buf_init(&seen, 0);
    put_text(&scene, "a/1.jpg", "1");
    put_text(&scene, "a.png", "22"); /* "." stands before "/" */
    put_text(&scene, "b/c/2.JPG", "333");
    put_text(&scene, "b.jpg/x.gif", "1"); /* a folder */
    put_text(&scene, "notes.txt", "no");
    put_text(&scene, ".hidden.jpg", "no");
    put_text(&scene, "_vlmq/x.jpg", "no");
    put_text(&scene, "jpg", "no");
    EXPECT(fs_join(link, sizeof link, scene.dir, "loop"));
    EXPECT_EQ(symlink(".", link), 0);
    EXPECT(fs_join(link, sizeof link, scene.dir, "z.jpg"));
    EXPECT_EQ(symlink("a.png", link), 0);
    EXPECT(fs_join(link, sizeof link, scene.dir, "dangling.jpg"));
    EXPECT_EQ(symlink("nowhere", link), 0);
    EXPECT_OK(listing_walk(scene.dir, &scene.options, note, &seen, &scene.err), &scene.err);
    EXPECT_TEXT(buf_str(&seen), "a.png=2;a/1.jpg=1;b.jpg/x.gif=1;b/c/2.JPG=3;z.jpg=2;");
    buf_deinit(&seen);
    scene_deinit(&scene);
}

TEST(listing, text_is_read_back_and_damage_is_noticed)
{
    UNUSED_STATE;
    struct buf text;
    const char *path;
    int64_t bytes;
    buf_init(&text, 0);
    listing_add(&text, "a b\n.jpg", 0);
    listing_add(&text, "\xff.png", INT64_C(5000000000));
    const char *at = text.data, *end = text.data + text.len;
    EXPECT(listing_next(&at, end, &path, &bytes));
    EXPECT_TEXT(path, "a b\n.jpg");
    EXPECT_EQ(bytes, 0);
    EXPECT(listing_next(&at, end, &path, &bytes));
    EXPECT_TEXT(path, "\xff.png");
    EXPECT_EQ(bytes, INT64_C(5000000000));
    EXPECT(at == end && !listing_next(&at, end, &path, &bytes));
    static const char *const bad[] = {"x y", " y", "1y", "1 ", "99999999999999999999 y"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        at = bad[i];
        EXPECT(!listing_next(&at, bad[i] + strlen(bad[i]) + 1, &path, &bytes));
        EXPECT(at == bad[i]);
    }
    at = "1 y";
    EXPECT(!listing_next(&at, at + 3, &path, &bytes)); /* its zero is missing */
    buf_deinit(&text);
}

/* The shard becomes these pictures of the folder, as they are now. */
static void choose_images(struct scene *scene, const char *const *paths)
{
    char name[LISTING_NAME_BYTES], path[PATH_MAX];
    struct buf listing;
    int64_t bytes;
    buf_init(&listing, 0);
    scene->shard.rows = 0;
    for (; *paths; paths++) {
        EXPECT(fs_join(path, sizeof path, scene->dir, *paths));
        EXPECT_OK(fs_size(&bytes, path, &scene->err), &scene->err);
        listing_add(&listing, *paths, bytes);
        scene->shard.rows++;
    }
    scene->shard.source = VLMQ__JOBS__ENCODE_INPUT__ENCODE_INPUT_IMAGES;
    scene->shard.shard = 4;
    scene->shard.bytes = listing.len;
    scene->shard.hash = listing_hash(&listing);
    listing_name(name, 4);
    EXPECT_OK(store_put(scene->output, name, listing.data, listing.len, &scene->err), &scene->err);
    buf_deinit(&listing);
}

TEST(source, pictures_of_a_folder_are_rows_with_the_texts_beside_them)
{
    UNUSED_STATE;
    struct scene scene;
    scene_init(&scene);
    put_text(&scene, "a/1.x.jpg", "A");
    put_text(&scene, "a/1.x.txt", "first");
    put_text(&scene, "a/1.x.json", "{\"n\": 1}");
    put_text(&scene, "b.png", "B");
    put_text(&scene, "c.jpg", "too large");
    scene.options.body_bytes = 8;
    choose_images(&scene, (const char *[]){"a/1.x.jpg", "b.png", "c.jpg", NULL});
    EXPECT_OK(open_source(&scene), &scene.err);
    EXPECT_TEXT(line(&scene), "0 a/1.x.jpg - A|first|{\"n\":1}");
    EXPECT_TEXT(line(&scene), "1 b.png - B|(none)|");
    EXPECT_TEXT(line(&scene), "2 c.jpg too_large_file |(none)|");
    EXPECT_TEXT(line(&scene), "");
    scene_deinit(&scene);
}

/* {"x":"…"} of so many bytes. */
static void long_json(struct buf *out, size_t bytes)
{
    buf_clear(out);
    buf_text(out, "{\"x\":\"");
    while (out->len < bytes - 2) buf_byte(out, 'x');
    buf_text(out, "\"}");
}

/* Captions are cut and large JSON is left out, wherever a sample stands and however small its
 * picture must be. */
TEST(source, texts_are_bounded_alike_in_tars_and_folders)
{
    UNUSED_STATE;
    struct buf caption, json, most, tar;
    buf_init(&caption, 0);
    buf_init(&json, 0);
    buf_init(&most, 0);
    while (caption.len < 3 * JSON_BYTES_MAX) buf_text(&caption, "a long caption ");
    long_json(&most, JSON_BYTES_MAX);
    long_json(&json, JSON_BYTES_MAX + 1);
    for (int kind = 0; kind < 3; kind++) {
        struct scene scene;
        scene_init(&scene);
        scene.options.body_bytes = 8;
        if (kind == 0) {
            pack(&tar,
                 (const char *[]){"0.jpg", "A", "0.txt", buf_str(&caption), "0.json",
                                  buf_str(&most), "1.jpg", "B", "1.json", buf_str(&json), NULL});
            choose_tar(&scene, tar.data, tar.len);
            buf_deinit(&tar);
        } else {
            put_text(&scene, "s/0.jpg", "A");
            put_text(&scene, "s/0.txt", buf_str(&caption));
            put_text(&scene, "s/0.json", buf_str(&most));
            put_text(&scene, "s/1.jpg", "B");
            put_text(&scene, "s/1.json", buf_str(&json));
            scene.shard.source = VLMQ__JOBS__ENCODE_INPUT__ENCODE_INPUT_TAR;
            scene.shard.file = field("s/");
        }
        if (kind == 2) choose_images(&scene, (const char *[]){"s/0.jpg", "s/1.jpg", NULL});
        EXPECT_OK(open_source(&scene), &scene.err);
        EXPECT(next(&scene));
        EXPECT_EQ(scene.sample.caption.len, CAPTION_BYTES_MAX);
        EXPECT_EQ(scene.sample.json.len, JSON_BYTES_MAX);
        EXPECT_TEXT(buf_str(&scene.sample.picture), "A");
        EXPECT(next(&scene));
        EXPECT_EQ(scene.sample.json.len, 0);
        EXPECT(!scene.sample.status && !scene.sample.has_caption);
        EXPECT(!next(&scene));
        scene_deinit(&scene);
    }
    buf_deinit(&caption);
    buf_deinit(&json);
    buf_deinit(&most);
}

/* What may pass is an error: else the same job would give other rows another time. */
TEST(source, text_that_cannot_be_read_now_is_no_missing_text)
{
    UNUSED_STATE;
    struct scene scene;
    char path[PATH_MAX];
    bool found;
    scene_init(&scene);
    put_text(&scene, "1.jpg", "A");
    put_text(&scene, "2.jpg", "B");
    choose_images(&scene, (const char *[]){"1.jpg", "2.jpg", NULL});
    EXPECT(fs_join(path, sizeof path, scene.dir, "1.txt"));
    EXPECT_EQ(symlink("nowhere.txt", path), 0); /* leads to nothing: none */
    EXPECT(fs_join(path, sizeof path, scene.dir, "2.txt"));
    EXPECT_EQ(mkfifo(path, 0600), 0); /* nobody writes */
    EXPECT_OK(open_source(&scene), &scene.err);
    EXPECT_TEXT(line(&scene), "0 1.jpg - A|(none)|");
    EXPECT_TEXT(line(&scene), "1 2.jpg - B|(none)|");
    EXPECT_EQ(unlink(path), 0);
    put_text(&scene, "2.txt", "b");
    bool untouched = false;
    for (int64_t after = 0; !untouched; after++) {
        source_close(scene.source);
        scene.source = NULL;
        EXPECT_OK(open_source(&scene), &scene.err);
        EXPECT_TEXT(line(&scene), "0 1.jpg - A|(none)|");
        (void)mem_fail(after, 1);
        const int rc = source_next(scene.source, &scene.sample, &found, &scene.err);
        untouched = mem_fail(-1, 0) <= after;
        if (rc) EXPECT_EQ(rc, ERR_LIMIT);
        EXPECT(rc || scene.sample.has_caption);
        buf_deinit(&scene.sample.key);
        buf_deinit(&scene.sample.caption);
        buf_deinit(&scene.sample.picture);
        buf_init(&scene.sample.picture, scene.options.body_bytes);
    }
    scene_deinit(&scene);
}

TEST(source, pictures_that_changed_or_went_since_the_plan_are_rows_that_say_so)
{
    UNUSED_STATE;
    struct scene scene;
    char path[PATH_MAX];
    scene_init(&scene);
    put_text(&scene, "1.jpg", "one");
    put_text(&scene, "2.jpg", "two");
    put_text(&scene, "3.jpg", "three");
    put_text(&scene, "4.jpg", "four");
    choose_images(&scene, (const char *[]){"1.jpg", "2.jpg", "3.jpg", "4.jpg", NULL});
    put_text(&scene, "1.jpg", "longer");
    put_text(&scene, "2.jpg", "s");
    EXPECT(fs_join(path, sizeof path, scene.dir, "3.jpg"));
    EXPECT_EQ(unlink(path), 0);
    put_text(&scene, "0.jpg", "new"); /* nobody planned it */
    EXPECT_OK(open_source(&scene), &scene.err);
    EXPECT_TEXT(line(&scene), "0 1.jpg changed_file |(none)|");
    EXPECT_TEXT(line(&scene), "1 2.jpg changed_file |(none)|");
    EXPECT_TEXT(line(&scene), "2 3.jpg missing_file |(none)|");
    EXPECT_TEXT(line(&scene), "3 4.jpg - four|(none)|");
    EXPECT_TEXT(line(&scene), "");
    scene_deinit(&scene);
}

TEST(source, listing_that_is_not_the_plans_is_refused)
{
    UNUSED_STATE;
    struct scene scene;
    scene_init(&scene);
    put_text(&scene, "1.jpg", "one");
    choose_images(&scene, (const char *[]){"1.jpg", NULL});
    scene.shard.hash++;
    EXPECT_EQ(open_source(&scene), ERR_INVALID);
    scene.shard.shard = 9;
    EXPECT_EQ(open_source(&scene), ERR_NOT_FOUND);
    scene.shard.source = VLMQ__JOBS__ENCODE_INPUT__ENCODE_INPUT_AUTO;
    EXPECT_EQ(open_source(&scene), ERR_INVALID);
    scene_deinit(&scene);
}

TEST(index, grows_over_any_number_of_samples)
{
    UNUSED_STATE;
    struct scene scene;
    struct sample_index index;
    char name[32];
    scene_init(&scene);
    sample_index_init(&index, &scene.options);
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < 5000; i++) {
            (void)snprintf(name, sizeof name, "%05d.%s", i, pass ? "json" : "jpg");
            EXPECT_OK(sample_index_add(&index, name, i, pass, &scene.err), &scene.err);
        }
    EXPECT_EQ(index.count, 5000);
    for (uint32_t i = 0; i < index.count; i++) {
        EXPECT_EQ(index.entry[i].picture.place, i);
        EXPECT_EQ(index.entry[i].json.bytes, 1);
        EXPECT_EQ(index.entry[i].caption.bytes, -1);
    }
    sample_index_deinit(&index);
    scene_deinit(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(source, samples_of_a_tar_are_files_of_one_key_wherever_they_stand),
        RUN(source, takes_the_preferred_of_several_pictures_in_any_order),
        RUN(source, same_key_twice_is_a_row_of_its_own_and_not_encoded),
        RUN(source, rows_without_a_picture_say_so_and_other_files_are_no_samples),
        RUN(source, texts_come_out_as_clean_utf8),
        RUN(source, texts_are_bounded_alike_in_tars_and_folders),
        RUN(source, text_that_cannot_be_read_now_is_no_missing_text),
        RUN(source, damaged_tar_gives_what_stands_before_and_a_row_for_the_rest),
        RUN(source, tar_cut_within_a_member_keeps_the_others),
        RUN(source, what_is_no_tar_or_not_the_planned_one_is_refused),
        RUN(source, reading_ends_when_the_pipe_comes_down_or_the_task_is_stopped),
        RUN(source, folder_of_a_shard_is_read_as_its_tar_would_be),
        RUN(listing, pictures_come_in_the_order_of_their_paths_bytes),
        RUN(listing, text_is_read_back_and_damage_is_noticed),
        RUN(source, pictures_of_a_folder_are_rows_with_the_texts_beside_them),
        RUN(source, pictures_that_changed_or_went_since_the_plan_are_rows_that_say_so),
        RUN(source, listing_that_is_not_the_plans_is_refused),
        RUN(index, grows_over_any_number_of_samples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
