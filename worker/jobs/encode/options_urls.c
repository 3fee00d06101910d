/* options_urls.c - see options_urls.h; ranges and defaults are those of the download kind. */
#include "worker/jobs/encode/options_urls.h"

#include "common/base/str.h"
#include "worker/list/list_spec.h"
#include "worker/pipe/fetch_spec.h"

#include <inttypes.h>
#include <string.h>

/* Ten minutes, as a late shard of the download kind has: nothing comes after this one. */
#define TAIL_MS     (600 * 1000)
#define TAIL_MS_MAX (24 * 3600 * 1000)
#define URL_COLUMN  "url"

_Static_assert((int)LIST_TXT == VLMQ__JOBS__ENCODE_INPUT__ENCODE_INPUT_TXT &&
                   (int)LIST_CSV == VLMQ__JOBS__ENCODE_INPUT__ENCODE_INPUT_CSV &&
                   (int)LIST_TSV == VLMQ__JOBS__ENCODE_INPUT__ENCODE_INPUT_TSV &&
                   (int)LIST_JSONL == VLMQ__JOBS__ENCODE_INPUT__ENCODE_INPUT_JSONL &&
                   (int)LIST_JSON == VLMQ__JOBS__ENCODE_INPUT__ENCODE_INPUT_JSON &&
                   (int)LIST_PARQUET == VLMQ__JOBS__ENCODE_INPUT__ENCODE_INPUT_PARQUET,
               "encode.proto and list_record.h agree");

/* Fields that a line of a URL list's sample has of its own; see source_urls.c. */
static const char *const reserved[] = {"url", "final_url", "http_status", "sha256"};

enum list_format list_of_input(Vlmq__Jobs__EncodeInput input)
{
    return (int)input > (int)LIST_AUTO && (int)input < (int)LIST_FORMATS_COUNT
               ? (enum list_format)(int)input
               : LIST_AUTO;
}

static const char *given_option(const Vlmq__Jobs__Encode *spec)
{
    const struct {
        bool given;
        const char *option;
    } all[] = {
        {spec->url_column[0], "url-column"},
        {spec->caption_column[0], "caption-column"},
        {spec->n_extra_columns, "extra-columns"},
        {spec->transfers, "transfers"},
        {spec->per_host, "per-host"},
        {spec->timeout_ms, "timeout-ms"},
        {spec->connect_timeout_ms, "connect-timeout-ms"},
        {spec->retries, "retries"},
        {spec->no_retries, "no-retries"},
        {spec->redirects, "redirects"},
        {spec->allow_private, "allow-private"},
        {spec->user_agent[0], "user-agent"},
        {spec->n_opt_out_directives, "opt-out-directives"},
        {spec->ignore_opt_out, "ignore-opt-out"},
        {spec->robots, "robots"},
        {spec->cookies, "cookies"},
        {spec->tail_timeout_ms, "tail-timeout-ms"},
        {spec->n_dns_servers, "dns-servers"},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i].given) return all[i].option;
    return NULL;
}

int url_options_init(struct url_options *options, struct arena *arena,
                     const Vlmq__Jobs__Encode *spec, struct err *err)
{
    const struct fetch_spec fetch = FETCH_SPEC(spec);
    const struct list_spec list = {.url_column = spec->url_column,
                                   .caption_column = spec->caption_column,
                                   .extra = spec->extra_columns,
                                   .extra_count = spec->n_extra_columns,
                                   .reserved = reserved,
                                   .reserved_count = sizeof reserved / sizeof reserved[0]};
    *options = (struct url_options){.tail_ms = TAIL_MS, .given = given_option(spec)};
    if (spec->tail_timeout_ms > TAIL_MS_MAX)
        return err_set(err, ERR_INVALID, "--tail-timeout-ms must be 1 to %d, not %" PRIu32,
                       TAIL_MS_MAX, spec->tail_timeout_ms);
    if (spec->tail_timeout_ms) options->tail_ms = spec->tail_timeout_ms;
    options->opt_out_chosen = fetch.opt_out_count || fetch.ignore_opt_out;
    const int rc = list_spec_columns(&options->columns, &list, err);
    return rc ? rc : fetch_options_init(&options->fetch, arena, &fetch, err);
}

static void add_text(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, ",\"%s\":", name);
    str_json(out, value, strlen(value));
}

void url_options_json(const struct url_options *options, struct buf *out)
{
    const struct list_columns *columns = &options->columns;
    if (!str_eq(columns->wanted[LIST_URL_COLUMN], URL_COLUMN))
        add_text(out, "url_column", columns->wanted[LIST_URL_COLUMN]);
    if (columns->wanted[LIST_CAPTION])
        add_text(out, "caption_column", columns->wanted[LIST_CAPTION]);
    for (uint32_t i = LIST_FIRST_EXTRA; i < columns->wanted_count; i++) {
        buf_text(out, i > LIST_FIRST_EXTRA ? "," : ",\"extra_columns\":[");
        str_json(out, columns->wanted[i], strlen(columns->wanted[i]));
    }
    if (columns->wanted_count > LIST_FIRST_EXTRA) buf_byte(out, ']');
    if (options->opt_out_chosen)
        add_text(out, "opt_out", options->fetch.opt_out ? options->fetch.opt_out : "");
    if (options->fetch.robots) buf_text(out, ",\"robots\":true");
}
