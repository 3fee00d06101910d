/* web_server.h - starts tests/support/web_server.py on a free port of 127.0.0.1.
 *
 * The script's head tells what it serves. It ends with web_server_stop, and by itself when the test
 * process ends. */
#ifndef TESTS_SUPPORT_WEB_SERVER_H
#define TESTS_SUPPORT_WEB_SERVER_H

#include <sys/types.h>

struct web_server {
    pid_t pid;
    int stdin_fd;
    int port;
    int tls_port; /* 0: none */
};

/* script: the path of web_server.py; folder: what /files serves; pem: a file with certificate and
 * key for the TLS port, or NULL. Fails the test when it cannot start. */
void web_server_start(struct web_server *server, const char *script, const char *folder,
                      const char *pem);
void web_server_stop(struct web_server *server);

#endif
