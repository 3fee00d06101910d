/* list_json.h - a list that is one JSON array, as lines of jsonl.
 *
 * Each element of the array becomes a line, whatever it is: a row that is no object is found later.
 * Nothing of the array is kept, so that it may be of any size; its elements are not checked, only
 * where they begin and end. */
#ifndef LIST_JSON_H
#define LIST_JSON_H

#include "worker/list/list_source.h"

/* Takes the source of the array. What is no array, or is cut short, is ERR_INVALID when it is read.
 */
struct list_source *list_json_lines(struct list_source *array);

#endif
