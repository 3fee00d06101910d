/* list_files.h - many files as one list: a folder's, or those that match a pattern, by name.
 *
 * Files come in the order of their names' bytes and must all have one format; each has its own
 * header, and its columns may stand in another order. Whatever the format, the rows come as jsonl,
 * so that a shard can have rows of two files.
 *
 * Of a folder, names that begin with . or _ are passed over, and so are subfolders, files whose
 * name tells another format than the wanted one and, if none is wanted, those whose name tells
 * none. A pattern has *, ? or [ as glob(7) knows them; all files that match are read. A file of no
 * bytes has no rows. Of jsonl and json, only the first row of all must have the wanted columns. */
#ifndef LIST_FILES_H
#define LIST_FILES_H

#include "worker/list/list_input.h"

/* Their names are kept while the list is read. */
#define LIST_FILES_MAX 100000

/* Whether the path names more than one file: it is a folder, or a pattern and no file. */
bool list_files_named(const char *path);
/* Opens the first file too. The hash gets each file's bytes and then its length, as 8 bytes from
 * the lowest on. ERR_NOT_FOUND: there are no such files. */
CHECKED int list_files_open(struct list_source **source, struct list_shape *shape,
                            const struct list_input *input, struct err *err);

#endif
