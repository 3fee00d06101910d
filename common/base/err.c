/* err.c - filling the error of a call; nothing here allocates.
 *
 * The sentence is formatted aside first, because callers like to quote the old sentence of
 * the same struct in the new one. */
#include "common/base/err.h"

#include "common/base/check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void format(char dst[ERR_MSG_BYTES], const char *fmt, va_list args)
    __attribute__((format(printf, 2, 0)));

static void format(char dst[ERR_MSG_BYTES], const char *fmt, va_list args)
{
    if (vsnprintf(dst, ERR_MSG_BYTES, fmt, args) < 0) dst[0] = 0;
}

int err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
    CHECK(code != ERR_OK);
    if (!err) return (int)code;
    char text[ERR_MSG_BYTES];
    va_list args;
    va_start(args, fmt);
    format(text, fmt, args);
    va_end(args);
    err->code = code;
    memcpy(err->msg, text, sizeof text);
    return (int)code;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
    if (!err) return ERR_INTERNAL;
    char context[ERR_MSG_BYTES];
    char text[ERR_MSG_BYTES];
    va_list args;
    va_start(args, fmt);
    format(context, fmt, args);
    va_end(args);
    (void)snprintf(text, sizeof text, "%s: %s", context, err->msg);
    memcpy(err->msg, text, sizeof text);
    return (int)err->code;
}

static enum err_code code_of_errno(int errnum)
{
    switch (errnum) {
    case ENOSPC:
    case EDQUOT:
        return ERR_FULL;
    case EFBIG:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
        return ERR_LIMIT;
    case ENOENT:
        return ERR_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS:
        return ERR_DENIED;
    case EINVAL:
    case ENAMETOOLONG:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
        return ERR_INVALID;
    case ETIMEDOUT:
        return ERR_TIMEOUT;
    default:
        return ERR_UNAVAILABLE;
    }
}

int err_errno(struct err *err, int errnum, const char *fmt, ...)
{
    enum err_code code = code_of_errno(errnum);
    if (!err) return (int)code;
    char context[ERR_MSG_BYTES];
    char reason[96];
    va_list args;
    va_start(args, fmt);
    format(context, fmt, args);
    va_end(args);
    if (strerror_r(errnum, reason, sizeof reason))
        (void)snprintf(reason, sizeof reason, "error %d", errnum);
    /* The reason stays whole even when the path before it is long. */
    const int room = (int)(ERR_MSG_BYTES - 3 - strlen(reason));
    err->code = code;
    (void)snprintf(err->msg, sizeof err->msg, "%.*s: %s", room, context, reason);
    return (int)code;
}

const char *err_name(enum err_code code)
{
    switch (code) {
    case ERR_OK:
        return "ok";
    case ERR_INVALID:
        return "invalid";
    case ERR_NOT_FOUND:
        return "not_found";
    case ERR_STALE:
        return "stale";
    case ERR_CANCELLED:
        return "cancelled";
    case ERR_LIMIT:
        return "limit";
    case ERR_CORRUPT:
        return "corrupt";
    case ERR_UNAVAILABLE:
        return "unavailable";
    case ERR_TIMEOUT:
        return "timeout";
    case ERR_DENIED:
        return "denied";
    case ERR_VERSION:
        return "version";
    case ERR_INTERNAL:
        return "internal";
    case ERR_FULL:
        return "full";
    case ERR_CODES_COUNT:
        break;
    }
    return "unknown";
}

int err_may_retry(enum err_code code)
{
    return code == ERR_LIMIT || code == ERR_CORRUPT || code == ERR_UNAVAILABLE ||
           code == ERR_TIMEOUT || code == ERR_FULL;
}
