/* raw_fetch.c - the least that fetching over libcurl costs: one thread, epoll, handles used again,
 * bodies thrown away. What the download kind's fetch stage is measured against.
 *
 * Reads URLs, one in each line, and prints one line of JSON; fails unless each gave a body with
 * status 200. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/conf.h"
#include "common/base/mem.h"

#include <curl/curl.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define TRANSFERS_MAX 4096
#define URL_BYTES     4096
#define EVENTS        256

struct options {
    const char *urls, *ca_file;
    int64_t transfers;
};

struct loop {
    FILE *list;
    CURLM *multi;
    int epoll;
    int64_t timer_at_us; /* -1: none */
    int64_t bytes, rows;
    int running;
};

static size_t throw_away(char *data, size_t size, size_t count, void *ctx)
{
    struct loop *l = ctx;
    (void)data;
    l->bytes += (int64_t)(size * count);
    return size * count;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *known)
{
    struct loop *l = ctx;
    struct epoll_event event = {.data.fd = fd};
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        (void)epoll_ctl(l->epoll, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    if (what != CURL_POLL_OUT) event.events |= EPOLLIN;
    if (what != CURL_POLL_IN) event.events |= EPOLLOUT;
    if (!known) (void)curl_multi_assign(l->multi, fd, l);
    if (epoll_ctl(l->epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event)) {
        CHECK(errno == EEXIST || errno == ENOENT);
        CHECK(!epoll_ctl(l->epoll, known ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event));
    }
    return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *ctx)
{
    struct loop *l = ctx;
    (void)multi;
    l->timer_at_us = timeout_ms < 0 ? -1 : clock_mono_us() + timeout_ms * 1000;
    return 0;
}

/* Gives the handle the next URL; false: there is none. */
static bool start(struct loop *l, CURL *easy)
{
    char url[URL_BYTES];
    if (!fgets(url, sizeof url, l->list)) return false;
    url[strcspn(url, "\r\n")] = 0;
    CHECK(!curl_easy_setopt(easy, CURLOPT_URL, url));
    CHECK(!curl_multi_add_handle(l->multi, easy));
    return true;
}

static int take_ended(struct loop *l, struct err *err)
{
    int left;
    CURLMsg *said;
    while ((said = curl_multi_info_read(l->multi, &left)) != NULL) {
        long code = 0;
        CURL *easy = said->easy_handle;
        if (said->msg != CURLMSG_DONE) continue;
        const CURLcode rc = said->data.result;
        (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &code);
        if (rc || code != 200)
            return err_set(err, ERR_INTERNAL, "status %ld, %s", code, curl_easy_strerror(rc));
        l->rows++;
        (void)curl_multi_remove_handle(l->multi, easy);
        if (!start(l, easy)) curl_easy_cleanup(easy);
    }
    return 0;
}

static void turn(struct loop *l)
{
    struct epoll_event event[EVENTS];
    int wait_ms = 1000;
    if (l->timer_at_us >= 0) {
        const int64_t left_us = l->timer_at_us - clock_mono_us();
        wait_ms = left_us <= 0 ? 0 : (int)(left_us / 1000 + 1);
    }
    const int count = epoll_wait(l->epoll, event, EVENTS, wait_ms);
    for (int i = 0; i < count; i++) {
        int flags = 0;
        if (event[i].events & (EPOLLIN | EPOLLHUP)) flags |= CURL_CSELECT_IN;
        if (event[i].events & EPOLLOUT) flags |= CURL_CSELECT_OUT;
        if (event[i].events & EPOLLERR) flags |= CURL_CSELECT_ERR;
        (void)curl_multi_socket_action(l->multi, event[i].data.fd, flags, &l->running);
    }
    if (l->timer_at_us >= 0 && clock_mono_us() >= l->timer_at_us) {
        l->timer_at_us = -1;
        (void)curl_multi_socket_action(l->multi, CURL_SOCKET_TIMEOUT, 0, &l->running);
    }
}

static CURL *new_handle(struct loop *l, const struct options *o)
{
    CURL *easy = curl_easy_init();
    CHECK(easy);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, throw_away);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, l);
    (void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    /* With a path of certificates libcurl 7.88 would read them all for each connection. */
    (void)curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    if (o->ca_file) (void)curl_easy_setopt(easy, CURLOPT_CAINFO, o->ca_file);
    return easy;
}

static int64_t cpu_us(void)
{
    struct timespec now;
    CHECK(!clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now));
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int run(struct loop *l, const struct options *o, struct err *err)
{
    l->list = fopen(o->urls, "re");
    if (!l->list) return err_errno(err, errno, "open %s", o->urls);
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    CHECK(l->epoll >= 0 && !curl_global_init(CURL_GLOBAL_ALL));
    l->multi = curl_multi_init();
    CHECK(l->multi);
    (void)curl_multi_setopt(l->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    (void)curl_multi_setopt(l->multi, CURLMOPT_SOCKETDATA, l);
    (void)curl_multi_setopt(l->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    (void)curl_multi_setopt(l->multi, CURLMOPT_TIMERDATA, l);
    const int64_t wall_from_us = clock_mono_us(), cpu_from_us = cpu_us();
    for (int64_t i = 0; i < o->transfers; i++) {
        CURL *easy = new_handle(l, o);
        if (start(l, easy)) continue;
        curl_easy_cleanup(easy);
        break;
    }
    (void)curl_multi_socket_action(l->multi, CURL_SOCKET_TIMEOUT, 0, &l->running);
    int rc = 0;
    while (!rc && l->running) {
        turn(l);
        rc = take_ended(l, err);
    }
    (void)printf("{\"rows\": %" PRId64 ", \"bytes\": %" PRId64 ", \"wall_us\": %" PRId64
                 ", \"cpu_us\": %" PRId64 "}\n",
                 l->rows, l->bytes, clock_mono_us() - wall_from_us, cpu_us() - cpu_from_us);
    return rc;
}

int main(int argc, char **argv)
{
    static struct loop loop = {.timer_at_us = -1};
    struct options o = {.transfers = 64};
    struct err err = {0};
    const struct conf_option table[] = {
        {"urls", 0, CONF_TEXT, &o.urls, 0, 0, "FILE", "A URL in each line."},
        {"ca-file", 0, CONF_TEXT, &o.ca_file, 0, 0, "FILE", "Certificates to trust."},
        {"transfers", 0, CONF_INT, &o.transfers, 1, TRANSFERS_MAX, "N", "At a time."},
        {0},
    };
    struct conf conf = {.program = "bench_raw_fetch", .options = table};
    int rc = conf_parse(&conf, argc, argv, &err);
    if (!rc && !o.urls) rc = err_set(&err, ERR_INVALID, "--urls is missing");
    if (!rc) rc = run(&loop, &o, &err);
    if (rc) (void)fprintf(stderr, "bench_raw_fetch: %s\n", err.msg);
    return rc ? 1 : 0;
}
