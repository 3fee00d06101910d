/* input_test.c - inputs of every format end in the same rows: planned, cut, kept and read back. */
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/store/store.h"
#include "tests/unit/jobs/download_job.h"
#include "tests/unit/jobs/download_slice.h"
#include "worker/list/list_input.h"
#include "worker/list/list_json.h"

#include <sys/stat.h>

/* A job over one input, and the rows that its tasks see. */
struct scene {
    struct download_job job;
    struct arena arena;
    char *extra[LIST_EXTRA_MAX];
    uint32_t outputs; /* that were made */
};

static void scene_init(struct scene *scene)
{
    *scene = (struct scene){0};
    download_job_init(&scene->job, "list");
    arena_init(&scene->arena, 0);
    scene->job.spec.caption_column = text("caption");
    scene->job.spec.extra_columns = scene->extra;
    scene->job.spec.shard_rows = 10;
}

static void scene_deinit(struct scene *scene)
{
    arena_deinit(&scene->arena);
    download_job_deinit(&scene->job);
}

static void extra(struct scene *scene, const char *name)
{
    scene->extra[scene->job.spec.n_extra_columns++] = text(name);
}

/* The input is a file of tests/golden. */
static void golden(struct scene *scene, const char *name)
{
    (void)snprintf(scene->job.input, sizeof scene->job.input, "%s/golden/%s", TESTS_DIR, name);
}

/* Writes a list of the test's own. */
static void put(struct scene *scene, const char *name, const void *data, size_t bytes)
{
    struct err err;
    (void)snprintf(scene->job.input, sizeof scene->job.input, "%s/%s", scene->job.dir, name);
    EXPECT_OK(fs_put(scene->job.input, data, bytes, &err), &err);
}

static int plan(struct scene *scene)
{
    (void)download_job_pack(&scene->job);
    scene->job.harness.host.tasks_count = 0;
    return download_job_plan(&scene->job);
}

static void add_slice(struct buf *out, const struct download_options *options,
                      const struct harness_task *task, struct store *store)
{
    struct list_slice *slice = NULL;
    struct list_row row;
    struct err err;
    bool found = true;
    Vlmq__Jobs__DownloadShard *shard =
        vlmq__jobs__download_shard__unpack(NULL, task->bytes, task->payload);
    list_row_init(&row);
    EXPECT_OK(download_slice(&slice, options, shard, store, &err), &err);
    for (;;) {
        EXPECT_OK(list_slice_next(slice, &row, &found, &err), &err);
        if (!found) break;
        for (uint32_t i = 0; i < options->columns.wanted_count; i++) {
            const char *text = list_row_field(&row, i);
            if (i == LIST_HASH || i == LIST_BOXES) continue; /* no list here has them */
            buf_printf(out, "%s%s", i ? "|" : "", text ? text : "-");
        }
        buf_text(out, row.problem ? "!\n" : "\n");
    }
    buf_text(out, "--\n");
    list_slice_close(slice);
    list_row_deinit(&row);
    vlmq__jobs__download_shard__free_unpacked(shard, NULL);
}

/* The rows of all tasks, as lines; "--" ends a shard. */
static void read_back(struct scene *scene, struct buf *out)
{
    struct download_options options;
    struct store *store = NULL;
    struct err err;
    buf_clear(out);
    EXPECT_OK(download_options_init(&options, &scene->arena, scene->job.harness.spec.data,
                                    scene->job.harness.spec.bytes, &err),
              &err);
    EXPECT_OK(store_open(&store, options.output, false, &err), &err);
    for (uint32_t i = 0; i < scene->job.harness.host.tasks_count; i++)
        add_slice(out, &options, &scene->job.harness.host.tasks[i], store);
    store_close(store);
}

static void plan_and_read(struct scene *scene, struct buf *out)
{
    EXPECT_OK(plan(scene), &scene->job.harness.err);
    read_back(scene, out);
}

