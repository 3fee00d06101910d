/* main.c - vlmq-broker: options, the loop, and how it ends.
 *
 * Exit statuses: 0 orderly end, 1 other failure, 2 usage, 3 Redis must not be used as it is (too
 * old, volatile, refuses the login), 4 cannot listen. A Redis that is merely away is waited for. */
#include "broker/broker.h"
#include "common/base/chan.h"
#include "common/base/conf.h"
#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/base/stop.h"
#include "common/base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_OK = 0, EXIT_OTHER = 1, EXIT_USAGE = 2, EXIT_REDIS = 3, EXIT_LISTEN = 4 };

#define REDIS_TIMEOUT_MS     1000 /* clients take 3 s of silence for a dead broker */
#define REDIS_TIMEOUT_MIN_MS 50
#define REDIS_TIMEOUT_MAX_MS 2500
#define PASSWORD_BYTES_MAX   512
#define FLUSH_MS             50 /* at the end, for the network thread to send the last answers */

struct options {
    struct conf_list listen;
    const char *redis, *redis_user, *redis_password_file, *key_file, *log_level, *log_format;
    const char *config;
    int64_t redis_database, redis_timeout_ms, ready_fd;
    bool allow_volatile, insecure, version;
};

struct program {
    struct options options;
    struct conf conf;
    struct wake wake;
    struct buf password;
    struct front *front;
    struct broker *broker;
};

static const char example[] =
    "# on one machine, beside its Redis\n"
    "  vlmq-broker --redis unix:/run/redis/redis.sock\n"
    "  # for a cluster: keys come from vlmq keygen\n"
    "  vlmq-broker --listen tcp://0.0.0.0:5710 --key-file /etc/vlmq/broker.keys\n";

/* ---- options ---- */

static int load_options(struct program *p, const struct conf_option *table, int argc, char **argv,
                        struct err *err)
{
    p->conf = (struct conf){
        .program = "vlmq-broker",
        .usage = "[options]",
        .summary = "Hands out the work of a vlmq fleet. Redis remembers everything, so any number "
                   "of brokers may run beside each other, and any may be stopped.",
        .example = example,
        .options = table,
    };
    const char *config = conf_peek(argc, argv, "config");
    int rc = conf_load(&p->conf, config, config != NULL, err);
    if (!rc) rc = conf_parse(&p->conf, argc, argv, err);
    if (rc || p->conf.help_asked) return rc;
    if (p->conf.args_count) {
        return err_set(err, ERR_INVALID, "'%s' is no option; see --help", p->conf.arg[0]);
    }
    const struct options *o = &p->options;
    if (o->redis_timeout_ms < REDIS_TIMEOUT_MIN_MS || o->redis_timeout_ms > REDIS_TIMEOUT_MAX_MS) {
        return err_set(err, ERR_INVALID, "--redis-timeout must be between %dms and %dms",
                       REDIS_TIMEOUT_MIN_MS, REDIS_TIMEOUT_MAX_MS);
    }
    return 0;
}

static int read_options(struct program *p, int argc, char **argv, struct err *err)
{
    struct options *o = &p->options;
    *o = (struct options){
        .redis = "tcp://127.0.0.1:6379",
        .redis_timeout_ms = REDIS_TIMEOUT_MS,
        .log_level = "info",
        .log_format = "logfmt",
        .ready_fd = -1,
    };
    const struct conf_option table[] = {
        {"listen", 'l', CONF_LIST, &o->listen, 0, 0, "ADDRESS",
         "Serve here; may be repeated (tcp://127.0.0.1:5710)."},
        {"redis", 'r', CONF_TEXT, &o->redis, 0, 0, "ADDRESS",
         "Redis: tcp://HOST:PORT or unix:PATH."},
        {"redis-user", 0, CONF_TEXT, &o->redis_user, 0, 0, "NAME", "Redis user (ACL)."},
        {"redis-password-file", 0, CONF_TEXT, &o->redis_password_file, 0, 0, "FILE",
         "File that holds the Redis password."},
        {"redis-database", 0, CONF_INT, &o->redis_database, 0, 1000, "N", "Redis database."},
        {"redis-timeout", 0, CONF_MS, &o->redis_timeout_ms, 0, 0, "TIME",
         "Longest wait for one round trip to Redis."},
        {"allow-volatile", 0, CONF_FLAG, &o->allow_volatile, 0, 0, NULL,
         "Go on where Redis may lose data (no append-only file, or keys may be evicted)."},
        {"key-file", 'k', CONF_TEXT, &o->key_file, 0, 0, "FILE",
         "Encrypt: this broker's keys and those allowed to connect; read again when it changes."},
        {"insecure", 0, CONF_FLAG, &o->insecure, 0, 0, NULL,
         "Listen beyond this machine without keys: everyone who can connect may do everything."},
        {"log-level", 0, CONF_TEXT, &o->log_level, 0, 0, "LEVEL", "debug, info, warn or error."},
        {"log-format", 0, CONF_TEXT, &o->log_format, 0, 0, "FORMAT", "logfmt or json."},
        {"config", 'c', CONF_TEXT, &o->config, 0, 0, "FILE", "Read `name = value` lines first."},
        {"ready-fd", 0, CONF_INT, &o->ready_fd, -1, 1 << 20, "N",
         "Write \"ready ADDRESS\" to this file descriptor when serving."},
        {"version", 'V', CONF_FLAG, &o->version, 0, 0, NULL, "Print the version and end."},
        {0},
    };
    const int rc = load_options(p, table, argc, argv, err);
    if (!rc && p->conf.help_asked) {
        struct buf text;
        buf_init(&text, 0);
        conf_help(&p->conf, &text);
        (void)fputs(buf_str(&text), stdout);
        buf_deinit(&text);
    }
    p->conf.options = NULL; /* the table ends here */
    return rc;
}

