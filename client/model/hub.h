/* hub.h - what the Hugging Face Hub says over HTTP: addresses, listings, headers, refusals.
 *
 * Three requests make a pull, as the hub's own client library makes them (huggingface_hub):
 *   GET ENDPOINT/api/models/REPO/revision/REV             {"sha": COMMIT, …}
 *   GET ENDPOINT/api/models/REPO/tree/COMMIT?recursive=1  [{"type", "path", "size", "oid",
 *       "lfs": {"oid", "size"}}, …], page by page, the next one named by a Link header
 *   GET ENDPOINT/REPO/resolve/COMMIT/PATH                 the bytes, often after redirects
 * A file's oid is the name of its blob in git; that of a large file (LFS) is the SHA-256 of its
 * bytes. Refusals carry X-Error-Code besides their status.
 *
 * Everything from there is outside data: sizes, counts and texts are bounded, and a path is only
 * used if it stays below the folder that it is put into. No state, any thread. */
#ifndef CLIENT_MODEL_HUB_H
#define CLIENT_MODEL_HUB_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/base/mem.h"

#include <stdbool.h>
#include <stdint.h>

#define HUB_ENDPOINT "https://huggingface.co"
/* A page of a listing has at most 1,000 entries of some 300 bytes; a model's description with the
 * names of its files stays below it too. jansson takes up to forty times as much. */
#define HUB_JSON_BYTES_MAX ((size_t)4 * 1024 * 1024)
#define HUB_ENTRIES_MAX    20000
#define HUB_PAGES_MAX      100
#define HUB_PATH_BYTES_MAX 512
#define HUB_URL_BYTES_MAX  4096
#define HUB_COMMIT_BYTES   65 /* 40 digits, or 64, and the terminator */
/* No file that is published is larger than a tenth of it. */
#define HUB_FILE_BYTES_MAX ((int64_t)1 << 43)

struct hub_file {
    const char *path;
    int64_t bytes;
    char sha256[HASH_SHA256_TEXT]; /* of a large file; "": none is told */
    char git[HASH_GIT_TEXT];       /* the name of the blob; of a large file, of its pointer */
    bool chosen;
};

struct hub_listing {
    struct arena *arena;
    struct hub_file *file; /* heap, HUB_ENTRIES_MAX at most */
    uint32_t count, cap;
    uint32_t entries; /* folders too */
};

void hub_listing_init(struct hub_listing *listing, struct arena *arena);
void hub_listing_deinit(struct hub_listing *listing);

/* What the headers of the last answer said. Zeroed by whoever begins a request. */
struct hub_headers {
    int64_t length;             /* Content-Length; -1: not told */
    int64_t range_at, range_of; /* Content-Range: first byte, size of all; -1: not told */
    int64_t retry_after_s;      /* 0: not told. Only seconds: the hub sends no dates */
    char etag[128];             /* a strong one, in its quotes; "": none */
    char error_code[64];        /* X-Error-Code */
    char next[HUB_URL_BYTES_MAX];
};

void hub_headers_init(struct hub_headers *headers);
/* One line as it came, with or without its end. Unknown and broken ones are ignored. */
void hub_headers_add(struct hub_headers *headers, const char *line, size_t bytes);

/* The addresses; false: too long. endpoint has no slash at its end. */
bool hub_revision_url(struct buf *url, const char *endpoint, const char *repo,
                      const char *revision);
bool hub_tree_url(struct buf *url, const char *endpoint, const char *repo, const char *commit);
bool hub_file_url(struct buf *url, const char *endpoint, const char *repo, const char *commit,
                  const char *path);

CHECKED int hub_commit_parse(char commit[HUB_COMMIT_BYTES], const char *json, size_t bytes,
                             struct err *err);
/* Appends a page. Paths are texts of the arena and may be anything. */
CHECKED int hub_tree_parse(struct hub_listing *listing, const char *json, size_t bytes,
                           struct err *err);

/* Whether a path may be created below a folder: relative, no part empty or beginning with a dot,
 * no control characters, valid UTF-8, not ours (vlmq.json). */
bool hub_path_valid(const char *path);
/* Marks the files to fetch: those that loading needs, or all. Refuses a repository without weights
 * that can be loaded, with incomplete shards, and listings that name a file twice or, if all are
 * asked for, one where no folder may hold it. */
CHECKED int hub_choose(struct hub_listing *listing, const char *repo, bool all, struct err *err);

/* What a request was about, for the sentences of refusals. */
struct hub_about {
    const char *repo, *revision, *endpoint;
    const char *path; /* NULL: not about one file */
    bool has_token;
};
/* Whether an answer of this status may be another one later. */
bool hub_may_retry(long status);
/* The sentence for a status that is no success. */
int hub_refuse(const struct hub_about *about, long status, const char *error_code, struct err *err);

#endif
