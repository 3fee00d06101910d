/* spec_test.c - options into specs and specs into JSON, by descriptors alone. */
#include "proto/wire/spec.h"

#include "common/base/limits.h"
#include "common/base/str.h"
#include "proto/schema/common.pb-c.h"
#include "proto/schema/jobs_all.h"
#include "tests/support/test.h"

#include <jansson.h>
#include <string.h>

static struct arena arena;
static struct err err;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_deinit(&arena);
    return 0;
}

static bool says(const char *part)
{
    if (strstr(err.msg, part)) return true;
    print_message("the sentence is: %s\n", err.msg);
    return false;
}

static int set(void *spec, const char *option, const char *value)
{
    return spec_set(spec, option, value, &arena, &err);
}

TEST(spec, kinds_are_those_of_the_registry)
{
    UNUSED_STATE;
    uint32_t count = 0;
    while (spec_kind(count)) EXPECT(spec_descriptor(spec_kind(count++)) != NULL);
    EXPECT(count >= 2);
    EXPECT(spec_descriptor("probe") == &vlmq__jobs__probe__descriptor);
    EXPECT(spec_descriptor("nosuch") == NULL);
}

TEST(spec, every_option_of_every_kind_has_help)
{
    UNUSED_STATE;
    for (uint32_t i = 0; spec_kind(i); i++) {
        const char *kind = spec_kind(i);
        const ProtobufCMessageDescriptor *descriptor = spec_descriptor(kind);
        EXPECT(strlen(spec_help(kind, NULL, &arena)) > 10);
        EXPECT(str_has_prefix(spec_example(kind, &arena), "vlmq "));
        for (unsigned int j = 0; j < descriptor->n_fields; j++) {
            const char *help = spec_help(kind, descriptor->fields[j].name, &arena);
            EXPECT(help[0] != 0);
            EXPECT(strchr(help, '\n') == NULL);
        }
    }
    EXPECT(strstr(spec_help("download", NULL, &arena), "example:") == NULL);
    EXPECT(strstr(spec_help("download", NULL, &arena), "NNNNN.tar with KEY.jpg") != NULL);
    EXPECT_TEXT(spec_help("probe", "nosuch", &arena), "");
    EXPECT_TEXT(spec_help("nosuch", NULL, &arena), "");
    EXPECT_TEXT(spec_example("nosuch", &arena), "");
}

TEST(spec, options_set_fields_of_each_type)
{
    UNUSED_STATE;
    Vlmq__Jobs__Download *spec = (Vlmq__Jobs__Download *)spec_new("download", &arena);
    EXPECT_OK(set(spec, "input", "urls.csv"), &err);
    EXPECT_OK(set(spec, "image-size", "224"), &err);
    EXPECT_OK(set(spec, "resize_mode", "center-crop"), &err);
    EXPECT_OK(set(spec, "body-bytes", "64M"), &err);
    EXPECT_OK(set(spec, "pixels", "2M"), &err);
    EXPECT_OK(set(spec, "timeout-ms", "10s"), &err);
    EXPECT_OK(set(spec, "connect-timeout-ms", "250"), &err);
    EXPECT_OK(set(spec, "allow-private", NULL), &err);
    EXPECT_OK(set(spec, "no-retries", "false"), &err);
    EXPECT_OK(set(spec, "extra-columns", "width,height"), &err);
    EXPECT_OK(set(spec, "extra-columns", "licence"), &err);
    EXPECT_TEXT(spec->input, "urls.csv");
    EXPECT_EQ(spec->image_size, 224);
    EXPECT_EQ(spec->resize_mode, VLMQ__JOBS__DOWNLOAD_RESIZE__DOWNLOAD_RESIZE_CENTER_CROP);
    EXPECT_EQ(spec->body_bytes, 64 << 20);
    EXPECT_EQ(spec->pixels, 2000000);
    EXPECT_EQ(spec->timeout_ms, 10000);
    EXPECT_EQ(spec->connect_timeout_ms, 250);
    EXPECT(spec->allow_private);
    EXPECT(!spec->no_retries);
    EXPECT_EQ(spec->n_extra_columns, 3);
    EXPECT_TEXT(spec->extra_columns[1], "height");
    EXPECT_TEXT(spec->extra_columns[2], "licence");
    EXPECT_TEXT(spec_text(&spec->base, "input"), "urls.csv");
    EXPECT_TEXT(spec_text(&spec->base, "output"), "");
    EXPECT(spec_text(&spec->base, "quality") == NULL);
    EXPECT(spec_has_field(&spec->base, "output") && !spec_has_field(&spec->base, "outputs"));
    EXPECT(spec_is_flag(&spec->base, "allow-private") && !spec_is_flag(&spec->base, "input"));
}

