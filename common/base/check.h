/* check.h - assertions that stay on in every build.
 *
 * CHECK is for what only our own bug can break; one condition each. Input from the
 * wire, a disk, Redis or a user is never checked this way: it gets an err. VERIFY is
 * for whole-structure walks and is compiled in where VLMQ_VERIFY is defined (tests). */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#ifdef __cplusplus
extern "C" {
#endif

/* Prints file, line and expression on stderr and aborts. */
__attribute__((noreturn)) void check_failed(const char *file, int line, const char *expression);

#define CHECK(x) ((x) ? (void)0 : check_failed(__FILE__, __LINE__, #x))

#ifdef VLMQ_VERIFY
#define VERIFY(x) CHECK(x)
#else
#define VERIFY(x) ((void)0)
#endif

#ifdef __cplusplus
}
#endif
#endif
