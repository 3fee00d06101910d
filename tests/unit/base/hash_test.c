/* hash_test.c - SHA-256 against the examples of FIPS 180-2, in one piece and in many. */
#include "common/base/hash.h"

#include "common/base/rng.h"
#include "common/base/str.h"
#include "tests/support/test.h"

#include <string.h>

TEST(hash, known_texts_have_known_digests)
{
    UNUSED_STATE;
    static const struct {
        const char *text, *digest;
    } rows[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[HASH_SHA256_TEXT];
        hash_sha256_text(text, rows[i].text, strlen(rows[i].text));
        EXPECT_TEXT(text, rows[i].digest);
    }
}

TEST(hash, other_kinds_have_known_digests)
{
    UNUSED_STATE;
    static const char sha512[] = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                                 "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
    static const char *const digests[HASH_KINDS_COUNT] = {
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "900150983cd24fb0d6963f7d28e17f72", sha512};
    static const char *const names[HASH_KINDS_COUNT] = {"sha256", "md5", "sha512"};
    for (int i = 0; i < HASH_KINDS_COUNT; i++) {
        char text[HASH_TEXT_MAX];
        EXPECT(hash_text(text, (enum hash_kind)i, "abc", 3));
        EXPECT_TEXT(text, digests[i]);
        EXPECT_TEXT(hash_kind_name((enum hash_kind)i), names[i]);
    }
}

TEST(hash, pieces_give_the_digest_of_the_whole_and_end_starts_anew)
{
    UNUSED_STATE;
    struct rng rng;
    char data[5000];
    uint8_t whole[HASH_SHA256_BYTES], pieces[HASH_SHA256_BYTES];
    struct hash *hash = hash_new();
    rng_seed(&rng, test_seed());
    for (size_t i = 0; i < sizeof data; i++) data[i] = (char)rng_next(&rng);
    for (int round = 0; round < 20; round++) {
        size_t at = 0;
        while (at < sizeof data) {
            size_t bytes = (size_t)rng_below(&rng, 300);
            if (bytes > sizeof data - at) bytes = sizeof data - at;
            hash_add(hash, data + at, bytes);
            at += bytes;
        }
        hash_end(hash, pieces);
        hash_sha256(whole, data, sizeof data);
        EXPECT_MEM(whole, pieces, sizeof whole);
    }
    hash_free(hash);
    hash_free(NULL);
}

TEST(hash, a_peek_changes_nothing)
{
    UNUSED_STATE;
    uint8_t digest[32], expected[32];
    struct hash *hash = hash_new();
    for (size_t bytes = 1; bytes <= 3; bytes++) {
        hash_add(hash, &"abc"[bytes - 1], 1);
        hash_sha256(expected, "abc", bytes);
        for (int again = 0; again < 2; again++) {
            hash_peek(hash, digest);
            EXPECT_MEM(digest, expected, sizeof digest);
        }
    }
    hash_free(hash);
}

/* As `printf … | git hash-object --stdin` prints it. */
TEST(hash, blobs_have_the_names_that_git_gives_them)
{
    UNUSED_STATE;
    char name[HASH_GIT_TEXT];
    EXPECT(hash_git_blob(name, "", 0));
    EXPECT_TEXT(name, "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
    EXPECT(hash_git_blob(name, "hello\n", 6));
    EXPECT_TEXT(name, "ce013625030ba8dba906f756967f9e9ca394464a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(hash, blobs_have_the_names_that_git_gives_them),
        RUN(hash, known_texts_have_known_digests),
        RUN(hash, other_kinds_have_known_digests),
        RUN(hash, pieces_give_the_digest_of_the_whole_and_end_starts_anew),
        RUN(hash, a_peek_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