/* The rows that a list of the test's own gives, or the error's sentence. */
static void expect_rows(const char *name, const void *data, size_t bytes, const char *want)
{
    struct scene scene;
    struct buf out;
    buf_init(&out, 0);
    scene_init(&scene);
    scene.job.spec.caption_column = text("");
    extra(&scene, "n");
    put(&scene, name, data, bytes);
    const int rc = plan(&scene);
    if (!rc) read_back(&scene, &out);
    if (rc) buf_text(&out, scene.job.harness.err.msg);
    if (rc ? !strstr(buf_str(&out), want) : strcmp(buf_str(&out), want) != 0)
        print_message("%.200s gives %s", (const char *)data, buf_str(&out));
    EXPECT(rc ? strstr(buf_str(&out), want) != NULL : strcmp(buf_str(&out), want) == 0);
    if (rc) EXPECT_EQ(rc, ERR_INVALID);
    scene_deinit(&scene);
    buf_deinit(&out);
}

TEST(input, formats_of_one_list_give_the_same_rows)
{
    UNUSED_STATE;
    static const char *const names[] = {"lists/list.csv", "lists/list.jsonl", "lists/list.json",
                                        "lists/list.parquet"};
    struct buf first, other;
    buf_init(&first, 0);
    buf_init(&other, 0);
    for (size_t i = 0; i < 4; i++) {
        struct scene scene;
        struct err err;
        char kept[400];
        int64_t bytes = 0;
        scene_init(&scene);
        extra(&scene, "tag");
        golden(&scene, names[i]);
        plan_and_read(&scene, i ? &other : &first);
        EXPECT_EQ(scene.job.harness.host.tasks_count, 5);
        if (i) EXPECT_TEXT(buf_str(&other), buf_str(&first));
        /* Rows that are made are kept, with nothing but the wanted columns. */
        (void)snprintf(kept, sizeof kept, "%s/_vlmq/rows/00004", scene.job.output);
        EXPECT_EQ(fs_exists(kept), i >= 2);
        if (i >= 2) EXPECT_OK(fs_size(&bytes, kept, &err), &err);
        scene_deinit(&scene);
    }
    EXPECT(strstr(buf_str(&first), "https://h1.example/1.jpg|row 1, \"quoted\"\nGr"));
    buf_deinit(&first);
    buf_deinit(&other);
}

TEST(input, numbers_and_booleans_keep_their_types)
{
    UNUSED_STATE;
    static const char *const names[] = {"lists/list.jsonl", "lists/list.json",
                                        "lists/list.parquet"};
    struct buf out;
    buf_init(&out, 0);
    for (size_t i = 0; i < 3; i++) {
        struct scene scene;
        scene_init(&scene);
        scene.job.spec.caption_column = text("");
        extra(&scene, "size");
        extra(&scene, "score");
        extra(&scene, "safe");
        golden(&scene, names[i]);
        plan_and_read(&scene, &out);
        EXPECT(strstr(buf_str(&out), "https://h0.example/0.jpg|-|0|0.0|true\n"));
        EXPECT(strstr(buf_str(&out), "https://h2.example/5.jpg|-|500|0.625|false\n"));
        scene_deinit(&scene);
    }
    buf_deinit(&out);
}

/* A golden parquet file with nulls and every kind of number. */
TEST(input, parquet_values_become_json)
{
    UNUSED_STATE;
    static const char *const columns[] = {"flag",   "int8",   "uint32", "int64",
                                          "uint64", "double", "float"};
    struct scene scene;
    struct buf out;
    buf_init(&out, 0);
    scene_init(&scene);
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++) extra(&scene, columns[i]);
    golden(&scene, "parquet/groups.parquet");
    plan_and_read(&scene, &out);
    EXPECT_EQ(scene.job.harness.host.tasks_count, 9);
    const char *row = strstr(buf_str(&out), "/003.jpg");
    EXPECT(row != NULL);
    EXPECT(!strncmp(row, "/003.jpg|row 3|", 15));
    /* 2^64 - 1 fits no JSON parser; NaN and infinity are no JSON. */
    EXPECT(strstr(row, "\"18446744073709551615\""));
    EXPECT(strstr(buf_str(&out), "-9223372036854775808"));
    EXPECT(!strstr(buf_str(&out), "nan") && !strstr(buf_str(&out), "inf"));
    EXPECT(strstr(buf_str(&out), "|0.1"));
    EXPECT(strstr(buf_str(&out), "/040.jpg|-|-|-|-|0|-|-|-\n"));
    scene_deinit(&scene);
    buf_deinit(&out);
}

