/* envelope_test.c - what packs opens again, and what a stranger may send does no harm. */
#include "proto/wire/envelope.h"

#include "common/base/limits.h"
#include "common/base/rng.h"
#include "common/base/str.h"
#include "proto/wire/codec.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <string.h>

#define LEASE "0123456789abcdef0123456789abcdef"

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

/* Packs without the sender's checks, as a stranger would. */
static int open_raw(struct envelope *envelope, Vlmq__Type type, const ProtobufCMessage *body)
{
    struct buf frame;
    buf_init(&frame, 0);
    const size_t bytes = protobuf_c_message_get_packed_size(body);
    uint8_t *packed = mem_new(bytes);
    protobuf_c_message_pack(body, packed);
    EXPECT_OK(envelope_pack_body(&frame, type, 7, 500, packed, bytes, &err), &err);
    const int rc = envelope_open(envelope, frame.data, frame.len, &arena, &err);
    buf_deinit(&frame);
    mem_free(packed);
    return rc;
}

static bool says(const char *part)
{
    if (strstr(err.msg, part)) return true;
    print_message("the sentence is: %s\n", err.msg);
    return false;
}

TEST(envelope, opens_what_was_packed)
{
    UNUSED_STATE;
    struct buf frame;
    struct envelope envelope;
    char id[] = "my-job";
    Vlmq__Get get = VLMQ__GET__INIT;
    get.job = id;
    buf_init(&frame, 0);
    EXPECT_OK(envelope_pack(&frame, VLMQ__TYPE__GET, 42, 1500, &get.base, &err), &err);
    EXPECT_OK(envelope_open(&envelope, frame.data, frame.len, &arena, &err), &err);
    EXPECT_EQ(envelope.version, PROTOCOL_VERSION);
    EXPECT_EQ(envelope.type, VLMQ__TYPE__GET);
    EXPECT_EQ(envelope.request_id, 42);
    EXPECT_EQ(envelope.timeout_ms, 1500);
    EXPECT_TEXT(((Vlmq__Get *)envelope.body)->job, "my-job");
    buf_deinit(&frame);
}

TEST(envelope, of_another_version_is_named_with_its_request)
{
    UNUSED_STATE;
    uint8_t packed[64], body[] = {0xff, 0xff};
    struct envelope envelope;
    Vlmq__Envelope other = VLMQ__ENVELOPE__INIT;
    other.version = 99;
    other.request_id = 5;
    other.type = (Vlmq__Type)1234;
    other.body = (ProtobufCBinaryData){.len = sizeof body, .data = body};
    const size_t bytes = vlmq__envelope__pack(&other, packed);
    EXPECT_EQ(envelope_open(&envelope, packed, bytes, &arena, &err), ERR_VERSION);
    EXPECT_EQ(envelope.request_id, 5);
    EXPECT(says("99") && says("version 1"));
}

TEST(envelope, of_unknown_type_or_without_id_is_invalid)
{
    UNUSED_STATE;
    struct envelope envelope;
    Vlmq__Ping ping = VLMQ__PING__INIT;
    EXPECT_EQ(open_raw(&envelope, (Vlmq__Type)99, &ping.base), ERR_INVALID);
    EXPECT(says("99"));
    EXPECT_EQ(envelope.request_id, 7);
    EXPECT_EQ(open_raw(&envelope, VLMQ__TYPE__TYPE_UNSPECIFIED, &ping.base), ERR_INVALID);
    /* A pushed message has no id, a request has one. */
    Vlmq__Notice notice = VLMQ__NOTICE__INIT;
    EXPECT_EQ(open_raw(&envelope, VLMQ__TYPE__NOTICE, &notice.base), ERR_INVALID);
    struct buf frame;
    buf_init(&frame, 0);
    EXPECT_OK(envelope_pack(&frame, VLMQ__TYPE__NOTICE, 0, 0, &notice.base, &err), &err);
    EXPECT_OK(envelope_open(&envelope, frame.data, frame.len, &arena, &err), &err);
    buf_clear(&frame);
    EXPECT_OK(envelope_pack(&frame, VLMQ__TYPE__PING, 0, 0, &ping.base, &err), &err);
    EXPECT_EQ(envelope_open(&envelope, frame.data, frame.len, &arena, &err), ERR_INVALID);
    EXPECT(says("no request id"));
    buf_deinit(&frame);
}

