/* err.h - an error is a code for the caller and a sentence for the person.
 *
 * Codes name what to do next, because a job system must decide between retry,
 * fail and drop. A fallible function returns 0 or an enum err_code, and fills
 * *err on failure only; it never allocates to do so. The place that detects an
 * error writes the sentence, a layer above may prepend one piece of context with
 * err_wrap, and exactly one place logs it. The same numbers go over the wire
 * (proto/schema/common.proto, enum Code). */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#ifdef __cplusplus
extern "C" {
#endif

#define CHECKED __attribute__((warn_unused_result))

enum err_code {
    ERR_OK = 0,
    ERR_INVALID,     /* the request is wrong: fail, never retry */
    ERR_NOT_FOUND,   /* no such job, task, file or key */
    ERR_STALE,       /* the lease is no longer ours: drop the work, say nothing */
    ERR_CANCELLED,   /* the job was cancelled: drop the work */
    ERR_LIMIT,       /* a bound was hit: a smaller request, or later */
    ERR_CORRUPT,     /* bytes failed a check: retry from another copy */
    ERR_UNAVAILABLE, /* peer, disk or device is not there now: retry */
    ERR_TIMEOUT,     /* no answer in time: retry */
    ERR_DENIED,      /* this key or user may not do that */
    ERR_VERSION,     /* the peer speaks another protocol version */
    ERR_INTERNAL,    /* our bug */
    ERR_FULL,        /* a disk has no room: later, or on another machine */
    ERR_CODES_COUNT
};

#define ERR_MSG_BYTES 240

struct err {
    enum err_code code;
    char msg[ERR_MSG_BYTES];
};

/* Fills *err (which may be NULL) and returns code, so that one line detects and reports. */
int err_set(struct err *err, enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Puts "context: " before the sentence; keeps and returns the code. */
int err_wrap(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* err_set with errno's text appended; maps ENOSPC, ENOENT, EACCES and the like to codes. */
int err_errno(struct err *err, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* "invalid", "not_found", … for logs and --json; never NULL. */
const char *err_name(enum err_code code);
/* true for what a later or second try could mend (LIMIT, CORRUPT, UNAVAILABLE, TIMEOUT, FULL). */
int err_may_retry(enum err_code code);

#ifdef __cplusplus
}
#endif
#endif