TEST(input, parquet_is_known_by_name_option_and_first_bytes)
{
    UNUSED_STATE;
    static const struct {
        const char *name;
        enum _Vlmq__Jobs__DownloadFormat format;
        const char *refusal;
    } cases[] = {
        {"a.parquet", VLMQ__JOBS__DOWNLOAD_FORMAT__DOWNLOAD_FORMAT_AUTO, NULL},
        {"a.pq", VLMQ__JOBS__DOWNLOAD_FORMAT__DOWNLOAD_FORMAT_AUTO, NULL},
        {"part-00000", VLMQ__JOBS__DOWNLOAD_FORMAT__DOWNLOAD_FORMAT_AUTO, NULL},
        {"a.dat", VLMQ__JOBS__DOWNLOAD_FORMAT__DOWNLOAD_FORMAT_PARQUET, NULL},
        {"a.csv", VLMQ__JOBS__DOWNLOAD_FORMAT__DOWNLOAD_FORMAT_PARQUET, NULL},
        {"a.csv", VLMQ__JOBS__DOWNLOAD_FORMAT__DOWNLOAD_FORMAT_AUTO, "is a parquet file"},
        {"a.pq", VLMQ__JOBS__DOWNLOAD_FORMAT__DOWNLOAD_FORMAT_JSON, "is a parquet file"},
    };
    struct scene scene;
    struct buf list;
    struct err err;
    scene_init(&scene);
    golden(&scene, "lists/list.parquet");
    buf_init(&list, 0);
    EXPECT_OK(fs_read(&list, scene.job.input, 1 << 20, &err), &err);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put(&scene, cases[i].name, list.data, list.len);
        scene.job.spec.input_format = cases[i].format;
        const int rc = plan(&scene);
        if (!cases[i].refusal) EXPECT_OK(rc, &scene.job.harness.err);
        if (cases[i].refusal) EXPECT_EQ(rc, ERR_INVALID);
        if (cases[i].refusal) EXPECT(strstr(scene.job.harness.err.msg, cases[i].refusal));
    }
    buf_deinit(&list);
    expect_rows("part-00000", "url,n\n", 6, "does not tell its format");
    expect_rows("list.pq", "url,n\nhttp://h/,1\n", 18, "not a parquet file");
    scene_deinit(&scene);
}

