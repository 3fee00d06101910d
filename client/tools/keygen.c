/* keygen.c - vlmq keygen: key files for encrypted fleets.
 *
 * A broker's file holds its pair and the list of keys that may come in; a client's holds its pair
 * and the broker's public key. The secret halves never leave their files: what is printed is
 * public. */
#include "client/print.h"
#include "client/verbs.h"
#include "common/base/fs.h"
#include "common/base/str.h"
#include "proto/wire/sock.h"

#include <string.h>
#include <sys/stat.h>

#define KEY_FILE_BYTES_MAX ((size_t)1024 * 1024)
#define PRIVATE_UMASK      077

struct keygen {
    const char *server;     /* the broker's key file */
    const char *server_key; /* or its public key alone */
    const char *role, *name;
};

static int check(const struct keygen *asked, struct err *err)
{
    bool known = false;
    for (int role = SOCK_ROLE_CLIENT; role <= SOCK_ROLE_ADMIN; role++)
        known = known || str_eq(asked->role, sock_role_name((enum sock_role)role));
    if (!known)
        return err_set(err, ERR_INVALID, "--role is client, worker or admin, not '%.40s'",
                       asked->role);
    if (asked->server && asked->server_key)
        return err_set(err, ERR_INVALID, "give --server or --server-key, not both");
    if (asked->name[strcspn(asked->name, " \t\r\n#=")])
        return err_set(err, ERR_INVALID, "--name is one word");
    if (strlen(asked->name) > 64) return err_set(err, ERR_INVALID, "--name is too long");
    if (asked->server_key && strlen(asked->server_key) != SOCK_KEY_BYTES - 1)
        return err_set(err, ERR_INVALID, "--server-key takes the %d characters of a public key",
                       SOCK_KEY_BYTES - 1);
    return 0;
}

static int write_key(const char *path, const struct sock_keys *keys, const char *server_key,
                     struct err *err)
{
    struct buf text;
    bool created = false;
    buf_init(&text, 0);
    buf_printf(&text,
               "# A key file of vlmq. Keep it to yourself: the secret lets its owner in.\n"
               "public = %s\nsecret = %s\n",
               keys->public_key, keys->secret_key);
    if (server_key) buf_printf(&text, "server = %s\n", server_key);
    int rc = fs_put_new(path, buf_str(&text), text.len, &created, err);
    if (!rc && !created)
        rc = err_set(err, ERR_INVALID, "%s is there already, and is not replaced", path);
    buf_deinit(&text);
    return rc;
}

/* Adds the new key to the broker's file; the broker reads it again by itself or at SIGHUP. */
static int allow(const char *path, const char *key, const struct keygen *asked, struct err *err)
{
    struct buf text;
    buf_init(&text, KEY_FILE_BYTES_MAX);
    int rc = fs_read(&text, path, KEY_FILE_BYTES_MAX, err);
    if (!rc) {
        if (text.len && text.data[text.len - 1] != '\n') buf_byte(&text, '\n');
        buf_printf(&text, "allow = %s %s %s\n", key, asked->role, asked->name);
        rc = fs_put(path, buf_str(&text), text.len, err);
    }
    buf_deinit(&text);
    return rc;
}

static int keygen(const struct command *cmd, const struct keygen *asked, struct err *err)
{
    struct sock_keys server = {.allow = NULL}, made = {.allow = NULL};
    const char *path = command_arg(cmd, 0), *server_key = asked->server_key;
    int rc = check(asked, err);
    if (!rc && asked->server) {
        rc = sock_keys_load(&server, asked->server, err);
        server_key = server.public_key;
    }
    if (!rc) rc = sock_keys_make(&made, err);
    if (!rc) rc = write_key(path, &made, server_key, err);
    if (!rc && asked->server) rc = allow(asked->server, made.public_key, asked, err);
    if (rc) goto out;
    if (cmd->json) {
        struct buf out;
        buf_init(&out, 0);
        buf_text(&out, "{\"public\":");
        str_json(&out, made.public_key, strlen(made.public_key));
        buf_text(&out, "}\n");
        print_out(stdout, &out);
        buf_deinit(&out);
    } else if (asked->server) {
        print_line("%s is made, and %s lets it in as %s", path, asked->server, asked->role);
    } else if (server_key) {
        print_line("%s is made; let it in with this line in the broker's key file:", path);
        print_line("allow = %s %s %s", made.public_key, asked->role, asked->name);
    } else {
        print_line("%s is made; its public key is %s", path, made.public_key);
        print_line("make keys for clients and workers with: vlmq keygen FILE --server %s", path);
    }
out:
    explicit_bzero(made.secret_key, sizeof made.secret_key);
    explicit_bzero(server.secret_key, sizeof server.secret_key);
    sock_keys_deinit(&server);
    sock_keys_deinit(&made);
    return rc;
}

int verb_keygen(struct command *cmd)
{
    static const struct command_help help = {
        .usage = "FILE [options]",
        .summary = "Makes a key file: without --server a broker's; with it one for a client or "
                   "worker, which the broker's file then lets in.",
        .example = "vlmq keygen broker.key && vlmq keygen alice.key --server broker.key "
                   "--name alice",
        .args_min = 1,
        .args_max = 1,
    };
    struct keygen asked = {.role = "client", .name = ""};
    const struct conf_option options[] = {
        {"server", 0, CONF_TEXT, &asked.server, 0, 0, "FILE",
         "The broker's key file: let the new key in there."},
        {"server-key", 0, CONF_TEXT, &asked.server_key, 0, 0, "KEY",
         "The broker's public key, where its file is elsewhere."},
        {"role", 0, CONF_TEXT, &asked.role, 0, 0, "ROLE",
         "What the key may do: client, worker or admin."},
        {"name", 0, CONF_TEXT, &asked.name, 0, 0, "NAME", "Whose key it is, for the logs."},
        {0},
    };
    struct err err;
    if (!command_begin(cmd, &help, options)) return (int)cmd->status;
    (void)umask(PRIVATE_UMASK);
    const int rc = keygen(cmd, &asked, &err);
    return command_end(cmd, rc, &err);
}
