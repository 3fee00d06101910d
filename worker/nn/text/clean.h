/* clean.h - the steps that CLIP's tokenizers take over a text before they split it.
 *
 * Each step appends to out what it makes of a valid UTF-8 text, in time linear in its bytes; a
 * buffer that hits its limit sticks as failed (buf.h). Unicode data are those of utf8proc.
 *
 * Sources: Unicode Standard 3.11 (canonical ordering and composition), 3.13 (full lower case, and
 * its condition Final_Sigma), PropList White_Space; HTML standard 13.5 as Python's html.unescape
 * reads it. */
#ifndef NN_TEXT_CLEAN_H
#define NN_TEXT_CLEAN_H

#include "common/base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Canonical composition (NFC). */
void clean_nfc(struct buf *out, const char *text, size_t bytes);
/* Each run of white space becomes one space; none is taken from the ends. */
void clean_spaces(struct buf *out, const char *text, size_t bytes);
/* Lower case, character by character: the dotted capital I becomes two characters, a capital sigma
 * is never final. */
void clean_lower(struct buf *out, const char *text, size_t bytes);
/* Character references of HTML, named and numeric, once; as Python's html.unescape, also without
 * their ";", and by their longest beginning that is a name. */
void clean_unescape(struct buf *out, const char *text, size_t bytes);
/* Leaves out what Python's str.strip would take from both ends; points into text. */
const char *clean_strip(const char *text, size_t *bytes);
/* Appends bytes as UTF-8 with one U+FFFD for each longest beginning of a character that has no
 * end (Unicode Standard 3.9, "maximal subpart"), as Python and Rust decode. */
void clean_utf8(struct buf *out, const char *data, size_t bytes);

#endif
