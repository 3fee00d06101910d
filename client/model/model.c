/* model.c - vlmq model: models on this machine, and how they get there. */
#include "client/model/inside.h"
#include "client/verbs.h"
#include "common/base/str.h"

#include <string.h>

int model_folder(char folder[PATH_MAX], const struct model_options *options, struct err *err)
{
    if (!options->folder || !*options->folder) return models_folder(folder, err);
    if (str_copy(folder, PATH_MAX, options->folder)) return 0;
    return err_set(err, ERR_INVALID, "--folder is too long");
}

static int need_name(const struct command *cmd, const char *what, struct err *err)
{
    if (command_arg(cmd, 1)) return 0;
    return err_set(err, ERR_INVALID, "vlmq model %s: which model? Give OWNER/NAME", what);
}

static int dispatch(struct command *cmd, const struct model_options *options, struct err *err)
{
    const char *what = command_arg(cmd, 0), *name = command_arg(cmd, 1);
    const bool pulls = str_eq(what, "pull");
    if (!pulls && (options->revision || options->endpoint || options->token_file || options->all))
        return err_set(err, ERR_INVALID,
                       "--revision, --endpoint, --token-file and --all are for vlmq model pull");
    if (str_eq(what, "ls")) {
        if (!name) return model_ls(cmd, options, err);
        return err_set(err, ERR_INVALID, "vlmq model ls takes no name; vlmq model show does");
    }
    if (!pulls && !str_eq(what, "show") && !str_eq(what, "rm"))
        return err_set(err, ERR_INVALID, "vlmq model '%.40s': use pull, ls, show or rm", what);
    const int rc = need_name(cmd, what, err);
    if (rc) return rc;
    if (pulls) return model_pull(cmd, options, name, err);
    return str_eq(what, "rm") ? model_rm(cmd, options, name, err)
                              : model_show(cmd, options, name, err);
}

int verb_model(struct command *cmd)
{
    static const struct command_help help = {
        .usage = "pull|ls|show|rm [OWNER/NAME] [options]",
        .summary = "Models on this machine: fetches what is needed of a Hugging Face repository, "
                   "lists what is here, describes one, removes one. Workers find models by their "
                   "names in the same folder.",
        .middle = "\n"
                  "  pull OWNER/NAME   Fetch it; goes on where an interrupted pull was\n"
                  "  ls                List the models that are here\n"
                  "  show OWNER/NAME   Its sizes, parameters and types; also of a ./FOLDER\n"
                  "  rm OWNER/NAME     Remove it\n",
        .example = "vlmq model pull openai/clip-vit-base-patch32",
        .args_min = 1,
        .args_max = 2,
    };
    struct model_options o = {.revision = NULL};
    const struct conf_option options[] = {
        {"revision", 0, CONF_TEXT, &o.revision, 0, 0, "REV",
         "A branch, tag or commit of the repository; main by default."},
        {"endpoint", 0, CONF_TEXT, &o.endpoint, 0, 0, "URL",
         "Another hub than https://huggingface.co; also HF_ENDPOINT."},
        {"token-file", 0, CONF_TEXT, &o.token_file, 0, 0, "FILE",
         "A file with the access token for gated and private models; also HF_TOKEN."},
        {"all", 0, CONF_FLAG, &o.all, 0, 0, NULL,
         "All files of the repository, not only what loading needs."},
        {"folder", 0, CONF_TEXT, &o.folder, 0, 0, "DIR",
         "The folder of models, instead of VLMQ_MODELS or ~/.cache/vlmq/models."},
        {0},
    };
    struct err err;
    if (!command_begin(cmd, &help, options)) return (int)cmd->status;
    const int rc = dispatch(cmd, &o, &err);
    return command_end(cmd, rc, &err);
}
