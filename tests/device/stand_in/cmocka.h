/* cmocka.h - as much of cmocka as tests/support/test.h calls, for tests/gpu: such a machine has no
 * package of it. A check that fails says where and ends the program. */
#ifndef TESTS_DEVICE_CMOCKA_H
#define TESTS_DEVICE_CMOCKA_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct CMUnitTest {
    const char *name;
    void (*run)(void **state);
};

#define cmocka_unit_test(test) \
    {                          \
#test, (test)          \
    }

static jmp_buf cmocka_skipped;

#define skip() longjmp(cmocka_skipped, 1)

static inline void cmocka_expect(bool holds, const char *what, const char *file, int line)
{
    if (holds) return;
    (void)fprintf(stderr, "%s:%d: %s\n", file, line, what);
    exit(1);
}

#define assert_true(x)               cmocka_expect((x), #x, __FILE__, __LINE__)
#define assert_int_equal(a, b)       cmocka_expect((a) == (b), #a " is " #b, __FILE__, __LINE__)
#define assert_string_equal(a, b)    assert_true(strcmp((a), (b)) == 0)
#define assert_memory_equal(a, b, n) assert_true(memcmp((a), (b), (n)) == 0)
#define print_message(...)           ((void)fprintf(stderr, __VA_ARGS__))
#define print_error(...)             print_message(__VA_ARGS__)

#define cmocka_run_group_tests(tests, setup, teardown) \
    cmocka_run((tests), sizeof(tests) / sizeof((tests)[0]))

static inline int cmocka_run(const struct CMUnitTest *tests, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        void *state = NULL;
        if (setjmp(cmocka_skipped))
            (void)printf("%s: skipped\n", tests[i].name);
        else {
            tests[i].run(&state);
            (void)printf("%s: ok\n", tests[i].name);
        }
        (void)fflush(stdout);
    }
    return 0;
}

#endif
