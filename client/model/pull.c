/* pull.c - vlmq model pull: what there is, what of it is needed, file after file, and its place. */
#include "client/model/inside.h"
#include "client/print.h"
#include "common/base/clock.h"
#include "common/base/fs.h"
#include "common/base/rng.h"
#include "common/base/stop.h"
#include "common/base/str.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOKEN_BYTES   4096
#define CONNECT_MS    15000
#define WAIT_FIRST_MS 500
#define WAIT_MAX_MS   30000
/* Seconds that are waited for; who asks for more is told to a person. */
#define RETRY_AFTER_MAX 300
/* Kept free besides what is still to come: other programs of the machine write too. */
#define SPARE_BYTES ((int64_t)64 * 1024 * 1024)

/* ---- waiting ---- */

static int interrupted(struct err *err)
{
    return err_set(err, ERR_CANCELLED, "interrupted; the same command goes on where it was");
}

int pull_wait(struct pull *pull, uint32_t tries, const struct hub_headers *headers, struct err *err)
{
    uint64_t chance;
    int64_t wait_ms = WAIT_FIRST_MS;
    if (headers->retry_after_s > RETRY_AFTER_MAX)
        return err_set(err, ERR_UNAVAILABLE, "%.80s asks to wait for %" PRId64 " s; try again then",
                       pull->endpoint, headers->retry_after_s);
    for (uint32_t i = 1; i < tries && wait_ms < WAIT_MAX_MS; i++) wait_ms *= 2;
    rng_secure(&chance, sizeof chance);
    wait_ms += (int64_t)(chance % (uint64_t)wait_ms); /* so that many do not come together */
    if (headers->retry_after_s * 1000 > wait_ms) wait_ms = headers->retry_after_s * 1000;
    const int64_t end_ms = clock_real.mono_ms(&clock_real) + wait_ms;
    while (!stop_count()) {
        const int64_t left_ms = end_ms - clock_real.mono_ms(&clock_real);
        if (left_ms <= 0) return 0;
        struct pollfd poller = {.fd = pull->wake.fd, .events = POLLIN};
        (void)poll(&poller, 1, (int)left_ms);
    }
    return interrupted(err);
}

/* ---- what the hub says ---- */

struct text {
    struct buf buf;
};

static int on_begin(void *ctx, long status, const struct hub_headers *headers, struct err *err)
{
    (void)status, (void)headers, (void)err;
    buf_clear(&((struct text *)ctx)->buf);
    return 0;
}

static int on_body(void *ctx, const void *data, size_t bytes, struct err *err)
{
    struct text *text = ctx;
    buf_add(&text->buf, data, bytes);
    if (!buf_failed(&text->buf)) return 0;
    return err_set(err, ERR_LIMIT, "the hub's answer has more than %zu bytes", HUB_JSON_BYTES_MAX);
}

/* One JSON answer, with the tries it takes. */
static int ask(struct pull *pull, struct text *text, struct hub_headers *headers, const char *url,
               struct err *err)
{
    const struct http_request request = {
        .url = url, .begin = on_begin, .body = on_body, .ctx = text};
    for (uint32_t tries = 1;; tries++) {
        long status = 0;
        int rc = http_get(pull->http, &request, &status, headers, err);
        if (!rc && status == 200) return 0;
        bool may_retry = rc == ERR_UNAVAILABLE || rc == ERR_TIMEOUT;
        if (!rc) {
            may_retry = hub_may_retry(status);
            rc = hub_refuse(&pull->about, status, headers->error_code, err);
        }
        if (!may_retry || tries >= TRIES_MAX) return rc;
        meter_say(&pull->meter, "%s; trying again", err->msg);
        rc = pull_wait(pull, tries, headers, err);
        if (rc) return rc;
    }
}

static int ask_commit(struct pull *pull, struct err *err)
{
    struct text text;
    struct buf url;
    struct hub_headers headers;
    buf_init(&text.buf, HUB_JSON_BYTES_MAX);
    buf_init(&url, 0);
    int rc = 0;
    if (!hub_revision_url(&url, pull->endpoint, pull->repo, pull->revision))
        rc = err_set(err, ERR_INVALID, "--revision is too long");
    if (!rc) rc = ask(pull, &text, &headers, buf_str(&url), err);
    if (!rc) rc = hub_commit_parse(pull->commit, buf_str(&text.buf), text.buf.len, err);
    buf_deinit(&url);
    buf_deinit(&text.buf);
    return rc;
}

