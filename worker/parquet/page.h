/* page.h - the pages of a column's part of a row group: found, checked and decompressed. */
#ifndef PARQUET_PAGE_H
#define PARQUET_PAGE_H

#include "common/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum page_type { /* parquet.thrift, PageType */
                 PAGE_DATA = 0,
                 PAGE_INDEX = 1,
                 PAGE_DICTIONARY = 2,
                 PAGE_DATA_V2 = 3,
};

/* Memory that grows, out of a common allowance. */
struct page_memory {
    uint8_t *data;
    size_t bytes; /* room */
};

/* What all columns of a file share. */
struct page_file {
    int fd;
    int64_t end;            /* of the pages: where the footer begins */
    int64_t allowance;      /* bytes that may still be taken */
    struct page_memory raw; /* compressed bytes, of one page at a time */
};

struct page_header {
    int64_t type, bytes, compressed_bytes;      /* enum page_type; of the body */
    int64_t values, encoding;                   /* encoding of the values */
    int64_t level_encoding;                     /* v1: of the definition levels */
    int64_t definition_bytes, repetition_bytes; /* v2: the levels stand first, uncompressed */
    bool is_compressed;                         /* v2 may leave a page as it is */
    bool has_crc;
    uint32_t crc; /* of the body as it stands in the file */
};

/* Grows memory; what it held is lost. ERR_LIMIT. */
CHECKED int page_memory_fit(struct page_memory *memory, struct page_file *file, size_t bytes,
                            struct err *err);
void page_memory_free(struct page_memory *memory, struct page_file *file);
/* Reads the header at *at, whose chunk ends at end, and goes to its body, which is in the chunk. */
CHECKED int page_header_read(struct page_header *header, struct page_file *file, int64_t *at,
                             int64_t end, struct err *err);
/* Puts the body, decompressed, into body->data[0 .. header->bytes) and goes behind it. */
CHECKED int page_body_read(struct page_memory *body, const struct page_header *header,
                           struct page_file *file, int64_t codec, int64_t *at, struct err *err);
/* Reads exactly so many bytes. */
CHECKED int page_file_read(const struct page_file *file, void *dst, size_t bytes, int64_t at,
                           struct err *err);

#endif
