/* main.c - vlmq, the one program that people touch. */
#include "client/verbs.h"

#include <signal.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    /* A reader that goes away (vlmq ls | head) ends the output, not the program's work. */
    (void)signal(SIGPIPE, SIG_IGN);
    const int status = verbs_main(argc, argv);
    if (fflush(stdout) && status == STATUS_OK) return STATUS_FAILED;
    return status;
}