static int ask_listing(struct pull *pull, struct err *err)
{
    char next[HUB_URL_BYTES_MAX];
    struct text text;
    struct buf url;
    struct hub_headers headers;
    buf_init(&text.buf, HUB_JSON_BYTES_MAX);
    buf_init(&url, 0);
    int rc = 0, pages = 0;
    if (!hub_tree_url(&url, pull->endpoint, pull->repo, pull->commit))
        rc = err_set(err, ERR_INVALID, "the endpoint is too long");
    while (!rc) {
        if (++pages > HUB_PAGES_MAX)
            rc = err_set(err, ERR_LIMIT, "the hub's listing has more than %d pages", HUB_PAGES_MAX);
        if (!rc) rc = ask(pull, &text, &headers, buf_str(&url), err);
        if (!rc) rc = hub_tree_parse(&pull->listing, buf_str(&text.buf), text.buf.len, err);
        if (rc || !headers.next[0]) break;
        rc = http_next(pull->http, next, buf_str(&url), headers.next, err);
        buf_clear(&url);
        if (!rc) buf_text(&url, next);
    }
    buf_deinit(&url);
    buf_deinit(&text.buf);
    return rc;
}

/* ---- what is here ---- */

static const struct model_file *entry_of(const struct model_info *info, const char *path)
{
    for (uint32_t i = 0; i < info->files_count; i++)
        if (str_eq(info->file[i].name, path)) return &info->file[i];
    return NULL;
}

/* Whether the published file is what vlmq.json says, by its size and time. */
static bool is_unchanged(const struct pull *pull, const struct model_file *entry)
{
    struct model_file now;
    struct err ignored;
    return !model_file_look(&now, pull->places.folder, entry->name, &ignored) &&
           now.bytes == entry->bytes && now.mtime_ns == entry->mtime_ns;
}

static bool is_here(const struct pull *pull, const struct model_info *info)
{
    if (!str_eq(info->revision, pull->commit) || !str_eq(info->repository, pull->repo))
        return false;
    for (uint32_t i = 0; i < pull->listing.count; i++) {
        const struct hub_file *file = &pull->listing.file[i];
        const struct model_file *entry = file->chosen ? entry_of(info, file->path) : NULL;
        if (file->chosen && (!entry || !is_unchanged(pull, entry))) return false;
    }
    return true;
}

/* Large files that the older revision here has as well: a second name instead of a download. Where
 * that does not go they are fetched. */
static void reuse(const struct pull *pull, const struct model_info *info)
{
    struct err ignored;
    for (uint32_t i = 0; i < pull->listing.count; i++) {
        char from[PATH_MAX], to[PATH_MAX], sum[PATH_MAX];
        const struct hub_file *file = &pull->listing.file[i];
        const struct model_file *entry = file->chosen ? entry_of(info, file->path) : NULL;
        if (!entry || !file->sha256[0] || !str_eq(entry->sha256, file->sha256)) continue;
        if (entry->bytes != file->bytes || !is_unchanged(pull, entry)) continue;
        if (places_part(to, &pull->places, file, "", &ignored) || fs_exists(to)) continue;
        if (places_part(sum, &pull->places, file, ".sha256", &ignored)) continue;
        if (!fs_join(from, sizeof from, pull->places.folder, file->path)) continue;
        if (fs_put(sum, file->sha256, HASH_SHA256_TEXT - 1, &ignored)) continue;
        (void)!link(from, to);
    }
}

static int64_t bytes_of(const struct pull *pull, const struct hub_file *file)
{
    char path[PATH_MAX];
    int64_t bytes = 0;
    struct err ignored;
    if (!places_part(path, &pull->places, file, "", &ignored) && fs_exists(path))
        return file->bytes;
    if (places_part(path, &pull->places, file, ".part", &ignored)) return 0;
    return fs_size(&bytes, path, &ignored) ? 0 : bytes;
}

/* Says at the beginning what would be said after hours. */
static int check_room(const struct pull *pull, struct err *err)
{
    char a[32], b[32];
    int64_t wanted = 0, room = 0;
    for (uint32_t i = 0; i < pull->listing.count; i++) {
        const struct hub_file *file = &pull->listing.file[i];
        if (!file->chosen) continue;
        const int64_t here = bytes_of(pull, file);
        wanted += here < file->bytes ? file->bytes - here : 0;
    }
    const int rc = fs_free_bytes(&room, pull->places.part, err);
    if (rc || wanted == 0 || wanted <= room - SPARE_BYTES) return rc;
    return err_set(err, ERR_LIMIT, "%s needs %s more; %.100s has %s free", pull->repo,
                   str_human_bytes(a, sizeof a, (double)wanted), pull->places.models,
                   str_human_bytes(b, sizeof b, (double)room));
}

