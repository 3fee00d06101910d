/* manifest_fuzz.c - any bytes as the manifest of a task and as the claim of an output folder.
 *
 * A manifest that is read can be written and read again, with the same digest. */
#include "common/store/claim.c"
#include "common/store/manifest.h"

#define TASK "00042"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void as_manifest(const char *data, size_t bytes)
{
    static struct attempt_manifest first, again;
    struct err err = {0};
    struct buf text;
    buf_init(&text, 0);
    const int rc = manifest_decode(&first, TASK, data, bytes, &err);
    CHECK(rc == 0 || (rc == ERR_CORRUPT && err.msg[0]));
    if (rc == 0) {
        CHECK(first.files_count <= ATTEMPT_FILES_MAX && first.counters_count <= COUNTERS_MAX);
        CHECK(str_eq(first.task, TASK));
        again = first;
        CHECK(manifest_encode(&text, &again, &err) == 0);
        const struct attempt_manifest written = again;
        CHECK(manifest_decode(&again, TASK, text.data, text.len, &err) == 0);
        CHECK(memcmp(again.digest, written.digest, sizeof again.digest) == 0);
        CHECK(again.items == first.items && again.bytes == first.bytes);
    }
    buf_deinit(&text);
}

static void as_claim(const char *data, size_t bytes)
{
    struct err err = {0};
    json_error_t trouble;
    json_t *now = json_pack("{s:s, s:s, s:{s:i, s:s, s:[s]}}", "kind", "download", "input", "f1",
                            "spec", "image_size", 448, "input", "/a", "extra", "x");
    json_t *made = json_loadb(data, bytes, JSON_REJECT_DUPLICATES, &trouble);
    const int rc = compare(made, now, "/output", &err);
    CHECK(rc == 0 || err.msg[0]);
    if (made) CHECK(compare(now, now, "/output", &err) == 0);
    json_decref(made);
    json_decref(now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const char *text = bytes ? (const char *)data : "";
    as_manifest(text, bytes);
    as_claim(text, bytes);
    return 0;
}
