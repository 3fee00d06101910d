/* hash.c - hashes over libcrypto. SHA-256 fails only when memory is out, and then dies: a digest
 * guards what was written, so there is no going on without it. */
#include "common/base/hash.h"

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#include <openssl/evp.h>
#include <stdio.h>

struct hash {
    EVP_MD_CTX *ctx;
};

static void start(struct hash *hash)
{
    CHECK(EVP_DigestInit_ex(hash->ctx, EVP_sha256(), NULL) == 1);
}

struct hash *hash_new(void)
{
    struct hash *hash = mem_new(sizeof *hash);
    hash->ctx = EVP_MD_CTX_new();
    CHECK(hash->ctx != NULL);
    start(hash);
    return hash;
}

void hash_free(struct hash *hash)
{
    if (!hash) return;
    EVP_MD_CTX_free(hash->ctx);
    mem_free(hash);
}

void hash_add(struct hash *hash, const void *data, size_t bytes)
{
    CHECK(EVP_DigestUpdate(hash->ctx, data, bytes) == 1);
}

void hash_end(struct hash *hash, uint8_t digest[HASH_SHA256_BYTES])
{
    CHECK(EVP_DigestFinal_ex(hash->ctx, digest, NULL) == 1);
    start(hash);
}

void hash_peek(const struct hash *hash, uint8_t digest[HASH_SHA256_BYTES])
{
    EVP_MD_CTX *copy = EVP_MD_CTX_new();
    CHECK(copy != NULL && EVP_MD_CTX_copy_ex(copy, hash->ctx) == 1);
    CHECK(EVP_DigestFinal_ex(copy, digest, NULL) == 1);
    EVP_MD_CTX_free(copy);
}

void hash_sha256(uint8_t digest[HASH_SHA256_BYTES], const void *data, size_t bytes)
{
    CHECK(EVP_Digest(data, bytes, digest, NULL, EVP_sha256(), NULL) == 1);
}

void hash_sha256_text(char dst[HASH_SHA256_TEXT], const void *data, size_t bytes)
{
    uint8_t digest[HASH_SHA256_BYTES];
    hash_sha256(digest, data, bytes);
    str_hex(dst, digest, sizeof digest);
}

bool hash_git_blob(char dst[HASH_GIT_TEXT], const void *data, size_t bytes)
{
    char head[32];
    uint8_t digest[EVP_MAX_MD_SIZE];
    uint32_t digest_bytes = 0;
    const int head_bytes = snprintf(head, sizeof head, "blob %zu", bytes) + 1; /* with the zero */
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const bool done = ctx && EVP_DigestInit_ex(ctx, EVP_sha1(), NULL) == 1 &&
                      EVP_DigestUpdate(ctx, head, (size_t)head_bytes) == 1 &&
                      EVP_DigestUpdate(ctx, data, bytes) == 1 &&
                      EVP_DigestFinal_ex(ctx, digest, &digest_bytes) == 1;
    EVP_MD_CTX_free(ctx);
    dst[0] = 0;
    if (!done) return false;
    CHECK(digest_bytes * 2 == HASH_GIT_TEXT - 1);
    str_hex(dst, digest, digest_bytes);
    return true;
}

bool hash_text(char dst[HASH_TEXT_MAX], enum hash_kind kind, const void *data, size_t bytes)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    uint32_t digest_bytes = 0;
    const EVP_MD *type = kind == HASH_MD5      ? EVP_md5()
                         : kind == HASH_SHA512 ? EVP_sha512()
                                               : EVP_sha256();
    dst[0] = 0;
    if (EVP_Digest(data, bytes, digest, &digest_bytes, type, NULL) != 1) return false;
    CHECK(digest_bytes * 2 < HASH_TEXT_MAX);
    str_hex(dst, digest, digest_bytes);
    return true;
}

const char *hash_kind_name(enum hash_kind kind)
{
    static const char *const names[HASH_KINDS_COUNT] = {"sha256", "md5", "sha512"};
    CHECK(kind < HASH_KINDS_COUNT);
    return names[kind];
}