TEST(spec, wrong_values_are_refused_with_a_sentence)
{
    UNUSED_STATE;
    ProtobufCMessage *spec = spec_new("download", &arena);
    EXPECT_EQ(set(spec, "image-size", "big"), ERR_INVALID);
    EXPECT(says("--image-size"));
    EXPECT_EQ(set(spec, "image-size", "-1"), ERR_INVALID);
    EXPECT_EQ(set(spec, "image-size", "4294967296"), ERR_INVALID);
    EXPECT(says("between 0 and 4294967295"));
    EXPECT_EQ(set(spec, "image-size", "10k"), ERR_INVALID);
    EXPECT_EQ(set(spec, "image-size", NULL), ERR_INVALID);
    EXPECT(says("needs a value"));
    EXPECT_EQ(set(spec, "resize-mode", "stretch"), ERR_INVALID);
    EXPECT(says("adaptive, no, border, keep_ratio, center_crop"));
    EXPECT_EQ(set(spec, "allow-private", "maybe"), ERR_INVALID);
    EXPECT_EQ(set(spec, "input", "\xff"), ERR_INVALID);
    EXPECT(says("UTF-8"));
    EXPECT_EQ(set(spec, "input", "a\nb"), ERR_INVALID);
    EXPECT_EQ(set(spec, "pixels", "10000000000G"), ERR_INVALID);
    EXPECT_EQ(set(spec, "extra-columns", NULL), ERR_INVALID);
}

TEST(spec, a_misspelt_option_gets_a_suggestion)
{
    UNUSED_STATE;
    ProtobufCMessage *spec = spec_new("download", &arena);
    EXPECT_EQ(set(spec, "image-sise", "1"), ERR_NOT_FOUND);
    EXPECT(says("--image-sise; did you mean --image-size?"));
    EXPECT_EQ(set(spec, "completely-else", "1"), ERR_NOT_FOUND);
    EXPECT(!strstr(err.msg, "mean"));
    EXPECT_EQ(set(spec, "an-option-that-is-much-longer-than-any-option-ever-could-be", "1"),
              ERR_NOT_FOUND);
}

TEST(spec, survives_packing)
{
    UNUSED_STATE;
    ProtobufCMessage *spec = spec_new("probe", &arena), *again;
    ProtobufCBinaryData packed;
    EXPECT_OK(set(spec, "tasks", "5"), &err);
    EXPECT_OK(set(spec, "fault", "crash"), &err);
    EXPECT_OK(spec_pack(&packed, spec, &arena, &err), &err);
    EXPECT_OK(spec_unpack(&again, "probe", packed.data, packed.len, &arena, &err), &err);
    EXPECT_EQ(((Vlmq__Jobs__Probe *)again)->tasks, 5);
    EXPECT_EQ(((Vlmq__Jobs__Probe *)again)->fault, VLMQ__JOBS__PROBE_FAULT__PROBE_FAULT_CRASH);
    EXPECT_EQ(spec_unpack(&again, "nosuch", packed.data, packed.len, &arena, &err), ERR_NOT_FOUND);
    EXPECT_EQ(spec_unpack(&again, "probe", "\xff\xff", 2, &arena, &err), ERR_INVALID);
    static const uint8_t big[SPEC_BYTES_MAX + 1];
    EXPECT_EQ(spec_unpack(&again, "probe", big, sizeof big, &arena, &err), ERR_LIMIT);
    /* A fault of the future, and a text that is none. */
    EXPECT_EQ(spec_unpack(&again, "probe", "\x20\x63", 2, &arena, &err), ERR_INVALID);
    EXPECT(says("fault"));
    EXPECT_EQ(spec_unpack(&again, "probe", "\x32\x01\xff", 3, &arena, &err), ERR_INVALID);
    EXPECT(says("output"));
}

TEST(spec, too_large_is_refused_when_packed)
{
    UNUSED_STATE;
    ProtobufCMessage *spec = spec_new("probe", &arena);
    ProtobufCBinaryData packed;
    char *text = arena_new(&arena, SPEC_BYTES_MAX + 1);
    memset(text, 'x', SPEC_BYTES_MAX);
    EXPECT_OK(set(spec, "output", text), &err);
    EXPECT_EQ(spec_pack(&packed, spec, &arena, &err), ERR_LIMIT);
}