TEST(envelope, larger_than_a_message_is_refused_unread)
{
    UNUSED_STATE;
    struct envelope envelope;
    const size_t bytes = MESSAGE_BYTES_MAX + ENVELOPE_HEAD_BYTES_MAX + 1;
    uint8_t *data = mem_new(bytes);
    EXPECT_EQ(envelope_open(&envelope, data, bytes, &arena, &err), ERR_LIMIT);
    mem_free(data);
}

TEST(envelope, that_unfolds_to_much_memory_is_refused)
{
    UNUSED_STATE;
    /* Half a million empty tasks in one message of a megabyte. */
    struct envelope envelope;
    struct buf frame;
    uint8_t *body = mem_new(MESSAGE_BYTES_MAX);
    for (size_t i = 0; i < MESSAGE_BYTES_MAX; i += 2) body[i] = 3 << 3 | 2;
    buf_init(&frame, 0);
    EXPECT_OK(envelope_pack_body(&frame, VLMQ__TYPE__ADD, 7, 0, body, MESSAGE_BYTES_MAX, &err),
              &err);
    EXPECT_EQ(envelope_open(&envelope, frame.data, frame.len, &arena, &err), ERR_LIMIT);
    EXPECT(arena.bytes <= ENVELOPE_MEMORY_MAX + 4096);
    buf_deinit(&frame);
    mem_free(body);
}

TEST(envelope, of_the_largest_plan_and_page_fits)
{
    UNUSED_STATE;
    struct envelope envelope;
    struct buf frame;
    char name[] = "task-0000", lease[] = LEASE, job[] = "j";
    Vlmq__Attempt attempt = VLMQ__ATTEMPT__INIT;
    Vlmq__Add add = VLMQ__ADD__INIT;
    static Vlmq__NewTask task[TASKS_PER_ADD_MAX];
    static Vlmq__NewTask *tasks[TASKS_PER_ADD_MAX];
    attempt.job = job;
    attempt.lease = lease;
    add.attempt = &attempt;
    uint8_t payload[200] = {1};
    for (int i = 0; i < TASKS_PER_ADD_MAX; i++) {
        vlmq__new_task__init(&task[i]);
        task[i].name = name;
        task[i].payload = (ProtobufCBinaryData){.len = sizeof payload, .data = payload};
        tasks[i] = &task[i];
    }
    add.tasks = tasks;
    add.n_tasks = TASKS_PER_ADD_MAX;
    buf_init(&frame, 0);
    EXPECT_OK(envelope_pack(&frame, VLMQ__TYPE__ADD, 1, 0, &add.base, &err), &err);
    EXPECT_OK(envelope_open(&envelope, frame.data, frame.len, &arena, &err), &err);
    EXPECT_EQ(((Vlmq__Add *)envelope.body)->n_tasks, TASKS_PER_ADD_MAX);
    buf_clear(&frame);
    static Vlmq__Job page[PAGE_ROWS_MAX];
    static Vlmq__Job *jobs[PAGE_ROWS_MAX];
    char output[600];
    memset(output, 'o', sizeof output - 1);
    output[sizeof output - 1] = 0;
    Vlmq__ListAnswer answer = VLMQ__LIST_ANSWER__INIT;
    for (int i = 0; i < PAGE_ROWS_MAX; i++) {
        vlmq__job__init(&page[i]);
        page[i].id = job;
        page[i].output = output;
        jobs[i] = &page[i];
    }
    answer.jobs = jobs;
    answer.n_jobs = PAGE_ROWS_MAX;
    EXPECT_OK(envelope_pack(&frame, VLMQ__TYPE__LIST_ANSWER, 1, 0, &answer.base, &err), &err);
    EXPECT_OK(envelope_open(&envelope, frame.data, frame.len, &arena, &err), &err);
    EXPECT(arena.bytes < ENVELOPE_MEMORY_MAX);
    buf_deinit(&frame);
}

TEST(envelope, cut_or_flipped_anywhere_opens_or_fails_cleanly)
{
    UNUSED_STATE;
    struct buf frame;
    struct rng rng;
    struct envelope envelope;
    Vlmq__Submit submit = VLMQ__SUBMIT__INIT;
    Vlmq__Job job = VLMQ__JOB__INIT;
    Vlmq__Needs needs = VLMQ__NEEDS__INIT;
    char id[] = "abc", kind[] = "probe", label[] = "gpu", *labels[] = {label, label};
    job.id = id;
    job.kind = kind;
    job.needs = &needs;
    needs.labels = labels;
    needs.n_labels = 2;
    submit.job = &job;
    buf_init(&frame, 0);
    EXPECT_OK(envelope_pack(&frame, VLMQ__TYPE__SUBMIT, 77, 9, &submit.base, &err), &err);
    for (size_t bytes = 0; bytes < frame.len; bytes++) {
        arena_reset(&arena);
        (void)!envelope_open(&envelope, frame.data, bytes, &arena, &err);
    }
    rng_seed(&rng, test_seed());
    for (int i = 0; i < 20000; i++) {
        const size_t at = rng_below(&rng, frame.len);
        const char old = frame.data[at];
        frame.data[at] = (char)rng_next(&rng);
        arena_reset(&arena);
        const int rc = envelope_open(&envelope, frame.data, frame.len, &arena, &err);
        EXPECT(rc == 0 ? envelope.body != NULL : envelope.body == NULL && err.msg[0]);
        frame.data[at] = old;
    }
    buf_deinit(&frame);
}

