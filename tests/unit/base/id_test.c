/* id_test.c - made identities are valid, distinct, and foreign ones are judged strictly. */
#include "common/base/id.h"

#include "common/base/str.h"
#include "tests/support/test.h"

#include <stdlib.h>
#include <string.h>

#define MADE 2000

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

TEST(id, jobs_are_valid_short_and_distinct)
{
    UNUSED_STATE;
    static char made[MADE][JOB_ID_BYTES];
    for (int i = 0; i < MADE; i++) {
        id_job(made[i]);
        EXPECT(id_job_valid(made[i]));
        EXPECT_EQ(strlen(made[i]), 12);
        EXPECT(strpbrk(made[i], "ilou") == NULL);
    }
    qsort(made, MADE, sizeof made[0], by_text);
    for (int i = 1; i < MADE; i++) EXPECT(!str_eq(made[i - 1], made[i]));
}

TEST(id, job_names_of_people_are_judged_by_the_rule)
{
    UNUSED_STATE;
    char longest[42];
    memset(longest, 'a', 40);
    longest[40] = 0;
    EXPECT(id_job_valid("a"));
    EXPECT(id_job_valid("laion-400m-1"));
    EXPECT(id_job_valid("7-"));
    EXPECT(id_job_valid(longest));
    longest[40] = 'a';
    longest[41] = 0;
    EXPECT(!id_job_valid(longest));
    EXPECT(!id_job_valid(NULL));
    EXPECT(!id_job_valid(""));
    EXPECT(!id_job_valid("-a"));
    EXPECT(!id_job_valid("A"));
    EXPECT(!id_job_valid("a b"));
    EXPECT(!id_job_valid("a{b}"));
    EXPECT(!id_job_valid("a\n"));
    EXPECT(!id_job_valid("\xc3\xa9"));
}

TEST(id, leases_are_128_bits_in_hexadecimal)
{
    UNUSED_STATE;
    char a[LEASE_ID_BYTES], b[LEASE_ID_BYTES];
    id_lease(a);
    id_lease(b);
    EXPECT(id_lease_valid(a));
    EXPECT(!str_eq(a, b));
    a[5] = 'A';
    EXPECT(!id_lease_valid(a));
    b[31] = 0;
    EXPECT(!id_lease_valid(b));
    EXPECT(!id_lease_valid(NULL));
    EXPECT(!id_lease_valid("0123456789abcdef0123456789abcdef0"));
}

TEST(id, workers_say_where_they_run_and_differ_per_start)
{
    UNUSED_STATE;
    char a[WORKER_ID_BYTES], b[WORKER_ID_BYTES];
    id_worker(a, "cuda:0");
    id_worker(b, "cuda:0");
    EXPECT(strstr(a, "/cuda:0/") != NULL);
    EXPECT(!str_eq(a, b));
    id_worker(a, "a device/with a very very very long name\n");
    EXPECT(strstr(a, "/a-device-with-a-very-ver/") != NULL);
    id_worker(a, NULL);
    EXPECT(strstr(a, "/-/") != NULL);
}

TEST(id, requests_are_never_zero)
{
    UNUSED_STATE;
    const uint64_t first = id_request();
    EXPECT(first != 0);
    EXPECT(first != id_request());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(id, jobs_are_valid_short_and_distinct),
        RUN(id, job_names_of_people_are_judged_by_the_rule),
        RUN(id, leases_are_128_bits_in_hexadecimal),
        RUN(id, workers_say_where_they_run_and_differ_per_start),
        RUN(id, requests_are_never_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
