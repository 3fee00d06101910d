/* client_fuzz.c - the whole of vlmq between brokers that answer anything: each verb comes to an end
 * with a status of its own, and what it prints is UTF-8 without control characters, or JSON.
 *
 * The first byte chooses the verb, the second how it prints; the rest is the script of the network
 * (fake_sock.h). */
#include "client/exit.h"
#include "client/verbs.h"
#include "tests/fuzz/fake_sock.c"

#include <jansson.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORDS_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Not those that start or read something on this machine. */
static const char *const lines[][WORDS_MAX] = {
    {"ls"},
    {"ls", "--active"},
    {"show", "a"},
    {"show", "a/3"},
    {"show", "a", "--tasks"},
    {"watch", "a"},
    {"watch"},
    {"errors", "a"},
    {"events", "a"},
    {"logs", "a"},
    {"workers"},
    {"workers", "--drain", "w"},
    {"status"},
    {"cancel", "a"},
    {"pause", "a"},
    {"resume", "a"},
    {"retry", "a"},
    {"retry", "a/3"},
    {"priority", "a", "5"},
    {"run", "probe"},
    {"submit", "probe", "--tasks", "3"},
};
#define LINES (sizeof lines / sizeof *lines)

static void check_text(const char *text, size_t bytes)
{
    CHECK(str_utf8_valid(text, bytes) == bytes);
    for (size_t i = 0; i < bytes; i++)
        CHECK(text[i] == '\n' || ((uint8_t)text[i] >= 0x20 && text[i] != 0x7f));
}

/* One object or array in each line. */
static void check_json(const char *text, size_t bytes)
{
    const char *end = text + bytes;
    while (text < end) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        CHECK(stop != NULL);
        /* Numbers may have 64 bits without a sign. */
        const size_t flags = JSON_DECODE_INT_AS_REAL;
        json_t *value = json_loadb(text, (size_t)(stop - text), flags, NULL);
        CHECK(value != NULL);
        json_decref(value);
        text = stop + 1;
    }
}

/* The streams of the process become texts for the time of one run. */
static int run(char *const *argv, int argc, bool json)
{
    char *text[2] = {NULL, NULL};
    size_t bytes[2] = {0, 0};
    FILE *const out = stdout, *const err = stderr;
    stdout = open_memstream(&text[0], &bytes[0]);
    stderr = open_memstream(&text[1], &bytes[1]);
    CHECK(stdout && stderr);
    const int status = verbs_main(argc, argv);
    CHECK(!fclose(stdout) && !fclose(stderr));
    stdout = out;
    stderr = err;
    if (getenv("FUZZ_TALK")) (void)fprintf(stderr, "%s%s= %d\n", text[0], text[1], status);
    if (json)
        check_json(text[0], bytes[0]);
    else
        check_text(text[0], bytes[0]);
    check_text(text[1], bytes[1]);
    CHECK(status == STATUS_OK || bytes[0] || bytes[1]); /* it says why */
    free(text[0]);
    free(text[1]);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static bool begun;
    char words[WORDS_MAX + 8][32] = {"vlmq"};
    char *argv[WORDS_MAX + 8];
    int argc = 1;
    if (!begun) CHECK(!setenv("HOME", "/nonexistent", 1) && !unsetenv("XDG_CONFIG_HOME"));
    begun = true;
    fake_begin(data, bytes);
    const uint32_t line = (uint32_t)input_take(&fake.input, 1) % LINES;
    const bool json = input_take(&fake.input, 1) % 2;
    for (int i = 0; i < WORDS_MAX && lines[line][i]; i++)
        (void)str_copy(words[argc++], sizeof words[0], lines[line][i]);
    (void)str_copy(words[argc++], sizeof words[0], "--broker=tcp://a:1");
    (void)str_copy(words[argc++], sizeof words[0], "--timeout=3s");
    if (json) (void)str_copy(words[argc++], sizeof words[0], "--json");
    for (int i = 0; i < argc; i++) argv[i] = words[i];
    argv[argc] = NULL;
    const int status = run(argv, argc, json);
    CHECK(status >= STATUS_OK && status <= STATUS_INTERRUPTED);
    fake_end();
    return 0;
}
