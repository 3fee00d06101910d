/* inside.h - the parts of `vlmq model`; for the files of client/model only.
 *
 *   model.c    the verb: its words, options, help
 *   pull.c     a pull from the first request to the published folder
 *   file.c     one file: goes on where it was, is checked, tried again
 *   publish.c  the folders: that of the files in the making, and the swap with what was there
 *   meter.c    how far it has got, for people
 *   list.c     ls, show, rm
 *   weights.c  what the header of a file of weights says
 *   hub.c, hub_answer.c, http.c   the other side */
#ifndef CLIENT_MODEL_INSIDE_H
#define CLIENT_MODEL_INSIDE_H

#include "client/command.h"
#include "client/model/http.h"
#include "client/model/hub.h"
#include "common/base/chan.h"
#include "common/store/models.h"

struct model_options {
    const char *revision, *endpoint, *token_file, *folder;
    bool all;
};

#define METER_SAMPLES 16

/* What is shown of a pull while it runs: a bar on a terminal, else a line now and then. */
struct meter {
    const char *model;
    int64_t bytes, bytes_total; /* that are here, of all */
    bool quiet;
    /* Its own. */
    int64_t shown_at_ms, sampled_at_ms;
    struct {
        int64_t at_ms, bytes;
    } sample[METER_SAMPLES];
    uint32_t samples;
    bool drawn;
};

void meter_init(struct meter *meter, const char *model, bool quiet);
/* Draws if it is time; cheap otherwise. */
void meter_tick(void *meter);
/* Takes the bar off the terminal. */
void meter_clear(struct meter *meter);
/* A line of its own, on standard error. */
void meter_say(struct meter *meter, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Where a model and its files in the making are. */
struct places {
    char models[PATH_MAX]; /* all of them */
    char folder[PATH_MAX]; /* of the model, once it is whole */
    char part[PATH_MAX];   /* files in the making, named by place_of_part */
    char made[PATH_MAX];   /* whole, not yet at its place */
    char old[PATH_MAX];    /* what had that place */
    char lock_path[PATH_MAX];
    int lock; /* -1: not held */
};

/* Where they are; touches no disk. */
CHECKED int places_name(struct places *places, const char *models, const char *repo,
                        struct err *err);
/* Whether there is the model, or something that was begun of it. */
bool places_exist(const struct places *places);
/* Makes the owner's folder and takes the model's lock, which one process at a time holds. waiting:
 * told once, when it must wait. ERR_CANCELLED: a signal. */
CHECKED int places_open(struct places *places, void (*waiting)(void *ctx), void *ctx,
                        struct err *err);
void places_close(struct places *places);
/* ERR_INVALID: there is something in the model's place that no pull has made. */
CHECKED int places_check(const struct places *places, struct err *err);
/* Where the bytes of a file of the listing are kept: whole, or with suffix. */
CHECKED int places_part(char path[PATH_MAX], const struct places *places,
                        const struct hub_file *file, const char *suffix, struct err *err);
/* After a crash while publishing where there are no hard links: files that were moved are parts
 * again, which are read and checked as all parts are. */
void places_recover(const struct places *places, const struct hub_listing *listing);
/* Moves all chosen files into their folder, writes vlmq.json, and puts it in the model's place. */
CHECKED int places_publish(struct places *places, const struct hub_listing *listing,
                           struct model_info *info, struct arena *arena, struct err *err);
/* Removes the model, and what was begun of it. ERR_NOT_FOUND: there was nothing. */
CHECKED int places_remove(struct places *places, struct err *err);

struct pull {
    struct command *cmd;
    const struct model_options *options;
    const char *repo, *revision, *endpoint;
    struct http *http;
    struct hub_about about;
    struct places places;
    char commit[HUB_COMMIT_BYTES];
    struct hub_listing listing;
    struct meter meter;
    struct wake wake; /* raised by signals */
    uint32_t fetched;
};

/* Tries of one request that get nothing; any byte more begins anew. */
#define TRIES_MAX 5

/* How long to wait before try `tries` + 1: what the hub asks for, or longer each time. Waits;
 * false: a signal came. ERR_UNAVAILABLE when the hub asks for too much. */
CHECKED int pull_wait(struct pull *pull, uint32_t tries, const struct hub_headers *headers,
                      struct err *err);
/* All that is needed of one file is in its place among the parts when this returns 0, durable and
 * checked. info's entry for it gets the SHA-256. */
CHECKED int pull_file(struct pull *pull, const struct hub_file *file, struct err *err);

CHECKED int model_pull(struct command *cmd, const struct model_options *options, const char *repo,
                       struct err *err);
CHECKED int model_ls(struct command *cmd, const struct model_options *options, struct err *err);
CHECKED int model_show(struct command *cmd, const struct model_options *options, const char *name,
                       struct err *err);
CHECKED int model_rm(struct command *cmd, const struct model_options *options, const char *name,
                     struct err *err);
/* --folder, or the usual one. */
CHECKED int model_folder(char folder[PATH_MAX], const struct model_options *options,
                         struct err *err);

/* What is in files of weights. */
#define WEIGHTS_TYPES_MAX 16
struct weights {
    uint64_t tensors, parameters; /* of all types */
    struct {
        char name[8]; /* "F32" */
        uint64_t tensors, parameters;
    } type[WEIGHTS_TYPES_MAX];
    uint32_t types_count;
};
/* The JSON of one file's header is added. ERR_CORRUPT: it is none. */
CHECKED int weights_add(struct weights *weights, const char *json, size_t bytes, struct err *err);
CHECKED int weights_read(struct weights *weights, const char *path, struct err *err);

#endif
