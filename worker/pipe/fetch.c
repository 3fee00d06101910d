/* fetch.c - transfers over libcurl's multi interface.
 *
 * A slot is one try of an item: one request. Connections, names and certificates belong to the
 * multi handle, and are shared by all of them. An item is in one of four places: a slot, the queue
 * of its host, the list of those that wait for their next try, or the list of the finished ones. */
#include "worker/pipe/fetch.h"

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/base/str.h"
#include "worker/pipe/fetch_data.h"
#include "worker/pipe/fetch_dns.h"
#include "worker/pipe/fetch_rules.h"
#include "worker/pipe/fetch_try.h"

#include <curl/curl.h>

#include <pthread.h>
#include <string.h>

#define BODY_KEPT_MAX  ((size_t)64 * 1024)
#define BACKOFF_MS_MAX 10000
#define HTTP_BUSY      429
/* Without sockets for more, there are fewer transfers for a while. */
#define HINDERED_MS 250
/* As many as RFC 9309 2.3.1.2 asks for. */
#define RULES_REDIRECTS 5

struct fetch {
    struct fetch_common common;
    CURLM *multi;
    struct fetch_hosts *hosts;
    struct fetch_dns *dns;
    struct rng rng;
    struct fetch_try *slot;
    struct fetch_try *resolving; /* those that wait for a name */
    uint32_t running;
    uint32_t most; /* that may run: options.transfers, or what this machine has sockets for */
    int64_t more_at_ms;
    bool held;
    struct fetch_item *waiting, *done_first, *done_last;
};

static const struct {
    const char *name, *text;
    bool retry;
} statuses[FETCH_STATUSES_COUNT] = {
#define X(symbol, name, retry, sentence) [symbol] = {name, sentence, retry},
    FETCH_STATUSES(X)
#undef X
};

const char *fetch_status_name(enum fetch_status status)
{
    CHECK(status < FETCH_STATUSES_COUNT);
    return statuses[status].name;
}

const char *fetch_status_text(enum fetch_status status)
{
    CHECK(status < FETCH_STATUSES_COUNT);
    return statuses[status].text;
}

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_started;