TEST(envelope, fails_cleanly_when_memory_is_out)
{
    UNUSED_STATE;
    struct buf frame;
    struct envelope envelope;
    Vlmq__Error error = VLMQ__ERROR__INIT;
    char text[] = "no";
    error.code = VLMQ__CODE__CODE_LIMIT;
    error.message = text;
    buf_init(&frame, 0);
    EXPECT_OK(envelope_pack(&frame, VLMQ__TYPE__ERROR, 3, 0, &error.base, &err), &err);
    int failures = 0;
    for (int64_t after = 0;; after++) {
        arena_deinit(&arena);
        mem_fail(after, 1);
        const int rc = envelope_open(&envelope, frame.data, frame.len, &arena, &err);
        if (mem_fail(-1, 0) <= after) {
            EXPECT_OK(rc, &err);
            break;
        }
        EXPECT_EQ(rc, ERR_LIMIT);
        failures++;
    }
    EXPECT(failures >= 3);
    buf_deinit(&frame);
}

static Vlmq__Job fine_job(void)
{
    static char id[] = "abc", kind[] = "probe";
    Vlmq__Job job = VLMQ__JOB__INIT;
    job.id = id;
    job.kind = kind;
    return job;
}

static int submit(Vlmq__Job *job)
{
    struct envelope envelope;
    Vlmq__Submit body = VLMQ__SUBMIT__INIT;
    body.job = job;
    arena_reset(&arena);
    return open_raw(&envelope, VLMQ__TYPE__SUBMIT, &body.base);
}

TEST(codec, refuses_what_a_job_must_not_be)
{
    UNUSED_STATE;
    Vlmq__Job job = fine_job();
    EXPECT_OK(submit(&job), &err);
    EXPECT_EQ(submit(NULL), ERR_INVALID);
    EXPECT(says("SUBMIT: job is missing"));
    char upper[] = "ABC", empty[] = "", long_title[300] = "", bad[] = "a\xff", bell[] = "a\a";
    job = fine_job();
    job.id = upper;
    EXPECT_EQ(submit(&job), ERR_INVALID);
    EXPECT(says("job.id is no job id"));
    job = fine_job();
    job.kind = empty;
    EXPECT_EQ(submit(&job), ERR_INVALID);
    EXPECT(says("job.kind is missing"));
    job = fine_job();
    job.kind = upper;
    EXPECT_EQ(submit(&job), ERR_INVALID);
    job = fine_job();
    job.title = long_title;
    memset(long_title, 'x', sizeof long_title - 1);
    EXPECT_EQ(submit(&job), ERR_INVALID);
    EXPECT(says("job.title has 299 bytes; at most 256"));
    job = fine_job();
    job.title = bad;
    EXPECT_EQ(submit(&job), ERR_INVALID);
    EXPECT(says("job.title is not valid UTF-8"));
    job = fine_job();
    job.owner = bell;
    EXPECT_EQ(submit(&job), ERR_INVALID);
    EXPECT(says("job.owner has control characters"));
    job = fine_job();
    job.priority = 101;
    EXPECT_EQ(submit(&job), ERR_INVALID);
    EXPECT(says("job.priority is 101"));
    job = fine_job();
    job.state = (Vlmq__JobState)77;
    EXPECT_EQ(submit(&job), ERR_INVALID);
    EXPECT(says("job.state"));
    uint8_t *spec = mem_new(SPEC_BYTES_MAX + 1);
    job = fine_job();
    job.spec = (ProtobufCBinaryData){.len = SPEC_BYTES_MAX + 1, .data = spec};
    EXPECT_EQ(submit(&job), ERR_INVALID);
    EXPECT(says("job.spec"));
    job.spec.len--;
    EXPECT_OK(submit(&job), &err);
    mem_free(spec);
}

