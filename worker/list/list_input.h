/* list_input.h - the input of a job, in any format, as the bytes of records.
 *
 * txt, csv, tsv and jsonl lists are their own bytes. Of others the bytes are made while they are
 * read, as jsonl: of json (list_json.h), parquet (list_parquet.h) and of many files together
 * (list_files.h). Such bytes cannot be read a second time from the middle, so that whoever cuts
 * them keeps what was cut. */
#ifndef LIST_INPUT_H
#define LIST_INPUT_H

#include "worker/list/list_row.h"

struct list_input {
    const char *path;        /* of a file, a folder, or with a pattern */
    enum list_format format; /* LIST_AUTO: told by the first bytes; in a folder, by names */
    struct list_columns columns;
    /* Gets the bytes as they stand in the file, all of them when the source was read to its end. */
    struct hash *hash;
    int (*look)(void *ctx, struct err *err); /* see list_source_watch; may be NULL */
    void *look_ctx;
};

/* What an input turned out to be. */
struct list_shape {
    enum list_format format; /* never LIST_AUTO */
    enum list_format rows;   /* of the bytes */
    bool columns_known;      /* the wanted columns were looked up: no row need be asked */
};

/* "csv" for what ends in .csv or .csv.gz; LIST_AUTO: the name does not tell. */
enum list_format list_format_of_name(const char *path);
const char *list_format_name(enum list_format format);
/* A file, a folder or a pattern. The path need not outlive the source, the columns' names and the
 * hash do. Errors as those of list_source_open; ERR_INVALID too: a format that is not the named
 * one. */
CHECKED int list_input_open(struct list_source **source, struct list_shape *shape,
                            const struct list_input *input, struct err *err);
/* One file. */
CHECKED int list_input_open_file(struct list_source **source, struct list_shape *shape,
                                 const struct list_input *input, struct err *err);

#endif
