/* encode_fuzz.c - what an encode job's tasks are given by others: specs, tars whose members make
 * samples, listings, and the texts of samples. The first byte chooses. */
#include "common/base/check.h"
#include "common/base/str.h"
#include "worker/jobs/encode/listing.h"
#include "worker/jobs/encode/options.h"
#include "worker/jobs/encode/sample_index.h"
#include "worker/jobs/encode/source_text.h"
#include "worker/pipe/tar.h"

#include <jansson.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* A spec is refused with a sentence, or has all its values in their ranges and a JSON text. */
static void try_spec(const uint8_t *data, size_t bytes)
{
    struct arena arena;
    struct encode_options options;
    struct err err = {0};
    arena_init(&arena, 0);
    const int rc = encode_options_init(&options, &arena, data, bytes, &err);
    CHECK(rc ? rc == ERR_INVALID && err.msg[0] : 1);
    if (!rc) {
        CHECK(options.top_k >= 1 && options.shard_rows >= 1 && options.image_keys_count >= 1);
        CHECK(options.embedding || options.cls || encode_wants_tokens(&options));
        CHECK(options.placeholder_threshold > 0 && options.placeholder_threshold <= 1);
        struct buf text;
        buf_init(&text, 0);
        encode_options_json(&options, &text);
        buf_byte(&text, '}');
        json_t *object = json_loadb(buf_str(&text), text.len, JSON_REJECT_DUPLICATES, NULL);
        CHECK(json_is_object(object));
        json_decref(object);
        buf_deinit(&text);
    }
    arena_deinit(&arena);
}

struct archive {
    const uint8_t *data;
    size_t bytes;
    struct tar_reader reader;
};

static int read_at(void *ctx, void *dst, size_t bytes, size_t *got, struct err *err)
{
    const struct archive *archive = ctx;
    (void)err;
    CHECK(archive->reader.offset >= 0 && (size_t)archive->reader.offset <= archive->bytes);
    *got = archive->bytes - (size_t)archive->reader.offset;
    if (*got > bytes) *got = bytes;
    if (*got) memcpy(dst, archive->data + archive->reader.offset, *got);
    return 0;
}

static void check_file(const struct sample_file *file, size_t bytes)
{
    if (file->bytes < 0) return;
    CHECK(file->place >= 0 && (uint64_t)file->place + (uint64_t)file->bytes <= bytes);
}

/* Members lie within the archive, and each key has one sample that is no duplicate. */
static void try_tar(const uint8_t *data, size_t bytes)
{
    static const struct encode_options options = {
        .image_key = {"jpg", "png"}, .image_keys_count = 2, .caption_key = "txt"};
    struct archive archive = {.data = data, .bytes = bytes};
    struct sample_index index;
    struct tar_member member;
    struct err err;
    bool found = true;
    sample_index_init(&index, &options);
    tar_reader_init(&archive.reader, read_at, &archive);
    while (!tar_reader_next(&archive.reader, &member, &found, &err) && found &&
           !tar_reader_jump(&archive.reader, (int64_t)bytes, &err))
        CHECK(!sample_index_add(&index, member.name, member.offset, member.bytes, &err));
    for (uint32_t i = 0; i < index.count; i++) {
        const struct sample_entry *entry = &index.entry[i];
        CHECK(entry->key[0] != 0);
        check_file(&entry->picture, bytes);
        check_file(&entry->caption, bytes);
        check_file(&entry->json, bytes);
        for (uint32_t k = 0; k < i && index.count < 64; k++)
            if (str_eq(entry->key, index.entry[k].key)) CHECK(entry->duplicate);
    }
    sample_index_deinit(&index);
}

/* What is read of a listing is what was written of it. */
static void try_listing(const char *data, size_t bytes)
{
    const char *at = data, *end = data + bytes, *path;
    int64_t size;
    struct buf again;
    buf_init(&again, 0);
    while (at < end && listing_next(&at, end, &path, &size)) {
        CHECK(size >= 0 && path >= data && path + strlen(path) < end && path[0]);
        listing_add(&again, path, size);
    }
    const char *copy = buf_str(&again), *copy_end = copy + again.len;
    while (copy < copy_end) CHECK(listing_next(&copy, copy_end, &path, &size));
    buf_deinit(&again);
}

static void try_texts(const char *data, size_t bytes)
{
    struct encode_sample sample = {0};
    char key[256];
    const size_t some = bytes < sizeof key ? bytes : sizeof key - 1;
    memcpy(key, data, some);
    key[some] = 0;
    source_set_key(&sample, key);
    source_set_caption(&sample, data, bytes);
    source_set_json(&sample, data, bytes);
    source_fail(&sample, SOURCE_NO_IMAGE, "%s", key);
    CHECK(str_utf8_valid(buf_str(&sample.key), sample.key.len) == sample.key.len);
    CHECK(str_utf8_valid(buf_str(&sample.caption), sample.caption.len) == sample.caption.len);
    CHECK(strlen(buf_str(&sample.caption)) == sample.caption.len);
    CHECK(sample.caption.len <= CAPTION_BYTES_MAX * 3);
    CHECK(!memchr(buf_str(&sample.json), '\n', sample.json.len));
    CHECK(str_utf8_valid(sample.message, strlen(sample.message)) == strlen(sample.message));
    json_t *object = json_loadb(buf_str(&sample.json), sample.json.len, JSON_ALLOW_NUL, NULL);
    CHECK(!sample.json.len || json_is_object(object));
    json_decref(object);
    buf_deinit(&sample.key);
    buf_deinit(&sample.caption);
    buf_deinit(&sample.json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (!bytes) return 0;
    switch (data[0] % 4) {
    case 0:
        try_spec(data + 1, bytes - 1);
        break;
    case 1:
        try_tar(data + 1, bytes - 1);
        break;
    case 2:
        try_listing((const char *)data + 1, bytes - 1);
        break;
    default:
        try_texts((const char *)data + 1, bytes - 1);
        break;
    }
    return 0;
}