/* ---- the pull ---- */

static int fetch_all(struct pull *pull, struct err *err)
{
    int rc = 0;
    for (uint32_t i = 0; !rc && i < pull->listing.count; i++) {
        const struct hub_file *file = &pull->listing.file[i];
        if (!file->chosen) continue;
        const uint32_t before = pull->fetched;
        char size[32];
        rc = stop_count() ? interrupted(err) : pull_file(pull, file, err);
        if (rc == ERR_CANCELLED) rc = interrupted(err);
        if (!rc && pull->fetched > before && !print_width(STDERR_FILENO))
            meter_say(&pull->meter, "%s: %s (%s)", pull->repo, file->path,
                      str_human_bytes(size, sizeof size, (double)file->bytes));
    }
    return rc;
}

static void print_end(const struct pull *pull, bool was_here)
{
    char size[32];
    const char *folder = pull->places.folder;
    if (!pull->cmd->json) {
        print_line("%s %s, revision %.12s, %s in %s", pull->repo,
                   was_here ? "was here already" : "is here", pull->commit,
                   str_human_bytes(size, sizeof size, (double)pull->meter.bytes_total), folder);
        return;
    }
    struct buf out;
    buf_init(&out, 0);
    buf_text(&out, "{\"model\":");
    str_json(&out, pull->repo, strlen(pull->repo));
    buf_printf(&out, ",\"revision\":\"%s\",\"folder\":", pull->commit);
    str_json(&out, folder, strlen(folder));
    buf_printf(&out, ",\"bytes\":%" PRId64 ",\"files_fetched\":%" PRIu32 "}\n",
               pull->meter.bytes_total, pull->fetched);
    print_out(stdout, &out);
    buf_deinit(&out);
}

static int64_t sum_of(const struct hub_listing *listing)
{
    int64_t bytes = 0;
    for (uint32_t i = 0; i < listing->count; i++)
        if (listing->file[i].chosen) bytes += listing->file[i].bytes;
    return bytes;
}

static int pull_all(struct pull *pull, struct err *err)
{
    struct arena *arena = &pull->cmd->arena;
    struct model_info old = {.files_count = 0};
    struct err ignored;
    int rc = places_check(&pull->places, err);
    if (!rc) rc = ask_commit(pull, err);
    if (!rc) rc = ask_listing(pull, err);
    if (!rc) rc = hub_choose(&pull->listing, pull->repo, pull->options->all, err);
    if (!rc) rc = fs_mkdirs(pull->places.part, err);
    if (rc) return rc;
    pull->meter.bytes_total = sum_of(&pull->listing);
    const bool known = !model_info_read(&old, pull->places.folder, arena, &ignored);
    if (known && is_here(pull, &old)) {
        print_end(pull, true);
        return fs_remove_tree(pull->places.part, err);
    }
    places_recover(&pull->places, &pull->listing);
    if (known) reuse(pull, &old);
    rc = check_room(pull, err);
    if (!rc) rc = fetch_all(pull, err);
    if (rc) return rc;
    struct model_info info = {
        .repository = pull->repo,
        .revision = pull->commit,
        .endpoint = pull->endpoint,
        .pulled_at_ms = clock_real.wall_ms(&clock_real),
    };
    rc = places_publish(&pull->places, &pull->listing, &info, arena, err);
    meter_clear(&pull->meter);
    if (!rc) print_end(pull, false);
    return rc;
}

/* ---- before it ---- */

static int read_token(char token[TOKEN_BYTES], const char *path, struct err *err)
{
    struct buf text;
    buf_init(&text, 0);
    int rc = fs_read(&text, path, TOKEN_BYTES - 1, err);
    if (!rc) {
        const char *from = buf_str(&text) + strspn(buf_str(&text), " \t\r\n");
        (void)str_copy(token, TOKEN_BYTES, from);
        token[strcspn(token, " \t\r\n")] = 0;
        if (!token[0]) rc = err_set(err, ERR_INVALID, "%.120s holds no token", path);
    }
    if (text.data) explicit_bzero(text.data, text.cap);
    buf_deinit(&text);
    return rc;
}

