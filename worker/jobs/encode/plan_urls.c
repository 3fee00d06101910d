/* plan_urls.c - the shards of a URL list: rows of it, as the download kind cuts them. */
#include "common/base/str.h"
#include "worker/jobs/encode/plan.h"
#include "worker/list/list_plan.h"

#include <stdio.h>
#include <string.h>

struct urls {
    struct encode_plan *plan;
    struct list_plan *list;
};

static int look(void *ctx, struct err *err)
{
    const struct urls *urls = ctx;
    urls->plan->found = (int64_t)list_plan_rows(urls->list);
    return encode_plan_look(urls->plan, err);
}

static struct list_plan *new_list(struct urls *urls, enum list_format format)
{
    const struct encode_plan *plan = urls->plan;
    struct list_plan_options options = {.path = plan->options.input,
                                        .columns = plan->options.urls.columns,
                                        .shard_rows = plan->options.shard_rows,
                                        .shards_max = ENCODE_SHARDS_MAX,
                                        .published = plan->env->added,
                                        .job = plan->env->job,
                                        .lease = plan->env->lease,
                                        .look = look,
                                        .look_ctx = urls};
    options.columns.format = format;
    return list_plan_new(&options);
}

/* The same bytes read as another format are other rows. */
static void fingerprint_of(uint8_t fingerprint[HASH_SHA256_BYTES], enum list_format format)
{
    struct buf text;
    const char *name = list_format_name(format);
    buf_init(&text, 0);
    buf_add(&text, name, strlen(name) + 1);
    buf_add(&text, fingerprint, HASH_SHA256_BYTES);
    hash_sha256(fingerprint, buf_str(&text), text.len);
    buf_deinit(&text);
}

static int add_shard(const struct urls *urls, uint32_t number, struct err *err)
{
    struct list_cut cut;
    char name[16];
    Vlmq__Jobs__EncodeShard shard = VLMQ__JOBS__ENCODE_SHARD__INIT;
    if (encode_plan_has(urls->plan)) return encode_plan_add(urls->plan, "", &shard, 0, err);
    const int rc = list_plan_publish(urls->list, &cut, number, err);
    if (rc) return rc;
    (void)snprintf(name, sizeof name, "%05u", number);
    shard.source = (Vlmq__Jobs__EncodeInput)list_plan_format(urls->list);
    shard.shard = number;
    shard.row = list_plan_row(urls->list, number);
    shard.rows = cut.rows;
    shard.offset = cut.offset;
    shard.bytes = cut.bytes;
    shard.hash = cut.hash;
    shard.sliced = cut.sliced;
    shard.jsonl = cut.jsonl;
    return encode_plan_add(urls->plan, name, &shard, cut.rows, err);
}

int encode_plan_urls(struct encode_plan *plan, Vlmq__Jobs__EncodeInput input, struct err *err)
{
    struct urls urls = {.plan = plan};
    uint8_t fingerprint[HASH_SHA256_BYTES];
    urls.list = new_list(&urls, list_of_input(input));
    int rc = list_plan_open(urls.list, err);
    if (!rc) rc = list_plan_cut(urls.list, plan->store, fingerprint, err);
    if (!rc) fingerprint_of(fingerprint, list_plan_format(urls.list));
    if (!rc) rc = encode_plan_claim(plan, fingerprint, err);
    for (uint32_t i = 0; !rc && i < list_plan_shards(urls.list); i++) rc = add_shard(&urls, i, err);
    list_plan_free(urls.list);
    return rc;
}