static int start_log(const struct options *o, struct err *err)
{
    enum log_level level;
    if (log_level_parse(&level, o->log_level)) {
        return err_set(err, ERR_INVALID, "--log-level %s is not debug, info, warn or error",
                       o->log_level);
    }
    const bool json = str_eq(o->log_format, "json");
    if (!json && !str_eq(o->log_format, "logfmt")) {
        return err_set(err, ERR_INVALID, "--log-format %s is not logfmt or json", o->log_format);
    }
    log_set_level(level);
    log_set_json(json);
    log_set_program("broker");
    return 0;
}

static int read_password(struct program *p, struct err *err)
{
    if (!p->options.redis_password_file) return 0;
    const int rc = fs_read(&p->password, p->options.redis_password_file, PASSWORD_BYTES_MAX, err);
    if (rc) return rc;
    size_t len = p->password.len;
    while (len && (p->password.data[len - 1] == '\n' || p->password.data[len - 1] == '\r')) len--;
    if (!len) {
        return err_set(err, ERR_INVALID, "%s holds no password", p->options.redis_password_file);
    }
    p->password.data[len] = 0;
    return 0;
}

/* ---- life ---- */

static int open_front(struct program *p, struct err *err)
{
    static const char *const usual = "tcp://127.0.0.1:5710";
    const struct options *o = &p->options;
    const struct front_options options = {
        .listen = o->listen.count ? o->listen.item : &usual,
        .listen_count = o->listen.count ? o->listen.count : 1,
        .key_file = o->key_file,
        .insecure = o->insecure,
    };
    return front_open(&p->front, &options, err);
}

static int open_broker(struct program *p, struct err *err)
{
    const struct options *o = &p->options;
    struct broker_options options = {
        .clock = &clock_real,
        .front = p->front,
        .redis =
            {
                .address = o->redis,
                .user = o->redis_user,
                .password = p->password.len ? p->password.data : NULL,
                .database = (uint32_t)o->redis_database,
                .timeout_ms = o->redis_timeout_ms,
                .allow_volatile = o->allow_volatile,
            },
    };
    rng_secure(&options.seed, sizeof options.seed);
    return broker_open(&p->broker, &options, err);
}

/* Whoever started this broker waits for the line. */
static void tell_ready(const struct program *p)
{
    const char *address = front_address(p->front, 0);
    log_info("broker.ready", "id=%s address=%s pid=%d version=%s redis=%s", p->broker->id, address,
             (int)getpid(), VLMQ_VERSION, p->broker->redis.ready ? "ready" : "away");
    const int fd = (int)p->options.ready_fd;
    if (fd < 0) return;
    char line[SOCK_ADDRESS_BYTES + 16];
    struct err err;
    const int bytes = snprintf(line, sizeof line, "ready %s\n", address);
    if (fs_write_all(fd, line, (size_t)bytes, "--ready-fd", &err)) {
        log_warn("ready.unsent", "msg=%s", log_quote(err.msg));
    }
    (void)close(fd);
}

static int serve(struct program *p, struct err *err)
{
    tell_ready(p);
    while (!stop_count() && !p->broker->refused.code) {
        const int64_t wait_ms = broker_turn(p->broker);
        front_wait(p->front, &p->wake.fd, 1, wait_ms);
        wake_clear(&p->wake);
    }
    if (p->broker->refused.code) {
        *err = p->broker->refused;
        return EXIT_REDIS;
    }
    (void)broker_turn(p->broker); /* what has come in meanwhile */
    broker_end(p->broker);
    clock_sleep_ms(FLUSH_MS);
    const struct metrics *m = &p->broker->metrics;
    log_info("broker.end",
             "requests=%" PRIu64 " refused=%" PRIu64 " taken=%" PRIu64 " done=%" PRIu64
             " failed=%" PRIu64 " lost=%" PRIu64,
             m->requests, m->refused, m->tasks_taken, m->tasks_done, m->tasks_failed,
             m->leases_lost);
    return EXIT_OK;
}

static int run(struct program *p, struct err *err)
{
    if (start_log(&p->options, err)) return EXIT_USAGE;
    if (read_password(p, err)) return EXIT_USAGE;
    if (wake_open(&p->wake)) {
        (void)err_set(err, ERR_LIMIT, "cannot open an event descriptor");
        return EXIT_OTHER;
    }
    stop_install(&p->wake);
    log_info("broker.start", "version=%s redis=%s", VLMQ_VERSION, p->options.redis);
    if (open_front(p, err)) return EXIT_LISTEN;
    if (open_broker(p, err)) return EXIT_REDIS;
    return serve(p, err);
}

int main(int argc, char **argv)
{
    struct program *p = mem_new(sizeof *p);
    struct err err = {0};
    p->wake.fd = -1;
    buf_init(&p->password, PASSWORD_BYTES_MAX + 1);
    int status = EXIT_OK;
    if (read_options(p, argc, argv, &err)) {
        status = EXIT_USAGE;
    } else if (p->options.version) {
        (void)puts("vlmq-broker " VLMQ_VERSION);
    } else if (!p->conf.help_asked) {
        status = run(p, &err);
    }
    if (status) (void)fprintf(stderr, "vlmq-broker: %s\n", err.msg);
    broker_close(p->broker);
    front_close(p->front);
    stop_install(NULL);
    wake_close(&p->wake);
    buf_deinit(&p->password);
    conf_deinit(&p->conf);
    mem_free(p);
    return status;
}
