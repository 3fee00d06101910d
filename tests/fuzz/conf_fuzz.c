/* conf_fuzz.c - any bytes as a configuration file and as texts of numbers, sizes and Unicode. */
#include "common/base/conf.h"
#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void texts(const char *data, size_t bytes)
{
    struct buf out;
    int64_t number;
    double real;
    buf_init(&out, 0);
    str_json(&out, data, bytes);
    if (str_utf8_valid(out.data, out.len) != out.len) abort();
    buf_clear(&out);
    str_utf8_clean(&out, data, bytes);
    if (str_utf8_valid(buf_str(&out), out.len) != out.len) abort();
    buf_clear(&out);
    buf_add(&out, data, bytes);
    const char *text = buf_str(&out);
    (void)!str_to_int(&number, text, INT64_MIN, INT64_MAX, "x", NULL);
    (void)!str_to_double(&real, text, -1, 1, "x", NULL);
    (void)!str_to_bytes(&number, text, "x", NULL);
    (void)!str_to_ms(&number, text, "x", NULL);
    (void)log_quote(text);
    buf_deinit(&out);
}

static void file(const char *data, size_t bytes)
{
    static char path[64];
    bool flag = false;
    const char *text = "";
    int64_t number = 0, size = 0, wait = 0;
    struct conf_list list = {.count = 0};
    const struct conf_option options[] = {
        {"flag", 'f', CONF_FLAG, &flag, 0, 0, NULL, "A flag."},
        {"text", 't', CONF_TEXT, &text, 0, 0, NULL, "A text."},
        {"number", 'n', CONF_INT, &number, 1, 9, NULL, "A number."},
        {"size", 's', CONF_BYTES, &size, 0, 0, NULL, "A size."},
        {"wait", 'w', CONF_MS, &wait, 0, 0, NULL, "A time."},
        {"list", 'l', CONF_LIST, &list, 0, 0, NULL, "A list."},
        {NULL, 0, CONF_FLAG, NULL, 0, 0, NULL, NULL},
    };
    struct conf conf = {.program = "fuzz", .options = options};
    struct err err = {.code = ERR_OK};
    struct buf help;
    if (!path[0]) (void)snprintf(path, sizeof path, "/tmp/vlmq-conf-fuzz-%d", (int)getpid());
    FILE *out = fopen(path, "we");
    if (!out) abort();
    if (bytes && fwrite(data, 1, bytes, out) != bytes) abort();
    if (fclose(out)) abort();
    if (conf_load(&conf, path, true, &err) && !err.msg[0]) abort();
    buf_init(&help, 0);
    conf_help(&conf, &help);
    buf_deinit(&help);
    conf_deinit(&conf);
    (void)unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    texts((const char *)data, bytes);
    file((const char *)data, bytes);
    return 0;
}
