/* hash.h - SHA-256 and friends, over libcrypto. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_SHA256_BYTES 32
#define HASH_SHA256_TEXT  65

struct hash; /* running SHA-256 */
struct hash *hash_new(void);
void hash_free(struct hash *hash);
void hash_add(struct hash *hash, const void *data, size_t bytes);
void hash_end(struct hash *hash, uint8_t digest[HASH_SHA256_BYTES]); /* and starts anew */

void hash_sha256(uint8_t digest[HASH_SHA256_BYTES], const void *data, size_t bytes);
/* Lower-case hexadecimal. */
void hash_sha256_text(char dst[HASH_SHA256_TEXT], const void *data, size_t bytes);

#endif