static void curl_start(void)
{
    curl_started = curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* ---- the ways of an item ---- */

/* What a failed try has left must not keep its memory while its row waits. */
static void drop_body(struct fetch_item *item)
{
    const size_t max = item->body.max;
    if (item->body.cap > BODY_KEPT_MAX) {
        buf_deinit(&item->body);
        buf_init(&item->body, max);
    }
    buf_clear(&item->body);
}

static void finish(struct fetch *fetch, struct fetch_item *item, enum fetch_status status)
{
    if (item->for_rules) {
        fetch_rules_take(fetch->hosts, item, status, clock_real.mono_ms(&clock_real));
        return;
    }
    item->status = status;
    item->next = NULL;
    if (item->deadline_at_ms)
        item->spent_ms = clock_real.mono_ms(&clock_real) -
                         (item->deadline_at_ms - fetch->common.options.total_ms);
    if (item->final_url && item->redirects) buf_text(item->final_url, fetch_url_whole(&item->at));
    fetch_try_forget(item);
    if (status != FETCH_OK) drop_body(item);
    if (fetch->done_last)
        fetch->done_last->next = item;
    else
        fetch->done_first = item;
    fetch->done_last = item;
}

static void begin(struct fetch *fetch, struct fetch_item *item);

/* Has a host's robots.txt asked for, if it is time to. */
static bool ask_rules(struct fetch *fetch, struct fetch_host *host, struct fetch_item *item)
{
    bool no_memory = false;
    if (!fetch->common.options.robots || item->for_rules) return true;
    struct fetch_item *rules =
        fetch_rules_item(host, item, clock_real.mono_ms(&clock_real), &no_memory);
    if (rules) begin(fetch, rules);
    return !no_memory;
}

/* To the queue of the host of item->at. */
static void enqueue(struct fetch *fetch, struct fetch_item *item, bool in_front)
{
    struct fetch_host *host = fetch_hosts_get(fetch->hosts, item->at.host);
    if (!host || !ask_rules(fetch, host, item)) {
        finish(fetch, item, FETCH_FAILED);
        return;
    }
    item->host = host;
    fetch_host_push(fetch->hosts, host, item, in_front || item->for_rules);
}

/* A try begins with the URL of the list. */
static void begin(struct fetch *fetch, struct fetch_item *item)
{
    fetch_try_forget(item);
    item->redirects = 0;
    item->header_bytes = 0;
    item->fresh = false;
    item->content_type[0] = 0;
    if (fetch_url_init(&item->at, NULL, item->url))
        enqueue(fetch, item, item->tries > 0);
    else
        finish(fetch, item, FETCH_BAD_URL);
}

static struct fetch_try *slot_free(struct fetch *fetch)
{
    for (uint32_t i = 0; i < fetch->common.options.transfers; i++)
        if (!fetch->slot[i].item) return &fetch->slot[i];
    return NULL;
}

/* How many may run. */
static void set_most(struct fetch *fetch, uint32_t most, int64_t now_ms)
{
    const bool all = most >= fetch->common.options.transfers;
    fetch->most = most;
    fetch->more_at_ms = now_ms + HINDERED_MS;
    /* Those that are kept open for later requests make room then. */
    (void)curl_multi_setopt(fetch->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, all ? 0L : (long)most);
}

/* Ms until the next try, or -1: it is not worth one. Tells the host's queue of a pause. */
static int64_t retry_delay(struct fetch *fetch, const struct fetch_item *item,
                           const struct fetch_result *result, int64_t now_ms)
{
    const struct fetch_options *options = &fetch->common.options;
    const bool busy = result->status == FETCH_HTTP_STATUS &&
                      (item->http_status >= 500 || item->http_status == HTTP_BUSY);
    const uint32_t doublings = item->tries - 1 < 10 ? item->tries - 1 : 10;
    int64_t delay_ms = options->backoff_ms << doublings;
    if (delay_ms > BACKOFF_MS_MAX) delay_ms = BACKOFF_MS_MAX;
    const int64_t least_ms = delay_ms / 2;
    delay_ms = least_ms + (int64_t)(rng_unit(&fetch->rng) * (double)(delay_ms - least_ms));
    if (busy) {
        if (delay_ms < result->retry_after_s * 1000) delay_ms = result->retry_after_s * 1000;
        if (result->retry_after_s || item->http_status == HTTP_BUSY)
            fetch_host_pause(item->host, now_ms + delay_ms);
    }
    if (result->hindered)
        delay_ms = HINDERED_MS;
    else if (item->tries > options->retries || !(statuses[result->status].retry || busy))
        return -1;
    return delay_ms < item->deadline_at_ms - now_ms ? delay_ms : -1;
}

static void wait_for_retry(struct fetch *fetch, struct fetch_item *item,
                           const struct fetch_result *result, int64_t due_at_ms)
{
    drop_body(item);
    if (result->hindered) item->tries--; /* it came to nothing that could fail */
    item->status = result->status;
    item->due_at_ms = due_at_ms;
    item->next = fetch->waiting;
    fetch->waiting = item;
}

/* A slot's try came to no request. */
static void slot_failed(struct fetch *fetch, struct fetch_try *slot, enum fetch_status status,
                        bool hindered, int64_t now_ms)
{
    struct fetch_item *item = slot->item;
    const struct fetch_result result = {.status = status, .hindered = hindered};
    fetch_try_deinit(slot);
    fetch->running--;
    const int64_t delay_ms = retry_delay(fetch, item, &result, now_ms);
    const bool nameless =
        status == FETCH_DNS_NOT_FOUND || status == FETCH_DNS_FAILED || status == FETCH_DNS_TIMEOUT;
    const bool for_all =
        status == FETCH_DNS_NOT_FOUND || item->tries > fetch->common.options.retries;
    if (nameless && delay_ms < 0 && for_all) fetch_host_nameless(item->host, status, now_ms);
    if (hindered) set_most(fetch, fetch->running ? fetch->running : 1, now_ms);
    fetch_host_ended(fetch->hosts, item->host, item, FETCH_CONTACT_NONE, now_ms);
    item->host = NULL;
    if (delay_ms < 0)
        finish(fetch, item, status);
    else
        wait_for_retry(fetch, item, &result, now_ms + delay_ms);
}

/* Sends the slot's request; its name, if it has one, is ready. */
static void send_request(struct fetch *fetch, struct fetch_try *slot, int64_t now_ms)
{
    struct fetch_name *name = slot->name;
    const enum fetch_status status = name ? name->status : FETCH_OK;
    struct fetch_host *host = slot->item->host;
    const bool tell = now_ms >= host->told_until_ms;
    const bool ok = !status &&
                    fetch_try_init(slot, &fetch->common, slot->item, name, tell, now_ms) &&
                    !curl_multi_add_handle(fetch->multi, slot->easy);
    if (ok && tell) host->told_until_ms = now_ms + FETCH_TRY_KNOWS_MS;
    if (ok) host->nameless_until_ms = 0;
    if (name) fetch_dns_release(fetch->dns, name);
    if (!ok)
        slot_failed(fetch, slot, status ? status : FETCH_FAILED, status == FETCH_FAILED, now_ms);
}

/* Those whose name has been looked up, or whose time is over meanwhile, go on. */
static void go_on_resolved(struct fetch *fetch, int64_t now_ms)
{
    struct fetch_try **link = &fetch->resolving;
    while (*link) {
        struct fetch_try *slot = *link;
        if (!slot->name->ready && now_ms < slot->item->deadline_at_ms) {
            link = &slot->next;
            continue;
        }
        *link = slot->next;
        if (slot->name->ready) {
            send_request(fetch, slot, now_ms);
            continue;
        }
        fetch_dns_release(fetch->dns, slot->name);
        slot_failed(fetch, slot, FETCH_TIMEOUT, false, now_ms);
    }
}

static void begin_try(struct fetch *fetch, struct fetch_item *item, int64_t now_ms)
{
    struct fetch_try *slot = slot_free(fetch);
    char host[FETCH_HOST_BYTES];
    CHECK(slot != NULL);
    fetch->running++;
    *slot = (struct fetch_try){.item = item};
    CHECK(str_copy(host, sizeof host, item->at.host));
    *strrchr(host, ':') = 0; /* the port */
    if (fetch_dns_is_name(host)) {
        item->named = true;
        slot->name = fetch_dns_get(fetch->dns, host, now_ms);
        if (!slot->name) {
            slot_failed(fetch, slot, FETCH_FAILED, false, now_ms);
            return;
        }
    }
    if (!slot->name || slot->name->ready) {
        send_request(fetch, slot, now_ms);
    } else {
        slot->next = fetch->resolving;
        fetch->resolving = slot;
    }
}

/* The item's turn has come. */
static void try_item(struct fetch *fetch, struct fetch_item *item, int64_t now_ms)
{
    if (!item->deadline_at_ms) item->deadline_at_ms = now_ms + fetch->common.options.total_ms;
    if (now_ms >= item->deadline_at_ms) {
        fetch_host_ended(fetch->hosts, item->host, item, FETCH_CONTACT_NONE, now_ms);
        finish(fetch, item, item->status ? item->status : FETCH_TIMEOUT);
        return;
    }
    const enum fetch_status ruled = fetch_rules_judge(item->host, item);
    if (ruled) {
        fetch_host_ended(fetch->hosts, item->host, item, FETCH_CONTACT_NONE, now_ms);
        finish(fetch, item, ruled);
        return;
    }
    if (!item->redirects) {
        item->tries += !item->fresh;
        item->http_status = 0;
    }
    item->status = FETCH_OK;
    buf_clear(&item->body);
    begin_try(fetch, item, now_ms);
}

/* What a retry found says more about the row than that there is no further one. */
static void fail_in_queue(struct fetch *fetch, struct fetch_item *item, enum fetch_status status)
{
    finish(fetch, item, item->status ? item->status : status);
}

/* Starts all that may start now. Returns how long nothing else will, at most wait_ms. */
static int64_t start_due(struct fetch *fetch, int64_t wait_ms)
{
    const int64_t now_ms = clock_real.mono_ms(&clock_real);
    struct fetch_item **link = &fetch->waiting;
    while (*link) {
        struct fetch_item *item = *link;
        if (item->due_at_ms > now_ms) {
            if (item->due_at_ms - now_ms < wait_ms) wait_ms = item->due_at_ms - now_ms;
            link = &item->next;
            continue;
        }
        *link = item->next;
        begin(fetch, item);
    }
    if (fetch->most < fetch->common.options.transfers && now_ms >= fetch->more_at_ms)
        set_most(fetch, fetch->most + 1, now_ms);
    for (;;) {
        struct fetch_item *item = NULL;
        enum fetch_status status = FETCH_OK;
        const bool can_start = !fetch->held && fetch->running < fetch->most;
        const enum fetch_turn turn =
            fetch_hosts_next(fetch->hosts, &item, &status, can_start, now_ms, &wait_ms);
        if (turn == FETCH_TURN_NONE) return wait_ms;
        if (turn == FETCH_TURN_START)
            try_item(fetch, item, now_ms);
        else
            fail_in_queue(fetch, item, status);
    }
}

/* To where the answer of a hop points. */
static void follow(struct fetch *fetch, struct fetch_item *item, const char *location)
{
    struct fetch_url next;
    const uint32_t max = item->for_rules ? RULES_REDIRECTS : fetch->common.options.redirects;
    if (item->redirects >= max) {
        finish(fetch, item, FETCH_TOO_MANY_REDIRECTS);
        return;
    }
    if (!fetch_url_init(&next, &item->at, location)) {
        finish(fetch, item, FETCH_BAD_REDIRECT);
        return;
    }
    fetch_url_deinit(&item->at);
    item->at = next;
    item->redirects++;
    enqueue(fetch, item, true);
}

static void slot_ended(struct fetch *fetch, struct fetch_try *slot, CURLcode rc)
{
    struct fetch_item *item = slot->item;
    const int64_t now_ms = clock_real.mono_ms(&clock_real);
    const struct fetch_result result = fetch_try_result(slot, (int)rc, now_ms);
    (void)curl_multi_remove_handle(fetch->multi, slot->easy);
    fetch->running--;
    const int64_t delay_ms = result.redirected ? -1 : retry_delay(fetch, item, &result, now_ms);
    if (result.hindered && !result.unresolved)
        set_most(fetch, fetch->running ? fetch->running : 1, now_ms);
    if (result.unresolved) item->host->told_until_ms = 0;
    fetch_host_ended(fetch->hosts, item->host, item, result.contact, now_ms);
    item->host = NULL;
    if (result.reused && (result.status == FETCH_PROTOCOL_ERROR || result.unresolved)) {
        /* Most likely what the answer before had left behind, such as the body of a 204; or the
         * connection ended as it was used again. */
        item->fresh = true;
        enqueue(fetch, item, true);
    } else if (result.redirected) {
        follow(fetch, item, slot->location);
    } else if (delay_ms < 0) {
        finish(fetch, item, result.status);
    } else {
        wait_for_retry(fetch, item, &result, now_ms + delay_ms);
    }
    fetch_try_deinit(slot);
}

/* ---- the public part ---- */

int fetch_new(struct fetch **fetch_out, const struct fetch_options *options, struct err *err)
{
    CHECK(options->transfers >= 1);
    CHECK(options->transfers <= FETCH_TRANSFERS_MAX);
    CHECK(options->body_bytes >= 1);
    CHECK(pthread_once(&curl_once, curl_start) == 0);
    if (curl_started) return err_set(err, ERR_INTERNAL, "libcurl cannot start");
    struct fetch *fetch = mem_new(sizeof *fetch);
    rng_secure(fetch->rng.s, sizeof fetch->rng.s);
    fetch->hosts = fetch_hosts_new(options);
    fetch->most = options->transfers;
    int rc = fetch_common_init(&fetch->common, options, err);
    if (!rc) rc = fetch_dns_new(&fetch->dns, options->dns_servers, options->connect_ms, err);
    if (!rc) {
        fetch->slot = mem_try(options->transfers * sizeof *fetch->slot);
        fetch->multi = curl_multi_init();
        if (!fetch->slot || !fetch->multi)
            rc = err_set(err, ERR_LIMIT, "no memory for %u transfers", options->transfers);
    }
    if (rc) {
        fetch_free(fetch);
        return rc;
    }
    (void)curl_multi_setopt(fetch->multi, CURLMOPT_MAXCONNECTS, (long)options->transfers);
    *fetch_out = fetch;
    return 0;
}

static void drop(struct fetch_item *item)
{
    if (item->for_rules)
        fetch_rules_item_free(item);
    else
        fetch_try_forget(item);
}

void fetch_free(struct fetch *fetch)
{
    if (!fetch) return;
    struct fetch_item *item;
    for (uint32_t i = 0; fetch->slot && i < fetch->common.options.transfers; i++) {
        struct fetch_try *slot = &fetch->slot[i];
        if (!slot->item) continue;
        if (slot->easy) (void)curl_multi_remove_handle(fetch->multi, slot->easy);
        drop(slot->item);
        fetch_try_deinit(slot);
    }
    while ((item = fetch->waiting) != NULL) {
        fetch->waiting = item->next;
        drop(item);
    }
    while ((item = fetch_hosts_drop(fetch->hosts)) != NULL) drop(item);
    mem_free(fetch->slot);
    fetch_hosts_free(fetch->hosts);
    fetch_dns_free(fetch->dns);
    (void)curl_multi_cleanup(fetch->multi);
    fetch_common_deinit(&fetch->common);
    mem_free(fetch);
}

static void collect(struct fetch *fetch)
{
    int running = 0, left = 0;
    (void)curl_multi_perform(fetch->multi, &running);
    CURLMsg *message;
    while ((message = curl_multi_info_read(fetch->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE) continue;
        const CURLcode rc = message->data.result;
        struct fetch_try *slot = NULL;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&slot);
        slot_ended(fetch, slot, rc);
    }
}

uint32_t fetch_room(const struct fetch *fetch)
{
    return fetch->held || fetch->running >= fetch->most ? 0 : fetch->most - fetch->running;
}

uint32_t fetch_running(const struct fetch *fetch)
{
    return fetch->running;
}

void fetch_hold(struct fetch *fetch, bool hold)
{
    fetch->held = hold;
}

bool fetch_has_ended(const struct fetch *fetch)
{
    return fetch->done_first != NULL;
}

void fetch_start(struct fetch *fetch, struct fetch_item *item)
{
    item->tries = 0;
    item->status = FETCH_OK;
    item->http_status = 0;
    item->deadline_at_ms = 0;
    item->at = (struct fetch_url){0};
    item->cookies = NULL;
    item->redirects = 0;
    item->spent_ms = 0;
    item->named = false;
    if (item->final_url) buf_clear(item->final_url);
    item->content_type[0] = 0;
    buf_clear(&item->body);
    if (fetch_data_is(item->url)) {
        finish(fetch, item, fetch_data_decode(item, fetch->common.options.body_bytes));
        return;
    }
    begin(fetch, item);
    (void)start_due(fetch, 0);
}

/* Waits for the transfers and the look-ups, and goes on with the latter. */
static void wait(struct fetch *fetch, int64_t wait_ms)
{
    struct fetch_dns_socket socket[FETCH_DNS_SOCKETS_MAX];
    struct curl_waitfd waits[FETCH_DNS_SOCKETS_MAX];
    const int64_t before_ms = clock_real.mono_ms(&clock_real);
    for (const struct fetch_try *slot = fetch->resolving; slot; slot = slot->next)
        if (slot->item->deadline_at_ms - before_ms < wait_ms)
            wait_ms = slot->item->deadline_at_ms - before_ms;
    if (wait_ms < 0) wait_ms = 0;
    const uint32_t count = fetch_dns_wait(fetch->dns, socket, before_ms, &wait_ms);
    for (uint32_t i = 0; i < count; i++) {
        const int events =
            (socket[i].read ? CURL_WAIT_POLLIN : 0) | (socket[i].write ? CURL_WAIT_POLLOUT : 0);
        waits[i] = (struct curl_waitfd){.fd = socket[i].fd, .events = (short)events};
    }
    (void)curl_multi_poll(fetch->multi, waits, count, (int)wait_ms, NULL);
    for (uint32_t i = 0; i < count; i++) {
        socket[i].read = socket[i].read && waits[i].revents;
        socket[i].write = socket[i].write && (waits[i].revents & CURL_WAIT_POLLOUT);
    }
    const int64_t now_ms = clock_real.mono_ms(&clock_real);
    fetch_dns_turn(fetch->dns, socket, count, now_ms);
    go_on_resolved(fetch, now_ms);
}

void fetch_turn(struct fetch *fetch, int64_t wait_ms)
{
    (void)start_due(fetch, 0);
    collect(fetch);
    /* What ended makes room for others, and they may end at once. */
    wait_ms = start_due(fetch, wait_ms);
    if (fetch->done_first) return;
    wait(fetch, wait_ms);
    (void)start_due(fetch, 0);
    collect(fetch);
    (void)start_due(fetch, 0);
}

void fetch_abandon(struct fetch *fetch)
{
    struct fetch_item *item;
    const int64_t now_ms = clock_real.mono_ms(&clock_real);
    fetch->resolving = NULL;
    for (uint32_t i = 0; i < fetch->common.options.transfers; i++) {
        struct fetch_try *slot = &fetch->slot[i];
        item = slot->item;
        if (!item) continue;
        if (slot->easy) (void)curl_multi_remove_handle(fetch->multi, slot->easy);
        if (slot->name) fetch_dns_release(fetch->dns, slot->name);
        fetch->running--;
        fetch_try_deinit(slot);
        fetch_host_ended(fetch->hosts, item->host, item, FETCH_CONTACT_NONE, now_ms);
        finish(fetch, item, FETCH_SHARD_TIMEOUT);
    }
    while ((item = fetch->waiting) != NULL) {
        fetch->waiting = item->next;
        fail_in_queue(fetch, item, FETCH_SHARD_TIMEOUT);
    }
    while ((item = fetch_hosts_drop(fetch->hosts)) != NULL)
        fail_in_queue(fetch, item, FETCH_SHARD_TIMEOUT);
}

struct fetch_item *fetch_take(struct fetch *fetch)
{
    struct fetch_item *item = fetch->done_first;
    if (!item) return NULL;
    fetch->done_first = item->next;
    if (!fetch->done_first) fetch->done_last = NULL;
    item->next = NULL;
    return item;
}

void fetch_wake(struct fetch *fetch)
{
    (void)curl_multi_wakeup(fetch->multi);
}
