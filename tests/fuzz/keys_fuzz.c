/* keys_fuzz.c - any bytes as a key file: keys that are all keys, or a sentence without a secret. */
#include "common/base/check.h"
#include "common/base/str.h"
#include "proto/wire/sock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static bool key_or_none(const char *key)
{
    return key[0] == 0 || strlen(key) == SOCK_KEY_BYTES - 1;
}

static void check_keys(const struct sock_keys *keys)
{
    CHECK(keys->public_key[0] && key_or_none(keys->public_key));
    CHECK(keys->secret_key[0] && key_or_none(keys->secret_key));
    CHECK(key_or_none(keys->server_key));
    CHECK(keys->allow_count <= SOCK_ALLOW_MAX);
    for (uint32_t i = 0; i < keys->allow_count; i++) {
        const struct sock_allow *allow = &keys->allow[i];
        CHECK(strlen(allow->key) == SOCK_KEY_BYTES - 1);
        CHECK(allow->role != SOCK_ROLE_NONE);
        CHECK(strlen(allow->name) < sizeof allow->name);
        for (uint32_t k = 0; k < i; k++) CHECK(!str_eq(keys->allow[k].key, allow->key));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static int fd = -1;
    char path[64];
    struct sock_keys keys;
    struct err err = {0};
    if (fd < 0) {
        char name[] = "/tmp/keys_fuzz.XXXXXX";
        fd = mkstemp(name); /* of mode 600 */
        CHECK(fd >= 0);
        CHECK(unlink(name) == 0); /* the open file is enough */
    }
    CHECK(ftruncate(fd, 0) == 0);
    CHECK(pwrite(fd, data, bytes, 0) == (ssize_t)bytes);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (sock_keys_load(&keys, path, &err)) {
        CHECK(err.msg[0]);
        CHECK(keys.allow == NULL && keys.secret_key[0] == 0);
    } else {
        check_keys(&keys);
    }
    sock_keys_deinit(&keys);
    return 0;
}
