/* list_record.h - cuts a list into records: lines, or in csv what quotes hold together.
 *
 * A record ends with a line feed, or with the list; a carriage return before that belongs to the
 * end. Records of no bytes (empty lines) are passed over: they are not rows. In csv a field that
 * begins with a quote runs to the next single quote, over commas and line ends; quotes elsewhere
 * are text. The other formats know no quotes: a line is a record. A record longer than
 * LIST_RECORD_BYTES_MAX is given without its bytes; one whose quote the list never closes ends
 * with the list. The memory for it all is bounded by that maximum and one chunk. */
#ifndef LIST_RECORD_H
#define LIST_RECORD_H

#include "common/base/err.h"
#include "common/base/hash.h"
#include "worker/list/list_source.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A URL, a long caption and some columns fit a hundred times. */
#define LIST_RECORD_BYTES_MAX (1024 * 1024)

enum list_format { /* the numbers of vlmq.jobs.DownloadFormat */
                   LIST_AUTO = 0,
                   /* What records and rows can have. */
                   LIST_TXT,
                   LIST_CSV,
                   LIST_TSV,
                   LIST_JSONL,
                   /* Read as jsonl; see list_input.h. */
                   LIST_JSON,
                   LIST_PARQUET,
                   LIST_FORMATS_COUNT,
};

struct list_record {
    const char *data; /* without the line end; until the next call */
    size_t bytes;
    size_t whole_bytes; /* with the line end, which stands behind data */
    bool too_long;      /* data is empty */
    bool unterminated;  /* csv: a quote is open at the end of the list */
    uint64_t end;       /* offset behind the record and its line end */
};

struct list_records;

/* The source outlives the records. offset: where the source stands; bytes: how many to read. */
CHECKED int list_records_new(struct list_records **records, struct list_source *source,
                             enum list_format format, uint64_t offset, uint64_t bytes,
                             struct err *err);
void list_records_free(struct list_records *records); /* accepts NULL */
/* Every byte that list_records_next passes from now on, line ends and empty lines too, is added to
 * hash and written to copy (either may be NULL). */
void list_records_tap(struct list_records *records, struct hash *hash, struct store_file *copy);
/* Passes over empty lines; *found tells whether a record follows, without taking it. */
CHECKED int list_records_peek(struct list_records *records, bool *found, struct err *err);
/* Where the next byte stands in the list. */
uint64_t list_records_offset(const struct list_records *records);
/* *found false: the end, and only record->end is set. */
CHECKED int list_records_next(struct list_records *records, struct list_record *record, bool *found,
                              struct err *err);

#endif
