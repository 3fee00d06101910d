/* fs_fault.h - the hook behind fs_fail, for code that writes files by itself. */
#ifndef BASE_FS_FAULT_H
#define BASE_FS_FAULT_H

#include <stdbool.h>

/* Counts one write, rename, link or fsync; true with errno set when it must fail. */
bool fs_fault(void);

#endif
