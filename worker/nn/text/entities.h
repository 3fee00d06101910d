/* entities.h - HTML's named character references (HTML standard, 13.5). */
#ifndef NN_TEXT_ENTITIES_H
#define NN_TEXT_ENTITIES_H

#include <stddef.h>

/* A name as it stands behind the "&", with its ";" where it has one, and its UTF-8. Some old names
 * are there twice, with and without. */
struct entity {
    const char *name, *value;
};

extern const struct entity entities[]; /* sorted by the bytes of their names */
extern const size_t entities_count;

#endif