TEST(spec, json_is_canonical)
{
    UNUSED_STATE;
    struct buf text;
    buf_init(&text, 0);
    ProtobufCMessage *spec = spec_new("download", &arena);
    spec_json(&text, spec);
    EXPECT_TEXT(buf_str(&text), "{}");
    EXPECT_OK(set(spec, "resize-mode", "border"), &err);
    EXPECT_OK(set(spec, "extra-columns", "a,b"), &err);
    EXPECT_OK(set(spec, "input", "x\"y"), &err);
    EXPECT_OK(set(spec, "allow-private", NULL), &err);
    EXPECT_OK(set(spec, "pixels", "18446744073"), &err);
    buf_clear(&text);
    spec_json(&text, spec);
    EXPECT_TEXT(buf_str(&text), "{\"input\":\"x\\\"y\",\"extra_columns\":[\"a\",\"b\"],"
                                "\"resize_mode\":\"border\",\"pixels\":18446744073,"
                                "\"allow_private\":true}");
    buf_deinit(&text);
}

TEST(spec, messages_print_whole_and_parse)
{
    UNUSED_STATE;
    struct buf text;
    Vlmq__Job job = VLMQ__JOB__INIT;
    Vlmq__Progress progress = VLMQ__PROGRESS__INIT;
    Vlmq__Counter counter = VLMQ__COUNTER__INIT, *counters[] = {&counter};
    uint8_t bytes[] = {0xab, 0x01};
    char name[] = "status.ok", id[] = "j";
    counter.name = name;
    counter.value = -5;
    job.id = id;
    job.state = VLMQ__JOB_STATE__JOB_RUNNING;
    job.spec = (ProtobufCBinaryData){.len = 2, .data = bytes};
    job.progress = &progress;
    job.counters = counters;
    job.n_counters = 1;
    job.version = UINT64_MAX;
    job.submitted_at_ms = 1700000000000;
    buf_init(&text, 0);
    spec_message_json(&text, &job.base);
    json_t *root = json_loads(buf_str(&text), JSON_REJECT_DUPLICATES, NULL);
    EXPECT(root == NULL); /* the largest uint64 is no int64 of jansson */
    job.version = 3;
    buf_clear(&text);
    spec_message_json(&text, &job.base);
    root = json_loads(buf_str(&text), JSON_REJECT_DUPLICATES, NULL);
    EXPECT(root != NULL);
    EXPECT_TEXT(json_string_value(json_object_get(root, "state")), "running");
    EXPECT_TEXT(json_string_value(json_object_get(root, "spec")), "ab01");
    EXPECT_TEXT(json_string_value(json_object_get(root, "title")), "");
    EXPECT(json_is_null(json_object_get(root, "needs")));
    EXPECT_EQ(json_integer_value(json_object_get(root, "submitted_at_ms")), 1700000000000);
    json_t *first = json_array_get(json_object_get(root, "counters"), 0);
    EXPECT_EQ(json_integer_value(json_object_get(first, "value")), -5);
    EXPECT(json_is_array(json_object_get(json_object_get(root, "progress"), "stages")));
    EXPECT_EQ(json_object_size(root), vlmq__job__descriptor.n_fields);
    json_decref(root);
    buf_deinit(&text);
}

TEST(spec, words_of_an_option_are_listed)
{
    UNUSED_STATE;
    EXPECT_TEXT(spec_values("probe", "fault", &arena),
                "none retry always input device crash poison full");
    EXPECT_TEXT(spec_values("probe", "tasks", &arena), "");
    EXPECT_TEXT(spec_values("probe", "nosuch", &arena), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(spec, kinds_are_those_of_the_registry),
        RUN(spec, every_option_of_every_kind_has_help),
        RUN(spec, options_set_fields_of_each_type),
        RUN(spec, wrong_values_are_refused_with_a_sentence),
        RUN(spec, a_misspelt_option_gets_a_suggestion),
        RUN(spec, survives_packing),
        RUN(spec, too_large_is_refused_when_packed),
        RUN(spec, json_is_canonical),
        RUN(spec, messages_print_whole_and_parse),
        RUN(spec, words_of_an_option_are_listed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
