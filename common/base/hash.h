/* hash.h - SHA-256 for what we write, and the hashes by which others name their data. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HASH_SHA256_BYTES 32
#define HASH_SHA256_TEXT  65

struct hash; /* running SHA-256 */
struct hash *hash_new(void);
void hash_free(struct hash *hash);
void hash_add(struct hash *hash, const void *data, size_t bytes);
void hash_end(struct hash *hash, uint8_t digest[HASH_SHA256_BYTES]); /* and starts anew */
/* Of what was added so far; more may follow. */
void hash_peek(const struct hash *hash, uint8_t digest[HASH_SHA256_BYTES]);

void hash_sha256(uint8_t digest[HASH_SHA256_BYTES], const void *data, size_t bytes);
/* Lower-case hexadecimal. */
void hash_sha256_text(char dst[HASH_SHA256_TEXT], const void *data, size_t bytes);

#define HASH_GIT_TEXT 41
/* The name of a blob in git: SHA-1 over "blob SIZE", a zero and the bytes; lower-case hexadecimal.
 * It tells whether a file came whole, and proves no more than SHA-1 does. false: this machine's
 * libcrypto does not give it. */
bool hash_git_blob(char dst[HASH_GIT_TEXT], const void *data, size_t bytes);

/* For data sets; MD5 proves nothing about who made the bytes. */
enum hash_kind { HASH_SHA256 = 0, HASH_MD5, HASH_SHA512, HASH_KINDS_COUNT };
#define HASH_TEXT_MAX 129 /* of the longest, with its zero */
/* Lower-case hexadecimal. false: this machine's libcrypto does not give it (MD5 under FIPS). */
bool hash_text(char dst[HASH_TEXT_MAX], enum hash_kind kind, const void *data, size_t bytes);
const char *hash_kind_name(enum hash_kind kind); /* "sha256", "md5", … */

#endif
