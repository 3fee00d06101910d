/* front.c - the real network: a listening socket and its key file. */
#include "broker/front.h"

#include "common/base/log.h"
#include "common/base/mem.h"

#include <sys/stat.h>
#include <time.h>

struct front {
    struct sock *sock;
    const char *key_file;
    struct timespec keys_changed_at; /* of the file that is in force, or was refused last */
};

static struct timespec changed_at(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) return (struct timespec){0};
    return st.st_mtim;
}

int front_open(struct front **front, const struct front_options *options, struct err *err)
{
    struct sock_keys keys = {0};
    struct front *f = mem_new(sizeof *f);
    f->key_file = options->key_file;
    int rc = 0;
    if (f->key_file) {
        f->keys_changed_at = changed_at(f->key_file);
        rc = sock_keys_load(&keys, f->key_file, err);
        if (rc) goto out;
    }
    rc = sock_listen(&f->sock, options->listen, options->listen_count, f->key_file ? &keys : NULL,
                     options->insecure, err);
out:
    sock_keys_deinit(&keys);
    if (rc) {
        front_close(f);
        return rc;
    }
    *front = f;
    return 0;
}

void front_close(struct front *front)
{
    if (!front) return;
    sock_close(front->sock);
    mem_free(front);
}

const char *front_address(const struct front *front, uint32_t i)
{
    return sock_address(front->sock, i);
}

bool front_recv(struct front *front, struct sock_peer *peer, const void **data, size_t *bytes)
{
    return sock_recv(front->sock, peer, data, bytes) == 1;
}

bool front_send(struct front *front, const struct sock_peer *peer, const void *data, size_t bytes)
{
    return sock_send_to(front->sock, peer, data, bytes);
}

void front_wait(struct front *front, const int *fds, uint32_t fds_count, int64_t wait_ms)
{
    (void)sock_poll(front->sock, fds, fds_count, wait_ms);
}

void front_refresh(struct front *front)
{
    if (!front->key_file) return;
    const struct timespec at = changed_at(front->key_file);
    if (at.tv_sec == 0 || (at.tv_sec == front->keys_changed_at.tv_sec &&
                           at.tv_nsec == front->keys_changed_at.tv_nsec)) {
        return;
    }
    front->keys_changed_at = at;
    struct sock_keys keys = {0};
    struct err err;
    if (sock_keys_load(&keys, front->key_file, &err)) {
        log_warn("keys.refused", "msg=%s", log_quote(err.msg));
    } else {
        sock_allow_replace(front->sock, &keys);
        log_info("keys.read", "count=%u", keys.allow_count);
    }
    sock_keys_deinit(&keys);
}