TEST(codec, bounds_what_repeats_and_names_the_place)
{
    UNUSED_STATE;
    Vlmq__Job job = fine_job();
    Vlmq__Needs needs = VLMQ__NEEDS__INIT;
    char label[] = "x", none[] = "", *labels[LABELS_MAX + 1];
    for (int i = 0; i <= LABELS_MAX; i++) labels[i] = label;
    needs.labels = labels;
    job.needs = &needs;
    needs.n_labels = LABELS_MAX;
    EXPECT_OK(submit(&job), &err);
    needs.n_labels++;
    EXPECT_EQ(submit(&job), ERR_INVALID);
    EXPECT(says("job.needs.labels has 17 entries"));
    needs.n_labels = 3;
    labels[2] = none;
    EXPECT_EQ(submit(&job), ERR_INVALID);
    EXPECT(says("job.needs.labels[2] is missing"));
}

TEST(codec, refuses_attempts_without_a_lease)
{
    UNUSED_STATE;
    struct envelope envelope;
    char job[] = "abc", lease[] = LEASE, wrong[] = "0123456789ABCDEF0123456789abcdef";
    uint8_t digest[33] = {0};
    Vlmq__Attempt attempt = VLMQ__ATTEMPT__INIT;
    Vlmq__Done done = VLMQ__DONE__INIT;
    done.digest = (ProtobufCBinaryData){.len = 32, .data = digest};
    EXPECT_EQ(open_raw(&envelope, VLMQ__TYPE__DONE, &done.base), ERR_INVALID);
    EXPECT(says("DONE: attempt is missing"));
    done.attempt = &attempt;
    attempt.job = job;
    EXPECT_EQ(open_raw(&envelope, VLMQ__TYPE__DONE, &done.base), ERR_INVALID);
    EXPECT(says("attempt.lease is missing"));
    attempt.lease = wrong;
    EXPECT_EQ(open_raw(&envelope, VLMQ__TYPE__DONE, &done.base), ERR_INVALID);
    EXPECT(says("attempt.lease is no lease id"));
    attempt.lease = lease;
    EXPECT_OK(open_raw(&envelope, VLMQ__TYPE__DONE, &done.base), &err);
    done.digest.len = 33;
    EXPECT_EQ(open_raw(&envelope, VLMQ__TYPE__DONE, &done.base), ERR_INVALID);
    EXPECT(says("digest has 33 bytes, not 32"));
    done.digest.len = 32;
    Vlmq__Counter counter = VLMQ__COUNTER__INIT, *counters[] = {&counter};
    char name[] = "Bad Name";
    counter.name = name;
    done.counters = counters;
    done.n_counters = 1;
    EXPECT_EQ(open_raw(&envelope, VLMQ__TYPE__DONE, &done.base), ERR_INVALID);
    EXPECT(says("counters[0].name is no counter name"));
}

TEST(codec, holds_the_sender_to_the_same_rules)
{
    UNUSED_STATE;
    struct buf frame;
    char id[] = "Not An Id";
    Vlmq__Get get = VLMQ__GET__INIT;
    get.job = id;
    buf_init(&frame, 0);
    EXPECT_EQ(envelope_pack(&frame, VLMQ__TYPE__GET, 1, 0, &get.base, &err), ERR_INVALID);
    EXPECT(says("GET: job is no job id"));
    EXPECT_EQ(frame.len, 0);
    buf_deinit(&frame);
}

/* Compares a table with its descriptor, row by row, and the tables below it. */
static void walk(const struct codec_table *table, int depth)
{
    const ProtobufCMessageDescriptor *descriptor = table->descriptor;
    EXPECT(depth < 6); /* no message contains itself: unpacking is bounded in depth */
    EXPECT_EQ(table->count, descriptor->n_fields);
    for (uint32_t i = 0; i < table->count; i++) {
        const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
        const struct codec_rule *rule = &table->rule[i];
        const bool repeated = field->label == PROTOBUF_C_LABEL_REPEATED;
        const bool message = field->type == PROTOBUF_C_TYPE_MESSAGE;
        const bool text = field->type == PROTOBUF_C_TYPE_STRING;
        const bool bytes = field->type == PROTOBUF_C_TYPE_BYTES;
        EXPECT_TEXT(field->name, rule->field);
        EXPECT_EQ(repeated, rule->count_max > 0);
        EXPECT_EQ(message, rule->form == CODEC_MESSAGE);
        EXPECT_EQ(bytes, rule->form == CODEC_BYTES);
        EXPECT_EQ(text || bytes || message, rule->form != CODEC_ANY && rule->form != CODEC_NUMBER);
        EXPECT(!text || rule->max > 0);
        EXPECT(field->type != PROTOBUF_C_TYPE_ENUM || rule->form == CODEC_NUMBER);
        if (!message) continue;
        EXPECT(rule->table->descriptor == field->descriptor);
        walk(rule->table, depth + 1);
    }
}