TEST(input, parquet_columns_are_checked_before_the_output_is_made)
{
    UNUSED_STATE;
    static const struct {
        const char *file, *url, *extra, *sentence;
    } cases[] = {
        {"lists/list.parquet", "link", "tag", "it has: url, caption, tag, size, score, safe"},
        {"lists/list.parquet", "size", "tag", "\"size\" has no texts"},
        {"lists/list.parquet", "url", "link", "there is no column \"link\""},
        {"parquet/types.parquet", "last", "decimal", "\"decimal\": is of the type DECIMAL"},
        {"parquet/types.parquet", "list", "first", "\"list\": is nested"},
        {"parquet/int96.parquet", "last", "time", "\"time\": is of the type INT96"},
        {"parquet/empty.parquet", "url", "word", "is empty"},
        {"parquet/refused_lz4.parquet", "url", NULL, "LZ4"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct scene scene;
        scene_init(&scene);
        scene.job.spec.caption_column = text("");
        scene.job.spec.url_column = text(cases[i].url);
        if (cases[i].extra) extra(&scene, cases[i].extra);
        golden(&scene, cases[i].file);
        EXPECT_EQ(plan(&scene), ERR_INVALID);
        if (!strstr(scene.job.harness.err.msg, cases[i].sentence))
            print_message("%s\n", scene.job.harness.err.msg);
        EXPECT(strstr(scene.job.harness.err.msg, cases[i].sentence));
        EXPECT(!fs_exists(scene.job.output));
        scene_deinit(&scene);
    }
}

/* The claim is for the file's bytes, as in the other formats. */
TEST(input, parquet_outputs_are_claimed_for_the_file)
{
    UNUSED_STATE;
    struct scene scene;
    struct buf list, claim;
    struct err err;
    char path[400], digest[HASH_SHA256_TEXT];
    scene_init(&scene);
    golden(&scene, "lists/list.parquet");
    EXPECT_OK(plan(&scene), &scene.job.harness.err);
    EXPECT_OK(plan(&scene), &scene.job.harness.err);
    buf_init(&list, 0);
    buf_init(&claim, 0);
    EXPECT_OK(fs_read(&list, scene.job.input, 1 << 20, &err), &err);
    hash_sha256_text(digest, list.data, list.len);
    (void)snprintf(path, sizeof path, "%s/_vlmq/job.json", scene.job.output);
    EXPECT_OK(fs_read(&claim, path, 1 << 20, &err), &err);
    EXPECT(strstr(buf_str(&claim), digest));
    /* Other bytes, the same rows: another list. */
    golden(&scene, "lists/list.json");
    EXPECT_EQ(plan(&scene), ERR_INVALID);
    buf_deinit(&list);
    buf_deinit(&claim);
    scene_deinit(&scene);
}

TEST(input, json_arrays_are_rows)
{
    UNUSED_STATE;
    static const char deep[] = "[{\"url\":\"a\",\"n\":[{\"x\":[1,\n{}]},\"],[\"]},"
                               "{\"n\":\"\\\"]\\\\\",\"url\":\"b\"}]\n";
    static const struct {
        const char *list, *want;
    } cases[] = {
        {"[{\"url\":\"a\",\"n\":1},{\"n\":2.5,\"url\":\"b\"}]", "a|-|1\nb|-|2.5\n--\n"},
        {"\xef\xbb\xbf [ {\"url\":\r\n\"a\",\n\"n\":null}\n,\n{\"url\":\"b\"}\n] \n",
         "a|-|null\nb|-|-\n--\n"},
        {deep, "a|-|[{\"x\":[1,{}]},\"],[\"]\nb|-|\"\\\"]\\\\\"\n--\n"},
        {"[{\"url\":\"a\",\"n\":1},7,\"x,]\",null,[1,2] , true,{\"url\":}]",
         "a|-|1\n-|-|-!\n-|-|-!\n-|-|-!\n-|-|-!\n-|-|-!\n-|-|-!\n--\n"},
        {"", "is empty"},
        {" \n", "is empty"},
        {"[]", "is empty"},
        {"[ ]\n", "is empty"},
        {"{\"url\":\"a\",\"n\":1}", "byte 0"},
        {"{\"rows\":[]}", "is not one JSON array"},
        {"[{\"url\":\"a\",\"n\":1}", "cut short"},
        {"[{\"url\":\"a\",\"n\":1},", "cut short"},
        {"[{\"url\":\"a\",\"n\":\"1]", "cut short"},
        {"[{\"url\":\"a\",\"n\":1},]", "byte 19"},
        {"[,]", "byte 1"},
        {"[{\"url\":\"a\",\"n\":1} {\"url\":\"b\"}]", "byte 19"},
        {"[{\"url\":\"a\",\"n\":1}]]", "byte 19"},
        {"[{\"link\":\"a\"}]", "there is no column \"url\""},
        {"[[1]]", "first row"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_rows("list.json", cases[i].list, strlen(cases[i].list), cases[i].want);
}

/* Elements of any size pass through; one too large for a row is a bad row. */
TEST(input, json_elements_may_be_large)
{
    UNUSED_STATE;
    struct buf list;
    buf_init(&list, 0);
    buf_text(&list, "[{\"url\":\"a\",\"n\":1},{\"url\":\"");
    for (int i = 0; i < 120000; i++) buf_text(&list, "0123456789");
    buf_text(&list, "\"},{\"url\":\"c\",\"n\":3}]");
    expect_rows("list.json", list.data, list.len, "a|-|1\n-|-|-!\nc|-|3\n--\n");
    buf_deinit(&list);
}

/* A file of a folder in the test's own; the input is then what the test names. */
static void put_file(struct scene *scene, const char *folder, const char *name, const char *text)
{
    char path[400];
    struct err err;
    (void)snprintf(path, sizeof path, "%s/%s", scene->job.dir, folder);
    EXPECT_OK(fs_mkdirs(path, &err), &err);
    (void)snprintf(path, sizeof path, "%s/%s/%s", scene->job.dir, folder, name);
    EXPECT_OK(fs_put(path, text, strlen(text), &err), &err);
}

static void name_input(struct scene *scene, const char *input)
{
    (void)snprintf(scene->job.input, sizeof scene->job.input, "%s/%s", scene->job.dir, input);
}

static void expect_input(struct scene *scene, const char *input, const char *want)
{
    struct buf out;
    buf_init(&out, 0);
    name_input(scene, input);
    /* Each input has an output of its own. */
    (void)snprintf(scene->job.output, sizeof scene->job.output, "%s/out%u", scene->job.dir,
                   scene->outputs++);
    plan_and_read(scene, &out);
    if (strcmp(buf_str(&out), want) != 0) print_message("%s\n", input);
    EXPECT_TEXT(buf_str(&out), want);
    buf_deinit(&out);
}

static void expect_refused(struct scene *scene, const char *input, int code, const char *sentence)
{
    name_input(scene, input);
    (void)snprintf(scene->job.output, sizeof scene->job.output, "%s/not-made", scene->job.dir);
    EXPECT_EQ(plan(scene), code);
    if (!strstr(scene->job.harness.err.msg, sentence))
        print_message("%s\n", scene->job.harness.err.msg);
    EXPECT(strstr(scene->job.harness.err.msg, sentence));
    EXPECT(!fs_exists(scene->job.output));
}

/* Files in the order of their names, each with its own header; shards span them. */
TEST(input, folders_and_patterns_are_one_list)
{
    UNUSED_STATE;
    static const char others[] = "x|X|1\ny|-|true\n--\nz|-|-\n--\n";
    struct scene scene;
    scene_init(&scene);
    scene.job.spec.shard_rows = 2;
    extra(&scene, "n");
    put_file(&scene, "csv", "10.csv", "caption,url,n\nC,c,3\n\"never closed\n");
    put_file(&scene, "csv", "01.csv",
             "\xef\xbb\xbfn,url,caption\r\n1,a,A\r\n,b,\"B, \"\"b\"\"\n\"");
    put_file(&scene, "csv", "02.csv", "");
    put_file(&scene, "csv", "03.csv", "caption,url,n\n");
    put_file(&scene, "csv", "11.csv", "url,n,caption,more\nd,4");
    put_file(&scene, "csv", "README", "not a list\n");
    put_file(&scene, "csv", ".12.csv", "hidden");
    put_file(&scene, "csv", "_12.csv", "hidden");
    put_file(&scene, "csv/12.csv", "00.csv", "in a subfolder");
    put_file(&scene, "jsonl", "a.jsonl", "{\"url\":\"x\",\"caption\":\"X\",\"n\":1}");
    put_file(&scene, "jsonl", "b.jsonl", "\xef\xbb\xbf{\"url\":\"y\",\"n\":true}\n\n");
    put_file(&scene, "jsonl", "c.jsonl", "{\"url\":\"z\"}\n");
    put_file(&scene, "json", "a.json",
             "[{\"url\":\"x\",\"caption\":\"X\",\"n\":1},{\"url\":\"y\",\"n\":true}]");
    put_file(&scene, "json", "b.json", "[]");
    put_file(&scene, "json", "c.json", "[\n{\"url\":\"z\"}\n]\n");
    /* An empty field of csv is a text. */
    const char *want = "a|A|\"1\"\nb|B, \"b\"\n|\"\"\n--\nc|C|\"3\"\n-|-|-!\n--\nd|-|\"4\"\n--\n";
    expect_input(&scene, "csv", want);
    expect_input(&scene, "csv/", want);
    expect_input(&scene, "csv/[01]*.csv", want);
    expect_input(&scene, "c?v/[!_]*.csv", want);
    expect_input(&scene, "csv/0*.csv", "a|A|\"1\"\nb|B, \"b\"\n|\"\"\n--\n");
    expect_input(&scene, "jsonl", others);
    expect_input(&scene, "json/*", others);
    scene_deinit(&scene);
}

TEST(input, folders_of_parquet_are_one_list)
{
    UNUSED_STATE;
    struct scene scene;
    struct buf once, twice, list;
    struct err err;
    char path[400];
    buf_init(&once, 0);
    buf_init(&twice, 0);
    buf_init(&list, 0);
    scene_init(&scene);
    extra(&scene, "score");
    scene.job.spec.shard_rows = 1000;
    golden(&scene, "lists/list.parquet");
    plan_and_read(&scene, &once);
    EXPECT_OK(fs_read(&list, scene.job.input, 1 << 20, &err), &err);
    /* As Spark names and surrounds them. */
    put_file(&scene, "rows.parquet", "_SUCCESS", "");
    put_file(&scene, "rows.parquet", ".part-0.snappy.parquet.crc", "x");
    for (int i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof path, "%s/rows.parquet/part-%d.snappy.parquet", scene.job.dir,
                       i);
        EXPECT_OK(fs_put(path, list.data, list.len, &err), &err);
    }
    name_input(&scene, "rows.parquet");
    EXPECT_EQ(plan(&scene), ERR_INVALID); /* another list over the same output */
    (void)snprintf(scene.job.output, sizeof scene.job.output, "%s/two", scene.job.dir);
    plan_and_read(&scene, &twice);
    EXPECT_EQ(twice.len, once.len * 2 - 3); /* one shard: one "--" */
    EXPECT_MEM(twice.data, once.data, once.len - 3);
    EXPECT_MEM(twice.data + once.len - 3, once.data, once.len);
    buf_deinit(&list);
    buf_deinit(&once);
    buf_deinit(&twice);
    scene_deinit(&scene);
}

TEST(input, folders_that_are_no_list_are_refused)
{
    UNUSED_STATE;
    struct scene scene;
    scene_init(&scene);
    scene.job.spec.caption_column = text("");
    put_file(&scene, "mixed", "a.csv", "url\nhttp://h/\n");
    put_file(&scene, "mixed", "b.txt", "http://h/\n");
    put_file(&scene, "none", "README", "not a list\n");
    put_file(&scene, "empty", "a.csv", "");
    put_file(&scene, "headers", "a.csv", "url\n");
    put_file(&scene, "columns", "a.csv", "url\nhttp://h/\n");
    put_file(&scene, "columns", "b.csv", "link\nhttp://h/\n");
    put_file(&scene, "keys", "a.jsonl", "{\"link\":\"http://h/\"}\n");
    expect_refused(&scene, "mixed", ERR_INVALID, "b.txt: is a list in txt, but those before");
    expect_refused(&scene, "none", ERR_NOT_FOUND, "--input-format");
    expect_refused(&scene, "empty", ERR_INVALID, "all empty");
    expect_refused(&scene, "headers", ERR_INVALID, "is empty");
    expect_refused(&scene, "keys", ERR_INVALID, "there is no column \"url\"");
    expect_refused(&scene, "mixed/*.parquet", ERR_NOT_FOUND, "no file matches");
    expect_refused(&scene, "nowhere", ERR_INVALID, "does not tell its format");
    expect_refused(&scene, "nowhere.csv", ERR_NOT_FOUND, "nowhere.csv");
    scene.job.spec.input_format = VLMQ__JOBS__DOWNLOAD_FORMAT__DOWNLOAD_FORMAT_JSON;
    expect_refused(&scene, "mixed", ERR_NOT_FOUND, "no json lists");
    /* Named formats choose among files, and read what has no telling name. */
    scene.job.spec.input_format = VLMQ__JOBS__DOWNLOAD_FORMAT__DOWNLOAD_FORMAT_TXT;
    expect_input(&scene, "mixed", "http://h/|-\n--\n");
    expect_input(&scene, "none", "not a list|-\n--\n");
    /* A later file without the column ends the planning, before the output is anybody's. */
    scene.job.spec.input_format = VLMQ__JOBS__DOWNLOAD_FORMAT__DOWNLOAD_FORMAT_AUTO;
    name_input(&scene, "columns");
    EXPECT_EQ(plan(&scene), ERR_INVALID);
    EXPECT(strstr(scene.job.harness.err.msg, "b.csv: there is no column \"url\""));
    EXPECT_EQ(scene.job.harness.host.tasks_count, 0);
    scene_deinit(&scene);
}

/* How the rows are spread over files is part of the list; what the files are called is not. */
TEST(input, fingerprints_of_folders_tell_their_files_apart)
{
    UNUSED_STATE;
    struct scene scene;
    struct err err;
    char from[400], to[400];
    scene_init(&scene);
    scene.job.spec.caption_column = text("");
    put_file(&scene, "lists", "a.txt", "http://h/1\n");
    put_file(&scene, "lists", "b.txt", "http://h/2\n");
    name_input(&scene, "lists");
    EXPECT_OK(plan(&scene), &scene.job.harness.err);
    (void)snprintf(from, sizeof from, "%s/lists/b.txt", scene.job.dir);
    (void)snprintf(to, sizeof to, "%s/lists/c.txt", scene.job.dir);
    EXPECT_EQ(rename(from, to), 0);
    EXPECT_OK(plan(&scene), &scene.job.harness.err);
    put_file(&scene, "lists", "a.txt", "http://h/1\nhttp://h/2\n");
    put_file(&scene, "lists", "c.txt", "");
    EXPECT_EQ(plan(&scene), ERR_INVALID);
    EXPECT_OK(fs_remove_tree(to, &err), &err);
    put_file(&scene, "lists", "a.txt", "http://h/1\nhttp://h/3\n");
    EXPECT_EQ(plan(&scene), ERR_INVALID);
    scene_deinit(&scene);
}

/* An input as a stream of bytes, without a job. */
struct stream {
    struct list_source *source;
    struct hash *hash;
    int64_t looks, looks_max; /* the look that is one too many ends the reading */
};

static int look(void *ctx, struct err *err)
{
    struct stream *stream = ctx;
    if (stream->looks++ < stream->looks_max) return 0;
    return err_set(err, ERR_CANCELLED, "enough");
}

static int stream_open(struct stream *stream, const char *path, struct err *err)
{
    struct list_shape shape;
    *stream = (struct stream){.hash = hash_new(), .looks_max = INT64_MAX};
    const struct list_input input = {.path = path,
                                     .columns = {.wanted = {"url", "caption"}, .wanted_count = 2},
                                     .hash = stream->hash,
                                     .look = look,
                                     .look_ctx = stream};
    return list_input_open(&stream->source, &shape, &input, err);
}

static int stream_read(struct stream *stream, struct err *err)
{
    char bytes[20000];
    size_t got = 1;
    int rc = 0;
    while (!rc && got) rc = list_source_read(stream->source, bytes, sizeof bytes, &got, err);
    return rc;
}

static void stream_close(struct stream *stream)
{
    list_source_close(stream->source);
    hash_free(stream->hash);
}

/* One input of each kind that is made while it is read. */
static const char *const made[] = {"list.parquet", "list.json", "many/*"};

/* The scene with those inputs in its folder. */
static void put_made(struct scene *scene)
{
    struct buf list;
    struct err err;
    char folder[400];
    static const char *const from[] = {"lists/list.parquet", "lists/list.json", "lists/list.csv"};
    buf_init(&list, 0);
    scene_init(scene);
    (void)snprintf(folder, sizeof folder, "%s/many", scene->job.dir);
    EXPECT_OK(fs_mkdirs(folder, &err), &err);
    for (size_t i = 0; i < 3; i++) {
        buf_clear(&list);
        golden(scene, from[i]);
        EXPECT_OK(fs_read(&list, scene->job.input, 1 << 20, &err), &err);
        put(scene, i < 2 ? made[i] : "many/a.csv", list.data, list.len);
        if (i == 2) put(scene, "many/b.csv", list.data, list.len);
    }
    buf_deinit(&list);
}

TEST(input, a_parquet_file_that_changes_while_it_is_read_is_refused)
{
    UNUSED_STATE;
    struct scene scene;
    struct stream stream;
    struct buf list;
    struct err err;
    char line[100];
    size_t got = 0;
    buf_init(&list, 0);
    put_made(&scene);
    name_input(&scene, "list.parquet");
    EXPECT_OK(fs_read(&list, scene.job.input, 1 << 20, &err), &err);
    EXPECT_OK(stream_open(&stream, scene.job.input, &err), &err);
    EXPECT_OK(list_source_read(stream.source, line, sizeof line, &got, &err), &err);
    EXPECT_EQ(got, sizeof line);
    put(&scene, "list.parquet", list.data, list.len); /* the same bytes, but who knows */
    EXPECT_EQ(stream_read(&stream, &err), ERR_INVALID);
    EXPECT(strstr(err.msg, "changed while it was read"));
    stream_close(&stream);
    buf_deinit(&list);
    scene_deinit(&scene);
}

TEST(input, reading_can_be_ended_at_every_look)
{
    UNUSED_STATE;
    struct scene scene;
    put_made(&scene);
    for (size_t i = 0; i < 3; i++) {
        struct stream stream;
        struct err err;
        int rc = ERR_CANCELLED;
        name_input(&scene, made[i]);
        for (int64_t looks = 0; rc; looks++) {
            EXPECT_OK(stream_open(&stream, scene.job.input, &err), &err);
            stream.looks_max = stream.looks + looks;
            rc = stream_read(&stream, &err);
            EXPECT(rc == 0 || rc == ERR_CANCELLED);
            if (looks == 0) EXPECT_EQ(rc, ERR_CANCELLED);
            EXPECT(looks < 100);
            stream_close(&stream);
        }
    }
    scene_deinit(&scene);
}

TEST(input, out_of_memory_is_a_sentence)
{
    UNUSED_STATE;
    struct scene scene;
    put_made(&scene);
    for (size_t i = 0; i < 3; i++) {
        bool hit = true;
        name_input(&scene, made[i]);
        for (int64_t after = 0; hit; after++) {
            struct stream stream;
            struct err err;
            (void)mem_fail(after, 1);
            int rc = stream_open(&stream, scene.job.input, &err);
            if (!rc) rc = stream_read(&stream, &err);
            hit = mem_fail(-1, 0) > after;
            if (rc && rc != ERR_LIMIT) print_message("%s: %s\n", made[i], err.msg);
            EXPECT(rc == 0 || (hit && rc == ERR_LIMIT));
            EXPECT(after < 2000);
            stream_close(&stream);
        }
    }
    scene_deinit(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(input, formats_of_one_list_give_the_same_rows),
        RUN(input, numbers_and_booleans_keep_their_types),
        RUN(input, parquet_values_become_json),
        RUN(input, parquet_is_known_by_name_option_and_first_bytes),
        RUN(input, parquet_columns_are_checked_before_the_output_is_made),
        RUN(input, parquet_outputs_are_claimed_for_the_file),
        RUN(input, json_arrays_are_rows),
        RUN(input, json_elements_may_be_large),
        RUN(input, folders_and_patterns_are_one_list),
        RUN(input, folders_of_parquet_are_one_list),
        RUN(input, folders_that_are_no_list_are_refused),
        RUN(input, fingerprints_of_folders_tell_their_files_apart),
        RUN(input, a_parquet_file_that_changes_while_it_is_read_is_refused),
        RUN(input, reading_can_be_ended_at_every_look),
        RUN(input, out_of_memory_is_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