/* --token-file, else HF_TOKEN, else what `hf auth login` has left, which is for the hub alone. */
static int find_token(char token[TOKEN_BYTES], const struct model_options *options,
                      const char *endpoint, struct err *err)
{
    char path[PATH_MAX] = "";
    const char *given = getenv("HF_TOKEN"), *file = getenv("HF_TOKEN_PATH");
    const char *hub = getenv("HF_HOME"), *home = getenv("HOME");
    token[0] = 0;
    if (options->token_file) return read_token(token, options->token_file, err);
    if (given && *given) {
        if (str_copy(token, TOKEN_BYTES, given)) return 0;
        return err_set(err, ERR_INVALID, "HF_TOKEN is too long");
    }
    if (!str_eq(endpoint, HUB_ENDPOINT)) return 0;
    if (file && *file)
        (void)str_copy(path, sizeof path, file);
    else if (hub && *hub)
        (void)snprintf(path, sizeof path, "%s/token", hub);
    else if (home && *home)
        (void)snprintf(path, sizeof path, "%s/.cache/huggingface/token", home);
    return path[0] && fs_exists(path) ? read_token(token, path, err) : 0;
}

static bool is_set(const char *name)
{
    const char *value = getenv(name);
    return value && *value && !str_eq(value, "0") && strcasecmp(value, "false") != 0 &&
           strcasecmp(value, "no") != 0 && strcasecmp(value, "off") != 0;
}

static const char *find_endpoint(struct command *cmd, const struct model_options *options)
{
    const char *given = options->endpoint;
    if (!given) given = getenv("HF_ENDPOINT");
    if (!given || !*given) given = HUB_ENDPOINT;
    char *endpoint = arena_text(&cmd->arena, given, strlen(given));
    for (size_t i = endpoint ? strlen(endpoint) : 0; i > 1 && endpoint[i - 1] == '/'; i--)
        endpoint[i - 1] = 0;
    return endpoint ? endpoint : given;
}

static void tell_waiting(void *ctx)
{
    struct pull *pull = ctx;
    meter_say(&pull->meter, "another vlmq fetches %s; waiting for it", pull->repo);
}

static int run(struct pull *pull, char token[TOKEN_BYTES], struct err *err)
{
    char models[PATH_MAX];
    struct http_options http = {
        .endpoint = pull->endpoint,
        .connect_ms = CONNECT_MS,
        .tick = meter_tick,
        .tick_ctx = &pull->meter,
    };
    int rc = find_token(token, pull->options, pull->endpoint, err);
    if (!rc && token[0]) http.token = token;
    pull->about.has_token = http.token != NULL;
    if (!rc) rc = http_open(&pull->http, &http, err);
    if (!rc) rc = model_folder(models, pull->options, err);
    if (!rc) rc = places_name(&pull->places, models, pull->repo, err);
    if (!rc) rc = places_open(&pull->places, tell_waiting, pull, err);
    return rc ? rc : pull_all(pull, err);
}

int model_pull(struct command *cmd, const struct model_options *options, const char *repo,
               struct err *err)
{
    char token[TOKEN_BYTES] = "";
    struct pull pull = {.cmd = cmd, .options = options, .repo = repo};
    if (!model_name_valid(repo))
        return err_set(err, ERR_INVALID, "'%.80s' is no repository: give OWNER/NAME", repo);
    if (is_set("HF_HUB_OFFLINE"))
        return err_set(err, ERR_UNAVAILABLE,
                       "HF_HUB_OFFLINE is set, so nothing is fetched; a folder can be copied from "
                       "another machine");
    pull.revision = options->revision && *options->revision ? options->revision : "main";
    pull.endpoint = find_endpoint(cmd, options);
    pull.about =
        (struct hub_about){.repo = repo, .revision = pull.revision, .endpoint = pull.endpoint};
    pull.places.lock = -1;
    if (wake_open(&pull.wake)) return err_set(err, ERR_LIMIT, "no event descriptor is left");
    stop_install(&pull.wake);
    meter_init(&pull.meter, repo, cmd->json);
    hub_listing_init(&pull.listing, &cmd->arena);
    int rc = run(&pull, token, err);
    meter_clear(&pull.meter);
    explicit_bzero(token, sizeof token);
    http_close(pull.http);
    places_close(&pull.places);
    hub_listing_deinit(&pull.listing);
    stop_install(NULL);
    wake_close(&pull.wake);
    if (rc == ERR_CANCELLED && stop_count()) {
        if (!cmd->json) (void)fprintf(stderr, "vlmq: %s\n", err->msg);
        cmd->status = STATUS_INTERRUPTED;
        return 0;
    }
    return rc;
}
