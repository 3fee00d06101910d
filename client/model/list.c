/* list.c - vlmq model ls, show and rm. */
#include "client/model/inside.h"
#include "client/print.h"
#include "common/base/clock.h"
#include "common/base/fs.h"
#include "common/base/str.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define CONFIG_BYTES_MAX ((size_t)1024 * 1024)

/* What a folder has of what loading needs. */
struct content {
    const char *folder;
    int64_t bytes;
    uint32_t files;
    struct weights weights;
    bool look_inside;
};

static int add_content(void *ctx, const char *name, struct err *err)
{
    struct content *content = ctx;
    char path[PATH_MAX];
    struct stat info;
    if (!fs_join(path, sizeof path, content->folder, name)) return 0;
    if (stat(path, &info) || !S_ISREG(info.st_mode) || str_eq(name, MODEL_INFO_NAME)) return 0;
    content->files++;
    content->bytes += info.st_size;
    if (!content->look_inside || !str_has_suffix(name, ".safetensors")) return 0;
    return weights_read(&content->weights, path, err);
}

static void add_json(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "%s\"%s\":", out->len && out->data[out->len - 1] != '{' ? "," : "", name);
    str_json(out, value, strlen(value));
}

/* ---- ls ---- */

struct listing {
    struct command *cmd;
    struct table table;
    int64_t now_ms;
};

static int add_row(void *ctx, const char *name, const char *folder, struct err *err)
{
    struct listing *listing = ctx;
    struct model_info info = {.revision = ""};
    struct content content = {.folder = folder};
    struct err ignored;
    char a[32], b[48];
    int rc = fs_list(folder, add_content, &content, err);
    if (rc) return rc;
    if (model_info_read(&info, folder, &listing->cmd->arena, &ignored))
        info = (struct model_info){.revision = ""};
    if (!listing->cmd->json) {
        table_cell(&listing->table, "%s", name);
        table_cell(&listing->table, "%s", str_human_bytes(a, sizeof a, (double)content.bytes));
        table_cell(&listing->table, "%" PRIu32, content.files);
        table_cell(&listing->table, "%.12s", info.revision[0] ? info.revision : "-");
        table_cell(&listing->table, "%s",
                   print_ago(b, sizeof b, info.pulled_at_ms, listing->now_ms));
        return 0;
    }
    struct buf out;
    buf_init(&out, 0);
    buf_byte(&out, '{');
    add_json(&out, "model", name);
    add_json(&out, "folder", folder);
    add_json(&out, "revision", info.revision);
    buf_printf(&out, ",\"bytes\":%" PRId64 ",\"files\":%" PRIu32 ",\"pulled_at_ms\":%" PRId64 "}\n",
               content.bytes, content.files, info.pulled_at_ms);
    print_out(stdout, &out);
    buf_deinit(&out);
    return 0;
}

int model_ls(struct command *cmd, const struct model_options *options, struct err *err)
{
    static const struct table_column columns[] = {
        {"MODEL", false, true},     {"SIZE", true, false},   {"FILES", true, false},
        {"REVISION", false, false}, {"PULLED", true, false},
    };
    char models[PATH_MAX];
    struct listing listing = {.cmd = cmd, .now_ms = clock_real.wall_ms(&clock_real)};
    int rc = model_folder(models, options, err);
    if (rc) return rc;
    table_init(&listing.table, columns, sizeof columns / sizeof columns[0]);
    rc = models_each(models, add_row, &listing, err);
    if (!rc && !cmd->json && table_rows(&listing.table))
        table_print(&listing.table);
    else if (!rc && !cmd->json)
        print_line("no models in %s; vlmq model pull OWNER/NAME fetches one", models);
    table_deinit(&listing.table);
    return rc;
}

/* ---- show ---- */

static const char *const sizes[] = {
    "hidden_size",  "intermediate_size",   "num_hidden_layers",       "num_attention_heads",
    "image_size",   "patch_size",          "projection_dim",          "vocab_size",
    "num_channels", "num_key_value_heads", "max_position_embeddings",
};
/* The parts of a configuration that has several; "" is the whole. */
static const char *const parts[] = {"", "vision_config", "text_config"};

static int read_config(json_t **config, const char *folder, struct err *err)
{
    char path[PATH_MAX];
    struct buf text;
    json_error_t trouble;
    *config = NULL;
    if (!fs_join(path, sizeof path, folder, "config.json"))
        return err_set(err, ERR_INVALID, "the path is too long: %.80s", folder);
    buf_init(&text, 0);
    int rc = fs_read(&text, path, CONFIG_BYTES_MAX, err);
    if (!rc) {
        *config = json_loadb(buf_str(&text), text.len, 0, &trouble);
        if (!json_is_object(*config)) rc = err_set(err, ERR_CORRUPT, "%s is no JSON object", path);
    }
    buf_deinit(&text);
    return rc;
}

/* Calls visit for each size that the configuration has. */
static void each_size(struct buf *out, const json_t *config, bool json)
{
    for (size_t p = 0; p < sizeof parts / sizeof parts[0]; p++) {
        const json_t *part = *parts[p] ? json_object_get(config, parts[p]) : config;
        uint32_t count = 0;
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            const json_t *value = json_object_get(part, sizes[i]);
            if (!json_is_integer(value)) continue;
            if (json && !count) buf_printf(out, ",\"%s\":{", *parts[p] ? parts[p] : "config");
            if (!json && !count) buf_printf(out, "%-13s ", *parts[p] ? parts[p] : "config");
            buf_printf(out, json ? "%s\"%s\":%" PRId64 : "%s%s %" PRId64,
                       !count ? "" : (json ? "," : ", "), sizes[i],
                       (int64_t)json_integer_value(value));
            count++;
        }
        if (count) buf_text(out, json ? "}" : "\n");
    }
}

