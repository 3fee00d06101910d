/* same.h - rows of a shard that name the same URL, so that it is asked for once.
 *
 * The shard's URLs are noted in a first pass over its rows; those that came once are then
 * forgotten. Of the others the first row is fetched, its body goes to a scratch file, and the later
 * rows get copies; with the last copy its place in the file is given back to the disk. A body that
 * the file has no room for is not kept, and its URL is asked for again. URLs are told apart by 128
 * bits of their SHA-256. After the first pass it is the fetch thread's. */
#ifndef LIST_SAME_H
#define LIST_SAME_H

#include "common/base/err.h"
#include "worker/pipe/fetch.h"

#define SAME_ID_BYTES 16
/* Of the scratch file: some 80,000 pictures of 100 kB that wait for later rows at a time, or 256 of
 * the largest that --body-bytes allows by default. Fetching again costs less than a disk that is
 * full. */
#define SAME_BYTES_MAX ((int64_t)8 * 1024 * 1024 * 1024)

struct same_url {
    uint8_t id[SAME_ID_BYTES];
    uint32_t rows_left; /* that were not started; the user of this counts it down */
    bool seen;          /* by an earlier row, of this attempt or of one before */
    bool started, done;
    struct fetch_item *waiting; /* rows that want the body of one that is being fetched */
    /* What it ended in; done. */
    enum fetch_status status;
    int32_t http_status;
    char content_type[FETCH_TYPE_BYTES];
    char *final_url; /* NULL: without a redirect */
    int64_t offset;  /* of the body in the scratch file */
    size_t bytes;
    uint32_t copies_left;
};

struct same;

/* rows: of the shard. The file is made when it is needed, without a name, and takes bytes_max of
 * the disk at most. */
CHECKED int same_new(struct same **same, uint32_t rows, const char *scratch_path, int64_t bytes_max,
                     struct err *err);
void same_free(struct same *same);
void same_note(struct same *same, const char *url); /* at most `rows` times */
void same_seal(struct same *same);                  /* ends the first pass */
/* NULL: the URL was noted once. */
struct same_url *same_find(const struct same *same, const char *url);
/* Remembers what the fetched item came to, for rows_left and those that wait. *kept false: there
 * was no room for its body, and the next of them must be fetched. */
CHECKED int same_keep(struct same *same, struct same_url *url, const struct fetch_item *item,
                      bool *kept, struct err *err);
/* Makes the item end as the one that was kept; for each of those rows once. */
CHECKED int same_copy(struct same *same, struct same_url *url, struct fetch_item *item,
                      struct err *err);
int64_t same_bytes(const struct same *same); /* that the file takes of the disk */

#endif
