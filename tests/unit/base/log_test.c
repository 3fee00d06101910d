/* log_test.c - the lines as they come out of stderr, in both formats, and the kept tails. */
#include "common/base/log.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/fs.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/base/thread.h"
#include "tests/support/test.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* stderr, caught in a file while a test logs. */
struct caught {
    const char *dir;
    char path[256];
    int saved;
    struct buf text;
};

static void catch_begin(struct caught *caught)
{
    caught->dir = test_dir_new();
    EXPECT(fs_join(caught->path, sizeof caught->path, caught->dir, "stderr"));
    (void)fflush(stderr);
    caught->saved = dup(STDERR_FILENO);
    const int fd = open(caught->path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    EXPECT(fd >= 0);
    EXPECT(dup2(fd, STDERR_FILENO) >= 0);
    (void)close(fd);
    buf_init(&caught->text, 0);
}

static const char *catch_end(struct caught *caught)
{
    struct err err;
    (void)dup2(caught->saved, STDERR_FILENO);
    (void)close(caught->saved);
    EXPECT_OK(fs_read(&caught->text, caught->path, 1 << 24, &err), &err);
    return buf_str(&caught->text);
}

static void catch_free(struct caught *caught)
{
    buf_deinit(&caught->text);
    test_dir_remove(caught->dir);
}

/* What follows the time of a line. */
static const char *after_time(const char *line)
{
    EXPECT(strlen(line) > 25);
    EXPECT_EQ(line[10], 'T');
    EXPECT_EQ(line[23], 'Z');
    return line + 25;
}

TEST(log, line_is_time_level_event_and_pairs)
{
    UNUSED_STATE;
    struct caught caught;
    catch_begin(&caught);
    errno = EPIPE;
    log_info("lease.lost", "token=%d msg=%s", 5, log_quote("a \"b\"\n\\ \x01 c"));
    EXPECT_EQ(errno, EPIPE);
    EXPECT_TEXT(after_time(catch_end(&caught)),
                "info lease.lost token=5 msg=\"a \\\"b\\\"\\n\\\\   c\"\n");
    catch_free(&caught);
}

TEST(log, level_hides_what_is_below)
{
    UNUSED_STATE;
    struct caught caught;
    enum log_level level;
    EXPECT_EQ(log_level_parse(&level, "warn"), 0);
    EXPECT_EQ(log_level_parse(&level, "loud"), -1);
    EXPECT_EQ(level, LOG_WARN);
    catch_begin(&caught);
    log_set_level(level);
    log_debug("a.a", "n=%d", 1);
    log_info("a.b", "n=%d", 1);
    log_warn("a.c", "n=%d", 1);
    log_set_level(LOG_DEBUG);
    log_debug("a.d", "n=%d", 2);
    log_set_level(LOG_INFO);
    const char *text = catch_end(&caught);
    EXPECT(strstr(text, "a.a") == NULL);
    EXPECT(strstr(text, "a.b") == NULL);
    EXPECT(strstr(text, "warn a.c n=1\n") != NULL);
    EXPECT(strstr(text, "debug a.d n=2\n") != NULL);
    catch_free(&caught);
}

TEST(log, foreign_text_cannot_forge_a_line)
{
    UNUSED_STATE;
    struct caught caught;
    catch_begin(&caught);
    log_info("a.b", "url=%s", "x\n2026 error forged\r\x1b[2J\xff");
    const char *text = catch_end(&caught);
    EXPECT(strchr(text, '\n') == text + strlen(text) - 1);
    EXPECT(strchr(text, '\r') == NULL);
    EXPECT(strchr(text, '\x1b') == NULL);
    EXPECT_EQ(str_utf8_valid(text, strlen(text)), strlen(text));
    catch_free(&caught);
}

TEST(log, json_line_has_the_pairs_with_their_types)
{
    UNUSED_STATE;
    struct caught caught;
    catch_begin(&caught);
    log_set_json(true);
    log_set_program("vlmq-test");
    struct log_scope *scope = log_scope_new("k3v", 17, 2);
    log_scope_join(scope);
    log_error("task.failed", "bytes=%d ratio=%s code=limit ok=true zip=007 msg=%s stray", 12, "0.5",
              log_quote("say \"hi\"\nthere"));
    log_scope_free(scope);
    log_set_program(NULL);
    log_set_json(false);
    const char *text = catch_end(&caught);
    json_t *line = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    EXPECT(line != NULL);
    EXPECT_TEXT(json_string_value(json_object_get(line, "level")), "error");
    EXPECT_TEXT(json_string_value(json_object_get(line, "event")), "task.failed");
    EXPECT_TEXT(json_string_value(json_object_get(line, "program")), "vlmq-test");
    EXPECT_TEXT(json_string_value(json_object_get(line, "job")), "k3v");
    EXPECT_EQ(json_integer_value(json_object_get(line, "task")), 17);
    EXPECT_EQ(json_integer_value(json_object_get(line, "attempt")), 2);
    EXPECT_EQ(json_integer_value(json_object_get(line, "bytes")), 12);
    EXPECT(json_real_value(json_object_get(line, "ratio")) == 0.5);
    EXPECT_TEXT(json_string_value(json_object_get(line, "code")), "limit");
    EXPECT(json_is_true(json_object_get(line, "ok")));
    EXPECT_TEXT(json_string_value(json_object_get(line, "zip")), "007");
    EXPECT_TEXT(json_string_value(json_object_get(line, "msg")), "say \"hi\"\nthere");
    EXPECT_TEXT(json_string_value(json_object_get(line, "text")), "stray");
    json_decref(line);
    catch_free(&caught);
}

TEST(log, overlong_text_stays_one_well_formed_line)
{
    UNUSED_STATE;
    struct caught caught;
    static char text[10000];
    memset(text, '"', sizeof text - 1); /* each takes two bytes in JSON */
    catch_begin(&caught);
    log_info("a.b", "x=%s", text);
    log_set_json(true);
    log_info("a.c", "x=%s", text);
    memset(text, '\xff', sizeof text - 1);
    log_info("a.d", "%s", text);
    (void)mem_fail(0, 1000);
    log_info("a.e", "n=1 msg=%s", log_quote("with no memory at all"));
    (void)mem_fail(-1, 0);
    log_set_json(false);
    const char *line = catch_end(&caught);
    int count = 0;
    for (; *line; line = strchr(line, '\n') + 1, count++) {
        const size_t bytes = strcspn(line, "\n");
        EXPECT(bytes < LOG_TAIL_BYTES_MAX);
        EXPECT_EQ(str_utf8_valid(line, bytes), bytes);
        json_t *parsed = count ? json_loadb(line, bytes, 0, NULL) : NULL;
        EXPECT_EQ(parsed != NULL, count > 0);
        json_decref(parsed);
    }
    EXPECT_EQ(count, 4);
    catch_free(&caught);
}

TEST(log, quote_clips_at_a_character_and_serves_four_at_once)
{
    UNUSED_STATE;
    char text[1000];
    for (size_t i = 0; i + 2 < sizeof text; i += 3) memcpy(text + i, "\xe2\x82\xac", 3);
    text[999] = 0;
    const char *quoted = log_quote(text);
    EXPECT_EQ(str_utf8_valid(quoted, strlen(quoted)), strlen(quoted));
    EXPECT(strlen(quoted) >= 400);
    EXPECT(strlen(quoted) <= 405 + 2);
    EXPECT(str_has_suffix(quoted, "...\""));
    const char *a = log_quote("a"), *b = log_quote("b\xff"), *c = log_quote(NULL);
    EXPECT_TEXT(a, "\"a\"");
    EXPECT_TEXT(b, "\"b?\"");
    EXPECT_TEXT(c, "\"\"");
    EXPECT_EQ(str_utf8_valid(quoted, strlen(quoted)), strlen(quoted)); /* the fourth, untouched */
}

TEST(log, scope_tags_lines_until_it_is_left_or_ended)
{
    UNUSED_STATE;
    struct caught caught;
    struct buf tail;
    catch_begin(&caught);
    buf_init(&tail, 0);
    struct log_scope *scope = log_scope_new("job-1", 3, 1);
    log_info("a.made", "n=%d", 0); /* making is not joining */
    log_scope_join(scope);
    log_info("a.in", "n=%d", 1);
    log_scope_join(NULL);
    log_info("a.out", "n=%d", 2);
    log_scope_join(scope);
    log_info("a.back", "n=%d", 3);
    log_scope_tail(scope, &tail);
    log_scope_free(scope);
    log_info("a.ended", "n=%d", 4);
    const char *text = catch_end(&caught);
    EXPECT(strstr(text, "a.made n=0\n") != NULL);
    EXPECT(strstr(text, "a.in job=job-1 task=3 attempt=1 n=1\n") != NULL);
    EXPECT(strstr(text, "a.out n=2\n") != NULL);
    EXPECT(strstr(text, "a.back job=job-1 task=3 attempt=1 n=3\n") != NULL);
    EXPECT(strstr(text, "a.ended n=4\n") != NULL);
    EXPECT(strstr(buf_str(&tail), "a.in ") != NULL);
    EXPECT(strstr(buf_str(&tail), "a.out ") == NULL);
    EXPECT(strstr(buf_str(&tail), "a.back ") != NULL);
    buf_deinit(&tail);
    catch_free(&caught);
    log_scope_free(NULL);
}

TEST(log, tail_is_the_newest_whole_lines_within_its_bound)
{
    UNUSED_STATE;
    struct caught caught;
    struct buf tail;
    catch_begin(&caught);
    buf_init(&tail, 0);
    struct log_scope *scope = log_scope_new("j", 0, 1);
    log_scope_join(scope);
    for (int i = 0; i < 500; i++) {
        log_info("step.done", "n=%d", i);
        buf_clear(&tail);
        log_scope_tail(scope, &tail);
        EXPECT(tail.len <= LOG_TAIL_BYTES_MAX);
        (void)after_time(tail.data); /* begins with a whole line */
        char last[32];
        (void)snprintf(last, sizeof last, " n=%d\n", i);
        EXPECT(str_has_suffix(tail.data, last));
    }
    EXPECT(tail.len > LOG_TAIL_BYTES_MAX - 200);
    log_scope_free(scope);
    (void)catch_end(&caught);
    buf_deinit(&tail);
    catch_free(&caught);
}

#define LINES_EACH 300

static void chatter(void *arg)
{
    struct log_scope *scope = arg;
    log_scope_join(scope);
    for (int i = 0; i < LINES_EACH; i++) log_info("pool.step", "n=%d", i);
    /* Ends without leaving: the thread's end leaves for it. */
}

TEST(log, threads_share_a_scope_and_lines_do_not_mix)
{
    UNUSED_STATE;
    struct err err;
    struct caught caught;
    struct thread thread[4] = {0};
    struct buf tail;
    catch_begin(&caught);
    buf_init(&tail, 0);
    struct log_scope *scope = log_scope_new("shared", 9, 4);
    for (int i = 0; i < 4; i++)
        EXPECT_OK(thread_start(&thread[i], "chatter", chatter, scope, &err), &err);
    for (int i = 0; i < 50; i++) {
        buf_clear(&tail);
        log_scope_tail(scope, &tail);
    }
    for (int i = 0; i < 4; i++) thread_join(&thread[i]);
    log_scope_free(scope);
    int count = 0;
    const char *line = catch_end(&caught);
    for (; *line; line = strchr(line, '\n') + 1, count++) {
        static const char start[] = "info pool.step job=shared task=9 attempt=4 n=";
        EXPECT_MEM(after_time(line), start, sizeof start - 1);
    }
    EXPECT_EQ(count, 4 * LINES_EACH);
    buf_deinit(&tail);
    catch_free(&caught);
}

struct late {
    struct log_scope *scope;
    atomic_int joined, ended;
};

static void outlive(void *arg)
{
    struct late *late = arg;
    log_scope_join(late->scope);
    atomic_store(&late->joined, 1);
    while (!atomic_load(&late->ended)) clock_sleep_ms(1);
    log_info("late.line", "n=%d", 1);
}

TEST(log, a_thread_may_outlive_the_scope_it_joined)
{
    UNUSED_STATE;
    struct err err;
    struct caught caught;
    struct late late = {0};
    struct thread thread = {0};
    catch_begin(&caught);
    late.scope = log_scope_new("short", 1, 1);
    EXPECT_OK(thread_start(&thread, "late", outlive, &late, &err), &err);
    while (!atomic_load(&late.joined)) clock_sleep_ms(1);
    log_scope_free(late.scope);
    atomic_store(&late.ended, 1);
    thread_join(&thread);
    EXPECT_TEXT(after_time(catch_end(&caught)), "info late.line n=1\n");
    catch_free(&caught);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(log, line_is_time_level_event_and_pairs),
        RUN(log, level_hides_what_is_below),
        RUN(log, foreign_text_cannot_forge_a_line),
        RUN(log, json_line_has_the_pairs_with_their_types),
        RUN(log, overlong_text_stays_one_well_formed_line),
        RUN(log, quote_clips_at_a_character_and_serves_four_at_once),
        RUN(log, scope_tags_lines_until_it_is_left_or_ended),
        RUN(log, tail_is_the_newest_whole_lines_within_its_bound),
        RUN(log, threads_share_a_scope_and_lines_do_not_mix),
        RUN(log, a_thread_may_outlive_the_scope_it_joined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