TEST(codec, has_a_row_for_every_field_of_every_type)
{
    UNUSED_STATE;
    const ProtobufCEnumDescriptor *types = &vlmq__type__descriptor;
    for (unsigned int i = 0; i < types->n_values; i++) {
        const Vlmq__Type type = (Vlmq__Type)types->values[i].value;
        if (type == VLMQ__TYPE__TYPE_UNSPECIFIED) continue;
        const struct codec_type *row = codec_type(type);
        EXPECT(row != NULL);
        EXPECT_TEXT(row->name, types->values[i].name);
        EXPECT(envelope_descriptor(type) == row->table->descriptor);
        EXPECT_TEXT(envelope_type_name(type), row->name);
        walk(row->table, 0);
        char answer[64] = "";
        (void)snprintf(answer, sizeof answer, "%s_ANSWER", row->name);
        const ProtobufCEnumValue *named =
            protobuf_c_enum_descriptor_get_value_by_name(types, answer);
        EXPECT_EQ(envelope_answer_type(type), named ? named->value : 0);
    }
    EXPECT(envelope_descriptor((Vlmq__Type)99) == NULL);
    EXPECT_EQ(envelope_answer_type((Vlmq__Type)99), VLMQ__TYPE__TYPE_UNSPECIFIED);
}

TEST(envelope, codes_of_the_future_are_internal)
{
    UNUSED_STATE;
    EXPECT_EQ(envelope_code(VLMQ__CODE__CODE_STALE), ERR_STALE);
    EXPECT_EQ(envelope_code((Vlmq__Code)50), ERR_INTERNAL);
    EXPECT_EQ(envelope_code((Vlmq__Code)-1), ERR_INTERNAL);
}

TEST(envelope, text_is_made_fit_for_a_field)
{
    UNUSED_STATE;
    EXPECT_TEXT(envelope_text(&arena, "plain", 5, 10, false), "plain");
    EXPECT_TEXT(envelope_text(&arena, "0123456789", 10, 4, false), "0123");
    EXPECT_TEXT(envelope_text(&arena, "0123456789", 10, 4, true), "6789");
    EXPECT_TEXT(envelope_text(&arena, "a\x1b[1m\nb\t", 8, 20, false), "a?[1m\nb\t");
    /* Never half a character at the cut: é is two bytes. */
    EXPECT_TEXT(envelope_text(&arena, "xéé", 5, 4, false), "xé");
    EXPECT_TEXT(envelope_text(&arena, "ééx", 5, 4, true), "éx");
    struct rng rng;
    rng_seed(&rng, test_seed());
    for (int i = 0; i < 2000; i++) {
        char noise[64];
        for (size_t j = 0; j < sizeof noise; j++) noise[j] = (char)rng_next(&rng);
        const size_t max = rng_below(&rng, 70);
        arena_reset(&arena);
        const char *text =
            envelope_text(&arena, noise, rng_below(&rng, sizeof noise), max, rng_next(&rng) & 1);
        EXPECT(strlen(text) <= max);
        EXPECT_EQ(str_utf8_valid(text, strlen(text)), strlen(text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(envelope, opens_what_was_packed),
        RUN(envelope, of_another_version_is_named_with_its_request),
        RUN(envelope, of_unknown_type_or_without_id_is_invalid),
        RUN(envelope, larger_than_a_message_is_refused_unread),
        RUN(envelope, that_unfolds_to_much_memory_is_refused),
        RUN(envelope, of_the_largest_plan_and_page_fits),
        RUN(envelope, cut_or_flipped_anywhere_opens_or_fails_cleanly),
        RUN(envelope, fails_cleanly_when_memory_is_out),
        RUN(codec, refuses_what_a_job_must_not_be),
        RUN(codec, bounds_what_repeats_and_names_the_place),
        RUN(codec, refuses_attempts_without_a_lease),
        RUN(codec, holds_the_sender_to_the_same_rules),
        RUN(codec, has_a_row_for_every_field_of_every_type),
        RUN(envelope, codes_of_the_future_are_internal),
        RUN(envelope, text_is_made_fit_for_a_field),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