static const char *type_of(const json_t *config)
{
    const char *type = json_string_value(json_object_get(config, "model_type"));
    return type ? type : "";
}

static void show_json(struct buf *out, const char *name, const struct content *content,
                      const struct model_info *info, const json_t *config)
{
    const struct weights *weights = &content->weights;
    buf_byte(out, '{');
    add_json(out, "model", name);
    add_json(out, "folder", content->folder);
    add_json(out, "repository", info->repository);
    add_json(out, "revision", info->revision);
    add_json(out, "type", type_of(config));
    buf_printf(out,
               ",\"bytes\":%" PRId64 ",\"files\":%" PRIu32 ",\"tensors\":%" PRIu64
               ",\"parameters\":%" PRIu64 ",\"dtypes\":{",
               content->bytes, content->files, weights->tensors, weights->parameters);
    for (uint32_t i = 0; i < weights->types_count; i++) {
        add_json(out, weights->type[i].name, "");
        out->len -= 2; /* the number in place of the text */
        buf_printf(out, "%" PRIu64, weights->type[i].parameters);
    }
    buf_byte(out, '}');
    each_size(out, config, true);
    buf_text(out, "}\n");
}

static void show_text(struct buf *out, const char *name, const struct content *content,
                      const struct model_info *info, const json_t *config)
{
    char a[32];
    const struct weights *weights = &content->weights;
    buf_printf(out, "%-13s %s\n%-13s %s\n", "model", name, "folder", content->folder);
    if (info->revision[0])
        buf_printf(out, "%-13s %s, revision %s\n", "repository", info->repository, info->revision);
    buf_printf(out, "%-13s %s\n", "type", type_of(config));
    each_size(out, config, false);
    buf_printf(out, "%-13s %s", "parameters",
               print_grouped(a, sizeof a, (int64_t)(weights->parameters & INT64_MAX)));
    for (uint32_t i = 0; i < weights->types_count; i++)
        buf_printf(out, "%s%s %s", i ? ", " : " (",
                   print_grouped(a, sizeof a, (int64_t)(weights->type[i].parameters & INT64_MAX)),
                   weights->type[i].name);
    buf_printf(out, "%s in %" PRIu64 " tensors\n", weights->types_count ? ")" : "",
               weights->tensors);
    buf_printf(out, "%-13s %s in %" PRIu32 " files\n", "size",
               str_human_bytes(a, sizeof a, (double)content->bytes), content->files);
}

/* Texts of others' files go through print_clean, line by line. */
static void print_lines(const struct buf *text)
{
    const char *at = buf_str(text);
    while (*at) {
        const size_t bytes = strcspn(at, "\n");
        print_line("%.*s", (int)bytes, at);
        at += bytes + (at[bytes] == '\n');
    }
}

int model_show(struct command *cmd, const struct model_options *options, const char *name,
               struct err *err)
{
    char models[PATH_MAX], folder[PATH_MAX];
    json_t *config = NULL;
    struct err ignored;
    struct buf out;
    struct content content = {.folder = folder, .look_inside = true};
    struct model_info info = {.repository = ""};
    int rc = model_folder(models, options, err);
    if (!rc) rc = model_find_in(folder, models, name, err);
    if (rc) return rc;
    buf_init(&out, 0);
    if (model_info_read(&info, folder, &cmd->arena, &ignored))
        info = (struct model_info){.repository = "", .revision = "", .endpoint = ""};
    rc = read_config(&config, folder, err);
    if (!rc) rc = fs_list(folder, add_content, &content, err);
    if (!rc && cmd->json) {
        show_json(&out, name, &content, &info, config);
        print_out(stdout, &out);
    } else if (!rc) {
        show_text(&out, name, &content, &info, config);
        print_lines(&out);
    }
    buf_deinit(&out);
    json_decref(config);
    return rc;
}

/* ---- rm ---- */

static void tell_waiting(void *ctx)
{
    const char *const *name = ctx;
    (void)fprintf(stderr, "vlmq: another vlmq fetches %s; waiting for it\n", *name);
}

int model_rm(struct command *cmd, const struct model_options *options, const char *name,
             struct err *err)
{
    char models[PATH_MAX];
    struct places places = {.lock = -1};
    if (!model_name_valid(name))
        return err_set(err, ERR_INVALID, "'%.80s' is no model: give OWNER/NAME", name);
    int rc = model_folder(models, options, err);
    if (!rc) rc = places_name(&places, models, name, err);
    if (!rc && !places_exist(&places)) rc = err_set(err, ERR_NOT_FOUND, "it is not here");
    if (!rc) rc = places_open(&places, tell_waiting, &name, err);
    if (!rc) rc = places_remove(&places, err);
    places_close(&places);
    if (rc == ERR_NOT_FOUND)
        return err_set(err, ERR_NOT_FOUND, "there is no model %s in %.150s", name, models);
    if (!rc && !cmd->json) print_line("%s is removed", name);
    return rc;
}
